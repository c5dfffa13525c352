/**
 * What the log can say. Jobs, keys, fences and budgets are a fold over these events (see fold.ts), so one fsync
 * moves all of them together, and the audit log cannot disagree with the state.
 */
import type { Budget, Lane } from '../protocol/operation.ts';
import type { JobError, RefusalCode } from '../protocol/wire.ts';
import type { Folded } from './state.ts';

export type LogEvent =
  | { event: 'boot'; bridgeVersion: string }
  /** The last line was incomplete after a crash and was cut. */
  | { event: 'torn'; bytes: number }
  | Accepted
  /** A supervisor is about to be started; from here on only its claim tells whether it ran. */
  | { event: 'started'; jobId: string; attempt: number }
  /** The supervisor of `attempt` never claimed its job and no longer can: it goes back to its place in the queue. */
  | { event: 'requeued'; jobId: string; attempt: number }
  | { event: 'cancelAsked'; jobId: string; client: string }
  | Ended
  /** A new file begins: what all files before it say, taken together. */
  | { event: 'rotated'; state: Folded }
  /** Finished jobs past their time: their folders go, and their keys are free. */
  | { event: 'forgotten'; jobIds: string[] }
  /** Peers without a listed certificate since the last such entry, at most one entry a minute. */
  | { event: 'strangers'; count: number }
  /** A person gave a cluster's fence another number. */
  | { event: 'fenceSet'; cluster: string; fence: number; at: string }
  /** `count` equal refusals in a row, merged. */
  | { event: 'refused'; client: string; op: string; code: RefusalCode; field: string; count: number }
  /** Another bridge.yaml is in force; who is named in it. */
  | { event: 'policy'; clients: string[] }
  /** What a person did with the admin commands while the bridge ran or stood. */
  | { event: 'admin'; what: string; vmId: string; cluster: string; node: string; at: string };

export interface Accepted {
  event: 'accepted';
  jobId: string;
  client: string;
  op: string;
  key: string;
  paramsHash: string;
  /** With `***` where the operation redacts. */
  redactedParams: { [name: string]: unknown };
  target: string;
  lane: Lane;
  /** Absent for the bridge's own jobs, which nobody is charged for. */
  budget?: Budget;
  cluster?: string;
  fence?: number;
}

export interface Ended {
  event: 'ended';
  jobId: string;
  state: 'succeeded' | 'failed' | 'cancelled';
  error?: JobError;
  result?: unknown;
  /** Exit code of the host's part; null when a signal ended it or it never ran. */
  exit: number | null;
  durMs: number;
  /** Processes of the job that could not be ended. */
  survivors: number;
}
