/** The table against its tests: no row without one, no test of the same row twice. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { TRAPS } from './table.ts';

describe("the table of rke's lies and traps", () => {
  const folder = new URL('.', import.meta.url);
  const proven = readdirSync(folder)
    .filter((name) => name.endsWith('.test.ts') && name !== 'table.test.ts')
    .flatMap((name) => [
      ...readFileSync(new URL(name, folder), 'utf8').matchAll(
        /(?:prove|broken|changed)\(\s*'(\w+)'|^ {4}\['(\w+)', \[/gm,
      ),
    ])
    .map(([, direct, listed]) => direct ?? listed ?? '');

  it('has one test for each row', () => {
    assert.deepEqual(proven.sort(), Object.keys(TRAPS).sort());
  });

  it('has no two rows of the same words', () => {
    const words = Object.values(TRAPS).map(({ trap }) => trap);
    assert.equal(new Set(words).size, words.length);
  });
});
