/**
 * The model of a pipeline: what the expanded tree says, checked key by key.
 * Everything that is not read here is refused with its line.
 */
import { nameOf, shapeOf, textsOf, type Shape } from './shape.ts';
import { readSteps, type Step } from './steps.ts';
import {
  entryOf,
  leaf,
  plainOf,
  refusal,
  sameName,
  type Leaf,
  type Mapping,
  type Position,
  type Tree,
} from './tree.ts';

export interface Pipeline {
  /** The format of the build number; the runner is given the number. */
  name: string | undefined;
  schedules: Schedule[];
  variables: Variable[];
  lockBehavior: string | undefined;
  stages: Stage[];
}

export interface Schedule {
  cron: string;
  branches: string[];
  always: boolean;
}

export interface Variable {
  name: string;
  value: Leaf;
  readonly: boolean;
}

export interface Pool {
  kind: 'server' | 'agent';
  name: string | undefined;
  demands: { name: string; value: string | undefined; at: Position }[];
}

export interface Stage {
  name: string;
  displayName: string;
  dependsOn: string[];
  condition: Leaf | undefined;
  variables: Variable[];
  lockBehavior: string | undefined;
  isSkippable: boolean;
  jobs: Job[];
  at: Position;
}

export interface Job {
  name: string;
  displayName: string;
  kind: 'job' | 'deployment';
  dependsOn: string[];
  condition: Leaf | undefined;
  pool: Pool;
  /** Infinity when the file says 0. */
  timeoutMinutes: number;
  cancelTimeoutMinutes: number;
  variables: Variable[];
  environment: string | undefined;
  steps: Step[];
  at: Position;
}

const ROOT = [
  'name',
  'trigger',
  'pr',
  'schedules',
  'parameters',
  'variables',
  'pool',
  'lockBehavior',
  'stages',
  'jobs',
  'steps',
];
const DAY_MINUTES = 24 * 60;
const MAX_MINUTES = 60 * DAY_MINUTES;
const DEFAULT_JOB_MINUTES = 60;
const DEFAULT_CANCEL_MINUTES = 5;

/** @throws CodedError NC9101, NC9102 */
export function readPipeline(root: Mapping): Pipeline {
  const shape = shapeOf(root, 'the pipeline', ROOT);
  for (const key of ['trigger', 'pr']) {
    const value = shape.tree(key);
    if (value && !(value.kind === 'leaf' && value.text === 'none')) {
      throw refusal(
        'NC9102',
        value.at,
        `'${key}' other than none: the cycle is started by schedules and people.`,
      );
    }
  }
  const bodies = ['stages', 'jobs', 'steps'].filter((key) => shape.tree(key) !== undefined);
  if (bodies.length !== 1) {
    const at = bodies[1] ? (entryOf(root, bodies[1])?.key.at ?? root.at) : root.at;
    throw refusal(
      'NC9101',
      at,
      `expected one of stages, jobs and steps; found ${bodies.join(' and ') || 'none'}.`,
    );
  }
  const pool = shape.tree('pool') && readPool(shape.tree('pool') as Tree);
  return {
    name: shape.text('name'),
    schedules: readSchedules(shape),
    variables: readVariables(shape.tree('variables')),
    lockBehavior: readLockBehavior(shape),
    stages: readStages(shape, pool),
  };
}

function readStages(shape: Shape, pool: Pool | undefined): Stage[] {
  const listed = shape.sequence('stages');
  if (!listed) {
    const jobs = readJobs(shape, pool);
    const only = {
      name: '__default',
      displayName: '__default',
      dependsOn: [],
      condition: undefined,
      variables: [],
    };
    return [{ ...only, lockBehavior: undefined, isSkippable: true, jobs, at: shape.at }];
  }
  const stages: Stage[] = [];
  for (const item of listed.items) stages.push(readStage(item, pool, stages.at(-1)?.name));
  if (stages.length === 0) throw refusal('NC9101', listed.at, 'the pipeline has no stage.');
  checkGraph(stages, 'stage');
  return stages;
}

function readStage(item: Tree, outer: Pool | undefined, previous: string | undefined): Stage {
  const shape = shapeOf(item, 'a stage', [
    ...['stage', 'displayName', 'dependsOn', 'condition', 'variables', 'pool'],
    ...['jobs', 'lockBehavior', 'isSkippable'],
  ]);
  const name = nameOf(shape.required('stage'), 'a stage');
  const pool = shape.tree('pool');
  return {
    name,
    displayName: shape.text('displayName') || name,
    dependsOn: readDependencies(shape, previous === undefined ? [] : [previous]),
    condition: shape.leaf('condition'),
    variables: readVariables(shape.tree('variables')),
    lockBehavior: readLockBehavior(shape),
    isSkippable: shape.boolean('isSkippable', true),
    jobs: readJobs(shape, pool ? readPool(pool) : outer),
    at: shape.at,
  };
}

function readJobs(shape: Shape, pool: Pool | undefined): Job[] {
  const steps = shape.sequence('steps');
  if (steps) {
    return [
      {
        ...{
          name: 'Job',
          displayName: 'Job',
          kind: 'job',
          dependsOn: [],
          condition: undefined,
          variables: [],
        },
        ...{ timeoutMinutes: DEFAULT_JOB_MINUTES, cancelTimeoutMinutes: DEFAULT_CANCEL_MINUTES },
        ...{ pool: pool ?? ANY_AGENT, environment: undefined, steps: readSteps(steps), at: shape.at },
      },
    ];
  }
  const listed = shape.sequence('jobs');
  if (!listed || listed.items.length === 0) throw refusal('NC9101', shape.at, 'a stage without jobs.');
  const jobs = listed.items.map((item) => readJob(item, pool));
  checkGraph(jobs, 'job');
  return jobs;
}

const ANY_AGENT: Pool = { kind: 'agent', name: undefined, demands: [] };
const JOB_KEYS = [
  ...['displayName', 'dependsOn', 'condition', 'pool', 'variables'],
  ...['timeoutInMinutes', 'cancelTimeoutInMinutes', 'workspace'],
];

function readJob(item: Tree, outer: Pool | undefined): Job {
  const deployment = item.kind === 'mapping' && item.entries[0]?.key.text === 'deployment';
  const kind = deployment ? 'deployment' : 'job';
  const own = deployment ? ['environment', 'strategy'] : ['steps'];
  const shape = shapeOf(item, deployment ? 'a deployment job' : 'a job', [kind, ...JOB_KEYS, ...own]);
  const name = nameOf(shape.required(kind), 'a job');
  const workspace = shape.tree('workspace');
  // The runner wipes everything before each job, which is what `clean: all` asks for.
  if (workspace) shapeOf(workspace, 'a workspace', ['clean']).required('clean');
  const pool = shape.tree('pool');
  const minutes = shape.number('timeoutInMinutes', DEFAULT_JOB_MINUTES, { min: 0, max: MAX_MINUTES });
  return {
    name,
    kind,
    displayName: shape.text('displayName') || name,
    dependsOn: readDependencies(shape, []),
    condition: shape.leaf('condition'),
    pool: pool ? readPool(pool) : (outer ?? ANY_AGENT),
    timeoutMinutes: minutes === 0 ? Infinity : minutes,
    cancelTimeoutMinutes: shape.number('cancelTimeoutInMinutes', DEFAULT_CANCEL_MINUTES, {
      min: 1,
      max: 35_790,
    }),
    variables: readVariables(shape.tree('variables')),
    environment: deployment ? readEnvironment(shape) : undefined,
    steps: readSteps(deployment ? deploySteps(shape) : requiredSteps(shape)),
    at: shape.at,
  };
}

function requiredSteps(shape: Shape): Tree & { kind: 'sequence' } {
  const steps = shape.sequence('steps');
  if (!steps) throw refusal('NC9101', shape.at, 'a job without steps.');
  return steps;
}

function deploySteps(shape: Shape): Tree & { kind: 'sequence' } {
  const strategy = shape.mapping('strategy');
  if (!strategy)
    throw refusal('NC9101', shape.at, 'a deployment job needs strategy: runOnce: deploy: steps.');
  const runOnce = shapeOf(strategy, "a deployment job's strategy", ['runOnce']).mapping('runOnce');
  const deploy = runOnce && shapeOf(runOnce, 'runOnce', ['deploy']).mapping('deploy');
  if (!deploy) throw refusal('NC9101', strategy.at, 'expected strategy: runOnce: deploy: steps.');
  return requiredSteps(shapeOf(deploy, 'deploy', ['steps']));
}

function readEnvironment(shape: Shape): string {
  const value = shape.tree('environment');
  const name =
    value?.kind === 'mapping' ? shapeOf(value, 'an environment', ['name']).required('name') : value;
  if (name?.kind !== 'leaf' || name.text === '') {
    throw refusal('NC9101', value?.at ?? shape.at, 'a deployment job needs an environment.');
  }
  if (/\$[([]/.test(name.text)) {
    throw refusal('NC9101', name.at, `the environment '${name.text}' must be known before the run starts.`);
  }
  return name.text;
}

function readPool(tree: Tree): Pool {
  if (tree.kind === 'leaf') {
    return { kind: sameName(tree.text, 'server') ? 'server' : 'agent', name: tree.text, demands: [] };
  }
  const shape = shapeOf(tree, 'a pool', ['name', 'demands']);
  const demands = shape.tree('demands');
  return {
    kind: 'agent',
    name: shape.text('name'),
    demands: (demands ? textsOf(demands, 'demands') : []).map((demand) => {
      const match = /^(\S+)(?:\s+-equals\s+(.+))?$/.exec(demand.text.trim());
      if (!match) {
        throw refusal(
          'NC9101',
          demand.at,
          `the demand '${demand.text}' is neither 'name' nor 'name -equals value'.`,
        );
      }
      return { name: match[1] ?? '', value: match[2], at: demand.at };
    }),
  };
}

function readDependencies(shape: Shape, fallback: string[]): string[] {
  const tree = shape.tree('dependsOn');
  if (!tree) return fallback;
  const names = textsOf(tree, 'dependsOn').filter((name) => tree.kind === 'sequence' || name.text !== '');
  if (tree.kind === 'leaf' && names.length === 0) {
    throw refusal('NC9101', tree.at, "'dependsOn' is empty; write [] for none.");
  }
  return names.map((name) => nameOf(name, 'a dependency'));
}

/** @throws CodedError NC9101 for twins, missing and cyclic dependencies. */
function checkGraph(
  nodes: readonly { name: string; dependsOn: string[]; at: Position }[],
  what: string,
): void {
  const seen = new Map<string, string>();
  for (const { name, at } of nodes) {
    const twin = seen.get(name.toLowerCase());
    if (twin !== undefined)
      throw refusal('NC9101', at, `the ${what} '${name}' stands twice (also as '${twin}').`);
    seen.set(name.toLowerCase(), name);
  }
  const find = (name: string) => nodes.find((node) => sameName(node.name, name));
  for (const node of nodes) {
    for (const name of node.dependsOn) {
      if (!find(name))
        throw refusal('NC9101', node.at, `'${node.name}' depends on '${name}', which does not exist.`);
    }
  }
  const done = new Set<string>();
  const visit = (name: string, path: string[]): void => {
    if (done.has(name)) return;
    const node = find(name);
    if (!node) return;
    if (path.includes(node.name)) {
      throw refusal(
        'NC9101',
        node.at,
        `the ${what}s ${[...path, node.name].join(' → ')} depend on each other.`,
      );
    }
    node.dependsOn.forEach((next) => visit(next, [...path, node.name]));
    done.add(name);
  };
  nodes.forEach((node) => visit(node.name, []));
}

function readVariables(tree: Tree | undefined): Variable[] {
  if (!tree) return [];
  if (tree.kind === 'mapping') {
    return tree.entries.map(({ key, value }) => ({
      name: key.text,
      value: variableValue(value),
      readonly: false,
    }));
  }
  if (tree.kind === 'leaf') throw refusal('NC9101', tree.at, 'expected a mapping or a list of variables.');
  const variables = new Map<string, Variable>();
  for (const item of tree.items) {
    const shape = shapeOf(item, 'a variable', ['name', 'value', 'readonly']);
    const name = shape.required('name').text;
    const value = variableValue(shape.tree('value') ?? leaf('', shape.at));
    variables.set(name.toLowerCase(), { name, value, readonly: shape.boolean('readonly', false) });
  }
  return [...variables.values()];
}

function variableValue(value: Tree): Leaf {
  if (value.kind === 'leaf') return value;
  throw refusal(
    'NC9101',
    value.at,
    `expected a text as the value of a variable, found ${JSON.stringify(plainOf(value))}.`,
  );
}

function readLockBehavior(shape: Shape): string | undefined {
  const value = shape.leaf('lockBehavior');
  if (!value || ['sequential', 'runLatest'].includes(value.text)) return value?.text;
  throw refusal(
    'NC9101',
    value.at,
    `expected sequential or runLatest for 'lockBehavior', found '${value.text}'.`,
  );
}

function readSchedules(shape: Shape): Schedule[] {
  return (shape.sequence('schedules')?.items ?? []).map((item) => {
    const schedule = shapeOf(item, 'a schedule', ['cron', 'displayName', 'branches', 'always', 'batch']);
    const cron = schedule.required('cron');
    if (cron.text.trim().split(/\s+/).length !== 5) {
      throw refusal('NC9101', cron.at, `the cron '${cron.text}' needs five fields.`);
    }
    const branches = schedule.mapping('branches');
    const include = branches && shapeOf(branches, 'branches', ['include', 'exclude']).sequence('include');
    return {
      cron: cron.text,
      branches: include ? textsOf(include, 'branches').map((branch) => branch.text) : [],
      always: schedule.boolean('always', false),
    };
  });
}
