import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { RETRIES, STAGES } from '../../simulate/run/pipeline.ts';
import { GATED, ROOT } from '../pipelines/files.ts';

interface TemplateStep {
  task?: string;
  retryCountOnTaskFailure?: number;
  inputs?: Record<string, unknown>;
}

/** The stages after the plan, as the template has them. */
function template(): { name: string; steps: TemplateStep[]; gate: boolean }[] {
  const text = readFileSync(join(ROOT, 'pipelines/templates/cycle-one.yml'), 'utf8');
  const { stages } = parse(text) as {
    stages: { template?: string; parameters?: { name: string; steps: TemplateStep[]; gate?: unknown } }[];
  };
  return stages.flatMap(({ parameters }) =>
    parameters === undefined
      ? []
      : [{ name: parameters.name, steps: parameters.steps, gate: parameters.gate !== undefined }],
  );
}

describe('The simulated pipeline', () => {
  it('has the stages of the template in their order, with the same gates', () => {
    const shown = (stages: readonly { name: string; gate: boolean }[]) =>
      stages.map(({ name, gate }) => `${name}${gate ? ' behind a gate' : ''}`);
    assert.deepEqual(shown(STAGES), shown(template()));
    assert.deepEqual(
      STAGES.filter(({ gate }) => gate).map(({ name }) => name),
      GATED,
    );
  });

  it('has the tasks of each stage with the inputs that differ', () => {
    const own = ['mode', 'change', 'side', 'role'];
    const shown = template().map(({ name, steps }) => ({
      name,
      tasks: steps.map(({ task = '', inputs = {} }) => ({
        task: task.replace(/@.*/, ''),
        inputs: Object.fromEntries(Object.entries(inputs).filter(([key]) => own.includes(key))),
      })),
    }));
    assert.deepEqual(
      STAGES.map(({ name, tasks }) => ({ name, tasks: tasks.map(({ task, inputs }) => ({ task, inputs })) })),
      shown,
    );
  });

  it('tries each task as often as the template says', () => {
    for (const { name, steps } of template())
      for (const step of steps) assert.equal(step.retryCountOnTaskFailure, RETRIES, name);
  });
});
