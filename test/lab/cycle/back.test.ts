/** A gate that says no, and the way back to where the cycle began. */
import assert from 'node:assert/strict';
import { asItIs, labSession, leftOvers, pairOf, stagesOf, type LabSession } from './harness.ts';

describe('a cycle that is rejected at its first gate and taken back', function () {
  this.timeout(400_000);
  let session: LabSession;
  let before_: Record<string, unknown>;
  before(async () => {
    session = await labSession();
    before_ = await asItIs(session.lab);
  });
  after(async () => session.close());

  let foreseen: string[];
  it('is foreseen by a dry run, which changes nothing', async () => {
    const run = await session.queue({ parameters: { dryRun: true } });
    assert.equal(run.result.outcome, 'succeeded');
    foreseen = run.log.flatMap((line) => /^plan_1 {3}[-!] (.+?): /.exec(line)?.[1] ?? []);
    assert.ok(foreseen.includes('vm.delete home-n1'), foreseen.join('\n'));
    assert.deepEqual(await asItIs(session.lab), before_);
  });

  it('runs nothing after the gate but the release of the lock', async () => {
    const run = await session.queue({ reject: 'controlplane' });
    assert.equal(run.result.outcome, 'failed');
    const stages = stagesOf(run);
    assert.deepEqual(
      [
        stages['traffic'],
        stages['controlplane'],
        stages['etcd'],
        stages['node'],
        stages['delete'],
        stages['release'],
      ],
      ['succeeded', 'failed (rejected)', 'skipped', 'skipped', 'skipped', 'succeeded'],
    );
    // A wait that is over when it is looked at is not taken; acts are taken as they were foreseen, in that order.
    const acts = run.events.flatMap((event) =>
      event.kind === 'action.started' && !event.wait ? [event.id] : [],
    );
    const planned = foreseen.slice(
      0,
      foreseen.findIndex((id) => id.startsWith('fact.roleRemoved')),
    );
    assert.deepEqual(
      acts.filter((id) => !['lock.take', 'facts.write'].includes(id)),
      planned.filter((id) => acts.includes(id)),
    );
    const waits = /^(vm\.address|ssh\.login|node\.serves|probe\.|dns\.ttl|dns\.everywhere)/;
    assert.deepEqual(
      planned.filter((id) => !acts.includes(id) && !waits.test(id)),
      [],
    );
  });

  it('leaves everything as it was', async () => {
    const run = await session.queue({ parameters: { direction: 'back' } });
    assert.equal(run.result.outcome, 'succeeded', JSON.stringify(stagesOf(run)));
    assert.equal(pairOf(run), 'home-n6 by home-n1');
    assert.deepEqual(await asItIs(session.lab), before_);
    assert.deepEqual(await leftOvers(session.lab, 'home-n6', `${session.lab.example.base}.60`), []);
  });

  it('lost no request on both ways', async () => {
    const { requests, failures } = await session.traffic();
    assert.deepEqual(failures, []);
    assert.equal(requests.failed, 0);
  });
});
