/** Judges the invariants whenever something has changed that one of them looks at. */
import type { Setting } from '../outside/setting.ts';
import type { VirtualTime } from '../time.ts';
import type { Trace } from '../trace.ts';
import { INVARIANTS } from './invariants.ts';
import { seenOf, type Seen } from './seen.ts';
import { signatureOf } from './signature.ts';

export function watchInvariants(
  setting: Setting,
  time: VirtualTime,
  told: Trace,
  excused: ReadonlyMap<string, number>,
  violate: (name: string, what: string) => void,
): void {
  const signature = signatureOf(setting);
  let last = '';
  let before: Seen | undefined;
  time.onEvent(() => {
    const now = signature();
    if (now === last) return;
    last = now;
    const seen = seenOf(setting, excused);
    for (const [name, invariant] of Object.entries(INVARIANTS)) {
      const { applies, broken } = invariant(seen, before);
      if (applies) told.count('precondition', name);
      if (broken !== undefined) violate(name, broken);
    }
    before = seen;
  });
}
