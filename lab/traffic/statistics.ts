/**
 * The count of what the traffic saw. Each request ends in one verdict; everything that is shown is folded from
 * these. Pure: the caller brings the time.
 */

export type TrafficClass = 'http' | 'stream' | 'api' | 'alias';

export interface Verdict {
  class: TrafficClass;
  startedMs: number;
  endedMs: number;
  /** `reset`: the one kind of reset that is excused, see `http.ts`. */
  result: 'ok' | 'reset' | 'failed';
  /** The first answer was not good and another try was made (API requests). */
  retried?: boolean;
  servedBy?: string | undefined;
  error?: string | undefined;
  /** What was asked of whom, for example `GET 127.0.0.5:80/`. */
  target: string;
}

export interface Failure {
  /** Milliseconds since 1970, UTC: when the request was started. */
  atMs: number;
  class: TrafficClass;
  error: string;
  target: string;
}

export interface Counts {
  total: number;
  failed: number;
  resetOnIdle: number;
  /** API requests whose first try failed, whatever came of them. */
  apiRetried: number;
  p50Ms: number;
  p99Ms: number;
}

export interface Second {
  /** Start of the second, milliseconds since 1970, UTC. */
  t: number;
  ok: number;
  failed: number;
  p99Ms: number;
}

export interface TrafficResult {
  kind: 'result';
  requests: Counts;
  classes: Partial<Record<TrafficClass, Counts>>;
  servedBy: Record<string, number>;
  /** By class and node, when the last request that it answered was started: milliseconds since 1970, UTC. */
  lastServedMs: Partial<Record<TrafficClass, Record<string, number>>>;
  /** The first 50. */
  failures: Failure[];
  /** Every second of the run, those without a request too. A request counts in the second it was started. */
  perSecond: Second[];
  /** Long-lived streams that ended by the proxy's drain deadline, which is allowed. */
  streamsDrained: number;
}

export interface TrafficStats {
  kind: 'stats';
  atMs: number;
  total: number;
  failed: number;
  resetOnIdle: number;
  apiRetried: number;
  /** Requests that ended in the last second, and their 99th percentile. */
  perSecond: number;
  p99Ms: number;
}

/** nginx closes idle connections on reload: measured, about one reset in 180 reused. Above 1 % it is a fault. */
const RESET_SHARE = 0.01;
const FAILURES_LISTED = 50;

export interface Statistics {
  add(verdict: Verdict): void;
  streamDrained(): void;
  stats(nowMs: number): TrafficStats;
  result(): TrafficResult;
}

export function statistics(onFailure: (failure: Failure) => void = () => undefined): Statistics {
  const verdicts: Verdict[] = [];
  const failures: Failure[] = [];
  const servedBy: Record<string, number> = {};
  let recent: Verdict[] = [];
  let drained = 0;
  const running = { total: 0, failed: 0, resetOnIdle: 0, apiRetried: 0 };
  return {
    add(verdict) {
      verdicts.push(verdict);
      recent.push(verdict);
      running.total += 1;
      if (verdict.retried === true) running.apiRetried += 1;
      if (verdict.result === 'reset') running.resetOnIdle += 1;
      if (verdict.servedBy !== undefined) servedBy[verdict.servedBy] = (servedBy[verdict.servedBy] ?? 0) + 1;
      if (verdict.result !== 'failed') return;
      running.failed += 1;
      const failure = asFailure(verdict, verdict.error ?? 'no reason given');
      if (failures.length < FAILURES_LISTED) failures.push(failure);
      onFailure(failure);
    },
    streamDrained() {
      drained += 1;
    },
    stats(nowMs) {
      recent = recent.filter((verdict) => verdict.endedMs > nowMs - 1_000);
      const p99Ms = percentile(latencies(recent), 0.99);
      return { kind: 'stats', atMs: nowMs, ...running, perSecond: recent.length, p99Ms };
    },
    result() {
      const excess = overTheShare(verdicts);
      const judged = verdicts.map((verdict) =>
        excess.has(verdict) ? { ...verdict, result: 'failed' as const } : verdict,
      );
      for (const verdict of excess) {
        if (failures.length >= FAILURES_LISTED) break;
        failures.push(asFailure(verdict, `reset of an idle connection, above the 1 % that is allowed`));
      }
      const classes: TrafficResult['classes'] = {};
      for (const name of new Set(judged.map((verdict) => verdict.class))) {
        classes[name] = counts(judged.filter((verdict) => verdict.class === name));
      }
      return {
        ...{ kind: 'result', requests: counts(judged), classes, servedBy, failures },
        lastServedMs: lastServed(judged),
        ...{ perSecond: perSecond(judged), streamsDrained: drained },
      };
    },
  };
}

function asFailure(verdict: Verdict, error: string): Failure {
  return { atMs: verdict.startedMs, class: verdict.class, error, target: verdict.target };
}

/** The resets past the allowance, the latest ones: they are failures. */
function overTheShare(verdicts: readonly Verdict[]): Set<Verdict> {
  const resets = verdicts.filter((verdict) => verdict.result === 'reset');
  return new Set(resets.slice(Math.floor(verdicts.length * RESET_SHARE)));
}

function counts(verdicts: readonly Verdict[]): Counts {
  const times = latencies(verdicts);
  return {
    total: verdicts.length,
    failed: verdicts.filter((verdict) => verdict.result === 'failed').length,
    resetOnIdle: verdicts.filter((verdict) => verdict.result === 'reset').length,
    apiRetried: verdicts.filter((verdict) => verdict.retried === true).length,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
  };
}

function lastServed(verdicts: readonly Verdict[]): TrafficResult['lastServedMs'] {
  const last: TrafficResult['lastServedMs'] = {};
  for (const { class: name, servedBy, startedMs } of verdicts) {
    if (servedBy === undefined) continue;
    const nodes = (last[name] ??= {});
    nodes[servedBy] = Math.max(nodes[servedBy] ?? 0, startedMs);
  }
  return last;
}

/** Of the requests that were answered, the retry of a reset one included. */
function latencies(verdicts: readonly Verdict[]): number[] {
  return verdicts
    .filter((verdict) => verdict.result !== 'failed')
    .map((verdict) => verdict.endedMs - verdict.startedMs)
    .sort((a, b) => a - b);
}

/** Nearest rank, to a hundredth of a millisecond; 0 when there is nothing to rank. */
export function percentile(sorted: readonly number[], share: number): number {
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
  return Math.round(value * 100) / 100;
}

function perSecond(verdicts: readonly Verdict[]): Second[] {
  const buckets = new Map<number, Verdict[]>();
  for (const verdict of verdicts) {
    const t = Math.floor(verdict.startedMs / 1_000) * 1_000;
    buckets.set(t, [...(buckets.get(t) ?? []), verdict]);
  }
  const times = [...buckets.keys()].sort((a, b) => a - b);
  const seconds: Second[] = [];
  for (let t = times[0] ?? 0; t <= (times.at(-1) ?? -1); t += 1_000) {
    const inside = buckets.get(t) ?? [];
    const failed = inside.filter((verdict) => verdict.result === 'failed').length;
    seconds.push({ t, ok: inside.length - failed, failed, p99Ms: percentile(latencies(inside), 0.99) });
  }
  return seconds;
}
