import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { designRules } from '../../scripts/lint-rules.mjs';
import { filesBelow, ROOT, textOf } from './tree.ts';

function lint(path: string, code: string): string[] {
  const linter = new Linter({ cwd: ROOT });
  const messages = linter.verify(
    code,
    [
      {
        files: ['**/*.ts'],
        languageOptions: { parser: tseslint.parser },
        plugins: { design: designRules },
        rules: { 'design/arrows': 'error', 'design/wire': 'error' },
      },
    ],
    join(ROOT, path),
  );
  return messages.map(({ ruleId, messageId }) => `${ruleId ?? 'fatal'} ${messageId ?? ''}`);
}

describe('imports point one way', () => {
  const forbidden: [from: string, to: string][] = [
    ['cycle/steps/x.ts', '../../tasks/azure.ts'],
    ['cycle/x.ts', '../lab/world/world.ts'],
    ['cycle/x.ts', '../test/setup.ts'],
    ['cycle/x.ts', '../agent-bridge/server/handler.ts'],
    ['cycle/x.ts', '../report/render.ts'],
    ['agent-bridge/server/x.ts', '../../cycle/step.ts'],
    ['agent-bridge/client/x.ts', '../server/handler.ts'],
    ['agent-bridge/client/x.ts', '../../cycle/step.ts'],
    ['agent-bridge/protocol/x.ts', '../client/client.ts'],
    ['ports/x.ts', '../cycle/step.ts'],
    ['tasks/PlanCycle/x.ts', '../../lab/main.ts'],
    ['tasks/PlanCycle/x.ts', '../../scripts/build.mjs'],
    ['report/x.ts', '../cycle/step.ts'],
    ['report/x.ts', '../ports/ports.ts'],
  ];
  for (const [from, to] of forbidden)
    it(`and ${from} may not import ${to}`, () => {
      const faults = lint(from, `import { x } from '${to}';\nexport { x };`);
      assert.equal(faults.length, 1);
      assert.match(faults[0] ?? '', /^design\/arrows/);
    });

  const allowed: [from: string, to: string][] = [
    ['tasks/PlanCycle/main.ts', '../../cycle/step.ts'],
    ['cycle/x.ts', '../agent-bridge/client/client.ts'],
    ['cycle/x.ts', '../ports/ports.ts'],
    ['agent-bridge/client/x.ts', '../protocol/wire.ts'],
    ['agent-bridge/server/x.ts', '../jobs/lanes.ts'],
    ['report/x.ts', '../cycle/record.ts'],
    ['lab/main.ts', '../cycle/step.ts'],
    ['test/x.test.ts', '../lab/main.ts'],
  ];
  for (const [from, to] of allowed)
    it(`and ${from} may import ${to}`, () => {
      assert.deepEqual(lint(from, `import { x } from '${to}';\nexport { x };`), []);
    });

  it('also when they are re-exported, types only, or loaded later', () => {
    const faulty = [
      `export * from '../lab/main.ts';`,
      `export { x } from '../lab/main.ts';`,
      `import type { X } from '../lab/main.ts'; export type Y = X;`,
      `export const x = () => import('../lab/main.ts');`,
      `export type X = import('../lab/main.ts').X;`,
    ];
    for (const code of faulty) assert.deepEqual(lint('cycle/x.ts', code), ['design/arrows outside'], code);
  });
});

describe('the outside world is reached through ports', () => {
  const forbidden = [
    `import { readFile } from 'node:fs/promises'; export { readFile };`,
    `import { request } from 'http'; export { request };`,
    `import { execa } from 'execa'; export { execa };`,
    `import { randomUUID } from 'node:crypto'; export { randomUUID };`,
    `export const x = Date.now();`,
    `export const x = new Date();`,
    `export const x = Math.random();`,
    `export const x = () => setTimeout(() => {}, 5);`,
    `export const x = globalThis.setTimeout;`,
    `export const x = () => fetch('http://a');`,
    `export const x = AbortSignal.timeout(5);`,
  ];
  for (const code of forbidden)
    it(`which forbids ${code.split(';')[0] ?? ''}`, () => {
      assert.match(lint('cycle/x.ts', code).join(), /^design\/wire/);
    });

  it('but an adapter, the lab and a test may touch it', () => {
    for (const path of ['ports/x.ts', 'agent-bridge/server/socket-adapter.ts', 'lab/x.ts', 'test/x.test.ts'])
      assert.deepEqual(lint(path, `import 'node:fs'; export const x = Date.now();`), [], path);
  });

  it('and what gives the same answer twice is allowed', () => {
    const pure = `import { createHash } from 'node:crypto';
      import type { Readable } from 'node:stream';
      export const day = (ms: number) => new Date(ms).toISOString() + Date.parse('2026-01-01') + createHash('sha256');
      export const clock = { setTimeout: (a: Readable) => a };
      export const later = (c: typeof clock, a: Readable) => c.setTimeout(a);`;
    assert.deepEqual(lint('cycle/x.ts', pure), []);
  });

  it('with no exception inside the source itself', () => {
    const disabled = ['agent-bridge', 'cli', 'cycle', 'ports', 'report', 'tasks']
      .flatMap(filesBelow)
      .filter((path) => path.endsWith('.ts') && /eslint-disable.*design\//.test(textOf(path)));
    assert.deepEqual(disabled, []);
  });
});
