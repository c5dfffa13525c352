/** Two Hyper-V hosts, each with its bridge: the successor of a worker is made on the other one. */
import assert from 'node:assert/strict';
import { SMALL } from '../../../lab/example.ts';
import { labSession, leftOvers, pairOf, stagesOf, type LabSession } from './harness.ts';

describe('a cycle over two hosts', function () {
  this.timeout(300_000);
  let session: LabSession;
  before(async () => {
    session = await labSession({ traffic: false, hosts: 2, shape: SMALL });
  });
  after(async () => session.close());

  it('makes the new VM where more memory is free, and sets the old one aside where it is', async () => {
    const { lab } = session;
    // n1 and n3 run on hyperv1, n2 alone on hyperv2; that is full.
    const full = lab.world.hosts.all.get('hyperv2') ?? assert.fail();
    full.memoryMb = 6_144;
    const run = await session.queue();
    assert.equal(run.result.outcome, 'succeeded', JSON.stringify(stagesOf(run)));
    assert.equal(pairOf(run), 'home-n2 by home-n4');
    const vms = lab.world.hosts.vms().map(({ name, host, state }) => `${name} ${host} ${state}`);
    assert.deepEqual(
      vms.sort().map((vm) => vm.replace(/-set-aside-\w+/, ' aside')),
      [
        'home-n1 hyperv1 running',
        'home-n2 aside hyperv2 off',
        'home-n3 hyperv1 running',
        'home-n4 hyperv1 running',
      ],
    );
    assert.deepEqual(await leftOvers(lab, 'home-n2', `${lab.example.base}.12`), []);
  });
});
