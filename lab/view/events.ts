/**
 * What the lab tells whoever watches it. The lab sends these; the live view and the plain lines are made of
 * nothing else.
 */

export type StageResult = 'succeeded' | 'failed' | 'skipped' | 'rejected' | 'cancelled';

export type ViewEvent =
  /** One of the first lines: which parts are real and which are stand-ins. */
  | { kind: 'component'; name: string; real: boolean; version: string }
  | { kind: 'stage.started'; stage: string }
  | { kind: 'stage.ended'; stage: string; result: StageResult; durationMs: number }
  | { kind: 'step.started'; stage: string; step: string }
  | { kind: 'step.ended'; stage: string; step: string; result: StageResult; durationMs: number }
  | { kind: 'action.started'; id: string; reason: string; irreversible: boolean; wait: boolean }
  | { kind: 'action.done'; id: string; durationMs: number }
  /** A line of a task's own output. Shown only in plain mode. */
  | { kind: 'log'; step: string; text: string }
  /** An error or a warning that a person must see. */
  | { kind: 'issue'; level: 'error' | 'warning'; text: string }
  | { kind: 'traffic'; total: number; failed: number; perSecond: number; p99Ms: number }
  | { kind: 'vms'; running: number; steady: number }
  /** A gate waits: `lines` say what will happen when it is approved. */
  | { kind: 'approval.asked'; stage: string; lines: string[] }
  | { kind: 'approval.answered'; stage: string; approved: boolean; by: string }
  | { kind: 'ended'; outcome: 'succeeded' | 'failed' | 'refused' | 'nothingDue'; table: FinalTable };

export interface FinalTable {
  tasks: { stage: string; name: string; result: string; durationMs: number; actions: number }[];
  replaced: { old: string; new: string }[];
  requests: {
    total: number;
    failed: number;
    resetOnIdle: number;
    apiRetried: number;
    p50Ms: number;
    p99Ms: number;
  };
  vmPeak: number;
  vmSteady: number;
  durationMs: number;
  /** Where the report was written. */
  report: string | undefined;
}
