/**
 * The meaning of pipeline expressions: values, their coercions, and the functions that every place knows.
 *
 * Comparisons ignore case and convert the right side to the left one's type, as the service does
 * (facts/azure-pipelines.md): `eq(true, 'false')` holds, because any text that is not empty is true.
 */
import type { Expression } from './expression.ts';
import { entryOf, refusal, sameName, type Mapping, type Position, type Sequence, type Tree } from './tree.ts';

export type Value = string | number | boolean | null | Mapping | Sequence;

export interface Scope {
  at: Position;
  /** `parameters`, `variables`, `dependencies` …: undefined for a name that this place does not know. */
  name(name: string): Value | undefined;
  /** What a missing key gives: the strict scopes throw. */
  missing?(path: string): Value;
  /** Functions of this place only, such as `succeeded`. Arguments arrive as values. */
  functions?: ReadonlyMap<string, LocalFunction>;
}

export interface LocalFunction {
  min: number;
  max: number;
  call(args: Value[]): Value;
}

/** @throws CodedError NC9103 */
export function evaluate(expression: Expression, scope: Scope): Value {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'name': {
      const value = scope.name(expression.name);
      if (value !== undefined) return value;
      throw refusal('NC9103', scope.at, `the name '${expression.name}' is not known here.`);
    }
    case 'index':
      return dereference(evaluate(expression.target, scope), evaluate(expression.key, scope), () =>
        scope.missing === undefined ? null : scope.missing(describePath(expression)),
      );
    case 'call':
      return call(expression, scope);
  }
}

function describePath(expression: Expression): string {
  if (expression.kind === 'name') return expression.name;
  if (expression.kind === 'literal') return String(expression.value);
  if (expression.kind === 'call') return `${expression.name}()`;
  return `${describePath(expression.target)}.${describePath(expression.key)}`;
}

function dereference(target: Value, key: Value, missing: () => Value): Value {
  if (target === null || typeof target !== 'object') return null;
  const found =
    target.kind === 'mapping'
      ? entryOf(target, toText(key) ?? '')?.value
      : target.items[toNumber(key) ?? Number.NaN];
  if (found === undefined) return missing();
  return valueOf(found);
}

function call(expression: Expression & { kind: 'call' }, scope: Scope): Value {
  const name = expression.name.toLowerCase();
  const local = scope.functions?.get(name);
  const known = local ?? FUNCTIONS.get(name);
  checkCall(expression, scope.at, scope.functions);
  if (local) return local.call(expression.args.map((argument) => evaluate(argument, scope)));
  const lazy = known as BuiltIn;
  return lazy.call(
    expression.args.map((argument) => () => evaluate(argument, scope)),
    scope.at,
  );
}

/** Refuses unknown functions and wrong numbers of arguments, before anything is evaluated. */
export function checkCall(
  expression: Expression & { kind: 'call' },
  at: Position,
  functions?: ReadonlyMap<string, { min: number; max: number }>,
): void {
  const name = expression.name.toLowerCase();
  const known = functions?.get(name) ?? FUNCTIONS.get(name);
  if (!known) throw refusal('NC9103', at, `the function ${expression.name}() is not known here.`);
  const { length } = expression.args;
  if (length < known.min || length > known.max) {
    const range = known.max === Infinity ? `at least ${known.min}` : `${known.min} to ${known.max}`;
    throw refusal('NC9103', at, `${expression.name}() takes ${range} arguments, found ${length}.`);
  }
}

interface BuiltIn {
  min: number;
  max: number;
  call(args: (() => Value)[], at: Position): Value;
}

const eager = (min: number, max: number, apply: (args: Value[], at: Position) => Value): BuiltIn => ({
  min,
  max,
  call: (args, at) =>
    apply(
      args.map((argument) => argument()),
      at,
    ),
});

const text = (value: Value | undefined): string => toText(value ?? null) ?? '';

const textTest = (test: (left: string, right: string) => boolean): BuiltIn =>
  eager(2, 2, ([left, right]) => test(text(left).toLowerCase(), text(right).toLowerCase()));

const ordered = (test: (order: number) => boolean): BuiltIn =>
  eager(2, 2, ([left, right], at) => test(compare(left ?? null, right ?? null, at)));

const FUNCTIONS: ReadonlyMap<string, BuiltIn> = new Map([
  ['and', { min: 2, max: Infinity, call: (args) => args.every((argument) => toBoolean(argument())) }],
  ['or', { min: 2, max: Infinity, call: (args) => args.some((argument) => toBoolean(argument())) }],
  ['not', eager(1, 1, ([value]) => !toBoolean(value ?? null))],
  ['eq', eager(2, 2, ([left, right]) => equal(left ?? null, right ?? null))],
  ['ne', eager(2, 2, ([left, right]) => !equal(left ?? null, right ?? null))],
  ['in', { min: 2, max: Infinity, call: (args) => isIn(args) }],
  ['notin', { min: 2, max: Infinity, call: (args) => !isIn(args) }],
  ['contains', textTest((left, right) => left.includes(right))],
  ['startswith', textTest((left, right) => left.startsWith(right))],
  ['endswith', textTest((left, right) => left.endsWith(right))],
  [
    'containsvalue',
    eager(2, 2, ([collection, wanted]) =>
      itemsOf(collection ?? null).some((item) => equal(wanted ?? null, item)),
    ),
  ],
  ['coalesce', { min: 2, max: Infinity, call: (args) => coalesce(args) }],
  ['format', eager(1, Infinity, ([pattern, ...values], at) => format(text(pattern), values, at))],
  [
    'join',
    eager(2, 2, ([separator, list]) =>
      list !== null && typeof list === 'object' && list.kind === 'sequence'
        ? itemsOf(list).map(text).join(text(separator))
        : text(list),
    ),
  ],
  ['length', eager(1, 1, ([value], at) => lengthOf(value ?? null, at))],
  ['lower', eager(1, 1, ([value]) => text(value).toLowerCase())],
  ['upper', eager(1, 1, ([value]) => text(value).toUpperCase())],
  ['gt', ordered((order) => order > 0)],
  ['ge', ordered((order) => order >= 0)],
  ['lt', ordered((order) => order < 0)],
  ['le', ordered((order) => order <= 0)],
  [
    'iif',
    { min: 3, max: 3, call: ([test, yes, no]) => (toBoolean(test?.() ?? null) ? yes?.() : no?.()) ?? null },
  ],
]);

function isIn(args: (() => Value)[]): boolean {
  const [wanted, ...others] = args;
  const left = wanted?.() ?? null;
  return others.some((other) => equal(left, other()));
}

function coalesce(args: (() => Value)[]): Value {
  for (const argument of args) {
    const value = argument();
    if (value !== null && value !== '') return value;
  }
  return null;
}

function itemsOf(value: Value): Value[] {
  if (value === null || typeof value !== 'object') return [];
  const trees = value.kind === 'sequence' ? value.items : value.entries.map((entry) => entry.value);
  return trees.map(valueOf);
}

function lengthOf(value: Value, at: Position): number {
  if (value !== null && typeof value === 'object') {
    if (value.kind === 'sequence') return value.items.length;
    throw refusal('NC9103', at, 'length() takes a text or a list, found a mapping.');
  }
  return text(value).length;
}

function format(pattern: string, values: (Value | undefined)[], at: Position): string {
  const formatted = pattern.replace(/\{\{|\}\}|\{(\d+)\}|[{}]/g, (found, index: string | undefined) => {
    if (found === '{{') return '{';
    if (found === '}}') return '}';
    if (index === undefined || Number(index) >= values.length) {
      throw refusal('NC9103', at, `format(): '${found}' in '${pattern}' has no argument.`);
    }
    return text(values[Number(index)]);
  });
  return formatted;
}

/** `eq` of the service: the right side is converted to the left one's type; what cannot be converted differs. */
export function equal(left: Value, right: Value): boolean {
  if (left === null) return right === null || right === '';
  if (typeof left === 'boolean') return left === toBoolean(right);
  if (typeof left === 'number') return left === toNumber(right);
  if (typeof left === 'string') {
    const other = toText(right);
    return other !== undefined && sameName(left, other);
  }
  return left === right;
}

function compare(left: Value, right: Value, at: Position): number {
  const number = typeof left === 'boolean' ? Number(left) : left;
  const other =
    typeof left === 'boolean'
      ? Number(toBoolean(right))
      : typeof left === 'number'
        ? toNumber(right)
        : toText(right);
  if (number === null || typeof number === 'object' || other === undefined) {
    throw refusal('NC9103', at, `cannot order ${describe(left)} and ${describe(right)}: different types.`);
  }
  if (typeof number === 'number') return number - (other as number);
  const [a, b] = [number.toUpperCase(), (other as string).toUpperCase()];
  return a < b ? -1 : a > b ? 1 : 0;
}

function describe(value: Value): string {
  if (value !== null && typeof value === 'object') return value.kind === 'sequence' ? 'a list' : 'a mapping';
  return value === null ? 'null' : `'${toText(value) ?? ''}'`;
}

export function valueOf(tree: Tree): Value {
  return tree.kind === 'leaf' ? (tree.typed ?? tree.text) : tree;
}

export function toBoolean(value: Value): boolean {
  if (typeof value === 'string') return value !== '';
  if (typeof value === 'number') return value !== 0;
  if (typeof value === 'boolean') return value;
  return value !== null;
}

/** Undefined for what has no number. */
export function toNumber(value: Value): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  if (value === null) return 0;
  if (typeof value !== 'string') return undefined;
  const trimmed = value.trim();
  if (trimmed === '') return 0;
  return /^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(trimmed) ? Number(trimmed) : undefined;
}

/** Undefined for lists and mappings, which have no text. */
export function toText(value: Value): string | undefined {
  if (value === null) return '';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'object') return undefined;
  return String(value);
}
