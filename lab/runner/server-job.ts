/** Agentless jobs: the only task that runs there is ManualValidation@1. */
import { after } from './clock.ts';
import { holds, variableNames } from './condition.ts';
import type { JobRequest } from './agent-job.ts';
import type { RunContext } from './options.ts';
import type { ApprovalAnswer, ApprovalRequest, Cause, JobResult, Result, StepResult } from './results.ts';
import type { Step } from './steps.ts';
import { expandMacros } from './variables.ts';

export const MANUAL_VALIDATION = 'ManualValidation';
export const MANUAL_VALIDATION_INPUTS = [
  ...['notifyUsers', 'instructions', 'onTimeout', 'approvers'],
  'allowApproversToApproveTheirOwnRuns',
];

export async function runServerJob(run: RunContext, request: JobRequest): Promise<JobResult> {
  const { job, stage, variables } = request;
  const startedMs = performance.now();
  const limitMs = job.timeoutMinutes * run.minuteMs;
  const steps: StepResult[] = [];
  for (const step of job.steps.filter((candidate) => candidate.enabled)) {
    const failed = steps.some((other) => other.result === 'failed');
    const scope = {
      names: new Map([['variables', variableNames(variables)]]),
      status: {
        canceled: request.cancel.aborted,
        before: [failed ? ('failed' as const) : ('succeeded' as const)],
        named: () => undefined,
      },
    };
    const name = step.name ?? step.displayName;
    const where = { stage: stage.name, job: job.name, step: name };
    const shown = { displayName: step.displayName, task: MANUAL_VALIDATION };
    const stepStartedMs = performance.now();
    let outcome: { result: Result; cause?: Cause } = { result: 'skipped' };
    if (holds(step.condition, scope)) {
      run.emit({ type: 'step', state: 'started', ...where, ...shown, attempt: 1 });
      outcome = await validate(run, request, step, limitMs - (performance.now() - startedMs));
    }
    const durationMs = performance.now() - stepStartedMs;
    const { result } = outcome;
    run.emit({ type: 'step', state: 'ended', ...where, ...shown, attempt: 1, result, durationMs });
    steps.push({ name, ...shown, result, durationMs, attempts: result === 'skipped' ? 0 : 1 });
    const cause = outcome.cause ? { cause: outcome.cause } : {};
    if (result === 'canceled' || (result === 'failed' && !step.continueOnError)) {
      return { name: job.name, result, ...cause, steps };
    }
  }
  return { name: job.name, result: 'succeeded', steps };
}

async function validate(
  run: RunContext,
  request: JobRequest,
  step: Step,
  jobMs: number,
): Promise<{ result: Result; cause?: Cause }> {
  const inputs = step.action.kind === 'task' ? step.action.inputs : [];
  const input = (name: string): string => {
    const value = inputs.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase())?.value;
    return expandMacros(value ?? '', request.variables.get);
  };
  const stepMs = (step.timeoutMinutes ?? Infinity) * run.minuteMs;
  const answer = await askApproval(
    run,
    {
      stage: request.stage.name,
      kind: 'manual',
      description: input('instructions') || step.displayName,
      deadlineMs: Math.max(0, Math.min(stepMs, jobMs)),
    },
    request.cancel,
    { stage: request.stage.name, job: request.job.name },
  );
  if (answer === 'canceled') return { result: 'canceled', cause: 'canceled' };
  if (answer === 'approve') return { result: 'succeeded' };
  if (answer === 'reject') return { result: 'failed', cause: 'rejected' };
  // The step's own limit is what onTimeout speaks of; past the job's limit the job is over in any case.
  if (stepMs > jobMs) return { result: 'canceled', cause: 'timedOut' };
  const resume = input('onTimeout').toLowerCase() === 'resume';
  return resume ? { result: 'succeeded' } : { result: 'failed', cause: 'approvalTimedOut' };
}

/** Asks, and keeps the deadline itself, whatever the one who answers does. */
export async function askApproval(
  run: RunContext,
  request: ApprovalRequest,
  cancel: AbortSignal,
  where: { stage: string; job?: string },
): Promise<ApprovalAnswer | 'canceled'> {
  const asked = run.masks.deep(request);
  run.emit({ type: 'approval', state: 'asked', ...where, request: asked });
  let stop = (): void => undefined;
  let onCancel = (): void => undefined;
  const given = new Promise<ApprovalAnswer | 'canceled'>((resolve, reject) => {
    if (cancel.aborted) return resolve('canceled');
    onCancel = () => resolve('canceled');
    cancel.addEventListener('abort', onCancel, { once: true });
    stop = after(request.deadlineMs, () => resolve('timeout'));
    run.options.approve(asked).then(resolve, reject);
  });
  try {
    const answer = await given;
    if (answer !== 'canceled') run.emit({ type: 'approval', state: 'answered', ...where, answer });
    return answer;
  } finally {
    stop();
    cancel.removeEventListener('abort', onCancel);
  }
}
