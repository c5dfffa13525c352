/** The oldest node has lost its power: it is removed whole before its successor joins. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { labSession, leftOvers, pairOf, stagesOf, type LabSession } from './harness.ts';

/** Longer than `pace.deadAfterSeconds` of the example. */
const DEAD_MS = 7_500;

describe('a dead node', function () {
  this.timeout(300_000);
  let session: LabSession;
  before(async () => {
    session = await labSession({ traffic: false });
    session.lab.world.faults.apply({ fault: 'powerOff', machine: 'home-n1' });
    await pause(DEAD_MS);
  });
  after(async () => session.close());

  it('leaves edges and cluster before its successor joins', async () => {
    const run = await session.queue();
    assert.equal(run.result.outcome, 'succeeded', JSON.stringify(stagesOf(run)));
    assert.equal(pairOf(run), 'home-n1 by home-n6');
    assert.equal(run.outputs['plan_1.oldNodeState'], 'dead');
    const done = run.events.flatMap((event) => (event.kind === 'action.done' ? [event.id] : []));
    const order = ['vm.create home-n6', 'rke up without home-n1', 'rke up add home-n6', 'vm.delete home-n1'];
    assert.deepEqual(
      order.map((id) => done.indexOf(id)),
      order.map((id) => done.indexOf(id)).sort((a, b) => a - b),
    );
    assert.ok(
      order.every((id) => done.includes(id)),
      done.join('\n'),
    );
    assert.deepEqual(await leftOvers(session.lab, 'home-n1', `${session.lab.example.base}.11`), []);
  });
});
