/** Label and field selectors, as query strings and as objects. */
import type { KubeObject, LabelSelector, PodObject } from './objects.ts';
import { failures } from './status.ts';

export type Labels = Record<string, string>;
type Test = (labels: Labels) => boolean;

/** `a=b,c!=d,e in (f,g),!h`. Throws BadRequest. */
export function parseLabelSelector(text: string): Test {
  const tests = splitOutside(text).map(oneRequirement);
  return (labels) => tests.every((test) => test(labels));
}

function splitOutside(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at <= text.length; at += 1) {
    const char = text[at];
    if (char === '(') depth += 1;
    if (char === ')') depth -= 1;
    if ((char === ',' && depth === 0) || at === text.length) {
      parts.push(text.slice(from, at).trim());
      from = at + 1;
    }
  }
  return parts.filter((part) => part !== '');
}

function oneRequirement(text: string): Test {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    return operator === 'in'
      ? (labels) => labels[key] !== undefined && values.includes(labels[key])
      : (labels) => labels[key] === undefined || !values.includes(labels[key]);
  }
  const equal = /^([^\s!=]+)\s*(!=|==|=)\s*(\S*)$/.exec(text);
  if (equal !== null) {
    const [, key = '', operator, value = ''] = equal;
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const exists = /^(!?)\s*([A-Za-z0-9._/-]+)$/.exec(text);
  if (exists !== null) {
    const [, not, key = ''] = exists;
    return not === '!' ? (labels) => !(key in labels) : (labels) => key in labels;
  }
  throw failures.badRequest(`unable to parse requirement: found '${text}'`);
}

export function matches(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  if (selector === undefined) return false;
  const have = labels ?? {};
  const plain = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => have[key] === value);
  return plain && (selector.matchExpressions ?? []).every((expression) => expressionHolds(expression, have));
}

export function expressionHolds(
  expression: NonNullable<LabelSelector['matchExpressions']>[number],
  labels: Labels,
): boolean {
  const value = labels[expression.key];
  const values = expression.values ?? [];
  if (expression.operator === 'Exists') return value !== undefined;
  if (expression.operator === 'DoesNotExist') return value === undefined;
  if (expression.operator === 'In') return value !== undefined && values.includes(value);
  return value === undefined || !values.includes(value);
}

/** `metadata.name=x,spec.nodeName!=y`. Only the fields that a kind really indexes are accepted. */
export function parseFieldSelector(text: string, kind: string): (object: KubeObject) => boolean {
  const tests = text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const found = /^([A-Za-z.]+)(!=|==|=)(.*)$/.exec(part);
      if (found === null)
        throw failures.badRequest(`invalid selector: '${part}'; can't understand '${part}'`);
      const [, path = '', operator, value = ''] = found;
      if (!isIndexed(kind, path)) throw failures.badRequest(`field label not supported: ${path}`);
      return (object: KubeObject) => (fieldOf(object, path) === value) === (operator !== '!=');
    });
  return (object) => tests.every((test) => test(object));
}

const EVENT_FIELDS =
  /^(involvedObject\.(kind|name|namespace|uid|fieldPath)|reason|type|reportingComponent|source)$/;
const POD_FIELDS = [
  'spec.nodeName',
  'spec.restartPolicy',
  'status.phase',
  'status.podIP',
  'spec.schedulerName',
];

function isIndexed(kind: string, path: string): boolean {
  return (
    path === 'metadata.name' ||
    path === 'metadata.namespace' ||
    (kind === 'Pod' && POD_FIELDS.includes(path)) ||
    (kind === 'Node' && path === 'spec.unschedulable') ||
    (kind === 'Event' && EVENT_FIELDS.test(path)) ||
    (kind === 'Secret' && path === 'type')
  );
}

function fieldOf(object: KubeObject, path: string): string {
  let value: unknown = object;
  for (const part of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[part];
  return ['string', 'number', 'boolean'].includes(typeof value)
    ? `${value as string | number | boolean}`
    : '';
}

/** A taint that this pod does not tolerate, of the effects asked for. */
export function untolerated<T extends { key: string; value?: string; effect: string }>(
  pod: Pick<PodObject, 'spec'>,
  taints: readonly T[],
  effects: readonly string[],
): T | undefined {
  return taints.find((taint) => effects.includes(taint.effect) && tolerationFor(pod, taint) === undefined);
}

export function tolerationFor(
  pod: Pick<PodObject, 'spec'>,
  taint: { key: string; value?: string; effect: string },
) {
  return pod.spec.tolerations?.find(
    (toleration) =>
      (toleration.effect === undefined || toleration.effect === '' || toleration.effect === taint.effect) &&
      (toleration.operator === 'Exists'
        ? toleration.key === undefined || toleration.key === '' || toleration.key === taint.key
        : toleration.key === taint.key && (toleration.value ?? '') === (taint.value ?? '')),
  );
}
