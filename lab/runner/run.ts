/**
 * Runs a pipeline of Azure Pipelines on this machine: the service's rules for stages, conditions and approvals,
 * the agent's rules for tasks. facts/azure-pipelines.md says which; what is not known is refused with its line.
 */
import { CodedError } from '../../ports/errors.ts';
import { createLane } from './clock.ts';
import type { StageOutcome } from './condition.ts';
import { expandPipeline, loadTasks } from './load.ts';
import { createMasks, type Masks } from './masks.ts';
import type { RunContext, RunOptions } from './options.ts';
import type { Pipeline } from './pipeline.ts';
import type { RunResult, StageResult } from './results.ts';
import { declare, runStage, type StageRun } from './stage.ts';
import { isSecretParameter } from './task-environment.ts';
import { AGENT_LADDER } from './task-process.ts';
import { createVariables, type Variables } from './variables.ts';

export type { RunOptions } from './options.ts';
export type { Endpoint } from './task-inputs.ts';
export type {
  ApprovalAnswer,
  ApprovalRequest,
  JobResult,
  RunnerEvent,
  RunResult,
  StageResult,
  StepResult,
} from './results.ts';
export { expandPipeline, type ExpandedPipeline, type ExpandPipelineOptions } from './load.ts';

const MINUTE_MS = 60_000;

/**
 * @throws CodedError NC9101 to NC9105 before anything runs; NC9106 and NC9109 for options that cannot be.
 * What goes wrong in a job is its result, not an exception.
 */
export async function runPipeline(options: RunOptions): Promise<RunResult> {
  const { pipeline } = await expandPipeline({
    readPipelineFile: options.readPipelineFile,
    pipelinePath: options.pipelinePath,
    parameters: options.parameters,
    compileVariables: runVariables(options),
  });
  checkSkips(options, pipeline);
  const manifests = await loadTasks(
    pipeline,
    options.tasksDir,
    options.endpoints,
    options.agent.capabilities['Agent.Version'],
  );
  const masks = secretMasks(options);
  const run: RunContext = {
    ...{ options, pipeline, masks, manifests },
    minuteMs: options.minuteMs ?? MINUTE_MS,
    ladder: options.cancelLadder ?? AGENT_LADDER,
    emit: (event) => options.onEvent({ ...masks.deep(event), atMs: Date.now() }),
    variables: baseVariables(options, pipeline),
    canceled: options.signal ?? new AbortController().signal,
    onAgent: createLane(),
  };
  run.emit({ type: 'run', state: 'started' });
  const stages = await runStages(run);
  const outcome = outcomeOf(stages, run.canceled.aborted);
  run.emit({ type: 'run', state: 'ended', outcome });
  return { outcome, stages };
}

async function runStages(run: RunContext): Promise<StageResult[]> {
  const ended = new Map<string, StageOutcome>();
  const running = new Map<string, Promise<StageRun>>();
  // Stages are written in any order; a promise for each lets every one wait for its own dependencies.
  const start = (name: string): Promise<StageRun> => {
    const key = name.toLowerCase();
    const known = running.get(key);
    if (known) return known;
    const stage = run.pipeline.stages.find((candidate) => candidate.name.toLowerCase() === key);
    if (!stage) throw new Error(`The stage '${name}' passed the check but is missing.`);
    const started = Promise.all(stage.dependsOn.map(start)).then(async () => {
      const done = await runStage(run, stage, ended);
      ended.set(key, done.outcome);
      return done;
    });
    running.set(key, started);
    return started;
  };
  const settled = await Promise.allSettled(run.pipeline.stages.map((stage) => start(stage.name)));
  return settled.map((one) => {
    if (one.status === 'fulfilled') return one.value.result;
    throw one.reason;
  });
}

function outcomeOf(stages: readonly StageResult[], canceled: boolean): RunResult['outcome'] {
  if (canceled) return 'canceled';
  // A job that ran out of time is cancelled, but nobody cancelled the run: it failed.
  if (stages.some(({ result }) => result === 'failed' || result === 'canceled')) return 'failed';
  // The service skips the stage behind an approval that nobody gave; nobody should read that as a success.
  if (stages.some(({ cause }) => cause === 'approvalTimedOut')) return 'failed';
  return stages.some(({ result }) => result === 'succeededWithIssues') ? 'succeededWithIssues' : 'succeeded';
}

function checkSkips(options: RunOptions, pipeline: Pipeline): void {
  for (const name of options.skipStages ?? []) {
    const stage = pipeline.stages.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
    if (stage?.isSkippable) continue;
    throw new CodedError(
      'NC9109',
      `'${name}': ${stage ? 'it says isSkippable: false' : 'there is no such stage'}.`,
    );
  }
}

function secretMasks(options: RunOptions): Masks {
  const masks = createMasks();
  for (const secret of Object.values(options.secrets ?? {})) masks.add(secret);
  for (const { authParameters } of Object.values(options.endpoints)) {
    for (const [name, value] of Object.entries(authParameters)) {
      if (isSecretParameter(name)) masks.add(value);
    }
  }
  return masks;
}

function runVariables(options: RunOptions): Record<string, string> {
  const { organisationUrl, project, definitionId, pipelineName, runId, buildNumber, checkout } = options;
  const collection = organisationUrl.endsWith('/') ? organisationUrl : `${organisationUrl}/`;
  const branch = options.sourceBranch ?? 'refs/heads/main';
  return {
    'System.CollectionUri': collection,
    'System.TeamFoundationCollectionUri': collection,
    'System.TeamProject': project,
    'System.DefinitionId': definitionId,
    'System.HostType': 'build',
    'Build.BuildId': runId,
    'Build.BuildNumber': buildNumber,
    'Build.BuildUri': `vstfs:///Build/Build/${runId}`,
    'Build.DefinitionName': pipelineName,
    'Build.Reason': options.reason ?? 'Manual',
    'Build.SourceBranch': branch,
    'Build.SourceBranchName': branch.split('/').at(-1) ?? branch,
    'Build.SourceVersion': checkout.commit,
    'Build.Repository.Uri': checkout.repository,
  };
}

function baseVariables(options: RunOptions, pipeline: Pipeline): Variables {
  const variables = createVariables();
  const predefined = { ...runVariables(options), TF_BUILD: 'True', 'System.StageAttempt': '1' };
  for (const [name, value] of Object.entries({ ...predefined, 'System.JobAttempt': '1' })) {
    variables.set(name, value, { readonly: true });
  }
  for (const [name, value] of Object.entries(options.variables ?? {})) variables.set(name, value);
  for (const [name, value] of Object.entries(options.secrets ?? {}))
    variables.set(name, value, { secret: true });
  const token = options.endpoints['SystemVssConnection']?.authParameters['AccessToken'];
  if (token !== undefined) variables.set('System.AccessToken', token, { secret: true, readonly: true });
  declare(variables, pipeline.variables, new Map());
  return variables;
}
