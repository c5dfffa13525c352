/** One seed from its beginning to its verdict. */
import { chance } from './chance.ts';
import type { Script } from './faults/script.ts';
import { START_MS, type Input } from './outside/input.ts';
import { openStage } from './stage.ts';
import { untilVerdict, type Ending } from './story.ts';
import { Stalled, TooLong, virtualTime } from './time.ts';
import { trace } from './trace.ts';

export interface SeedResult {
  seed: number;
  hash: string;
  verdict: Ending['verdict'];
  /** Why, for all but a finished one: a code. */
  reason: string;
  violations: string[];
  /** Ids of what went wrong outside, in the order in which it struck. */
  faults: string[];
  told: string[];
  counts: Record<string, Record<string, number>>;
  virtualMs: number;
  events: number;
}

export interface PlayOptions {
  root: string;
  input: Input;
  script: Script;
  /** Every call in the story, not only what a reader wants. */
  all?: boolean | undefined;
}

/** Longer than any story that ends. */
const LIMIT_MS = 48 * 3_600_000;

export async function playSeed({ root, input, script, all = false }: PlayOptions): Promise<SeedResult> {
  const { seed } = script;
  const time = virtualTime(START_MS, LIMIT_MS);
  const told = trace(time.nowMs, START_MS, all);
  const violations: string[] = [];
  const faults: string[] = [];
  const violate = (name: string, what: string) => {
    const line = `${name}: ${what}`;
    if (violations.includes(line)) return;
    violations.push(line);
    told.tell(`VIOLATION ${line}`);
  };
  const happened = (kind: string, id: string, what: string) => {
    faults.push(id);
    told.count('fault', kind);
    told.tell(`FAULT ${kind}: ${what} [${id}]`);
  };
  const draw = chance(seed, 'story');
  const play = async (): Promise<Ending> => {
    const stage = await openStage({ root, input, script, time, told, draw, all, violate, happened });
    try {
      return await untilVerdict(stage);
    } finally {
      stage.close();
    }
  };
  const ending = await time.run(play()).catch((error: unknown): Ending => {
    if (error instanceof Stalled || error instanceof TooLong)
      return { verdict: 'stuck', reason: error.message };
    throw error;
  });
  if (ending.verdict === 'stuck') violate('a run that is queued again ends', ending.reason);
  told.count('outcome', ending.verdict === 'refused' ? `refused ${ending.reason}` : ending.verdict);
  return {
    ...{ seed, hash: told.hash(), ...ending, violations, faults, told: told.told },
    counts: Object.fromEntries([...told.counts].map(([table, names]) => [table, Object.fromEntries(names)])),
    virtualMs: time.nowMs() - START_MS,
    events: time.events(),
  };
}
