/**
 * The pace of the load: requests are started at their times whether or not the ones before have been answered,
 * so that a world that hangs is seen as one.
 */

export interface Source {
  /** Starts nothing more, and waits for what is under way. */
  stop(): Promise<void>;
}

/** Milliseconds since 1970 with a fraction: one scale for times and for latencies. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

export function every(perSecond: number, work: () => Promise<void>): Source {
  const underWay = new Set<Promise<void>>();
  const startedMs = nowMs();
  let begun = 0;
  // A timer for each request would drift; this starts as many as are due by now.
  const timer = setInterval(
    () => {
      const due = Math.floor(((nowMs() - startedMs) / 1_000) * perSecond);
      for (; begun < due; begun += 1) {
        const one: Promise<void> = work().finally(() => underWay.delete(one));
        underWay.add(one);
      }
    },
    Math.min(20, 1_000 / Math.max(perSecond, 1)),
  );
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  };
}
