/** Tasks killed and cancelled in one cycle: nothing is lost, and no request fails. The proof does both to every one. */
import assert from 'node:assert/strict';
import {
  interruptedCycle,
  type Interrupted,
  type InterruptedCycle,
  type Interruption,
} from './interrupted.ts';

const INTERRUPTIONS: readonly Interruption[] = [
  { task: 'ProvisionNode', how: 'cancelled' },
  { task: 'RkeAddNode', how: 'killed' },
  { task: 'SwapDns', how: 'cancelled' },
  { task: 'RkeRemoveRole', how: 'killed' },
  { task: 'DeleteVm', how: 'killed' },
];
const PAIR = 'home-n1 by home-n6';
/** The agent sends SIGTERM 7.5 s after SIGINT. */
const AT_LAST_MS = 7_000;

describe('a cycle whose tasks are interrupted in turn', function () {
  this.timeout(540_000);
  let cycle: InterruptedCycle;
  before(async () => {
    cycle = await interruptedCycle(INTERRUPTIONS);
  });
  const runs = (how: Interruption['how']): Interrupted[] => cycle.runs.filter((run) => run.how === how);

  it('fails where a task is killed, and keeps the pair', () => {
    for (const { task, outcome, pair } of runs('killed'))
      assert.deepEqual([outcome, pair], ['failed', PAIR], task);
  });

  it('ends within 7 s where a task is cancelled, and keeps the pair', () => {
    for (const { task, pair, endedAfterMs, codes } of runs('cancelled')) {
      assert.ok(endedAfterMs !== undefined && endedAfterMs < AT_LAST_MS, `${task}: ${endedAfterMs} ms`);
      assert.ok(codes.includes('NC1012'), task);
      assert.equal(pair, PAIR);
    }
  });

  it('is finished by the next run with the same pair, and nothing of the old node is left', () => {
    assert.deepEqual(cycle.last, { outcome: 'succeeded', pair: PAIR, leftOvers: [] });
  });

  it('leaves nothing to do', () => {
    assert.equal(cycle.dueAfterwards, 'false');
  });

  it('never ran more than one VM above steady, and lost no request', () => {
    const { requests, failures } = cycle.traffic;
    assert.deepEqual(failures, []);
    assert.equal(requests.failed, 0);
    assert.ok(requests.total > 2_000, `${requests.total} requests`);
    assert.equal(cycle.mostVms, cycle.steadyVms + 1);
    for (const said of cycle.audits) assert.match(said, /^\d+ entries in \d+ file\(s\) are whole/);
  });
});
