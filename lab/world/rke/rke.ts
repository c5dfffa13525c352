/**
 * The rke program, v1.2.23, over the world: one request in, a stream of lines, file writes and an exit out. It
 * behaves as facts/rke-ran.md says, lies and traps included. Whoever stops reading the stream has killed it.
 */
import { configCommand, getStateFile, removeCommand, snapshotSave, versionCommand } from './commands.ts';
import { PROGRAM } from './defaults.ts';
import { COMMANDS, flagsOf, parseArgv, pathsOf } from './request.ts';
import type { Invocation, RkeEvent, RkeRequest } from './request.ts';
import { Ended, Killed, createRun } from './run.ts';
import type { Run, RkeSurroundings } from './run.ts';
import { Panic, up } from './up.ts';

export type { RkeEvent, RkeFile, RkeRequest } from './request.ts';
export type { RkeSurroundings } from './run.ts';

/** The events of one run; it ends with `exit`, or without when `signal` fires or the reader returns. */
export async function* rke(
  request: RkeRequest,
  around: RkeSurroundings,
  signal: AbortSignal = new AbortController().signal,
): AsyncGenerator<RkeEvent, void, undefined> {
  const gone = new AbortController();
  const stop = () => {
    gone.abort();
  };
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  const queue: RkeEvent[] = [];
  let wake = () => {};
  const progress = { over: false };
  const send = (event: RkeEvent) => {
    if (gone.signal.aborted) return;
    queue.push(event);
    wake();
  };
  const work = start(request, around, gone.signal, send).finally(() => {
    progress.over = true;
    wake();
  });
  // A failure of the simulation itself is thrown below, when the queue is empty.
  work.catch(() => undefined);
  try {
    for (;;) {
      const next = queue.shift();
      if (next !== undefined) yield next;
      else if (progress.over) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    await work;
  } finally {
    gone.abort();
    signal.removeEventListener('abort', stop);
  }
}

async function start(
  request: RkeRequest,
  around: RkeSurroundings,
  signal: AbortSignal,
  send: (event: RkeEvent) => void,
): Promise<void> {
  const invocation = parseArgv(request.argv);
  const paths = pathsOf(invocation, request.cwd);
  const program = around.program ?? PROGRAM;
  const run = createRun(around, request, invocation, paths, program, signal, send);
  try {
    const code = await command(run, invocation);
    send({ kind: 'exit', code });
  } catch (error) {
    if (error instanceof Killed) return;
    if (error instanceof Ended) send({ kind: 'exit', code: error.code });
    else if (error instanceof Panic) send({ kind: 'exit', code: 2 });
    else throw error;
  }
}

async function command(run: Run, invocation: Invocation): Promise<number> {
  const { command: name, unknownFlag } = invocation;
  if (unknownFlag !== undefined) {
    const text = `flag provided but not defined: ${unknownFlag}`;
    run.plain(`Incorrect Usage: ${text}`);
    help(run, name);
    run.fatal(text);
  }
  if (name === '--version') run.plain(`rke version ${run.program.version}`);
  else if (name === '' || name === 'etcd' || name === 'util' || name.startsWith('help'))
    help(run, name.replace(/^help ?/, ''));
  else if (name === 'up') await up(run);
  else if (name === 'remove') await removeCommand(run);
  else if (name === 'version') versionCommand(run);
  else if (name === 'config') configCommand(run);
  else if (name === 'etcd snapshot-save') await snapshotSave(run);
  else if (name === 'util get-state-file') await getStateFile(run);
  else {
    run.plain(`No help topic for '${name.split(' ')[0] ?? ''}'`, 'stderr');
    return 3;
  }
  return 0;
}

function help(run: Run, name: string): void {
  const flags = flagsOf(name);
  run.plain('');
  run.plain('NAME:');
  run.plain(
    flags.length > 0
      ? `   rke ${name}`
      : '   rke - Rancher Kubernetes Engine, an extremely simple, lightning fast Kubernetes installer that works everywhere',
  );
  run.plain('');
  run.plain(flags.length > 0 ? 'OPTIONS:' : 'COMMANDS:');
  for (const entry of flags.length > 0 ? flags.map((flag) => `--${flag.replace('!', '')}`) : COMMANDS)
    run.plain(`   ${entry}`);
}
