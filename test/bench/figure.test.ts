import assert from 'node:assert/strict';
import { judge, table } from '../../bench/figure.ts';
import type { Figure } from '../../bench/figure.ts';
import { inTurn } from '../../bench/in-turn.ts';

const figure = (more: Partial<Figure>): Figure => ({
  ...{ name: 'bridge.cold', unit: 'ms', peerName: 'ssh', goal: 0.25, goalOn: 'ratio', rounds: 3 },
  measure: async () => ({ ours: [], peer: [] }),
  ...more,
});

describe('a figure of the bench', () => {
  it('is judged by the ratio of the medians, so that one slow round decides nothing', () => {
    const good = judge(figure({}), { ours: [20, 900, 20], peer: [100, 100, 1] });
    assert.equal(good.ratio, 0.2);
    assert.equal(good.met, true);
    const bad = judge(figure({}), { ours: [26], peer: [100] });
    assert.equal(bad.met, false);
  });

  it('can be shown beside its peer without a goal', () => {
    const shown = judge(figure({ goal: undefined }), { ours: [300], peer: [100] });
    assert.deepEqual([shown.ratio, shown.goal, shown.met], [3, null, true]);
    assert.match(table([shown]), /3\.00 +– +shown$/m);
    assert.doesNotMatch(table([shown]), /≤/);
  });

  it('is not met when nothing was measured, with a goal or without', () => {
    for (const goal of [0.25, undefined])
      assert.equal(judge(figure({ goal }), { ours: [], peer: [] }).met, false);
  });
});

describe('rounds by turns', () => {
  it('begin with ours, alternate, and leave the first of each uncounted', async () => {
    const order: string[] = [];
    const step = (name: string) => async () => order.push(name);
    const measured = await inTurn(2, step('ours'), step('peer'), step('before'));
    assert.deepEqual(order, ['before', 'ours', 'peer', 'before', 'ours', 'peer', 'before', 'ours', 'peer']);
    assert.deepEqual([measured.ours.length, measured.peer.length], [2, 2]);
  });
});
