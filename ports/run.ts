/**
 * The real adapter of `Run`: a child in a process group of its own, which ends as a whole.
 *
 * On abort or past the deadline the group gets SIGTERM, and SIGKILL when it is still there after the grace.
 */
import { accessSync, constants } from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import { PortError } from './ports.ts';
import type { PortFailure, Run, RunRequest, RunResult } from './ports.ts';

const KEEP_BYTES = 4 * 1024 * 1024;
/** Time for a child to end by itself after SIGTERM. An agent's task has 7.5 s after SIGINT, so this stays well below. */
const GRACE_MS = 2_000;
/** Exit code of setpriv when the program it should become cannot be run. */
const SETPRIV_CANNOT_RUN = 127;
/** A line longer than this is handed on in pieces: no child may fill our memory. */
const LONGEST_LINE = 1024 * 1024;

export const run: Run = async (request) => {
  const { deadlineMs, signal } = request;
  if (signal?.aborted) throw new PortError('aborted', 'run', `${request.file}: aborted before its start`);

  const [file, args] = boundToParent(request);
  const child = execa(file, args, {
    env: request.env,
    extendEnv: false,
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    detached: process.platform !== 'win32',
    buffer: false,
    reject: false,
    stripFinalNewline: false,
    stdin: request.stdin === undefined ? 'ignore' : 'pipe',
    ...(request.stdin === undefined ? {} : { input: request.stdin }),
  });
  const keep = request.keepBytes ?? KEEP_BYTES;
  const stdout = collect(child.stdout, keep, (line) => request.onLine?.(line, 'stdout'));
  const stderr = collect(child.stderr, keep, (line) => request.onLine?.(line, 'stderr'));

  let ending: PortFailure | undefined;
  let killer: NodeJS.Timeout | undefined;
  const end = (why: PortFailure) => {
    if (ending !== undefined) return;
    ending = why;
    signalGroup(child.pid, 'SIGTERM');
    killer = setTimeout(() => {
      signalGroup(child.pid, 'SIGKILL');
      // A process that left the group may still hold the pipes: they are not waited for.
      child.stdout.destroy();
      child.stderr.destroy();
    }, GRACE_MS);
  };
  const onAbort = () => end('aborted');
  const deadline = setTimeout(() => end('timeout'), Math.min(deadlineMs, 2_147_483_647));
  signal?.addEventListener('abort', onAbort, { once: true });

  try {
    const result = await child;
    if (ending !== undefined) {
      // The leader is gone; what it left behind in its group must not outlive this call.
      signalGroup(child.pid, 'SIGKILL');
      const why = ending === 'timeout' ? `did not end within ${deadlineMs} ms` : 'aborted';
      throw new PortError(ending, 'run', `${request.file}: ${why}`, true);
    }
    if (child.pid === undefined) {
      const cause = result.cause as NodeJS.ErrnoException | undefined;
      throw new PortError(
        startFailure(cause?.code),
        'run',
        `${request.file}: ${cause?.message ?? 'not started'}`,
      );
    }
    const [keptOut, keptErr] = await Promise.all([stdout, stderr]);
    if (file !== request.file && result.exitCode === SETPRIV_CANNOT_RUN && keptErr.startsWith('setpriv: ')) {
      throw new PortError('notfound', 'run', `${request.file}: ${keptErr.trim()}`);
    }
    return {
      exitCode: result.exitCode ?? null,
      signal: result.signal ?? null,
      stdout: keptOut,
      stderr: keptErr,
    } satisfies RunResult;
  } finally {
    clearTimeout(deadline);
    clearTimeout(killer);
    signal?.removeEventListener('abort', onAbort);
  }
};

/** `setpriv` sets the parent-death signal and becomes the program: same process, same group. */
function boundToParent(request: RunRequest): [string, readonly string[]] {
  const setpriv = request.dieWithParent === true ? findSetpriv() : undefined;
  if (setpriv === undefined) return [request.file, request.args];
  return [setpriv, ['--pdeathsig', 'KILL', '--', request.file, ...request.args]];
}

let setprivPath: string | undefined | null = null;

function findSetpriv(): string | undefined {
  if (setprivPath === null) {
    const folders = process.platform === 'linux' ? (process.env['PATH'] ?? '').split(delimiter) : [];
    setprivPath = [...folders, '/usr/bin', '/bin']
      .filter((folder) => process.platform === 'linux' && folder !== '')
      .map((folder) => join(folder, 'setpriv'))
      .find(isExecutable);
  }
  return setprivPath;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function collect(stream: Readable, keep: number, onLine: (line: string) => void): Promise<string> {
  const kept: Buffer[] = [];
  let size = 0;
  let rest = '';
  const decoder = new TextDecoder();
  const hand = (text: string) => {
    rest += text;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      onLine(rest.slice(0, end).replace(/\r$/, ''));
      rest = rest.slice(end + 1);
    }
    if (rest.length > LONGEST_LINE) {
      onLine(rest);
      rest = '';
    }
  };
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (size < keep) kept.push(chunk.subarray(0, keep - size));
      size += chunk.length;
      hand(decoder.decode(chunk, { stream: true }));
    }
  } catch {
    // A pipe that breaks because its process was ended says nothing that the exit does not.
  }
  hand(decoder.decode());
  if (rest !== '') onLine(rest);
  return Buffer.concat(kept).toString('utf8');
}

function signalGroup(pid: number | undefined, name: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, os.signals[name]);
  } catch {
    // ESRCH: nobody is left in the group.
  }
}

function startFailure(code: string | undefined): PortFailure {
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'notfound';
  if (code === 'EACCES' || code === 'EPERM') return 'denied';
  return 'protocol';
}
