/**
 * Real processes. Linux is read from /proc; Windows is asked by `taskkill` and one constant PowerShell command;
 * other systems by `ps`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { JOB_MARK } from '../jobs/processes.ts';
import type { Child, ChildStart, ProcessId, Processes } from '../jobs/processes.ts';

/** A grandchild may hold the pipe for ever: what comes later than this after the child's end is not its output. */
export const PIPE_GRACE_MS = 2_000;
/** New processes may appear while we end the ones we saw: look again this often. */
const END_ROUNDS = 20;
/** A killed process is gone from the table by then on a machine that is not overloaded. */
const END_PAUSE_MS = 50;

/** PowerShell and taskkill start within a few seconds even on a busy host; later they hang. */
const TOOL_TIMEOUT_MS = 20_000;

function startTime(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') return linuxStat(pid)?.start;
    if (process.platform === 'win32') {
      // pid is a number of ours, never foreign text.
      const command = `(Get-Process -Id ${Math.trunc(pid)} -ErrorAction Stop).StartTime.ToFileTimeUtc()`;
      return (
        tool('powershell.exe', ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command', command]) || undefined
      );
    }
    return tool('ps', ['-o', 'lstart=', '-p', String(pid)]) || undefined;
  } catch {
    return undefined;
  }
}

function tool(file: string, args: string[]): string {
  return execFileSync(file, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: TOOL_TIMEOUT_MS,
    windowsHide: true,
  }).trim();
}

/** Field 22 is the start time; the name in field 2 may hold spaces and brackets, so count from its last bracket. */
function linuxStat(pid: number): { start: string; parent: number; group: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { start: fields[19] ?? '', parent: Number(fields[1]), group: Number(fields[2]) };
  } catch {
    return undefined;
  }
}

/** Pids of a tree: descendants of root, its process group, and whatever carries the mark in its environment. */
function linuxTree(root: number, mark: string): number[] {
  const needle = `${JOB_MARK}=${mark}`;
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), stat: linuxStat(Number(name)) }))
    .filter((one) => one.stat !== undefined);
  const found = new Set<number>();
  for (const { pid, stat } of all) {
    if (pid === root || stat?.group === root || environment(pid).includes(needle)) found.add(pid);
  }
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const { pid, stat } of all) if (stat && found.has(stat.parent)) found.add(pid);
  }
  return [...found];
}

function environment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  } catch {
    return [];
  }
}

function psTree(root: number): number[] {
  const rows = tool('ps', ['-axo', 'pid=,ppid=,pgid='])
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = new Set<number>(rows.some(([pid]) => pid === root) ? [root] : []);
  for (const [pid, , group] of rows) if (pid !== undefined && group === root) found.add(pid);
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const [pid, parent] of rows)
      if (pid !== undefined && parent !== undefined && found.has(parent)) found.add(pid);
  }
  return [...found];
}

async function endTree(root: number, mark: string): Promise<number> {
  const tree = () =>
    (process.platform === 'linux' ? linuxTree(root, mark) : psTree(root)).filter(
      (pid) => pid !== process.pid,
    );
  if (process.platform === 'win32') {
    if (startTime(root) === undefined) return 0;
    try {
      tool('taskkill.exe', ['/PID', String(root), '/T', '/F']);
    } catch {
      // Exit 128 means that it had ended; what is left is counted below.
    }
    return startTime(root) === undefined ? 0 : 1;
  }
  for (let round = 0; round < END_ROUNDS; round += 1) {
    const left = tree();
    if (left.length === 0) return 0;
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
    await sleep(END_PAUSE_MS);
  }
  return tree().length;
}

function startChild(start: ChildStart): Child {
  const child = spawn(start.file, [...start.args], {
    env: start.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    windowsHide: true,
    shell: false,
    ...(start.cwd === undefined ? {} : { cwd: start.cwd }),
  });
  child.stdout.on('data', (chunk: Uint8Array) => start.onStdout(chunk));
  child.stderr.on('data', (chunk: Uint8Array) => start.onStderr(chunk));
  // A child that ends without reading its input breaks the pipe; its exit code tells the story.
  child.stdin.on('error', () => {});
  child.stdin.end(start.stdin);
  const ended = new Promise<Awaited<Child['ended']>>((resolve) => {
    child.once('error', (error) => resolve({ exitCode: null, signal: null, failed: error.message }));
    child.once('exit', (exitCode, signal) => {
      const settle = () => {
        clearTimeout(grace);
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ exitCode, signal });
      };
      const grace = setTimeout(settle, PIPE_GRACE_MS);
      child.once('close', settle);
    });
  });
  return { pid: child.pid ?? 0, ended };
}

/** `main` is the bundle that runs now: the supervisor is the same file, started with another word. */
export function realProcesses(main: string, selfStart = startTime(process.pid) ?? ''): Processes {
  const ownCommand = (word: string) => ({ file: process.execPath, args: [...process.execArgv, main, word] });
  return {
    ownCommand,
    self: () => ({ pid: process.pid, startTime: selfStart }),
    identify(pid) {
      const start = startTime(pid);
      return start === undefined ? undefined : { pid, startTime: start };
    },
    startChild,
    startSupervisor(jobDir, mark) {
      const { file, args } = ownCommand('supervise');
      const child = spawn(file, [...args, jobDir], {
        detached: true,
        stdio: 'ignore',
        windowsHide: true,
        cwd: jobDir,
        env: { ...process.env, [JOB_MARK]: mark },
      });
      const ended = new Promise<void>((resolve) => {
        child.once('exit', () => resolve());
        child.once('error', () => resolve());
      });
      child.unref();
      return { pid: child.pid ?? 0, ended };
    },
    isAlive: (id: ProcessId) => startTime(id.pid) === id.startTime,
    endTree,
  };
}
