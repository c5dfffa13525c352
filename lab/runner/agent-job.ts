/** A job on the agent: a fresh work folder, its steps in order, its time limit and what a cancel leaves running. */
import { wipeWorkFolder, type WorkFolder } from './checkout.ts';
import { after } from './clock.ts';
import { holds, variableNames } from './condition.ts';
import type { RunContext } from './options.ts';
import type { Job, Stage } from './pipeline.ts';
import { resultText, worse, type JobResult, type Result, type StepResult } from './results.ts';
import type { Step } from './steps.ts';
import { runStep } from './task-step.ts';
import { expandMacros, type Variables } from './variables.ts';

export interface JobRequest {
  stage: Stage;
  job: Job;
  variables: Variables;
  /** Filled by the job: `step.variable` → value. */
  outputs: Map<string, string>;
  /** Fires when a person cancels while this stage runs. */
  cancel: AbortSignal;
}

export async function runAgentJob(run: RunContext, request: JobRequest): Promise<JobResult> {
  const { job, stage } = request;
  const unmet = unmetDemand(run, job);
  if (unmet !== undefined) {
    run.emit({
      ...{ type: 'issue', stage: stage.name, job: job.name, severity: 'error' },
      message: `NC9108 No agent meets the demand '${unmet}' of the job '${job.name}'.`,
    });
    return { name: job.name, result: 'failed', cause: 'noAgent', steps: [] };
  }
  const folder = await wipeWorkFolder(run.options.workRoot);
  setJobVariables(request.variables, run, folder);
  const ending = startLimits(run, request);
  try {
    return await runSteps(run, request, folder, ending);
  } finally {
    ending.stop();
  }
}

function unmetDemand(run: RunContext, job: Job): string | undefined {
  const capabilities = Object.entries(run.options.agent.capabilities);
  const demand = job.pool.demands.find(({ name, value }) => {
    const found = capabilities.find(([key]) => key.toLowerCase() === name.toLowerCase());
    return !found || (value !== undefined && found[1].toLowerCase() !== value.toLowerCase());
  });
  return demand && (demand.value === undefined ? demand.name : `${demand.name} -equals ${demand.value}`);
}

interface Ending {
  /** Fires when steps must end: cancelled or out of time. */
  signal: AbortSignal;
  /** Fires when also the steps that run after a cancel must end. */
  grace: AbortSignal;
  timedOut(): boolean;
  stop(): void;
}

function startLimits(run: RunContext, { job, cancel }: JobRequest): Ending {
  const timeout = new AbortController();
  const grace = new AbortController();
  const signal = AbortSignal.any([cancel, timeout.signal]);
  const stopTimeout = after(job.timeoutMinutes * run.minuteMs, () => timeout.abort());
  let stopGrace = (): void => undefined;
  const startGrace = (): void => {
    stopGrace = after(job.cancelTimeoutMinutes * run.minuteMs, () => grace.abort());
  };
  if (signal.aborted) startGrace();
  else signal.addEventListener('abort', startGrace, { once: true });
  return {
    signal,
    grace: grace.signal,
    timedOut: () => timeout.signal.aborted && !cancel.aborted,
    stop: () => {
      stopTimeout();
      stopGrace();
      signal.removeEventListener('abort', startGrace);
    },
  };
}

async function runSteps(
  run: RunContext,
  request: JobRequest,
  folder: WorkFolder,
  ending: Ending,
): Promise<JobResult> {
  const { job, stage, variables } = request;
  const steps: StepResult[] = [];
  let soFar: Result = 'succeeded';
  for (const step of withCheckout(job)) {
    const canceled = ending.signal.aborted;
    const status: Result = canceled ? 'canceled' : soFar;
    variables.set('Agent.JobStatus', resultText(status), { readonly: true });
    const where = { stage: stage.name, job: job.name, step: step.name ?? step.displayName };
    const displayName = expandMacros(step.displayName, (name) =>
      variables.isSecret(name) ? '***' : variables.get(name),
    );
    const shown = {
      displayName,
      ...(step.action.kind === 'task' ? { task: step.action.task } : {}),
    };
    const finish = (result: Result, durationMs: number, attempts: number): void => {
      run.emit({ type: 'step', state: 'ended', ...where, ...shown, attempt: attempts, result, durationMs });
      steps.push({
        name: where.step,
        displayName,
        task: step.action.kind === 'task' ? step.action.task : undefined,
        ...{ result, durationMs, attempts },
      });
    };
    const scope = {
      names: new Map([['variables', variableNames(variables)]]),
      status: { canceled, before: [status], named: () => undefined },
    };
    if (!holds(step.condition, scope)) {
      finish('skipped', 0, 0);
      continue;
    }
    run.emit({ type: 'step', state: 'started', ...where, ...shown, attempt: 1 });
    const startedMs = performance.now();
    const outcome = await runStep(run, {
      ...{ step, stage: stage.name, job: job.name, folder, variables, outputs: request.outputs },
      cancel: canceled ? ending.grace : ending.signal,
    });
    const forgiven = outcome.result === 'failed' && step.continueOnError;
    const result = forgiven ? 'succeededWithIssues' : outcome.result;
    finish(result, performance.now() - startedMs, outcome.attempts);
    soFar = worse(soFar, result);
  }
  if (!ending.signal.aborted) return { name: job.name, result: soFar, steps };
  if (ending.timedOut()) {
    const message = `The job ran longer than ${job.timeoutMinutes} minutes.`;
    run.emit({ type: 'issue', stage: stage.name, job: job.name, severity: 'error', message });
  }
  return { name: job.name, result: 'canceled', cause: ending.timedOut() ? 'timedOut' : 'canceled', steps };
}

/** Jobs check out by themselves unless they say otherwise; deployment jobs do not. */
function withCheckout(job: Job): Step[] {
  const steps = job.steps.filter((step) => step.enabled);
  const [first] = job.steps;
  if (!first || job.kind === 'deployment' || job.steps.some((step) => step.action.kind === 'checkout'))
    return steps;
  const checkout: Step = {
    ...{ name: undefined, displayName: 'Checkout self', condition: undefined, enabled: true, env: {} },
    ...{ timeoutMinutes: undefined, retryCount: 0, continueOnError: false, at: job.at },
    action: { kind: 'checkout', repository: 'self', fetchDepth: 0 },
  };
  return [checkout, ...steps];
}

function setJobVariables(variables: Variables, run: RunContext, folder: WorkFolder): void {
  const values: Record<string, string> = {
    'Agent.Name': run.options.agent.name,
    'Agent.WorkFolder': folder.root,
    'Agent.TempDirectory': folder.temp,
    'Agent.BuildDirectory': folder.pipeline,
    'Agent.OS':
      process.platform === 'linux' ? 'Linux' : process.platform === 'darwin' ? 'Darwin' : 'Windows_NT',
    'Pipeline.Workspace': folder.pipeline,
    'Build.SourcesDirectory': folder.sources,
    'Build.Repository.LocalPath': folder.sources,
    'Build.ArtifactStagingDirectory': `${folder.pipeline}/a`,
    'System.DefaultWorkingDirectory': folder.sources,
  };
  for (const [name, value] of Object.entries(values)) variables.set(name, value, { readonly: true });
}
