/**
 * Virtual time: a queue of what is due. Nothing sleeps; when every promise has settled that can, the clock moves to
 * the next entry. One seed gives one order of events, in any process.
 */
import { PortError, type Clock } from '../ports/ports.ts';
import type { Timer, WorldClock } from '../lab/world/world.ts';

export interface VirtualTime extends WorldClock {
  /** Lets everything happen until `work` has settled. */
  run<T>(work: Promise<T>): Promise<T>;
  /** Work that real threads do (keys, certificates): time stands still until it is done. */
  outside<T>(work: Promise<T>): Promise<T>;
  /** Told after each entry of the queue. */
  onEvent(listener: () => void): void;
  /** Entries so far. */
  events(): number;
}

/** Nothing is due any more, and the work has not ended: it waits for something that nobody will do. */
export class Stalled extends Error {}
/** The work has not ended by the limit. */
export class TooLong extends Error {}

interface Entry {
  atMs: number;
  order: number;
  what: (() => void) | undefined;
}

export function virtualTime(startMs: number, limitMs: number): VirtualTime {
  let nowMs = startMs;
  let order = 0;
  let count = 0;
  const heap: Entry[] = [];
  const under = new Set<Promise<unknown>>();
  const listeners: (() => void)[] = [];

  const settle = async (): Promise<void> => {
    do {
      await new Promise((resolve) => setImmediate(resolve));
      if (under.size > 0) await Promise.allSettled(under);
    } while (under.size > 0);
  };

  return {
    nowMs: () => nowMs,
    after(delayMs, what): Timer {
      const entry: Entry = { atMs: nowMs + Math.max(0, delayMs), order: (order += 1), what };
      push(heap, entry);
      return {
        cancel() {
          entry.what = undefined;
        },
      };
    },
    async run(work) {
      const progress = { over: false };
      const end = () => void (progress.over = true);
      work.then(end, end);
      for (;;) {
        await settle();
        if (progress.over) return work;
        let entry = pop(heap);
        while (entry !== undefined && entry.what === undefined) entry = pop(heap);
        if (entry === undefined) throw new Stalled('nothing is due any more');
        if (entry.atMs - startMs > limitMs) throw new TooLong(`not over after ${limitMs} ms`);
        nowMs = Math.max(nowMs, entry.atMs);
        count += 1;
        entry.what?.();
        for (const listener of listeners) listener();
      }
    },
    outside(work) {
      under.add(work);
      const done = () => void under.delete(work);
      work.then(done, done);
      return work;
    },
    onEvent: (listener) => void listeners.push(listener),
    events: () => count,
  };
}

const before = (a: Entry, b: Entry): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

function push(heap: Entry[], entry: Entry): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Entry;
    if (!before(entry, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = entry;
}

function pop(heap: Entry[]): Entry | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (first === undefined || last === undefined || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
    if (!before(heap[child] as Entry, last)) break;
    heap[at] = heap[child] as Entry;
    at = child;
  }
  heap[at] = last;
  return first;
}

/** A process of the story: what it waits for never comes once it was killed. */
export interface Life {
  readonly name: string;
  readonly dead: boolean;
  kill(): void;
  /** Gives what takes the listener back. */
  onKill(what: () => void): () => void;
}

export function life(name: string): Life {
  const ends = new Set<() => void>();
  let dead = false;
  return {
    name,
    get dead() {
      return dead;
    },
    kill() {
      if (dead) return;
      dead = true;
      for (const end of [...ends]) end();
    },
    onKill(what) {
      ends.add(what);
      return () => void ends.delete(what);
    },
  };
}

/** A promise that a killed process never hears of. */
export function heardBy<T>(who: Life, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    work.then(
      (value) => {
        if (!who.dead) resolve(value);
      },
      (error: unknown) => {
        if (!who.dead) reject(error);
      },
    );
  });
}

/** The `Clock` port of one process; `skewMs` is how far its machine's clock is off. */
export function clockOf(time: VirtualTime, who: Life, skewMs: () => number = () => 0): Clock {
  return {
    now: () => time.nowMs() + skewMs(),
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        if (who.dead) return;
        const aborted = () => new PortError('aborted', 'clock', 'the wait was aborted');
        if (signal?.aborted === true) {
          reject(aborted());
          return;
        }
        const timer = time.after(ms, () => {
          signal?.removeEventListener('abort', onAbort);
          if (!who.dead) resolve();
        });
        const onAbort = () => {
          timer.cancel();
          if (!who.dead) reject(aborted());
        };
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
  };
}
