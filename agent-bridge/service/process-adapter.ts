/** This process as the commands need it: words out, a yes in, signals, and the exit code. */
import { createInterface } from 'node:readline/promises';
import { clock } from '../../ports/clock.ts';
import { random } from '../../ports/random.ts';
import type { CommandPorts } from './commands.ts';
import { childPorts } from './child-adapter.ts';
import { realDisk } from './disk-adapter.ts';
import { realProcesses } from './processes-adapter.ts';

/** `main` is the file that supervisors are started from. */
export function commandPorts(main: string): CommandPorts {
  return {
    disk: realDisk,
    processes: realProcesses(main),
    clock,
    random,
    child: childPorts,
    print: (line) => void process.stdout.write(`${line}\n`),
    say: (event, fields = {}) =>
      void process.stdout.write(`${JSON.stringify({ ts: new Date().toISOString(), event, ...fields })}\n`),
    async confirm(question) {
      if (!process.stdin.isTTY) {
        process.stderr.write('This is no terminal: give --yes.\n');
        return false;
      }
      const asker = createInterface({ input: process.stdin, output: process.stdout });
      const answer = await asker.question(`${question} [y/N] `);
      asker.close();
      return /^y(es)?$/i.test(answer.trim());
    },
    asked: new Promise<void>((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    }),
  };
}
