/** Plays seeds, one after the other; a line of JSON for each. Started by main.ts. */
import { HOME } from '../lab/example.ts';
import { scriptOf } from './faults/script.ts';
import { makeInput } from './outside/input.ts';
import { playSeed } from './seed.ts';

export interface WorkOrder {
  root: string;
  seeds: number[];
  /** Ids of faults that are left out. */
  without: string[];
  all: boolean;
}

/** Between two observations of a task that waits. */
const POLL_MS = 500;

const order = JSON.parse(process.argv[2] ?? '{}') as WorkOrder;
const input = await makeInput(order.root, HOME, POLL_MS);
for (const seed of order.seeds) {
  const before = process.cpuUsage();
  const script = scriptOf(seed, new Set(order.without));
  const result = await playSeed({ root: order.root, input, script, all: order.all });
  const cpuMs = Math.round(process.cpuUsage(before).user / 1000);
  process.stdout.write(`${JSON.stringify({ ...result, cpuMs })}\n`);
}
