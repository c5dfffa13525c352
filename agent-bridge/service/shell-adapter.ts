/**
 * A PowerShell that stays open, with node-powershell. The library makes text of values without quoting them, so it is
 * given no values: constant commands only. docs/decisions/0023-a-warm-session-for-reads.md
 */
import type { ChildProcess } from 'node:child_process';
import { PowerShell } from 'node-powershell';
import { NO_ROOT } from '../jobs/processes.ts';
import type { OpenShell } from '../host/session/shell.ts';

/** The library would rather start what NODE_POWERSHELL names than what it is told to. */
class ChosenPowerShell extends PowerShell {
  protected override setExecutable({ executable = '' }: { executable?: string }): string {
    return executable;
  }
}

export const openShell: OpenShell = async ({ file, args, env, limitBytes }) => {
  const shell = new ChosenPowerShell({
    executable: file,
    // Each is an option without a value to the library, and so comes out as it is.
    executableOptions: Object.fromEntries(args.map((arg) => [arg, true])),
    spawnOptions: { env, windowsHide: true },
    throwOnInvocationError: false,
  });
  // The library has it, and tells nobody.
  const child = Reflect.get(shell, 'process') as ChildProcess;
  const { stdin, stdout, stderr } = shell.streams;
  let printed = 0;
  const over = new Promise<never>((_, reject) => {
    const end = (why: string) => () => reject(new Error(why));
    child.once('error', end('The session could not be started.'));
    child.once('exit', end('The session has ended.'));
    for (const stream of [stdout, stderr])
      stream.on('data', (chunk: string) => {
        printed += chunk.length;
        if (printed <= limitBytes) return;
        end('The session printed too much.')();
        close();
      });
  });
  // Nobody may be waiting when it ends, and a pipe breaks when it does.
  over.catch(() => {});
  for (const stream of [stdin, stdout, stderr]) stream.on('error', () => {});
  const close = () => {
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
  };
  return {
    get pid() {
      return child.exitCode === null && child.signalCode === null ? (child.pid ?? NO_ROOT) : NO_ROOT;
    },
    async run(command) {
      printed = 0;
      const answer = await Promise.race([shell.invoke(command), over]);
      // It would keep every answer for ever.
      shell.history.length = 0;
      return { stdout: answer.stdout ?? new Uint8Array(), stderr: answer.stderr ?? new Uint8Array() };
    },
    close,
  };
};
