/** A bridge whose processes are killed at points of a plan, and what became of the job of that moment. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobHandle, JobOutcome } from '../../../agent-bridge/client/client.ts';
import { CodedError } from '../../../ports/errors.ts';
import { WAIT, foundVm, isAlive, key, rig, until, vmId } from '../support/rig.ts';
import type { Fault, Rig } from '../support/rig.ts';
import type { Kill } from './kill-plan.ts';

const HOOK = join(import.meta.dirname, 'kill-points.cjs');
const params = { cluster: 'prod', id: vmId(1), fence: 0 };
/** A bridge that has not answered by then will not. */
const ANSWER_MS = 20_000;

/** A child that has ended before its supervisor looks at it leaves no note of itself: on a busy machine that is soon. */
const SEEN_MS = 400;
const BRIEF_MS = 60;

type Job = JobHandle<'vm.stop'>;

export interface Survived {
  /** From the start of the new bridge's process to its answer about the job; absent when no bridge was killed. */
  recoveryMs?: number;
  /** The client had an id, and the bridge no longer knows that job; or it has no end. */
  isLost: boolean;
  /** How often the script ran. */
  runs: number;
  /** `done`, or the error's code. */
  end: string;
  /** Processes of the job that are there when its end is told; supervisors, which tell it, are given a moment. */
  orphans: number;
}

export interface CrashWorld {
  rig: Rig;
  /** A fresh job's key, with the VM running again. */
  prepare(fault: Fault): string;
  submit(mine: string): Promise<Job>;
  outcomeOf(job: Job): Promise<JobOutcome<'vm.stop'>>;
  /** Starts a bridge and asks it about a job: gives that and how long the answer took. */
  restart(mine: string): Promise<{ job: Job; tookMs: number }>;
  survive(kill: Kill): Promise<Survived>;
  /** The log of all that was done, after an orderly stop. */
  account(): Promise<Account>;
  end(): Promise<void>;
}

export interface Account {
  /** Keys that were sent. */
  keys: number;
  accepted: number;
  /** Accepted jobs without exactly one end, ends of no job, and second jobs of a key. */
  faults: number;
  /** Scripts that were started after the end of their job was told. */
  lateRuns: number;
  verify: { code: number; out: string };
}

export async function crashWorld(): Promise<CrashWorld> {
  const r = await rig();
  const armory = join(r.dir, 'armory');
  mkdirSync(armory);
  const env = { NODE_OPTIONS: `--require ${HOOK}`, KILL_POINTS: armory };
  r.setVms([foundVm(1)]);
  assert.equal((await r.cli('bridge', 'adopt', '--cluster', 'prod', vmId(1), '--yes')).code, 0);
  const config = join(r.dir, 'bridge.yaml');
  // Each kill is a job: the budget of a day would end a long proof.
  writeFileSync(config, readFileSync(config, 'utf8').replace('stops: 300 }', 'stops: 100000 }'));
  await r.start(env);
  let jobs = 0;
  let runsTold = 0;
  let lateRuns = 0;

  const submit = (mine: string, deadlineMs = WAIT.deadlineMs, signal?: AbortSignal) =>
    r.client().submit('vm.stop', params, mine, { deadlineMs, signal });
  const fired = () => {
    const path = join(armory, 'fired');
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
  };

  async function outcomeOf(job: Job): Promise<JobOutcome<'vm.stop'>> {
    const outcome = await r.client().waitFor(job, WAIT);
    runsTold = r.runs('vm-stop');
    return outcome;
  }
  const countLate = () => {
    lateRuns += r.runs('vm-stop') - runsTold;
  };

  const self: CrashWorld = {
    rig: r,
    outcomeOf,
    prepare(fault) {
      countLate();
      const [vm] = r.vms();
      r.setVms([{ ...vm, state: 'running' }]);
      r.faults({ 'vm-stop': fault });
      jobs += 1;
      return key(jobs);
    },
    submit: (mine) => submit(mine),
    async restart(mine) {
      const fromMs = performance.now();
      await r.start(env);
      const job = await submit(mine, ANSWER_MS);
      return { job, tookMs: performance.now() - fromMs };
    },
    async survive(kill) {
      const before = { fired: fired(), runs: r.runs('vm-stop') };
      const sleepMs = kill.arms.some(({ part }) => part === 'child') ? SEEN_MS : BRIEF_MS;
      const mine = self.prepare({ sleepMs, ...(kill.ends === 'lost' ? { children: 1 } : {}) });
      for (const { role, ...arm } of kill.arms) writeFileSync(join(armory, role), JSON.stringify(arm));
      const pid = r.pid;
      const alone = kill.who === 'supervisor';
      // Answered or not, depending on the point; a client that was answered may rely on it.
      const leave = new AbortController();
      let refusal: unknown;
      const answering = submit(mine, WAIT.deadlineMs, leave.signal).catch((error: unknown) => {
        if (error instanceof CodedError && error.code === 'NC2004') refusal = error;
        return undefined;
      });
      const isKilled = () => {
        assert.equal(refusal, undefined);
        return fired() - before.fired === kill.arms.length;
      };
      await until(isKilled, `the kill ${JSON.stringify(kill.arms)}`, WAIT.deadlineMs);
      if (!alone) {
        await until(() => !isAlive(pid), 'the end of the bridge');
        leave.abort();
      }
      const answered = await answering;
      const { job, tookMs } = alone
        ? { job: await submit(mine), tookMs: undefined }
        : await self.restart(mine);
      const outcome = await outcomeOf(job);
      const strays = leftOver(r).filter((words) => !words.includes(' supervise ')).length;
      const runs = r.runs('vm-stop') - before.runs;
      await until(() => leftOver(r).length === 0, 'no process is left', WAIT.deadlineMs).catch(
        () => undefined,
      );
      return {
        ...(tookMs === undefined ? {} : { recoveryMs: tookMs }),
        isLost: answered !== undefined && answered.id !== job.id,
        runs,
        end: outcome.kind === 'done' ? 'done' : outcome.error,
        orphans: strays + leftOver(r).length,
      };
    },
    async account() {
      assert.equal(await r.stop(), 0);
      countLate();
      const entries = r
        .log()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { event: string; jobId: string; key: string });
      const of = (event: string) => entries.filter((entry) => entry.event === event);
      const accepted = of('accepted');
      const ends = of('ended').map(({ jobId }) => jobId);
      const endless = accepted.filter(({ jobId }) => ends.filter((id) => id === jobId).length !== 1);
      const unknown = ends.filter((id) => !accepted.some(({ jobId }) => jobId === id));
      const doubles = accepted.length - new Set(accepted.map((entry) => entry.key)).size;
      return {
        keys: jobs,
        accepted: accepted.length,
        faults: endless.length + doubles + unknown.length,
        lateRuns,
        verify: await r.cli('bridge', 'audit', 'verify'),
      };
    },
    async end() {
      await r.end();
      rmSync(armory, { recursive: true, force: true });
    },
  };
  return self;
}

/**
 * Every process that any job of this bridge has left, its supervisors included; by its mark, since in hundreds of kills
 * the number of one that has ended comes again.
 */
function leftOver(r: Rig): string[] {
  const ids = readdirSync(join(r.dataDir, 'jobs'));
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== r.pid)
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
        const ours = /NODE_CYCLE_JOB=([^\0]*)\.\d+/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'));
        const isOurs = words.includes(r.world) || ids.includes(ours?.[1] ?? '');
        return isOurs && isAlive(Number(pid)) ? [`${pid} ${words}`] : [];
      } catch {
        return [];
      }
    });
}
