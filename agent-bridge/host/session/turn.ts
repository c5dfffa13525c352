/** One work at a time; who would have to wait longer than it is worth goes without. */
import type { Clock } from '../../../ports/ports.ts';

/**
 * `patienceMs` bounds a caller's own wait and the age of the work that he waits for: behind one that hangs nobody
 * waits at all. Gives undefined to who went without.
 */
export function oneAtATime(
  clock: Clock,
  patienceMs: number,
): <T>(work: () => Promise<T>) => Promise<T | undefined> {
  let current: { done: Promise<void>; since: number } | undefined;
  return async (work) => {
    const arrivedAt = clock.now();
    while (current !== undefined) {
      const left = Math.min(arrivedAt, current.since) + patienceMs - clock.now();
      if (left <= 0) return undefined;
      const over = new AbortController();
      await Promise.race([current.done, clock.sleep(left, over.signal).catch(() => {})]);
      over.abort();
    }
    const mine = work();
    const done = mine.then(
      () => undefined,
      () => undefined,
    );
    current = { done, since: clock.now() };
    void done.then(() => (current = undefined));
    return mine;
  };
}
