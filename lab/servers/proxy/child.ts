/**
 * Child processes of the lab's servers: started, waited for, and ended together with the lab.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';

export interface Child {
  readonly pid: number;
  readonly exited: Promise<void>;
  hasExited(): boolean;
  /** What it said on stderr so far. */
  said(): string;
  stop(): Promise<void>;
}

/** How long a server may take to end after SIGTERM before it is killed. */
const STOP_MS = 4_000;

/** Full path of a program on PATH or in the folders where system daemons are. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

export function versionOf(file: string, args: readonly string[], pattern: RegExp): string {
  const result = spawnSync(file, args, { encoding: 'utf8' });
  return pattern.exec(`${result.stdout}${result.stderr}`)?.[1] ?? 'unknown';
}

export interface ChildOptions {
  env?: Record<string, string>;
  /** Ids to run as; only root can. */
  as?: { uid: number; gid: number };
}

/** On Linux the child gets SIGTERM when the lab's process dies, SIGKILL included. */
export function startChild(file: string, args: readonly string[], options: ChildOptions = {}): Child {
  const setpriv = process.platform === 'linux' ? findProgram('setpriv') : undefined;
  // One setpriv for both: a change of ids clears a death signal that was set before it.
  const ids = options.as ? [`--reuid=${options.as.uid}`, `--regid=${options.as.gid}`, '--clear-groups'] : [];
  const bound = setpriv
    ? ([setpriv, [...ids, '--pdeathsig', 'TERM', '--', file, ...args]] as const)
    : ([file, args] as const);
  const child: ChildProcess = spawn(bound[0], bound[1], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(options.env ? { env: { ...process.env, ...options.env } } : {}),
  });
  let said = '';
  let gone = false;
  child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-20_000)));
  const exited = new Promise<void>((resolve) => {
    const end = () => {
      gone = true;
      resolve();
    };
    child.once('exit', end);
    child.once('error', (error) => {
      said += error.message;
      end();
    });
  });
  return {
    pid: child.pid ?? 0,
    exited,
    hasExited: () => gone,
    said: () => said,
    async stop() {
      if (gone) return;
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await exited;
      clearTimeout(killer);
    },
  };
}

/** Asks `ready` again and again until it holds; throws with what the child said when it ends or the time is up. */
export async function untilReady(child: Child, what: string, ready: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 15_000;
  while (Date.now() < limit) {
    if (child.hasExited()) break;
    if (await ready()) return;
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  await child.stop();
  throw new Error(`${what} did not start: ${child.said()}`);
}

/** A port that is free on that address just now. */
export function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, address, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound ? bound.port : 0));
    });
  });
}
