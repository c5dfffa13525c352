/**
 * The lanes: one job at a time in each of image, vm and dns. Clients take turns; the jobs of one client run in the
 * order of acceptance.
 *
 * What has happened is only ever read from the log and from the job's files, so a restarted bridge goes on exactly
 * where the killed one stopped: queued jobs wait again, started ones are found by their claim.
 */
import { CodedError } from '../../ports/errors.ts';
import type { Clock, Random } from '../../ports/ports.ts';
import type { Disk } from '../log/disk.ts';
import { isFinished, pairKey } from '../log/fold.ts';
import type { Job } from '../log/state.ts';
import type { AuditLog } from '../log/log.ts';
import type { Reserve } from '../log/reserve.ts';
import type { Lane } from '../protocol/operation.ts';
import type { JobError } from '../protocol/wire.ts';
import { RUN_BY_BUNDLE } from '../host/scripts.ts';
import type { ScriptName } from '../host/scripts.ts';
import { attemptDir, EXIT_ROOM_BYTES, inAttempt, jobDir, markOf, readJson } from './files.ts';
import type { Claim, Exit, Spec, Stdin } from './files.ts';
import type { HostOperation } from './host-operation.ts';
import { outcomeOf } from './outcome.ts';
import { NO_ROOT } from './processes.ts';
import type { ProcessId, Processes } from './processes.ts';

/** How soon a finished supervisor is noticed when it is not this process's child. */
const WATCH_POLL_MS = 25;
/** Asking whether a process lives costs a process on Windows: not at each poll. */
const ALIVE_POLL_MS = 1_000;
/** A supervisor starts in well under a second; one that has not claimed its job by now is refused its claim. */
const CLAIM_LIMIT_MS = 15_000;
/** A disk that was full is tried again after this. */
const FULL_RETRY_MS = 5_000;
/** More supervisors than this never came to their claim: something is wrong with the installation. */
const ATTEMPT_LIMIT = 5;

export interface LanesOptions {
  log: AuditLog;
  disk: Disk;
  processes: Processes;
  clock: Clock;
  random: Random;
  reserve: Reserve;
  jobsDir: string;
  engine: {
    file: string;
    args: readonly string[];
    script(name: ScriptName): string;
    env: Record<string, string>;
  };
  operations: ReadonlyMap<string, HostOperation>;
  logLimitBytes: number;
  /** Called after each end, for waiting requests and caches. */
  onEnded(job: Job): void;
  /** A line for the service's own output. */
  report(line: string): void;
}

export interface Lanes {
  /** Takes up what the log says is unfinished. */
  recover(): void;
  /** Looks whether a lane can take its next job. */
  pump(): void;
  /** Jobs of a client that wait for their turn in a lane. */
  waiting(lane: Lane, client: string): number;
  cancel(job: Job): void;
  /** Settles when nothing that this process started is being written any more; jobs go on without it. */
  stop(): Promise<void>;
}

export function createLanes(options: LanesOptions): Lanes {
  const { log, disk, processes, clock, jobsDir } = options;
  const busy = new Map<Lane, Promise<void>>();
  /** The job of each lane whose turn it is. */
  const inTurn = new Map<Lane, string>();
  /** Number of a client's last turn in a lane; a restart forgets it, which costs nobody more than a turn. */
  const lastTurns = new Map<string, number>();
  let turns = 0;
  const stopping = new AbortController();
  const jobs = () => [...log.state.jobs.values()];
  const current = (id: string): Job => log.state.jobs.get(id) as Job;

  function pump(): void {
    if (stopping.signal.aborted) return;
    for (const lane of ['image', 'vm', 'dns'] as const) {
      if (busy.has(lane)) continue;
      const next = nextOf(lane);
      if (!next) continue;
      inTurn.set(lane, next.id);
      turns += 1;
      lastTurns.set(pairKey(next.client, lane), turns);
      const turn = take(next)
        .catch((error: unknown) => {
          if (!stopping.signal.aborted) options.report(`job ${next.id}: ${String(error)}`);
          // Only a restart may write this log again, so the lane stays closed.
          if (!log.usable() || stopping.signal.aborted) return 'closed' as const;
          return clock.sleep(FULL_RETRY_MS, stopping.signal).catch(() => 'closed' as const);
        })
        .then((how) => {
          if (how === 'closed') return;
          busy.delete(lane);
          pump();
        });
      busy.set(lane, turn);
    }
  }

  /** Whoever waits, waits for one job of each other client at most, however many those have queued. */
  function nextOf(lane: Lane): Job | undefined {
    const open = jobs().filter((job) => job.lane === lane && !isFinished(job));
    const lastTurn = ({ client }: Job) => lastTurns.get(pairKey(client, lane)) ?? 0;
    return (
      open.find(({ state }) => state === 'running') ?? open.toSorted((a, b) => lastTurn(a) - lastTurn(b))[0]
    );
  }

  async function take(job: Job): Promise<'closed' | undefined> {
    if (job.state === 'queued') await start(job);
    while (current(job.id).state === 'running') {
      const attempt = current(job.id).attempt;
      const how = await follow(job.id, attempt);
      if (how === 'stopped') return 'closed';
      if (how === 'neverRan') {
        log.append({ event: 'requeued', jobId: job.id, attempt });
        if (attempt >= ATTEMPT_LIMIT) end(current(job.id), { state: 'failed', error: 'supervisorLost' });
        else await start(current(job.id));
      } else await finish(job.id, attempt, how);
    }
    return undefined;
  }

  /** Resolves everything, writes the attempt's files, logs, and only then starts the supervisor. */
  async function start(job: Job): Promise<void> {
    if (job.cancelAsked) {
      end(job, { state: 'cancelled', error: 'cancelled' });
      return;
    }
    const operation = options.operations.get(job.op);
    if (!operation) {
      end(job, { state: 'failed', error: 'scriptFailed' });
      return;
    }
    const params = readJson<unknown>(disk, `${jobDir(jobsDir, job.id)}/params.json`);
    const prepared = await operation
      .prepare({ jobId: job.id, client: job.client, params })
      .catch((error: unknown) => {
        options.report(`job ${job.id}: ${String(error)}`);
        return { ok: false as const, error: causeOf(error) };
      });
    stopping.signal.throwIfAborted();
    if (current(job.id).cancelAsked) {
      end(job, { state: 'cancelled', error: 'cancelled' });
      return;
    }
    if (!prepared.ok) {
      end(job, { state: 'failed', error: prepared.error });
      return;
    }
    if (prepared.ok === 'already') {
      end(job, { state: 'succeeded', result: prepared.result });
      return;
    }

    let command: Pick<Spec, 'file' | 'args'>;
    try {
      command = commandFor(prepared.script);
    } catch (error) {
      options.report(`job ${job.id}: ${String(error)}`);
      end(job, { state: 'failed', error: causeOf(error) });
      return;
    }

    const attempt = job.attempt + 1;
    const dir = attemptDir(jobsDir, job.id, attempt);
    const files = inAttempt(dir);
    disk.remove(dir);
    disk.makeDir(dir);
    const nonce = Buffer.from(options.random.bytes(16)).toString('hex');
    const stdin: Stdin = {
      text: JSON.stringify({ v: 1, nonce, script: prepared.script, input: prepared.input }),
      nonce,
      secrets: prepared.secrets,
    };
    const spec: Spec = {
      jobId: job.id,
      attempt,
      ...command,
      env: options.engine.env,
      deadlineMs: Math.min(prepared.deadlineMs ?? Infinity, operation.deadlineMs),
      logLimitBytes: options.logLimitBytes,
      context: prepared.context,
      script: prepared.script,
    };
    // Its exit must find room, whatever its own log and others have filled by then.
    disk.write(files.room, options.random.bytes(EXIT_ROOM_BYTES));
    disk.write(files.stdin, JSON.stringify(stdin));
    disk.write(files.spec, JSON.stringify(spec));
    log.append({ event: 'started', jobId: job.id, attempt });
    supervisors.set(dir, processes.startSupervisor(dir, markOf(job.id, attempt)));
  }

  function commandFor(script: ScriptName): Pick<Spec, 'file' | 'args'> {
    const word = RUN_BY_BUNDLE[script];
    if (word !== undefined) return processes.ownCommand(word);
    return { file: options.engine.file, args: [...options.engine.args, options.engine.script(script)] };
  }

  /** Supervisors that this process started and so can wait for; others are watched by their files. */
  const supervisors = new Map<string, { ended: Promise<void> }>();

  /** Waits for the attempt's end. */
  async function follow(jobId: string, attempt: number): Promise<Exit | 'lost' | 'neverRan' | 'stopped'> {
    const dir = attemptDir(jobsDir, jobId, attempt);
    const files = inAttempt(dir);
    const own = supervisors.get(dir);
    const wake = new AbortController();
    void own?.ended.then(() => {
      wake.abort();
    });
    const ownEnded = () => wake.signal.aborted;
    const news = AbortSignal.any([stopping.signal, wake.signal]);
    const claimBy = clock.now() + (own ? CLAIM_LIMIT_MS : 0);
    let aliveAt = 0;
    for (;;) {
      if (stopping.signal.aborted) return 'stopped';
      // Both are asked before the file, so that an exit file written in between is not missed.
      const overdue = ownEnded() || clock.now() >= claimBy;
      const claim = readJson<Claim>(disk, files.claim);
      const dead =
        claim?.by === 'supervisor' &&
        (ownEnded() || clock.now() >= aliveAt) &&
        !processes.isAlive(claim.process);
      if (clock.now() >= aliveAt) aliveAt = clock.now() + ALIVE_POLL_MS;
      const exit = readJson<Exit>(disk, files.exit);
      if (exit) return exit;
      if (claim?.by === 'bridge') return 'neverRan';
      if (dead) return 'lost';
      if (!claim && overdue) {
        // Whoever creates this file first decides; a supervisor that comes later does nothing.
        const ours: Claim = { by: 'bridge' };
        const created = options.reserve.spend(() => disk.createExclusive(files.claim, JSON.stringify(ours)));
        if (created) return 'neverRan';
        continue;
      }
      await clock.sleep(WATCH_POLL_MS, ownEnded() ? stopping.signal : news).catch(() => {});
    }
  }

  async function finish(jobId: string, attempt: number, how: Exit | 'lost'): Promise<void> {
    const dir = attemptDir(jobsDir, jobId, attempt);
    const files = inAttempt(dir);
    const job = current(jobId);
    const operation = options.operations.get(job.op);
    const spec = readJson<Spec>(disk, files.spec);
    const params = readJson<unknown>(disk, `${jobDir(jobsDir, jobId)}/params.json`);
    let survivors = how === 'lost' ? 0 : how.survivors;
    if (how === 'lost') {
      const child = readJson<ProcessId>(disk, files.child);
      const root = child && processes.isAlive(child) ? child.pid : NO_ROOT;
      survivors = await processes.endTree(root, markOf(jobId, attempt));
    }
    disk.remove(files.stdin);
    const exit = how === 'lost' ? null : how.exitCode;
    if (!operation || !spec) {
      end(job, { state: 'failed', error: 'supervisorLost', exit, survivors });
      return;
    }

    const outcome =
      how === 'lost'
        ? { ok: false as const, error: 'supervisorLost' as const }
        : outcomeOf(spec.script as ScriptName, how);
    const finished = outcome.ok
      ? await operation.finish(params, spec.context, outcome.result).catch((error: unknown) => {
          options.report(`job ${jobId}: ${String(error)}`);
          return { ok: false as const, error: 'badResult' as const };
        })
      : outcome;
    if (finished.ok) {
      end(job, { state: 'succeeded', result: finished.result, exit, survivors });
      return;
    }
    const clean = await operation.cleanUp(params, spec.context).catch((error: unknown) => {
      options.report(`job ${jobId}, clean-up: ${String(error)}`);
      return false;
    });
    const state = finished.error === 'cancelled' ? 'cancelled' : 'failed';
    end(job, { state, error: clean ? finished.error : 'cleanUpFailed', exit, survivors });
  }

  function end(
    job: Job,
    how: {
      state: 'succeeded' | 'failed' | 'cancelled';
      error?: JobError;
      result?: unknown;
      exit?: number | null;
      survivors?: number;
    },
  ): void {
    const { startedAt } = current(job.id);
    log.append({
      event: 'ended',
      jobId: job.id,
      state: how.state,
      ...(how.error === undefined ? {} : { error: how.error }),
      ...(how.result === undefined ? {} : { result: how.result }),
      exit: how.exit ?? null,
      durMs: startedAt === undefined ? 0 : Math.max(0, clock.now() - Date.parse(startedAt)),
      survivors: how.survivors ?? 0,
    });
    options.onEnded(current(job.id));
  }

  return {
    recover() {
      const known = new Set(jobs().map((job) => job.id));
      // Folders of requests that were killed before their log entry: they were never accepted.
      for (const name of disk.list(jobsDir)) if (!known.has(name)) disk.remove(jobDir(jobsDir, name));
      for (const job of jobs()) {
        if (job.state === 'running' && job.cancelAsked) askSupervisor(job);
      }
      pump();
    },
    pump,
    waiting: (lane, client) =>
      jobs().filter((job) => job.lane === lane && job.client === client && job.state === 'queued').length,
    cancel(job) {
      if (isFinished(job)) return;
      if (!job.cancelAsked) log.append({ event: 'cancelAsked', jobId: job.id, client: job.client });
      if (job.state === 'running') askSupervisor(job);
      // One that is being prepared sees the mark before it starts; one that waits is ended here.
      else if (job.state === 'queued' && !preparing(job))
        end(job, { state: 'cancelled', error: 'cancelled' });
    },
    async stop() {
      stopping.abort();
      await Promise.allSettled(busy.values());
    },
  };

  function preparing(job: Job): boolean {
    return busy.has(job.lane) && inTurn.get(job.lane) === job.id;
  }

  function askSupervisor(job: Job): void {
    const { cancel } = inAttempt(attemptDir(jobsDir, job.id, job.attempt));
    options.reserve.spend(() => disk.write(cancel, ''));
  }
}

/** What the caller is told; the words are in the service's own output. */
const causeOf = (error: unknown): JobError =>
  error instanceof CodedError && error.code === 'NC2014' ? 'scriptChanged' : 'scriptFailed';
