/** What happened, in order: hashed for comparison, counted for the table, and its last lines kept for the story. */
import { createHash } from 'node:crypto';

export interface Trace {
  /** One call of a port and how it ended. */
  call(words: string, how: string): void;
  /** Something that a reader of the story wants to know. */
  tell(line: string): void;
  count(table: string, name: string): void;
  readonly counts: Map<string, Map<string, number>>;
  /** What was told, with its time since the start. */
  readonly told: string[];
  /** SHA-256 over all of it. */
  hash(): string;
}

export function trace(nowMs: () => number, startMs: number, all = false): Trace {
  const digest = createHash('sha256');
  const counts = new Map<string, Map<string, number>>();
  const told: string[] = [];
  const stamp = () => `${((nowMs() - startMs) / 1000).toFixed(3).padStart(10)} `;
  const add = (line: string) => void digest.update(`${line}\n`);
  return {
    call(words, how) {
      const line = `${stamp()}${words} ${how}`;
      add(line);
      if (all) told.push(line);
    },
    tell(line) {
      const stamped = stamp() + line;
      add(stamped);
      told.push(stamped);
    },
    count(table, name) {
      const names = counts.get(table) ?? new Map<string, number>();
      counts.set(table, names);
      names.set(name, (names.get(name) ?? 0) + 1);
    },
    counts,
    told,
    hash: () => digest.copy().digest('hex'),
  };
}
