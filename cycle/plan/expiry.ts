/** Certificates that end soon, said while there is time to renew them. Pure. */

const DAY_MS = 86_400_000;
/** A month of nightly runs that say so: somebody looks at one of them. */
export const WARN_DAYS = 30;

export interface Ending {
  /** Whose it is, as a sentence begins: `The certificate of the bridge`. */
  what: string;
  endsMs: number;
  /** What a person does about it. */
  remedy: string;
}

export function endingSoon(certificates: readonly Ending[], nowMs: number): string[] {
  return certificates.flatMap(({ what, endsMs, remedy }) => {
    const days = Math.floor((endsMs - nowMs) / DAY_MS);
    if (days >= WARN_DAYS) return [];
    const date = new Date(endsMs).toISOString().slice(0, 10);
    return [`${what} ${days < 0 ? 'ended' : `ends in ${String(days)} days,`} on ${date}. ${remedy}`];
  });
}
