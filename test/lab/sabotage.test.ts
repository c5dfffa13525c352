/** The controls that must fail are still about the source as it is. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { earlyRemovals } from '../../lab/invariants.ts';
import { SABOTAGES } from '../../lab/options.ts';
import { sabotagedPipeline, SNIPPETS, without } from '../../lab/sabotage.ts';
import { ROOT } from '../../lab/start.ts';

describe('a control that must fail', () => {
  for (const sabotage of SABOTAGES) {
    it(`takes something out of the source that is there: ${sabotage}`, () => {
      assert.notEqual(SNIPPETS[sabotage].length, 0);
      for (const snippet of SNIPPETS[sabotage])
        assert.notEqual(without([snippet]), readFileSync(join(ROOT, snippet.file), 'utf8'));
      if (sabotage !== 'old-out-first') return;
      const path = 'pipelines/templates/cycle-one.yml';
      const files = { [path]: readFileSync(join(ROOT, path), 'utf8') };
      assert.notDeepEqual(sabotagedPipeline(sabotage, files), files);
    });
  }

  it('is an error when its snippet is gone', () => {
    assert.throws(() => without([{ file: 'cycle/step.ts', find: 'no such text', put: '' }]), /no longer has/);
  });
});

describe('the old TTL is waited out before a role leaves', () => {
  const swap = {
    kind: 'action.done',
    id: 'dns.swap cp-home 127.1.1.11',
    durationMs: 1,
    atMs: 10_000,
  } as const;
  const removal = (atMs: number) =>
    ({
      kind: 'action.started',
      id: 'cluster.yml drop etcd home-n1',
      reason: '',
      irreversible: true,
      wait: false,
      atMs,
    }) as const;

  it('is broken by a removal inside of it', () => {
    assert.equal(earlyRemovals([swap, removal(11_000)], () => 2).length, 1);
  });
  it('holds when it has passed', () => {
    assert.deepEqual(
      earlyRemovals([swap, removal(12_500)], () => 2),
      [],
    );
  });
});
