/** The steps of a job: task, checkout, script. The first key of a step is its type. */
import { nameOf, shapeOf, type Shape } from './shape.ts';
import { refusal, type Leaf, type Position, type Sequence, type Tree } from './tree.ts';

export interface Step {
  /** Undefined: outputs of this step cannot be referred to. */
  name: string | undefined;
  displayName: string;
  action: TaskAction | CheckoutAction | ScriptAction;
  condition: Leaf | undefined;
  enabled: boolean;
  env: Record<string, string>;
  /** Undefined: only the job's limit holds. */
  timeoutMinutes: number | undefined;
  retryCount: number;
  continueOnError: boolean;
  at: Position;
}

export interface TaskAction {
  kind: 'task';
  /** Without the publisher and extension that may stand before it. */
  task: string;
  majorVersion: number;
  inputs: { name: string; value: string; at: Position }[];
}

export interface CheckoutAction {
  kind: 'checkout';
  repository: 'self' | 'none';
  /** 0: everything. */
  fetchDepth: number;
}

export interface ScriptAction {
  kind: 'script';
  script: string;
  workingDirectory: string | undefined;
}

const COMMON = [
  ...['name', 'displayName', 'condition', 'enabled', 'env'],
  ...['timeoutInMinutes', 'retryCountOnTaskFailure', 'continueOnError'],
];
const TYPES: Readonly<Record<string, readonly string[]>> = {
  task: ['inputs', ...COMMON],
  checkout: ['fetchDepth', 'clean', 'persistCredentials', ...COMMON],
  script: ['workingDirectory', ...COMMON],
  bash: ['workingDirectory', ...COMMON],
};
/** The service's limit. */
const MAX_RETRIES = 10;
const MAX_STEP_MINUTES = 60 * 24 * 60;

export function readSteps(sequence: Sequence): Step[] {
  const steps = sequence.items.map(readStep);
  const names = new Set<string>();
  for (const step of steps) {
    if (step.name === undefined) continue;
    if (names.has(step.name.toLowerCase())) {
      throw refusal('NC9101', step.at, `two steps of this job have the name '${step.name}'.`);
    }
    names.add(step.name.toLowerCase());
  }
  return steps;
}

function readStep(item: Tree): Step {
  const type = item.kind === 'mapping' ? item.entries[0]?.key : undefined;
  const keys = type && TYPES[type.text];
  if (!type || !keys) {
    const found = type ? `'${type.text}'` : item.kind === 'leaf' ? `'${item.text}'` : `a ${item.kind}`;
    throw refusal(
      'NC9102',
      type?.at ?? item.at,
      `a step begins with its type (${Object.keys(TYPES).join(', ')}), found ${found}.`,
    );
  }
  const shape = shapeOf(item, `a ${type.text} step`, [type.text, ...keys]);
  const name = shape.leaf('name');
  const action = readAction(type.text, shape);
  return {
    name: name && nameOf(name, 'a step'),
    displayName: shape.text('displayName') || describe(action),
    action,
    condition: shape.leaf('condition'),
    enabled: shape.boolean('enabled', true),
    env: Object.fromEntries(pairs(shape, 'env').map(({ name: key, value }) => [key, value])),
    timeoutMinutes: shape.number('timeoutInMinutes', 0, { min: 0, max: MAX_STEP_MINUTES }) || undefined,
    retryCount: shape.number('retryCountOnTaskFailure', 0, { min: 0, max: MAX_RETRIES }),
    continueOnError: shape.boolean('continueOnError', false),
    at: shape.at,
  };
}

function readAction(type: string, shape: Shape): Step['action'] {
  if (type === 'checkout') {
    const repository = shape.required('checkout');
    if (repository.text !== 'self' && repository.text !== 'none') {
      throw refusal('NC9102', repository.at, `checkout of '${repository.text}'; known: self, none.`);
    }
    shape.boolean('clean', false);
    shape.boolean('persistCredentials', false);
    const fetchDepth = shape.number('fetchDepth', 0, { min: 0, max: 1_000_000 });
    return { kind: 'checkout', repository: repository.text, fetchDepth };
  }
  if (type !== 'task') {
    return {
      kind: 'script',
      script: shape.required(type).text,
      workingDirectory: shape.text('workingDirectory'),
    };
  }
  const reference = shape.required('task');
  const match = /^(?:[\w.-]+\.)?([A-Za-z][A-Za-z0-9-]*)@(\d+)$/.exec(reference.text);
  if (!match) {
    throw refusal('NC9101', reference.at, `the task '${reference.text}' is not written as Name@major.`);
  }
  return {
    kind: 'task',
    task: match[1] ?? '',
    majorVersion: Number(match[2]),
    inputs: pairs(shape, 'inputs'),
  };
}

function pairs(shape: Shape, key: string): { name: string; value: string; at: Position }[] {
  return (shape.mapping(key)?.entries ?? []).map((entry) => {
    if (entry.value.kind !== 'leaf') {
      throw refusal(
        'NC9101',
        entry.value.at,
        `expected a text for '${entry.key.text}' of ${key}, found a ${entry.value.kind}.`,
      );
    }
    return { name: entry.key.text, value: entry.value.text, at: entry.key.at };
  });
}

function describe(action: Step['action']): string {
  if (action.kind === 'task') return action.task;
  return action.kind === 'checkout' ? `Checkout ${action.repository}` : 'Script';
}
