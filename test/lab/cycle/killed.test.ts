/** Every task killed in turn in one cycle, on a new agent each time: nothing is lost, and no request fails. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { labSession, leftOvers, pairOf, stagesOf, type LabSession } from './harness.ts';

const TASKS = [
  'PlanCycle',
  'ProvisionNode',
  'RkeAddNode',
  'UpdateIngress',
  'SwapDns',
  'RkeRemoveRole',
  'DeleteVm',
];

describe('a cycle whose every task is killed in turn', function () {
  this.timeout(540_000);
  let session: LabSession;
  before(async () => {
    session = await labSession();
  });
  after(async () => session.close());

  for (const task of TASKS) {
    it(`fails where ${task} is killed, and keeps the pair`, async () => {
      const run = await session.queue({ kill: task });
      assert.equal(run.result.outcome, 'failed');
      if (task !== 'PlanCycle') assert.equal(pairOf(run), 'home-n1 by home-n6');
      // The next run is another agent's: its state directory is empty.
      rmSync(session.lab.stateDir, { recursive: true, force: true });
    });
  }

  it('is finished by the next run with the same pair, and nothing of the old node is left', async () => {
    const run = await session.queue();
    assert.equal(run.result.outcome, 'succeeded', JSON.stringify(stagesOf(run)));
    assert.equal(pairOf(run), 'home-n1 by home-n6');
    assert.deepEqual(await leftOvers(session.lab, 'home-n1', `${session.lab.example.base}.11`), []);
  });

  it('leaves nothing to do', async () => {
    const run = await session.queue();
    assert.equal(run.outputs['plan_1.due'], 'false');
    assert.equal(run.result.outcome, 'succeeded');
  });

  it('never ran more than one VM above steady, and lost no request', async () => {
    const { requests, failures } = await session.traffic();
    assert.deepEqual(failures, []);
    assert.equal(requests.failed, 0);
    assert.ok(requests.total > 2_000, `${requests.total} requests`);
    assert.equal(session.lab.world.hosts.peak(), session.lab.example.nodes.length + 1);
    for (const bridge of session.lab.bridges)
      assert.match(await bridge.command('audit', 'verify'), /^\d+ entries in \d+ file\(s\) are whole/);
  });
});
