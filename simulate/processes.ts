/** Seeds in processes of their own: each takes the next few when it is done with its last. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { SeedResult } from './seed.ts';

export interface Played extends SeedResult {
  cpuMs: number;
  /** Ids that were left out, when the story was made shorter. */
  without?: string[] | undefined;
}

export interface PlayAround {
  bundle: string;
  root: string;
  jobs: number;
  without: string[];
  all: boolean;
}

/** Small enough that the last process is not alone for long, large enough that starting costs nothing. */
const PORTION = 100;

/** In the order of `seeds`. */
export async function playInProcesses(
  around: PlayAround,
  seeds: readonly number[],
  onPlayed: (played: Played) => void = () => undefined,
): Promise<Played[]> {
  const size = Math.max(1, Math.min(PORTION, Math.ceil(seeds.length / around.jobs)));
  const portions: number[][] = [];
  for (let at = 0; at < seeds.length; at += size) portions.push(seeds.slice(at, at + size));
  const results = new Map<number, Played>();
  const worker = async (): Promise<void> => {
    for (let portion = portions.shift(); portion !== undefined; portion = portions.shift())
      await playPortion(around, portion, (played) => {
        results.set(played.seed, played);
        onPlayed(played);
      });
  };
  await Promise.all(Array.from({ length: around.jobs }, worker));
  return seeds.flatMap((seed) => results.get(seed) ?? []);
}

function playPortion(
  { bundle, root, without, all }: PlayAround,
  seeds: number[],
  onPlayed: (played: Played) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const order = JSON.stringify({ root, seeds, without, all });
    const child = spawn(process.execPath, ['--enable-source-maps', bundle, order], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')));
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => onPlayed(JSON.parse(line) as Played));
    const drained = new Promise((done) => lines.once('close', done));
    child.once('error', reject);
    child.once('exit', (code) => {
      void drained.then(() => {
        if (code === 0) resolve();
        else
          reject(
            new Error(
              `a process that played ${seeds[0] ?? ''} and on ended with ${code ?? 'a signal'}:\n${errors}`,
            ),
          );
      });
    });
  });
}
