/** One stage: its condition, the approvals of its environments, and its jobs. */
import { runAgentJob, type JobRequest } from './agent-job.ts';
import { ancestorsOf, holds, jobContext, runtimeText, stageContext } from './condition.ts';
import { stageDependenciesContext, variableNames } from './condition.ts';
import type { JobOutcome, RuntimeScope, StageOutcome } from './condition.ts';
import type { RunContext } from './options.ts';
import type { Job, Stage, Variable } from './pipeline.ts';
import { worse, type Cause, type JobResult, type Result, type StageResult } from './results.ts';
import { askApproval, runServerJob } from './server-job.ts';
import type { Mapping } from './tree.ts';
import { resolveNested, type Variables } from './variables.ts';

/** The service's default for an approval. */
const APPROVAL_MINUTES = 30 * 24 * 60;

export interface StageRun {
  outcome: StageOutcome;
  result: StageResult;
}

/** @param ended all stages that ended so far, among them all ancestors of this one. */
export async function runStage(
  run: RunContext,
  stage: Stage,
  ended: ReadonlyMap<string, StageOutcome>,
): Promise<StageRun> {
  const where = { stage: stage.name, displayName: stage.displayName };
  const finish = (result: Result, jobs: FinishedJob[], cause?: Cause): StageRun => {
    run.emit({ type: 'stage', state: 'ended', ...where, result, ...(cause ? { cause } : {}) });
    return {
      outcome: { stage, result, jobs: jobs.map(({ outcome }) => outcome) },
      result: {
        ...{ name: stage.name, result, isSkippable: stage.isSkippable },
        ...(cause ? { cause } : {}),
        jobs: jobs.map((job) => job.result),
      },
    };
  };
  const direct = stage.dependsOn.flatMap((name) => ended.get(name.toLowerCase()) ?? []);
  const before = ancestorsOf(stage.name, run.pipeline.stages).map(
    (ancestor) => ended.get(ancestor.name.toLowerCase())?.result ?? 'skipped',
  );
  if (run.options.skipStages?.some((name) => name.toLowerCase() === stage.name.toLowerCase())) {
    return finish('skipped', [], 'skippedByHand');
  }
  const scope: RuntimeScope = {
    names: new Map([
      ['variables', variableNames(run.variables)],
      ['dependencies', stageContext(direct)],
    ]),
    status: {
      canceled: run.canceled.aborted,
      before,
      named: (name) => ended.get(name.toLowerCase())?.result,
    },
  };
  if (!holds(stage.condition, scope)) {
    return finish('skipped', [], run.canceled.aborted ? 'canceled' : 'condition');
  }
  // A stage that starts after the cancel (always()) is not cancelled itself.
  const cancel = run.canceled.aborted ? new AbortController().signal : run.canceled;
  const refused = await passChecks(run, stage, cancel);
  if (refused) return finish(refused.result, [], refused.cause);
  run.emit({ type: 'stage', state: 'started', ...where });
  const jobs = await runJobs(run, stage, direct, cancel);
  const results = jobs.map((job) => job.result);
  // A skipped job does not make a stage skipped, unless all are.
  const result = results.map((job) => job.result).reduce(worse, 'skipped');
  return finish(result, jobs, results.find((job) => job.result === result)?.cause);
}

/** Checks are made before a stage begins, for all environments that its jobs name. */
async function passChecks(
  run: RunContext,
  stage: Stage,
  cancel: AbortSignal,
): Promise<{ result: Result; cause: Cause } | undefined> {
  const guarded = run.options.environmentsWithApproval ?? 'all';
  const environments = new Set(stage.jobs.flatMap((job) => job.environment ?? []));
  for (const environment of environments) {
    if (guarded !== 'all' && !guarded.includes(environment)) continue;
    const deadlineMs = (run.options.approvalMinutes ?? APPROVAL_MINUTES) * run.minuteMs;
    const description = `${stage.displayName}: environment ${environment}`;
    const answer = await askApproval(
      run,
      { stage: stage.name, kind: 'environment', environment, description, deadlineMs },
      cancel,
      { stage: stage.name },
    );
    if (answer === 'canceled') return { result: 'canceled', cause: 'canceled' };
    if (answer === 'reject') return { result: 'failed', cause: 'rejected' };
    // An approval that nobody gave in time leaves the stage skipped, not failed.
    if (answer === 'timeout') return { result: 'skipped', cause: 'approvalTimedOut' };
  }
  return undefined;
}

interface FinishedJob {
  outcome: JobOutcome;
  result: JobResult;
}

async function runJobs(
  run: RunContext,
  stage: Stage,
  direct: readonly StageOutcome[],
  cancel: AbortSignal,
): Promise<FinishedJob[]> {
  const stageVariables = run.variables.copy();
  stageVariables.set('System.StageName', stage.name, { readonly: true });
  stageVariables.set('System.StageDisplayName', stage.displayName, { readonly: true });
  declare(stageVariables, stage.variables, new Map());
  const running = new Map<string, Promise<FinishedJob>>();
  const start = (job: Job): Promise<FinishedJob> => {
    const known = running.get(job.name);
    if (known) return known;
    const dependencies = ancestorsOf(job.name, stage.jobs);
    const started = Promise.all(dependencies.map(start)).then((before) =>
      runJob(
        run,
        { stage, job, variables: stageVariables.copy(), outputs: new Map(), cancel },
        before,
        direct,
      ),
    );
    running.set(job.name, started);
    return started;
  };
  return Promise.all(stage.jobs.map(start));
}

async function runJob(
  run: RunContext,
  request: JobRequest,
  ancestors: readonly FinishedJob[],
  stages: readonly StageOutcome[],
): Promise<FinishedJob> {
  const { job, stage, variables, outputs, cancel } = request;
  const before = ancestors.map(({ outcome }) => outcome);
  const isDirect = (outcome: JobOutcome): boolean =>
    job.dependsOn.some((name) => name.toLowerCase() === outcome.job.name.toLowerCase());
  const names = new Map<string, Mapping>([
    ['dependencies', jobContext(before.filter(isDirect))],
    ['stagedependencies', stageDependenciesContext(stages)],
  ]);
  const where = { stage: stage.name, job: job.name, displayName: job.displayName };
  const finish = (result: JobResult): FinishedJob => {
    const cause = result.cause ? { cause: result.cause } : {};
    run.emit({ type: 'job', state: 'ended', ...where, result: result.result, ...cause });
    return { outcome: { job, result: result.result, outputs }, result };
  };
  const work = async (): Promise<JobResult> => {
    const scope: RuntimeScope = {
      names: new Map([...names, ['variables', variableNames(variables)]]),
      status: {
        canceled: cancel.aborted,
        before: before.map((outcome) => outcome.result),
        named: (name) =>
          before.find((outcome) => outcome.job.name.toLowerCase() === name.toLowerCase())?.result,
      },
    };
    if (!holds(job.condition, scope)) {
      const cause = cancel.aborted ? 'canceled' : 'condition';
      return { name: job.name, result: 'skipped', cause, steps: [] };
    }
    run.emit({ type: 'job', state: 'started', ...where });
    for (const [name, value] of identityOf(job)) variables.set(name, value, { readonly: true });
    declare(variables, job.variables, names);
    resolveNested(variables);
    // What starts after the cancel, because its condition holds all the same, is not cancelled itself.
    const own = { ...request, cancel: cancel.aborted ? new AbortController().signal : cancel };
    return job.pool.kind === 'server' ? runServerJob(run, own) : runAgentJob(run, own);
  };
  return finish(await (job.pool.kind === 'server' ? work() : run.onAgent(work)));
}

function identityOf(job: Job): [string, string][] {
  const identity: [string, string][] = [
    ['System.JobName', job.name],
    ['System.JobDisplayName', job.displayName],
    ['Agent.JobName', job.name],
  ];
  return job.environment === undefined ? identity : [...identity, ['Environment.Name', job.environment]];
}

/** Adds declared variables; `$[ ]` is evaluated now, with the ones that stand before it. */
export function declare(
  variables: Variables,
  declared: readonly Variable[],
  names: ReadonlyMap<string, Mapping>,
): void {
  for (const { name, value, readonly } of declared) {
    const scope: RuntimeScope = {
      names: new Map([...names, ['variables', variableNames(variables)]]),
      status: undefined,
    };
    variables.set(name, runtimeText(value, scope), { readonly });
  }
}
