/**
 * One warm PowerShell for reads: a child of its own would first start PowerShell and load its modules, half a second
 * to two on Windows. What is sent to it never changes; the request is in a file that only the bridge may write, and the
 * answer is framed and checked as a child's is. Whenever it cannot answer, the caller starts a child as ever.
 */
import { join } from 'node:path';
import type { Clock, Random } from '../../../ports/ports.ts';
import { outcomeOf } from '../../jobs/outcome.ts';
import { RESULT_LIMIT_BYTES, resultFinder } from '../../jobs/output.ts';
import { JOB_MARK } from '../../jobs/processes.ts';
import type { Processes } from '../../jobs/processes.ts';
import type { Disk } from '../../log/disk.ts';
import { END_PREFIX } from '../frame.ts';
import type { Engine, ScriptOutcome } from '../run-script.ts';
import type { ScriptInput, ScriptName, ScriptResult } from '../scripts.ts';
import { oneAtATime } from './turn.ts';
import type { OpenShell, Printed, Shell } from './shell.ts';

/** What a session may run; `warm.ps1` has the same list. None of them changes anything. */
export const READS: readonly ScriptName[] = [
  'disk-parents',
  'dns-read',
  'host-info',
  'image-list',
  'vm-list',
];
export const OPEN = '. $env:NODE_CYCLE_WARM';
export const CALL = 'Invoke-NcWarm';
const WARM_SCRIPT = 'warm.ps1';

/** A caller waits for the session as long as a child would take to start at the least. */
export const WAIT_MS = 500;
/** PowerShell on a busy host is up within some seconds; what is not by then is no PowerShell. */
export const OPEN_LIMIT_MS = 20_000;
/** How long children do the work after a session that could not be opened or does not know its command. */
export const REST_MS = 60_000;
/** A session holds about 100 MB: it is not kept between cycles, which are hours apart. */
export const IDLE_MS = 10 * 60_000;
/** PowerShell's memory grows with what modules cache; a new one each so often keeps that small. */
export const CALLS_LIMIT = 500;
/** The longest result, and the words beside it. */
const PRINTED_LIMIT_BYTES = RESULT_LIMIT_BYTES + 64 * 1024;
/** What is kept of a script's words for the service's own output. */
const LOG_TAIL_BYTES = 2_048;

export interface Session {
  /**
   * undefined: there is no session for it now, or it ended in the middle. Throws `NC2014` as a child's start does.
   */
  read<S extends ScriptName>(
    script: S,
    input: ScriptInput<S>,
    deadlineMs: number,
  ): Promise<ScriptOutcome<S> | undefined>;
  /** Ends the process: it was in the wrong, or is no longer needed. A later read opens a new one. */
  end(): Promise<void>;
}

export interface SessionPorts {
  openShell: OpenShell;
  processes: Pick<Processes, 'endTree'>;
  disk: Pick<Disk, 'openAppend' | 'remove'>;
  clock: Clock;
  random: Random;
}

/** `request`: a file that only the bridge's account may write. */
export function warmSession(
  engine: Engine,
  { scriptsDir, request }: { scriptsDir: string; request: string },
  { openShell, processes, disk, clock, random }: SessionPorts,
): Session {
  const turns = oneAtATime(clock, WAIT_MS);
  let open: { shell: Shell; mark: string } | undefined;
  let calls = 0;
  let restUntil = 0;
  let idle = new AbortController();
  const hex = (bytes: number) => Buffer.from(random.bytes(bytes)).toString('hex');

  async function end(): Promise<void> {
    idle.abort();
    const ended = open;
    open = undefined;
    if (ended === undefined) return;
    ended.shell.close();
    await processes.endTree(ended.shell.pid, ended.mark);
  }

  /** undefined when it is over before it has answered, `'late'` when it is not over by then. */
  async function within(ms: number, work: Promise<Printed>): Promise<Printed | 'late' | undefined> {
    const over = new AbortController();
    try {
      return await Promise.race([work, clock.sleep(ms, over.signal).then(() => 'late' as const)]);
    } catch {
      return undefined;
    } finally {
      over.abort();
    }
  }

  async function opened(withinMs: number): Promise<Shell | undefined> {
    const mark = `session.${hex(8)}`;
    const shell = await openShell({
      file: engine.file,
      args: engine.args.slice(0, -1),
      env: {
        ...engine.env,
        [JOB_MARK]: mark,
        NODE_CYCLE_WARM: join(scriptsDir, WARM_SCRIPT),
        NODE_CYCLE_REQUEST: request,
        // Colours would go into pipes too.
        NO_COLOR: '1',
      },
      limitBytes: PRINTED_LIMIT_BYTES,
    }).catch(() => undefined);
    if (shell === undefined) return undefined;
    open = { shell, mark };
    calls = 0;
    const printed = await within(Math.min(withinMs, OPEN_LIMIT_MS), shell.run(OPEN));
    return typeof printed === 'object' ? shell : undefined;
  }

  /** False on a full disk, where a child needs no room. Not synced: after a crash nobody wants an answer. */
  function asked(text: string): boolean {
    try {
      disk.remove(request);
      const file = disk.openAppend(request, false);
      try {
        file.append(text);
      } finally {
        file.close();
      }
      return true;
    } catch {
      return false;
    }
  }

  async function endToRest(): Promise<undefined> {
    restUntil = clock.now() + REST_MS;
    await end();
  }

  async function call<S extends ScriptName>(
    script: S,
    input: ScriptInput<S>,
    deadlineMs: number,
  ): Promise<ScriptOutcome<S> | undefined> {
    const until = clock.now() + deadlineMs;
    idle.abort();
    if (calls >= CALLS_LIMIT) await end();
    try {
      engine.script(script);
    } catch (foreign) {
      await end();
      throw foreign;
    }
    const shell = open?.shell ?? (await opened(deadlineMs));
    if (shell === undefined) return endToRest();
    calls += 1;
    const nonce = hex(16);
    if (!asked(`${nonce} ${script}\n${JSON.stringify({ v: 1, nonce, script, input })}`)) return undefined;
    const printed = await within(Math.max(until - clock.now(), 1), shell.run(CALL));
    if (typeof printed !== 'object') {
      await end();
      return printed === 'late' ? { ok: false, error: 'timedOut', log: '' } : undefined;
    }
    const answer = answerIn(printed.stdout, nonce);
    if (answer === undefined) return endToRest();
    const outcome = outcomeOf(script, answer);
    if (outcome.ok) return { ok: true, result: outcome.result as ScriptResult<S> };
    return { ...outcome, log: Buffer.from(printed.stderr).subarray(-LOG_TAIL_BYTES).toString('utf8') };
  }

  function endWhenIdle(): void {
    idle = new AbortController();
    const { signal } = idle;
    clock.sleep(IDLE_MS, signal).then(end, () => {});
  }

  return {
    async read(script, input, deadlineMs) {
      if (!READS.includes(script) || !/^-file$/i.test(engine.args.at(-1) ?? '') || clock.now() < restUntil)
        return undefined;
      const startedAt = clock.now();
      return turns(async () => {
        try {
          return await call(script, input, deadlineMs - (clock.now() - startedAt));
        } finally {
          if (open !== undefined) endWhenIdle();
        }
      });
    },
    end,
  };
}

/** What came before the line that ends a call, judged as a child's output is. */
function answerIn(stdout: Uint8Array, nonce: string): { exitCode: number; frame?: string } | undefined {
  const text = Buffer.from(stdout).toString('latin1');
  const found = new RegExp(`^${END_PREFIX}${nonce} ([0-9]+)\\r?$`, 'm').exec(text);
  if (found === null) return undefined;
  const finder = resultFinder(nonce);
  finder.push(Buffer.from(text.slice(0, found.index), 'latin1'));
  const frame = finder.frame();
  return { exitCode: Number(found[1]), ...(frame === undefined ? {} : { frame }) };
}
