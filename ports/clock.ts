/** The real adapter of `Clock`. */
import { PortError } from './ports.ts';
import type { Clock } from './ports.ts';

/** setTimeout's delay is a signed 32-bit number: a longer sleep is made of several. */
const LONGEST_TIMER_MS = 2_147_483_647;

export const clock: Clock = {
  now: () => Date.now(),

  async sleep(ms, signal) {
    const until = Date.now() + ms;
    for (let left = ms; left > 0; left = until - Date.now()) {
      await nap(Math.min(left, LONGEST_TIMER_MS), signal);
      if (left <= LONGEST_TIMER_MS) return;
    }
    if (signal?.aborted) throw aborted();
  },
};

function nap(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted());
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(aborted());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function aborted(): PortError {
  return new PortError('aborted', 'clock', 'the wait was aborted');
}
