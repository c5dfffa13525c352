/**
 * The traffic's process: `traffic CONFIG.json`. Prints one JSON line every `statsEveryMs`, one for each failure,
 * and the result when it is ended by SIGTERM, SIGINT or the end of stdin. A line `{"kind":"proxy.reload","atMs":N}`
 * on stdin says that the proxy began a reload.
 */
import { fstatSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { readConfig } from './config.ts';
import { startTraffic } from './run.ts';
import type { TrafficLine } from './run.ts';

const [path] = process.argv.slice(2);
if (path === undefined) {
  process.stderr.write('usage: traffic CONFIG.json\n');
  process.exit(2);
}

const print = (line: TrafficLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const traffic = startTraffic(readConfig(path), print);

let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  const result = await traffic.stop();
  // Written whole before the exit, however full the pipe is.
  writeWhole(`${JSON.stringify(result)}\n`);
  process.exit(0);
}

function writeWhole(text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

process.on('SIGTERM', () => void end());
process.on('SIGINT', () => void end());
process.stdout.on('error', () => process.exit(1));

// Only the end of a pipe means something: /dev/null and a terminal's absence do not.
const stdin = fstatSync(0);
if (stdin.isFIFO() || stdin.isSocket()) {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    try {
      const said = JSON.parse(line) as { kind?: string; atMs?: number };
      if (said.kind === 'proxy.reload' && typeof said.atMs === 'number') traffic.proxyReloaded(said.atMs);
    } catch {
      process.stderr.write(`not a line of JSON on stdin: ${line.slice(0, 80)}\n`);
    }
  });
  lines.on('close', () => void end());
}
