/**
 * Runtime expressions: conditions of stages, jobs and steps, and variables written `$[ … ]`.
 * What each place may name is one table, used by the check before the run and by the evaluation in it.
 */
import { evaluate, toBoolean, toText, type LocalFunction, type Value } from './evaluate.ts';
import { parseExpression } from './expression.ts';
import type { Job, Stage } from './pipeline.ts';
import { isSuccess, resultText, type Result } from './results.ts';
import { treeOf, type Leaf, type Mapping, type Plain } from './tree.ts';
import type { Variables } from './variables.ts';

export interface JobOutcome {
  job: Job;
  result: Result;
  /** `step.variable` → value. */
  outputs: ReadonlyMap<string, string>;
}

export interface StageOutcome {
  stage: Stage;
  result: Result;
  jobs: readonly JobOutcome[];
}

/** What status functions look at. */
export interface Status {
  canceled: boolean;
  /** Results of everything before: all ancestors of a stage or job; of a step, the job so far. */
  before: readonly Result[];
  named(name: string): Result | undefined;
}

export interface RuntimeScope {
  names: ReadonlyMap<string, Mapping>;
  status: Status | undefined;
}

const ANY = Infinity;
export const STATUS_ARITY: ReadonlyMap<string, { min: number; max: number }> = new Map([
  ['always', { min: 0, max: 0 }],
  ['canceled', { min: 0, max: 0 }],
  ['succeeded', { min: 0, max: ANY }],
  ['failed', { min: 0, max: ANY }],
  ['succeededorfailed', { min: 0, max: ANY }],
]);

/** An absent condition is `succeeded()`. */
export function holds(condition: Leaf | undefined, scope: RuntimeScope): boolean {
  if (condition === undefined || condition.text.trim() === '') {
    return scope.status === undefined || statusFunction('succeeded', [], scope.status);
  }
  return toBoolean(evaluateRuntime(condition.text, condition, scope));
}

export function runtimeText(source: Leaf, scope: RuntimeScope): string {
  const inner = /^\$\[([\s\S]*)\]$/.exec(source.text.trim())?.[1];
  return inner === undefined ? source.text : (toText(evaluateRuntime(inner, source, scope)) ?? '');
}

function evaluateRuntime(text: string, source: Leaf, scope: RuntimeScope): Value {
  const functions = new Map<string, LocalFunction>();
  const { status } = scope;
  for (const [name, arity] of status ? STATUS_ARITY : []) {
    functions.set(name, {
      ...arity,
      call: (args) =>
        statusFunction(
          name,
          args.map((argument) => toText(argument) ?? ''),
          status as Status,
        ),
    });
  }
  return evaluate(parseExpression(text, source.at), {
    at: source.at,
    name: (name) => scope.names.get(name.toLowerCase()),
    functions,
  });
}

function statusFunction(name: string, args: readonly string[], status: Status): boolean {
  const results =
    args.length === 0 ? status.before : args.map((argument) => status.named(argument) ?? 'skipped');
  if (name === 'always') return true;
  if (name === 'canceled') return status.canceled;
  if (name === 'failed') return results.includes('failed');
  // A skipped dependency did not succeed (facts/azure-pipelines.md).
  if (name === 'succeeded') return !status.canceled && results.every(isSuccess);
  return (
    !status.canceled &&
    (args.length === 0 || results.some((result) => isSuccess(result) || result === 'failed'))
  );
}

export function variableNames(variables: Variables): Mapping {
  return treeOf(Object.fromEntries(variables.list().map(({ name, value }) => [name, value]))) as Mapping;
}

/** `dependencies` of a stage's condition. Outputs of deployment jobs are reported to be missing there. */
export function stageContext(before: readonly StageOutcome[]): Mapping {
  const context: Record<string, Plain> = {};
  for (const { stage, result, jobs } of before) {
    const outputs: Record<string, string> = {};
    for (const { job, outputs: own } of jobs.filter((outcome) => outcome.job.kind === 'job')) {
      for (const [key, value] of own) outputs[`${job.name}.${key}`] = value;
    }
    context[stage.name] = { result: resultText(result), outputs };
  }
  return treeOf(context) as Mapping;
}

/** `dependencies` of a job: the jobs before it in its stage. */
export function jobContext(before: readonly JobOutcome[]): Mapping {
  return treeOf(
    Object.fromEntries(before.map((outcome) => [outcome.job.name, jobEntry(outcome)])),
  ) as Mapping;
}

/** `stageDependencies` of a job: the stages that its own stage depends on. */
export function stageDependenciesContext(before: readonly StageOutcome[]): Mapping {
  const stages = before.map(({ stage, jobs }) => [
    stage.name,
    Object.fromEntries(jobs.map((outcome) => [outcome.job.name, jobEntry(outcome)])),
  ]);
  return treeOf(Object.fromEntries(stages) as Plain) as Mapping;
}

function jobEntry({ job, result, outputs }: JobOutcome): Plain {
  // Outputs of a runOnce deployment job carry the job's name twice.
  const prefix = job.kind === 'deployment' ? `${job.name}.` : '';
  const named = Object.fromEntries([...outputs].map(([key, value]) => [`${prefix}${key}`, value]));
  return { result: resultText(result), outputs: named };
}

/** All that must come before `name`, not only what it names itself. */
export function ancestorsOf<T extends { name: string; dependsOn: readonly string[] }>(
  name: string,
  nodes: readonly T[],
): T[] {
  const found = new Map<string, T>();
  const visit = (current: string): void => {
    const node = nodes.find((candidate) => candidate.name.toLowerCase() === current.toLowerCase());
    for (const next of node?.dependsOn ?? []) {
      const dependency = nodes.find((candidate) => candidate.name.toLowerCase() === next.toLowerCase());
      if (!dependency || found.has(dependency.name)) continue;
      found.set(dependency.name, dependency);
      visit(dependency.name);
    }
  };
  visit(name);
  return [...found.values()];
}
