/** One step of an agent's job: task, script or checkout, with its attempts and its time limit. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import { checkOut, type WorkFolder } from './checkout.ts';
import { after, pause } from './clock.ts';
import { addIssue, handleLine, type StepRecord } from './command-effects.ts';
import type { RunContext } from './options.ts';
import type { Result } from './results.ts';
import type { ScriptAction, Step, TaskAction } from './steps.ts';
import { taskEnvironment, type TaskVariable } from './task-environment.ts';
import { resolveInputs, type Endpoint, type ResolvedInputs } from './task-inputs.ts';
import type { TaskManifest } from './task-manifest.ts';
import { runProcess } from './task-process.ts';
import { expandMacros, type Variables } from './variables.ts';

export interface StepRequest {
  step: Step;
  stage: string;
  job: string;
  folder: WorkFolder;
  variables: Variables;
  outputs: Map<string, string>;
  /** Fires when the job is cancelled or out of time. */
  cancel: AbortSignal;
}

const SYSTEM_CONNECTION = 'SystemVssConnection';

/** The attempts that were made, and what became of the last one. */
export async function runStep(
  run: RunContext,
  request: StepRequest,
): Promise<{ result: Result; attempts: number }> {
  const { step, cancel } = request;
  const timeout = new AbortController();
  const stop = after((step.timeoutMinutes ?? Infinity) * run.minuteMs, () => timeout.abort());
  const signal = AbortSignal.any([cancel, timeout.signal]);
  const record = newRecord(run, request);
  let attempts = 0;
  try {
    for (;;) {
      attempts += 1;
      record.result = undefined;
      const result = await runAttempt(run, request, record, attempts, signal);
      if (cancel.aborted) return { result: 'canceled', attempts };
      if (timeout.signal.aborted) {
        addIssue(record, 'error', `The step ran longer than ${step.timeoutMinutes ?? 0} minutes.`);
        return { result: 'failed', attempts };
      }
      if (result !== 'failed' || attempts > step.retryCount) return { result, attempts };
      addIssue(record, 'warning', `Attempt ${attempts} failed; trying again.`);
      // 1, 4, 9 … seconds (facts/azure-pipelines.md).
      await pause((attempts * attempts * run.minuteMs) / 60, signal);
      if (signal.aborted) return { result: isAborted(cancel) ? 'canceled' : 'failed', attempts };
    }
  } finally {
    stop();
  }
}

/** Asked again after a wait: the compiler takes the first answer as lasting. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

function newRecord(run: RunContext, request: StepRequest): StepRecord {
  const { step, stage, job } = request;
  const { action } = step;
  return {
    where: { stage, job, step: step.name ?? step.displayName },
    stepName: step.name,
    variables: request.variables,
    outputs: request.outputs,
    taskVariables: new Map<string, TaskVariable>(),
    settableVariables: action.kind === 'task' ? run.manifests.get(action.task)?.settableVariables : undefined,
    masks: run.masks,
    emit: run.emit,
    result: undefined,
    issues: { error: 0, warning: 0 },
  };
}

async function runAttempt(
  run: RunContext,
  request: StepRequest,
  record: StepRecord,
  attempt: number,
  signal: AbortSignal,
): Promise<Result> {
  const { action } = request.step;
  try {
    if (action.kind === 'checkout') {
      if (action.repository === 'none') return 'succeeded';
      const onLine = (line: string): void => handleLine(record, 'stdout', line);
      await checkOut(run.options.checkout, request.folder.sources, action.fetchDepth, onLine, signal);
      return 'succeeded';
    }
    const code =
      action.kind === 'script'
        ? await runScript(run, request, record, action, signal)
        : await runTask(run, request, record, action, attempt, signal);
    if (code === 0) return record.result ?? 'succeeded';
    if (!signal.aborted) addIssue(record, 'error', `The process ended with exit code ${code}.`);
    return 'failed';
  } catch (error) {
    if (signal.aborted) return 'canceled';
    addIssue(record, 'error', error instanceof CodedError ? error.message : String(error));
    return 'failed';
  }
}

async function runTask(
  run: RunContext,
  request: StepRequest,
  record: StepRecord,
  action: TaskAction,
  attempt: number,
  signal: AbortSignal,
): Promise<number> {
  const { options } = run;
  const manifest = run.manifests.get(action.task) as TaskManifest;
  const expand = (text: string): string => expandMacros(text, request.variables.get);
  const inputs = resolveInputs(manifest, action, options.endpoints, expand, request.step.at);
  const system = options.endpoints[SYSTEM_CONNECTION];
  const always: Endpoint[] = system ? [{ ...system, id: SYSTEM_CONNECTION.toUpperCase() }] : [];
  return runProcess({
    file: options.node ?? process.execPath,
    args: [manifest.bundle],
    cwd: request.folder.sources,
    env: environment(run, request, record, { ...inputs, endpoints: [...inputs.endpoints, ...always] }),
    onLine: (stream, line) => handleLine(record, stream, line),
    onSpawn: (pid) =>
      options.onTaskSpawn?.({ task: action.task, stage: request.stage, job: request.job, attempt, pid }),
    cancel: signal,
    ladder: run.ladder,
  });
}

async function runScript(
  run: RunContext,
  request: StepRequest,
  record: StepRecord,
  action: ScriptAction,
  signal: AbortSignal,
): Promise<number> {
  const file = join(request.folder.temp, `${randomUUID()}.sh`);
  const expand = (text: string): string => expandMacros(text, request.variables.get);
  await writeFile(file, `${expand(action.script)}\n`, { mode: 0o700 });
  return runProcess({
    file: 'bash',
    args: ['--noprofile', '--norc', file],
    cwd: action.workingDirectory ? expand(action.workingDirectory) : request.folder.sources,
    env: environment(run, request, record, { values: {}, endpoints: [] }),
    onLine: (stream, line) => handleLine(record, stream, line),
    cancel: signal,
    ladder: run.ladder,
  });
}

function environment(
  run: RunContext,
  request: StepRequest,
  record: StepRecord,
  inputs: ResolvedInputs,
): Record<string, string> {
  const { step, variables } = request;
  const env = Object.entries(step.env).map(([key, value]) => [key, expandMacros(value, variables.get)]);
  const own = variables.copy();
  own.set('System.TaskDisplayName', expandMacros(step.displayName, variables.get));
  own.set('System.TaskInstanceName', step.name ?? '');
  const programs = run.options.agent.programs ?? [];
  const path = [...programs, process.env['PATH'] ?? ''].join(delimiter);
  return taskEnvironment(inputs, own, record.taskVariables, {
    ...(programs.length > 0 ? { PATH: path } : {}),
    ...(Object.fromEntries(env) as Record<string, string>),
  });
}
