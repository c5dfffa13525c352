/** Child processes of the bench: how long until one says something, and until one ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Started {
  /** Milliseconds from just before the spawn. */
  ms: number;
  line: string;
  pid: number;
  /** Ends it and waits for its end. */
  end(): Promise<void>;
}

export interface Command {
  args: readonly string[];
  env?: Record<string, string>;
  cwd?: string;
  deadlineMs: number;
}

/** Starts `node` with these arguments and waits for the first line of its stdout that fits. */
export async function untilLine(command: Command, fits: (line: string) => boolean): Promise<Started> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, command.args, {
    ...{ cwd: command.cwd, env: { ...process.env, ...command.env }, stdio: ['ignore', 'pipe', 'pipe'] },
  });
  const ended = once(child, 'close');
  let text = '';
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const end = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  };
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer);
      const said = `${text}${errors}`.trim().split('\n').slice(-5).join(' | ');
      void end().then(() => reject(new Error(`${command.args[0] ?? ''} ${what}: ${said}`)));
    };
    const timer = setTimeout(
      () => fail(`did not say it within ${command.deadlineMs} ms`),
      command.deadlineMs,
    );
    const early = (): void => fail('ended before it said it');
    child.once('close', early);
    child.stdout.on('data', (chunk: Buffer) => {
      const ms = performance.now() - startedAt;
      text += chunk.toString();
      const line = text.split('\n').slice(0, -1).find(fits);
      if (line === undefined) return;
      clearTimeout(timer);
      child.off('close', early);
      resolve({ ms, line, pid: child.pid ?? 0, end });
    });
  });
}

/** Runs `node` to its end. */
export async function untilEnd(
  command: Command,
): Promise<{ ms: number; exitCode: number | null; output: string }> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, command.args, {
    ...{ cwd: command.cwd, env: { ...process.env, ...command.env }, stdio: ['ignore', 'pipe', 'pipe'] },
    timeout: command.deadlineMs,
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'exit').then(() => performance.now() - startedAt);
  await once(child, 'close');
  return { ms: await exited, exitCode: child.exitCode, output };
}
