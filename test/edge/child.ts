/** A TypeScript file of the tests or the lab as a process of its own, so that its load is not on the loop that is measured. */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Script {
  /** Each line of its stdout; the iteration ends with it. */
  lines: AsyncIterableIterator<string>;
  /** Ends its stdin and waits for its end. */
  end(): Promise<void>;
}

export function startScript(path: string, args: readonly string[]): Script {
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, ['--import', 'tsx', path, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stderr.pipe(process.stderr);
  child.stdin.on('error', () => undefined);
  const closed = once(child, 'close');
  return {
    lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](),
    async end() {
      child.stdin.end();
      await closed;
    },
  };
}
