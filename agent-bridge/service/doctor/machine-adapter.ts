/** What `doctor` asks of the machine besides the bridge's own ports. It changes nothing. */
import { execFile } from 'node:child_process';
import { accessSync, constants, statSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Look } from './facts.ts';
import { childEnvironment } from '../system-adapter.ts';
import { PROBE, readAnswer } from './windows-probe.ts';
import type { WindowsFacts } from './windows-probe.ts';

const POSIX = process.platform !== 'win32';
/** Modules of Windows take seconds to load on a busy host. */
const PROBE_MS = 60_000;
/** The longest part of an answer is the ACLs of all folders, some kilobytes; more is a fault. */
const ANSWER_LIMIT_BYTES = 4 * 1024 * 1024;

export const machine: Look = {
  file(path) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    return {
      folder: found.isDirectory(),
      // Windows has ACLs instead; the bits that Node makes up there say nothing.
      ...(POSIX ? { mode: found.mode & 0o7777 } : {}),
      executable: found.isFile() && (!POSIX || mayExecute(path)),
    };
  },
  freeBytes(path) {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  },
  runs: [
    { what: 'The bundle', path: process.argv[1] ?? '' },
    { what: 'Node', path: process.execPath },
  ],
  ...(POSIX ? {} : { windows: askWindows }),
  /**
   * Tries to listen, for a moment: a connection to a bridge that runs would count as a stranger in its log.
   */
  port(host, port) {
    return new Promise((resolve) => {
      const server = createServer();
      server.once('error', (error: NodeJS.ErrnoException) =>
        resolve(error.code === 'EADDRINUSE' ? 'taken' : { failed: error.message }),
      );
      server.listen({ host, port, exclusive: true }, () => server.close(() => resolve('free')));
    });
  },
};

/** Constant text as the only argument that is no switch; the paths go on stdin. */
function askWindows(engine: string, paths: readonly string[]): Promise<WindowsFacts> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      engine,
      ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command', PROBE],
      {
        encoding: 'utf8',
        timeout: PROBE_MS,
        maxBuffer: ANSWER_LIMIT_BYTES,
        windowsHide: true,
        env: childEnvironment(),
      },
      (error, stdout, stderr) => {
        try {
          resolve(readAnswer(stdout));
        } catch (fault) {
          const why = stderr.trim().split('\n')[0] || (error ?? (fault as Error)).message;
          reject(new Error(why));
        }
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(JSON.stringify({ paths }));
  });
}

function mayExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
