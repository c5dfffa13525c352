/** What became of a stage, a job or a step, and what the runner tells while it goes on. */

export type Result = 'succeeded' | 'succeededWithIssues' | 'failed' | 'canceled' | 'skipped';

/** Why a result is not a success, where it is not the task's own doing. */
export type Cause =
  'rejected' | 'approvalTimedOut' | 'timedOut' | 'canceled' | 'skippedByHand' | 'condition' | 'noAgent';

export interface StepResult {
  name: string;
  displayName: string;
  /** Undefined for checkout and scripts. */
  task: string | undefined;
  result: Result;
  durationMs: number;
  attempts: number;
}

export interface JobResult {
  name: string;
  result: Result;
  cause?: Cause;
  steps: StepResult[];
}

export interface StageResult {
  name: string;
  result: Result;
  cause?: Cause;
  isSkippable: boolean;
  jobs: JobResult[];
}

export interface RunResult {
  outcome: 'succeeded' | 'succeededWithIssues' | 'failed' | 'canceled';
  stages: StageResult[];
}

export interface Where {
  stage: string;
  job?: string;
  /** The step's name, or its display name when it has none. */
  step?: string;
}

export interface ApprovalRequest {
  stage: string;
  kind: 'environment' | 'manual';
  environment?: string;
  description: string;
  deadlineMs: number;
}
export type ApprovalAnswer = 'approve' | 'reject' | 'timeout';

/** Every text in an event is already masked. `atMs` is the machine's clock. */
export type RunnerEvent = { atMs: number } & (
  | { type: 'run'; state: 'started' }
  | { type: 'run'; state: 'ended'; outcome: RunResult['outcome'] }
  | ({ type: 'stage' | 'job'; state: 'started'; displayName: string } & Where)
  | ({ type: 'stage' | 'job'; state: 'ended'; displayName: string; result: Result; cause?: Cause } & Where)
  | ({ type: 'step'; state: 'started'; displayName: string; task?: string; attempt: number } & Where)
  | ({
      type: 'step';
      state: 'ended';
      displayName: string;
      task?: string;
      attempt: number;
      result: Result;
      durationMs: number;
    } & Where)
  | ({ type: 'log'; stream: 'stdout' | 'stderr' | 'agent'; line: string } & Where)
  | ({ type: 'issue'; severity: 'error' | 'warning'; message: string } & Where)
  | ({ type: 'variable'; name: string; value: string; isOutput: boolean; isSecret: boolean } & Where)
  | ({ type: 'progress'; percent: number | undefined; operation: string } & Where)
  | ({ type: 'detail'; properties: Record<string, string>; message: string } & Where)
  | ({ type: 'summary'; text: string } & Where)
  | ({ type: 'attachment'; kind: string; name: string; content: Buffer } & Where)
  | ({ type: 'tag'; tag: string } & Where)
  | ({ type: 'approval'; state: 'asked'; request: ApprovalRequest } & Where)
  | ({ type: 'approval'; state: 'answered'; answer: ApprovalAnswer } & Where)
);

type WithoutTime<T> = T extends unknown ? Omit<T, 'atMs'> : never;
export type UntimedEvent = WithoutTime<RunnerEvent>;

/** The agent's order: a cancel outweighs a failure. */
const SEVERITY: readonly Result[] = ['skipped', 'succeeded', 'succeededWithIssues', 'failed', 'canceled'];

export function worse(left: Result, right: Result): Result {
  return SEVERITY.indexOf(left) >= SEVERITY.indexOf(right) ? left : right;
}

export function isSuccess(result: Result): boolean {
  return result === 'succeeded' || result === 'succeededWithIssues';
}

/** As conditions and `Agent.JobStatus` write it. */
export function resultText(result: Result): string {
  return result.charAt(0).toUpperCase() + result.slice(1);
}
