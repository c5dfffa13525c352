/** Time limits of the runner. Pipelines count in minutes, and a gate may wait longer than one timer can. */

/** A timer of Node holds 31 bits of milliseconds; longer waits are taken in parts. */
const MAX_TIMER_MS = 2_147_000_000;

/** Calls `act` after `ms` (never for Infinity). The result stops it. */
export function after(ms: number, act: () => void): () => void {
  if (ms === Infinity) return () => undefined;
  let timer: NodeJS.Timeout;
  let rest = ms;
  const arm = (): void => {
    const part = Math.min(rest, MAX_TIMER_MS);
    rest -= part;
    timer = setTimeout(() => (rest > 0 ? arm() : act()), part);
  };
  arm();
  return () => clearTimeout(timer);
}

/** Resolves after `ms`, or at once when the signal fires. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = (): void => {
      stop();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const stop = after(ms, end);
    signal.addEventListener('abort', end, { once: true });
  });
}

/** One after the other: a machine with one agent. */
export function createLane(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };
}
