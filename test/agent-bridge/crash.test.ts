import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JobHandle } from '../../agent-bridge/client/client.ts';
import { WAIT, foundVm, isAlive, key, rig, supervisors, until, vmId } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

const CRASH = join(import.meta.dirname, 'support', 'crash.cjs');
const params = { cluster: 'prod', id: vmId(1), fence: 0 };

/**
 * Function, a part of its arguments, and how many hits pass; each is tried before and after the call. The log's first
 * fsync is the start's own entry, then come accepted, started, ended.
 */
const BRIDGE_POINTS = [
  'renameSync:params.json',
  'fsyncSync:audit.log:1',
  'fsyncSync:audit.log:2',
  'fsyncSync:audit.log:3',
  'renameSync:spec.json',
  'spawn:supervise',
];
const SUPERVISOR_POINTS = ['linkSync:claim', 'rmSync:stdin', 'spawn:engine.cjs', 'renameSync:exit.json'];

describe('a bridge or a supervisor that is killed', () => {
  let r: Rig;
  let jobs = 0;
  before(async () => {
    r = await rig();
    r.setVms([foundVm(1)]);
    assert.equal((await r.cli('bridge', 'adopt', '--cluster', 'prod', vmId(1), '--yes')).code, 0);
  });
  after(() => r.end());

  const fresh = () => {
    const [vm] = r.vms();
    r.setVms([{ ...vm, state: 'running' }]);
    r.faults({});
    jobs += 1;
    return { key: key(jobs), runs: r.runs('vm-stop'), once: join(r.dir, `once-${jobs}`) };
  };
  const crashing = (point: string, once: string) => ({
    NODE_OPTIONS: `--require ${CRASH}`,
    CRASH: point,
    CRASH_ONCE: once,
  });
  const outcomeOf = (job: JobHandle<'vm.stop'>) => r.client().waitFor(job, WAIT);

  for (const point of BRIDGE_POINTS) {
    for (const when of ['before', 'after']) {
      it(`loses no job and runs none twice: bridge killed ${when} ${point}`, async () => {
        const { key: mine, runs, once } = fresh();
        await r.start(crashing(`serve:${when}:${point}`, once));
        // Answered or not, depending on the point.
        await r
          .client()
          .submit('vm.stop', params, mine, { deadlineMs: 200 })
          .catch(() => undefined);
        await until(() => existsSync(once) && !isAlive(r.pid), 'the crash');
        await r.start();
        const job = await r.client().submit('vm.stop', params, mine, WAIT);
        const outcome = await outcomeOf(job);
        assert.equal(outcome.kind, 'done');
        assert.equal(r.runs('vm-stop') - runs, 1);
        await r.stop();
      });
    }
  }

  for (const point of SUPERVISOR_POINTS) {
    for (const when of ['before', 'after']) {
      it(`ends the job, never runs it twice and leaves no process: supervisor killed ${when} ${point}`, async () => {
        const { key: mine, runs, once } = fresh();
        r.faults({ 'vm-stop': { sleepMs: 150, children: 1 } });
        await r.start(crashing(`supervise:${when}:${point}`, once));
        const outcome = await outcomeOf(await r.client().submit('vm.stop', params, mine, WAIT));
        assert.ok(existsSync(once), 'the supervisor was killed');
        const ran = r.runs('vm-stop') - runs;
        if (outcome.kind === 'done') assert.equal(ran, 1);
        else {
          assert.equal(outcome.error, 'supervisorLost');
          assert.ok(ran <= 1);
        }
        // Before the claim nobody had the job: it must have been run by another supervisor.
        if (point.startsWith('linkSync') && when === 'before') assert.equal(outcome.kind, 'done');
        assert.deepEqual(r.strays(), []);
        await r.stop();
      });
    }
  }

  it('finds a running job again after a restart and takes its result', async () => {
    const { key: mine, runs } = fresh();
    r.faults({ 'vm-stop': { sleepMs: 600 } });
    await r.start();
    const job = await r.client().submit('vm.stop', params, mine, WAIT);
    await until(() => r.runs('vm-stop') > runs, 'the script runs');
    await r.kill();
    await r.start();
    assert.equal((await outcomeOf(job)).kind, 'done');
    assert.equal(r.runs('vm-stop') - runs, 1);
    await r.stop();
  });

  it('leaves a running job to its supervisor when it is stopped in order', async () => {
    const { key: mine, runs } = fresh();
    r.faults({ 'vm-stop': { sleepMs: 600 } });
    await r.start();
    const job = await r.client().submit('vm.stop', params, mine, WAIT);
    await until(() => r.runs('vm-stop') > runs, 'the script runs');
    assert.equal(await r.stop(), 0);
    await r.start();
    assert.equal((await outcomeOf(job)).kind, 'done');
    assert.equal(r.runs('vm-stop') - runs, 1);
    await r.stop();
  });

  it('ends the children of a job whose supervisor and bridge were killed together', async () => {
    const { key: mine, runs } = fresh();
    r.faults({ 'vm-stop': { sleepMs: 30_000, children: 2 } });
    await r.start();
    const job = await r.client().submit('vm.stop', params, mine, WAIT);
    await until(() => r.strays().length === 2, 'the children');
    for (const pid of supervisors(join(r.dataDir, 'jobs'))) process.kill(pid, 'SIGKILL');
    await r.kill();
    assert.equal(r.strays().length, 2);
    await r.start();
    const outcome = await outcomeOf(job);
    assert.equal(outcome.kind === 'failed' && outcome.error, 'supervisorLost');
    assert.equal(r.runs('vm-stop') - runs, 1);
    assert.deepEqual(r.strays(), []);
    await r.stop();
  });

  it('has a log that is whole after all of this', async () => {
    const { code, out } = await r.cli('bridge', 'audit', 'verify');
    assert.equal(code, 0, out);
  });
});
