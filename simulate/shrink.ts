/** Makes a story that broke something as short as it can be: faults are left out one by one, while it still breaks. */
export interface Broken {
  violations: readonly string[];
  /** Ids of what went wrong outside, in the order in which it struck. */
  faults: readonly string[];
  /** Ids that were left out. */
  without?: string[] | undefined;
}

/** Plays at most so many times. */
const MOST_PLAYS = 60;

/** `play`: the same seed without these. */
export async function shrink<T extends Broken>(
  played: T,
  play: (without: string[]) => Promise<T | undefined>,
): Promise<T> {
  const broken = nameOf(played);
  let best = played;
  let plays = 0;
  const attempt = async (without: string[]): Promise<T | undefined> => {
    plays += 1;
    const one = await play(without);
    return one?.violations.some((violation) => violation.startsWith(`${broken}:`)) === true
      ? { ...one, without }
      : undefined;
  };
  // Halves first, then each by itself; later ones first, since much of what follows depends on the early ones.
  for (let size = Math.ceil(best.faults.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let end = best.faults.length; end > 0 && plays < MOST_PLAYS; end -= size) {
      const dropped = best.faults.slice(Math.max(0, end - size), end);
      if (dropped.length === 0) continue;
      best = (await attempt([...new Set([...(best.without ?? []), ...dropped])])) ?? best;
    }
  }
  return best;
}

/** The invariant's name, without the evidence, which differs from story to story. */
function nameOf({ violations }: Broken): string {
  return (violations[0] ?? '').split(':')[0] ?? '';
}
