/**
 * Runs one script to its end inside the bridge: for reads, and for the short acts around a job. Changes that take
 * time go through a supervisor instead.
 */
import type { Clock, Random } from '../../ports/ports.ts';
import { resultFinder } from '../jobs/output.ts';
import { outcomeOf } from '../jobs/outcome.ts';
import type { Processes } from '../jobs/processes.ts';
import type { JobError } from '../protocol/wire.ts';
import type { Session } from './session/session.ts';
import type { ScriptInput, ScriptName, ScriptResult } from './scripts.ts';

export interface Engine {
  file: string;
  args: readonly string[];
  /** Its path. Throws `NC2014` when the file is not this version's. */
  script(name: ScriptName): string;
  /** The child's whole environment. */
  env: Record<string, string>;
}

export type ScriptOutcome<S extends ScriptName> =
  { ok: true; result: ScriptResult<S> } | { ok: false; error: JobError; log: string };

export type RunScript = <S extends ScriptName>(
  script: S,
  input: ScriptInput<S>,
  deadlineMs: number,
) => Promise<ScriptOutcome<S>>;

/** Children at one time besides the jobs: each PowerShell takes about 100 MB. */
const CHILDREN_LIMIT = 4;
/** What is kept of a child's words for the service's own output. */
const LOG_TAIL_BYTES = 2_048;

export interface ScriptPorts {
  processes: Processes;
  clock: Clock;
  random: Random;
}

/** Failures that the script did not name itself. */
const UNEXPLAINED: readonly JobError[] = ['scriptFailed', 'noResult', 'badResult'];

/** With a session, a read that it cannot answer, or fails at without a reason, is run in a child: reads are harmless. */
export function scriptRunner(engine: Engine, ports: ScriptPorts, session?: Session): RunScript {
  const child = childRunner(engine, ports);
  if (session === undefined) return child;
  const { clock } = ports;
  return async (script, input, deadlineMs) => {
    const startedAt = clock.now();
    const warm = await session.read(script, input, deadlineMs);
    if (warm !== undefined && (warm.ok || !UNEXPLAINED.includes(warm.error))) return warm;
    const outcome = await child(script, input, Math.max(deadlineMs - (clock.now() - startedAt), 1));
    // What fails only in the session is the session's fault: a module in it holds on to what is no longer there.
    if (warm !== undefined && outcome.ok) await session.end();
    return outcome;
  };
}

function childRunner(engine: Engine, { processes, clock, random }: ScriptPorts): RunScript {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (script, input, deadlineMs) => {
    if (running >= CHILDREN_LIMIT) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      const command = [...engine.args, engine.script(script)];
      const nonce = Buffer.from(random.bytes(16)).toString('hex');
      const mark = `read.${Buffer.from(random.bytes(8)).toString('hex')}`;
      const finder = resultFinder(nonce);
      let tail = Buffer.alloc(0);
      const keep = (chunk: Uint8Array) => {
        tail = Buffer.concat([tail, chunk]).subarray(-LOG_TAIL_BYTES);
      };
      const child = processes.startChild({
        file: engine.file,
        args: command,
        env: { ...engine.env, NODE_CYCLE_JOB: mark },
        stdin: JSON.stringify({ v: 1, nonce, script, input }),
        onStdout(chunk) {
          finder.push(chunk);
          keep(chunk);
        },
        onStderr: keep,
      });
      const over = new AbortController();
      let timedOut = false;
      const timer = clock.sleep(deadlineMs, over.signal).then(
        async () => {
          timedOut = true;
          await processes.endTree(child.pid, mark);
        },
        () => {},
      );
      const { exitCode } = await child.ended;
      over.abort();
      await timer;
      const frame = finder.frame();
      const outcome = outcomeOf(script, { exitCode, timedOut, ...(frame === undefined ? {} : { frame }) });
      if (!outcome.ok) return { ...outcome, log: tail.toString('utf8') };
      return { ok: true, result: outcome.result as ScriptResult<typeof script> };
    } finally {
      // Who waits takes the place over: one that was free for a moment would be taken by a newcomer too.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

/**
 * Shares one run among callers that wait at the same time, but never gives a caller the answer of a run that began
 * before he asked: it could be older than his own last change.
 */
export function freshly<T>(run: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  const begin = (): Promise<T> => {
    next = undefined;
    const mine: Promise<T> = run().finally(() => {
      if (current === mine) current = undefined;
    });
    current = mine;
    return mine;
  };
  return () => {
    if (!current) return begin();
    next ??= current.then(
      () => begin(),
      () => begin(),
    );
    return next;
  };
}
