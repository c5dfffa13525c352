/**
 * The oldest node has lost its power: it is removed whole before its successor joins. There are two Hyper-V hosts, each
 * with its bridge, and the successor is made on the other one.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { labSession, leftOvers, pairOf, stagesOf, type LabSession } from './harness.ts';

/** Longer than `pace.deadAfterSeconds` of the example. */
const DEAD_MS = 7_500;

describe('a dead node', function () {
  this.timeout(300_000);
  let session: LabSession;
  before(async () => {
    session = await labSession({ traffic: false, hosts: 2 });
    // n1, n3 and n5 are on hyperv1, which has less memory than hyperv2.
    const small = session.lab.world.hosts.all.get('hyperv1') ?? assert.fail();
    small.memoryMb = 3 * 4_096;
    session.lab.world.faults.apply({ fault: 'powerOff', machine: 'home-n1' });
    await pause(DEAD_MS);
  });
  after(async () => session.close());

  it('leaves edges and cluster before its successor joins', async () => {
    const run = await session.queue();
    assert.equal(run.result.outcome, 'succeeded', JSON.stringify(stagesOf(run)));
    assert.equal(pairOf(run), 'home-n1 by home-n6');
    assert.equal(run.outputs['plan_1.oldNodeState'], 'dead');
    // What the host's scripts say is shown, and their results are not.
    assert.ok(run.log.some((line) => line.includes('hyperv2: ')));
    assert.deepEqual(
      run.log.filter((line) => line.includes('NC-RESULT')),
      [],
    );
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

  it('is replaced where more memory is free, and set aside where it is', () => {
    const vms = session.lab.world.hosts.vms().map(({ name, host, state }) => `${name} ${host} ${state}`);
    assert.deepEqual(
      vms.sort().map((vm) => vm.replace(/-set-aside-\w+/, ' aside')),
      [
        'home-n1 aside hyperv1 off',
        'home-n2 hyperv2 running',
        'home-n3 hyperv1 running',
        'home-n4 hyperv2 running',
        'home-n5 hyperv1 running',
        'home-n6 hyperv2 running',
      ],
    );
  });
});
