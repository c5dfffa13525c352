/** The world's time: real timers for the lab, hand-moved ones for simulations, where a day costs nothing. */
import type { Timer, WorldClock } from './world.ts';

/** The machine's own clock. `close()` cancels every timer that is left. */
export function realClock(): WorldClock & { close(): void } {
  const open = new Set<NodeJS.Timeout>();
  return {
    nowMs: () => Date.now(),
    after(delayMs, what): Timer {
      const timer = setTimeout(() => {
        open.delete(timer);
        what();
      }, delayMs);
      open.add(timer);
      return {
        cancel() {
          open.delete(timer);
          clearTimeout(timer);
        },
      };
    },
    close() {
      for (const timer of open) clearTimeout(timer);
      open.clear();
    },
  };
}

export interface ManualClock extends WorldClock {
  /** Runs everything that falls due within `ms`, in the order of its time; equal times in the order they were set. */
  advance(ms: number): void;
  /** The same, with room for promises to settle between two timers. */
  run(ms: number): Promise<void>;
}

/** A clock that moves only when it is told to. */
export function manualClock(startMs: number): ManualClock {
  let nowMs = startMs;
  let order = 0;
  let due: { atMs: number; order: number; what: () => void }[] = [];
  const next = (endMs: number): (() => void) | undefined => {
    due.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    const first = due[0];
    if (first === undefined || first.atMs > endMs) return undefined;
    due.shift();
    nowMs = Math.max(nowMs, first.atMs);
    return first.what;
  };
  return {
    nowMs: () => nowMs,
    after(delayMs, what): Timer {
      const entry = { atMs: nowMs + Math.max(0, delayMs), order: order++, what };
      due.push(entry);
      return {
        cancel() {
          due = due.filter((other) => other !== entry);
        },
      };
    },
    advance(ms) {
      const endMs = nowMs + ms;
      for (let what = next(endMs); what !== undefined; what = next(endMs)) what();
      nowMs = endMs;
    },
    async run(ms) {
      const endMs = nowMs + ms;
      await new Promise((resolve) => setImmediate(resolve));
      for (let what = next(endMs); what !== undefined; what = next(endMs)) {
        what();
        await new Promise((resolve) => setImmediate(resolve));
      }
      nowMs = endMs;
    },
  };
}

/** Resolves after `ms` of the world's time. */
export function pass(clock: WorldClock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}
