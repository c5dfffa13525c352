/**
 * One process as the agent runs it: both streams line by line, and the ladder of a cancel:
 * SIGINT, then SIGTERM, then a kill that hits only this process and not its children.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';

export interface CancelLadder {
  /** From SIGINT to SIGTERM. */
  interruptMs: number;
  /** From SIGTERM to the kill. */
  terminateMs: number;
}

/** facts/azure-pipelines.md: 7.5 s and 2.5 s. */
export const AGENT_LADDER: CancelLadder = { interruptMs: 7_500, terminateMs: 2_500 };
/** A child that outlives the task may hold its pipes open; the agent does not wait for it for ever. */
const DRAIN_MS = 2_000;
/** A line without an end is cut here, so that a task cannot fill the memory. */
const MAX_LINE = 1_048_576;

export interface ProcessRequest {
  file: string;
  args: readonly string[];
  cwd: string;
  env: Record<string, string>;
  /** Each line without its end, in the order of its stream. */
  onLine(stream: 'stdout' | 'stderr', line: string): void;
  onSpawn?(pid: number): void;
  cancel: AbortSignal;
  ladder: CancelLadder;
}

/** The exit code; 128 + the signal's number when a signal ended it. Rejects when it cannot be started. */
export async function runProcess(request: ProcessRequest): Promise<number> {
  const child = spawn(request.file, [...request.args], {
    cwd: request.cwd,
    env: request.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A terminal's Ctrl+C is for the runner, which cancels in the agent's way.
    detached: true,
  });
  const timers: NodeJS.Timeout[] = [];
  const climb = (): void => {
    child.kill('SIGINT');
    timers.push(setTimeout(() => child.kill('SIGTERM'), request.ladder.interruptMs));
    timers.push(
      setTimeout(() => child.kill('SIGKILL'), request.ladder.interruptMs + request.ladder.terminateMs),
    );
  };
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
  const drained = Promise.all([
    readLines(child.stdout, (line) => request.onLine('stdout', line)),
    readLines(child.stderr, (line) => request.onLine('stderr', line)),
  ]);
  if (child.pid !== undefined) request.onSpawn?.(child.pid);
  if (request.cancel.aborted) climb();
  else request.cancel.addEventListener('abort', climb, { once: true });
  try {
    const code = await exited;
    await Promise.race([drained, new Promise((resolve) => timers.push(setTimeout(resolve, DRAIN_MS)))]);
    return code;
  } finally {
    request.cancel.removeEventListener('abort', climb);
    timers.forEach(clearTimeout);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve) => {
    let rest = '';
    // The decoder keeps a character together when a chunk ends inside of it.
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line.replace(/\r$/, ''));
      if (rest.length > MAX_LINE) {
        onLine(rest);
        rest = '';
      }
    });
    stream.on('error', () => resolve());
    stream.on('close', () => {
      if (rest !== '') onLine(rest.replace(/\r$/, ''));
      resolve();
    });
  });
}
