/**
 * Checks every runtime expression of a pipeline before anything runs: names, functions, and that what it refers to
 * exists and is within reach. The service finds some of these only by giving an empty value in the night.
 */
import { ancestorsOf, STATUS_ARITY } from './condition.ts';
import { checkCall } from './evaluate.ts';
import { parseExpression, usesOf } from './expression.ts';
import type { Job, Pipeline, Stage, Variable } from './pipeline.ts';
import { refusal, sameName, type Leaf, type Position } from './tree.ts';

type Place = 'a stage condition' | 'a job condition' | 'a step condition' | 'a variable';

interface Reach {
  place: Place;
  names: readonly string[];
  /** Names that status functions may take. */
  ancestors: readonly string[];
  check?(path: readonly string[], at: Position): void;
}

/** @throws CodedError NC9101, NC9103 */
export function lintExpressions(pipeline: Pipeline): void {
  const levelOnly: Reach = { place: 'a variable', names: ['variables'], ancestors: [] };
  lintVariables(pipeline.variables, levelOnly);
  for (const stage of pipeline.stages) {
    lintVariables(stage.variables, levelOnly);
    lintCondition(stage.condition, {
      place: 'a stage condition',
      names: ['variables', 'dependencies'],
      ancestors: ancestorsOf(stage.name, pipeline.stages).map((ancestor) => ancestor.name),
      check: (path, at) => checkStagePath(path, at, stage, pipeline),
    });
    for (const job of stage.jobs) lintJob(job, stage, pipeline);
  }
}

function lintJob(job: Job, stage: Stage, pipeline: Pipeline): void {
  const reach: Reach = {
    place: 'a job condition',
    names: ['variables', 'dependencies', 'stagedependencies'],
    ancestors: ancestorsOf(job.name, stage.jobs).map((ancestor) => ancestor.name),
    check: (path, at) => checkJobPath(path, at, job, stage, pipeline),
  };
  lintCondition(job.condition, reach);
  lintVariables(job.variables, { ...reach, place: 'a variable' });
  for (const step of job.steps) {
    lintCondition(step.condition, { place: 'a step condition', names: ['variables'], ancestors: [] });
  }
}

function lintVariables(variables: readonly Variable[], reach: Reach): void {
  for (const { value } of variables) {
    if (!value.text.includes('$[')) continue;
    const inner = /^\$\[([\s\S]*)\]$/.exec(value.text.trim())?.[1];
    if (inner === undefined)
      throw refusal('NC9103', value.at, `'${value.text}': $[ ] must be the whole value.`);
    lintExpression(inner, value.at, reach);
  }
}

function lintCondition(condition: Leaf | undefined, reach: Reach): void {
  if (condition && condition.text.trim() !== '') lintExpression(condition.text, condition.at, reach);
}

function lintExpression(text: string, at: Position, reach: Reach): void {
  const { calls, paths } = usesOf(parseExpression(text, at));
  for (const call of calls) {
    checkCall(call, at, reach.place === 'a variable' ? undefined : STATUS_ARITY);
    const isStatus = STATUS_ARITY.has(call.name.toLowerCase());
    for (const argument of isStatus ? call.args : []) {
      const name = argument.kind === 'literal' ? String(argument.value) : undefined;
      if (name !== undefined && reach.ancestors.some((ancestor) => sameName(ancestor, name))) continue;
      throw refusal(
        'NC9103',
        at,
        `${call.name}('${name ?? '…'}') in ${reach.place}: not among what comes before it.`,
      );
    }
  }
  for (const path of paths) {
    const [head = ''] = path;
    if (!reach.names.includes(head.toLowerCase())) throw refusal('NC9103', at, explainName(head, reach));
    reach.check?.(path, at);
  }
}

function explainName(name: string, reach: Reach): string {
  const known = `${reach.place} knows ${reach.names.join(', ')}`;
  if (sameName(name, 'parameters')) {
    return `'parameters' in ${reach.place}: parameters are gone when the run starts; write '\${{ parameters.… }}'.`;
  }
  if (sameName(name, 'stageDependencies')) {
    return `'stageDependencies' in ${reach.place}: use dependencies.STAGE.outputs['job.step.name'] there.`;
  }
  return `the name '${name}': ${known}.`;
}

function checkStagePath(path: readonly string[], at: Position, stage: Stage, pipeline: Pipeline): void {
  const [head = '', name, part, key] = path;
  if (!sameName(head, 'dependencies') || name === undefined) return;
  const target = findDependency(name, stage.dependsOn, pipeline.stages, at, `the stage '${stage.name}'`);
  checkPart(part, at);
  if (key === undefined) return;
  const [jobName = '', ...rest] = key.split('.');
  const job = target.jobs.find((candidate) => sameName(candidate.name, jobName));
  if (!job)
    throw refusal('NC9103', at, `outputs['${key}']: the stage '${target.name}' has no job '${jobName}'.`);
  if (job.kind === 'deployment') {
    throw refusal(
      'NC9103',
      at,
      `outputs['${key}']: stage conditions on outputs of a deployment job are reported to fail; re-export it from a job.`,
    );
  }
  checkOutput(rest, job, key, at);
}

function checkJobPath(
  path: readonly string[],
  at: Position,
  job: Job,
  stage: Stage,
  pipeline: Pipeline,
): void {
  const [head = '', ...names] = path;
  if (sameName(head, 'variables')) return;
  let jobs: { dependsOn: readonly string[]; jobs: readonly Job[]; who: string };
  if (sameName(head, 'dependencies')) {
    jobs = { dependsOn: job.dependsOn, jobs: stage.jobs, who: `the job '${job.name}'` };
  } else {
    const stageName = names.shift();
    if (stageName === undefined) return;
    const target = findDependency(
      stageName,
      stage.dependsOn,
      pipeline.stages,
      at,
      `the stage '${stage.name}'`,
    );
    const all = target.jobs.map((candidate) => candidate.name);
    jobs = { dependsOn: all, jobs: target.jobs, who: `the stage '${target.name}'` };
  }
  const [name, part, key] = names;
  if (name === undefined) return;
  const target = findDependency(name, jobs.dependsOn, jobs.jobs, at, jobs.who);
  checkPart(part, at);
  if (key === undefined) return;
  const parts = key.split('.');
  if (target.kind === 'deployment' && !sameName(parts.shift() ?? '', target.name)) {
    throw refusal(
      'NC9103',
      at,
      `outputs['${key}']: those of a deployment job begin with its name: '${target.name}.${key}'.`,
    );
  }
  checkOutput(parts, target, key, at);
}

function findDependency<T extends { name: string }>(
  name: string,
  dependsOn: readonly string[],
  nodes: readonly T[],
  at: Position,
  who: string,
): T {
  const found = nodes.find((node) => sameName(node.name, name));
  if (found && dependsOn.some((dependency) => sameName(dependency, name))) return found;
  throw refusal('NC9103', at, `'${name}' is not among what ${who} depends on; name it in dependsOn.`);
}

function checkPart(part: string | undefined, at: Position): void {
  if (part === undefined || sameName(part, 'result') || sameName(part, 'outputs')) return;
  throw refusal('NC9103', at, `'${part}' of a dependency: known are result and outputs['…'].`);
}

function checkOutput(parts: readonly string[], job: Job, key: string, at: Position): void {
  const [step = '', variable] = parts;
  if (variable === undefined)
    throw refusal('NC9103', at, `outputs['${key}'] does not name step and variable.`);
  if (job.steps.some((candidate) => sameName(candidate.name ?? '', step))) return;
  throw refusal('NC9103', at, `outputs['${key}']: the job '${job.name}' has no step with name: ${step}.`);
}
