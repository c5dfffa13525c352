/**
 * A bridge and its supervisors, killed at every point of a job's life: some of each, or with NODE_CYCLE_PROOF=1 all of
 * them five times. `npm run proof -- --only bridge-crash` makes the table of the same.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { crashWorld } from './load/crash-world.ts';
import type { CrashWorld } from './load/crash-world.ts';
import { allKills, someOfAll } from './load/kill-plan.ts';
import type { Kill } from './load/kill-plan.ts';
import { WAIT, supervisors, until } from './support/rig.ts';

const isProof = process.env['NODE_CYCLE_PROOF'] === '1';
/** The goal; every day five times that, since other tests run beside this one. */
const ANSWER_LIMIT_MS = isProof ? 2_000 : 10_000;
const LEAST_RESTARTS = isProof ? 200 : 20;

describe('a bridge or a supervisor that is killed', function () {
  this.timeout(60_000);
  const kills = isProof ? allKills(5) : someOfAll(LEAST_RESTARTS);
  let world: CrashWorld;
  const recoveriesMs: number[] = [];
  before(async () => {
    world = await crashWorld();
  });
  after(async () => {
    await world.end();
    const slowestMs = Math.max(...recoveriesMs).toFixed(0);
    console.log(
      `      ${kills.length} kills, ${recoveriesMs.length} restarts, slowest answer ${slowestMs} ms`,
    );
  });

  const where = ({ arms }: Kill) =>
    arms.map(({ role, when, name, part, pass }) => `${when} ${role} ${name} ${part} ${pass}`).join(' and ');
  for (const [n, kill] of kills.entries())
    it(`loses no job and runs none twice: ${kill.who} killed at a ${kill.point} (${n}: ${where(kill)})`, async () => {
      const { recoveryMs, isLost, runs, end, orphans } = await world.survive(kill);
      assert.equal(isLost, false, 'the job that was answered is there');
      assert.equal(end, kill.ends === 'done' ? 'done' : 'supervisorLost');
      assert.ok(kill.ends === 'done' ? runs === 1 : runs <= 1, `ran ${runs} times`);
      assert.equal(orphans, 0);
      assert.equal(recoveryMs === undefined, kill.who === 'supervisor');
      recovered(recoveryMs ?? 0);
    });

  function recovered(tookMs: number): void {
    if (tookMs > 0) recoveriesMs.push(tookMs);
    assert.ok(tookMs < ANSWER_LIMIT_MS, `answered after ${tookMs} ms`);
  }
  async function restart(mine: string): Promise<string> {
    const { job, tookMs } = await world.restart(mine);
    recovered(tookMs);
    return job.id;
  }
  /** A job whose script is running. */
  async function running(fault: { sleepMs: number; children?: number }) {
    const { rig } = world;
    const mine = world.prepare(fault);
    const runs = rig.runs('vm-stop');
    const job = await world.submit(mine);
    await until(() => rig.runs('vm-stop') > runs, 'the script runs');
    return { mine, job, runs: () => rig.runs('vm-stop') - runs };
  }

  it('finds a running job again after a restart and takes its result', async () => {
    const { mine, job, runs } = await running({ sleepMs: 600 });
    await world.rig.kill();
    assert.equal(await restart(mine), job.id);
    assert.equal((await world.outcomeOf(job)).kind, 'done');
    assert.equal(runs(), 1);
  });

  it('leaves a running job to its supervisor when it is stopped in order', async () => {
    const { mine, job, runs } = await running({ sleepMs: 600 });
    assert.equal(await world.rig.stop(), 0);
    assert.equal(await restart(mine), job.id);
    assert.equal((await world.outcomeOf(job)).kind, 'done');
    assert.equal(runs(), 1);
  });

  it('ends the children of a job whose supervisor and bridge were killed together', async () => {
    const { rig } = world;
    const { mine, job, runs } = await running({ sleepMs: 30_000, children: 2 });
    await until(() => rig.strays().length === 2, 'the children', WAIT.deadlineMs);
    for (const pid of supervisors(join(rig.dataDir, 'jobs'))) process.kill(pid, 'SIGKILL');
    await rig.kill();
    assert.equal(rig.strays().length, 2);
    await restart(mine);
    const outcome = await world.outcomeOf(job);
    assert.equal(outcome.kind === 'failed' && outcome.error, 'supervisorLost');
    assert.equal(runs(), 1);
    assert.deepEqual(rig.strays(), []);
  });

  it('has one end for each job that it ever accepted, one job for each key, and a log that is whole', async () => {
    const { keys, accepted, faults, lateRuns, verify } = await world.account();
    assert.ok(recoveriesMs.length >= LEAST_RESTARTS);
    assert.equal(accepted, keys);
    assert.equal(faults, 0);
    assert.equal(lateRuns, 0, 'no script was started after the end of its job');
    assert.equal(verify.code, 0, verify.out);
  });
});
