/** A person cancels a run in the middle of a task: it ends before the agent loses its patience, and nothing is lost. */
import assert from 'node:assert/strict';
import { labSession, leftOvers, pairOf, stagesOf, type LabSession } from './harness.ts';

/** Those whose first act takes a while: a VM, rke, records, rke again. */
const TASKS = ['ProvisionNode', 'RkeAddNode', 'SwapDns', 'RkeRemoveRole'];
/** The agent sends SIGTERM 7.5 s after SIGINT. */
const AT_LAST_MS = 7_000;

describe('a run that is cancelled in the middle of a task', function () {
  this.timeout(300_000);
  let session: LabSession;
  before(async () => {
    session = await labSession();
  });
  after(async () => session.close());

  for (const task of TASKS) {
    it(`ends within 7 s in ${task}`, async () => {
      const run = await session.queue({ cancel: task });
      const step = run.steps.find((one) => one.task === task && one.result === 'canceled');
      assert.ok(step !== undefined && run.cancelledAtMs !== undefined, JSON.stringify(stagesOf(run)));
      assert.ok(step.atMs - run.cancelledAtMs < AT_LAST_MS, `${String(step.atMs - run.cancelledAtMs)} ms`);
      assert.ok(run.log.some((line) => line.includes('NC1012')));
    });
  }

  it('is finished by the next run with the same pair, and nothing of the old node is left', async () => {
    const run = await session.queue();
    assert.equal(run.result.outcome, 'succeeded', JSON.stringify(stagesOf(run)));
    assert.equal(pairOf(run), 'home-n1 by home-n6');
    assert.deepEqual(await leftOvers(session.lab, 'home-n1', `${session.lab.example.base}.11`), []);
  });

  it('lost no request', async () => {
    const { failures } = await session.traffic();
    assert.deepEqual(failures, []);
  });
});
