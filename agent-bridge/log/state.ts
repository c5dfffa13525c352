/** What the bridge knows, as the fold over its log gives it (see fold.ts). */
import type { Lane } from '../protocol/operation.ts';
import type { JobError, JobState } from '../protocol/wire.ts';

export interface Job {
  id: string;
  client: string;
  op: string;
  key: string;
  paramsHash: string;
  target: string;
  lane: Lane;
  cluster?: string;
  state: JobState;
  /** Number of supervisors that were started for it. */
  attempt: number;
  cancelAsked: boolean;
  acceptedAt: string;
  startedAt?: string;
  endedAt?: string;
  result?: unknown;
  error?: JobError;
}

export interface State {
  /** In the order of acceptance. */
  jobs: Map<string, Job>;
  /** `client key` → job id. */
  keys: Map<string, string>;
  /** Highest fence number seen, per cluster. */
  fences: Map<string, number>;
  /** `client budget` → times of the charges, milliseconds, oldest first. */
  charges: Map<string, number[]>;
  /** The highest time in the log: a clock set back gives no budget. */
  highestMs: number;
}

/** The state as the first entry of a new file holds it: what can be made again from the rest is left out. */
export interface Folded {
  jobs: Job[];
  fences: { [cluster: string]: number };
  charges: { [clientAndBudget: string]: number[] };
  highestMs: number;
}
