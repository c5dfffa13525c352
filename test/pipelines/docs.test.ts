import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { pipelineFiles, PIPELINE, ROOT } from './files.ts';

interface Parameter {
  name: string;
  default: unknown;
}

describe('docs/pipelines.md', () => {
  const text = readFileSync(join(ROOT, 'docs/pipelines.md'), 'utf8');
  const { parameters, schedules } = parse(pipelineFiles()[PIPELINE] ?? '') as {
    parameters: Parameter[];
    schedules: { cron: string }[];
  };
  const rows = [...text.matchAll(/^ +\| `(\w+)` \| ([^|]+) \|/gm)].map(([, name = '', value = '']) => [
    name,
    value.trim().replaceAll('`', ''),
  ]);
  const connections = parameters.find(({ name }) => name === 'connections')?.default as Record<string, string>;

  it('lists every service connection with its default name, and every parameter with its default', () => {
    const shown = (value: unknown): string =>
      typeof value === 'object' ? 'as above' : value === '' ? "''" : JSON.stringify(value).replaceAll('"', '');
    assert.deepEqual(
      rows.map(([name, value]) => `${name} ${value}`).sort(),
      [
        ...Object.entries(connections).map(([name, value]) => `${name} ${shown(value)}`),
        ...parameters.map((parameter) => `${parameter.name} ${shown(parameter.default)}`),
      ].sort(),
    );
  });

  it('has ten steps and names the schedule', () => {
    const steps = [...text.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    assert.deepEqual(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (const { cron } of schedules) assert.ok(text.includes(cron));
  });
});
