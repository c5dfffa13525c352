/**
 * The state of the bridge: everything that it knows is this fold over its log.
 */
import type { Budget } from '../protocol/operation.ts';
import type { Entry } from './chain.ts';
import type { Folded, Job, State } from './state.ts';

/** Budgets count the last 24 hours. */
export const BUDGET_WINDOW_MS = 24 * 3_600_000;

export const emptyState = (): State => ({
  jobs: new Map(),
  keys: new Map(),
  fences: new Map(),
  charges: new Map(),
  highestMs: 0,
});

export const pairKey = (client: string, name: string): string => `${client} ${name}`;

/** The same log gives the same value, so that `audit verify` can compare it. */
export function folded(state: State): Folded {
  const since = state.highestMs - BUDGET_WINDOW_MS;
  const charges = [...state.charges].map(
    ([key, times]) => [key, times.filter((ms) => ms > since)] as [string, number[]],
  );
  return {
    jobs: [...state.jobs.values()],
    fences: Object.fromEntries(state.fences),
    charges: Object.fromEntries(charges.filter(([, times]) => times.length > 0)),
    highestMs: state.highestMs,
  };
}

/** Makes `state` what `from` says. */
function unfold(state: State, from: Folded): void {
  state.jobs = new Map(from.jobs.map((job) => [job.id, job]));
  state.keys = new Map(from.jobs.map((job) => [pairKey(job.client, job.key), job.id]));
  state.fences = new Map(Object.entries(from.fences));
  state.charges = new Map(Object.entries(from.charges));
  state.highestMs = from.highestMs;
}

/** Moves the state by one entry. */
export function apply(state: State, entry: Entry): void {
  if (entry.event === 'rotated') unfold(state, entry.state);
  const ms = Date.parse(entry.ts);
  state.highestMs = Math.max(state.highestMs, ms);
  switch (entry.event) {
    case 'accepted': {
      state.jobs.set(entry.jobId, {
        id: entry.jobId,
        client: entry.client,
        op: entry.op,
        key: entry.key,
        paramsHash: entry.paramsHash,
        target: entry.target,
        lane: entry.lane,
        ...(entry.cluster === undefined ? {} : { cluster: entry.cluster }),
        state: 'queued',
        attempt: 0,
        cancelAsked: false,
        acceptedAt: entry.ts,
      });
      state.keys.set(pairKey(entry.client, entry.key), entry.jobId);
      if (entry.cluster !== undefined && entry.fence !== undefined) {
        state.fences.set(entry.cluster, Math.max(entry.fence, state.fences.get(entry.cluster) ?? 0));
      }
      if (entry.budget !== undefined) charge(state, entry.client, entry.budget, state.highestMs);
      return;
    }
    case 'started':
      update(state, entry.jobId, { state: 'running', attempt: entry.attempt, startedAt: entry.ts });
      return;
    case 'requeued':
      update(state, entry.jobId, { state: 'queued' });
      return;
    case 'cancelAsked':
      update(state, entry.jobId, { cancelAsked: true });
      return;
    case 'ended':
      update(state, entry.jobId, {
        state: entry.state,
        endedAt: entry.ts,
        ...(entry.result === undefined ? {} : { result: entry.result }),
        ...(entry.error === undefined ? {} : { error: entry.error }),
      });
      return;
    case 'forgotten':
      for (const id of entry.jobIds) forget(state, id);
      return;
    case 'fenceSet':
      state.fences.set(entry.cluster, entry.fence);
      return;
    case 'boot':
    case 'torn':
    case 'rotated':
    case 'strangers':
    case 'refused':
    case 'policy':
    case 'admin':
      return;
  }
}

/** Charges of one budget inside the window that ends now, or at the highest time seen when the clock is behind it. */
export function spent(state: State, client: string, budget: Budget, nowMs: number): number {
  const since = Math.max(nowMs, state.highestMs) - BUDGET_WINDOW_MS;
  return (state.charges.get(pairKey(client, budget)) ?? []).filter((ms) => ms > since).length;
}

export const isFinished = (job: Job): boolean => job.endedAt !== undefined;

function charge(state: State, client: string, budget: Budget, ms: number): void {
  const key = pairKey(client, budget);
  const kept = (state.charges.get(key) ?? []).filter((at) => at > ms - BUDGET_WINDOW_MS);
  state.charges.set(key, [...kept, ms]);
}

function forget(state: State, id: string): void {
  const job = state.jobs.get(id);
  if (!job) return;
  state.jobs.delete(id);
  const key = pairKey(job.client, job.key);
  if (state.keys.get(key) === id) state.keys.delete(key);
}

function update(state: State, id: string, change: Partial<Job>): void {
  const job = state.jobs.get(id);
  if (job) state.jobs.set(id, { ...job, ...change });
}
