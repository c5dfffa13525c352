/**
 * What the schema's reader found wrong, as finished messages: its issues know codes and limits, a person wants
 * to know what was expected, what stands there, and which key was probably meant.
 */
import type * as z from 'zod/mini';
import { configSchema } from './schema.ts';
import { near, oneOf, pathText, shown } from './words.ts';
import type { ErrorCode } from '../../ports/errors.ts';

/** A message without its place. `at: 'key'` points at the key, else at the value. */
export interface Finding {
  code: ErrorCode;
  path: readonly (string | number)[];
  at?: 'key';
  expected: string;
  found: string;
  suggestion?: string;
}

/** The parts of zod's issues that are used here; zod gives more kinds than the schema can raise. */
interface Issue {
  code: string;
  path: PropertyKey[];
  message: string;
  expected?: string;
  values?: unknown[];
  options?: unknown[];
  keys?: string[];
  origin?: string;
  minimum?: number | bigint;
  maximum?: number | bigint;
  inclusive?: boolean;
}

export function findings(issues: readonly unknown[], data: unknown): Finding[] {
  return issues.flatMap((issue) => finding(issue as Issue, data));
}

function finding(issue: Issue, data: unknown): Finding[] {
  const path = issue.path as (string | number)[];
  const value = valueAt(data, path);
  const parent = path.length === 0 ? data : valueAt(data, path.slice(0, -1));
  if (issue.code === 'unrecognized_keys')
    return (issue.keys ?? []).map((key) => unknownKey([...path, key], data));
  const expected = expectation(issue);
  const last = path.at(-1);
  if (value === undefined && typeof last === 'string' && isGroup(parent) && !(last in parent))
    return [{ code: 'NC1104', path, expected, found: `no key "${last}"` }];
  const choices = issue.values ?? issue.options;
  const meant =
    choices !== undefined && typeof value === 'string' ? near(value, choices.map(String)) : undefined;
  const code = issue.code === 'invalid_type' ? 'NC1105' : 'NC1106';
  return [
    {
      code,
      path,
      expected,
      found: found(issue, value),
      ...(meant === undefined ? {} : { suggestion: meant }),
    },
  ];
}

function found(issue: Issue, value: unknown): string {
  if (issue.code === 'too_small' && typeof value === 'string' && value !== '')
    return `${shown(value)} (${value.length} characters)`;
  const quoted = typeof value === 'string' && /^(-?[0-9.]+|true|false|yes|no)$/.test(value);
  return issue.code === 'invalid_type' && quoted && issue.expected !== 'string'
    ? `the text ${shown(value)}`
    : shown(value);
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected ?? ''] ?? issue.expected ?? 'another type';
    case 'invalid_value':
      return oneOf(issue.values ?? []);
    case 'invalid_union':
      return oneOf(issue.options ?? []);
    case 'invalid_format':
      return issue.message;
    case 'too_small':
      if (issue.origin === 'string') return 'a text that is not empty';
      if (issue.origin === 'array')
        return `at least ${issue.minimum} ${issue.minimum === 1n || issue.minimum === 1 ? 'entry' : 'entries'}`;
      return issue.inclusive === false ? `a number above ${issue.minimum}` : `${issue.minimum} or more`;
    case 'too_big':
      return issue.inclusive === false ? `a number below ${issue.maximum}` : `${issue.maximum} or less`;
    default:
      return issue.message;
  }
}

const TYPES: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a group of settings',
};

function unknownKey(path: (string | number)[], data: unknown): Finding {
  const key = String(path.at(-1));
  const group = path.slice(0, -1);
  const known = keysAt(group, valueAt(data, group));
  const present = valueAt(data, group);
  const free = known.filter((each) => !isGroup(present) || !(each in present));
  const meant = near(key, free) ?? near(key, known) ?? elsewhere(key);
  return {
    code: 'NC1103',
    path,
    at: 'key',
    expected: known.length > 0 ? `one of ${known.join(', ')}` : 'no keys',
    found: `the unknown key "${key}"`,
    ...(meant === undefined ? {} : { suggestion: meant }),
  };
}

/** A key that is right but stands in the wrong group, as `group.key`; undefined when it is not unique. */
function elsewhere(key: string): string | undefined {
  const places: string[] = [];
  const walk = (schema: z.ZodMiniType, path: string[]): void => {
    const shape = shapeOf(schema, undefined);
    for (const [name, inner] of Object.entries(shape ?? {})) {
      if (name === key) places.push(pathText([...path, name]));
      walk(inner, [...path, name]);
    }
  };
  walk(configSchema, []);
  return places.length === 1 ? places[0] : undefined;
}

/** The keys that the schema knows at a path. */
function keysAt(path: Finding['path'], group: unknown): string[] {
  let schema: z.ZodMiniType = configSchema;
  for (const part of path) {
    const bare = unwrap(schema);
    const def = bare._zod.def as unknown as { type: string; element?: z.ZodMiniType };
    const next = def.type === 'array' ? def.element : shapeOf(bare, group)?.[String(part)];
    if (next === undefined) return [];
    schema = next;
  }
  return Object.keys(shapeOf(schema, group) ?? {});
}

/** The keys of a group; of alternatives the one that the data names. */
function shapeOf(schema: z.ZodMiniType, group: unknown): Record<string, z.ZodMiniType> | undefined {
  const bare = unwrap(schema);
  const def = bare._zod.def as unknown as {
    type: string;
    shape?: Record<string, z.ZodMiniType>;
    options?: z.ZodMiniType[];
    discriminator?: string;
  };
  if (def.type === 'object') return def.shape;
  if (def.type !== 'union' || def.discriminator === undefined || !isGroup(group)) return undefined;
  const choice = (group as Record<string, unknown>)[def.discriminator];
  const chosen = def.options?.find((option) => {
    const literal = shapeOf(option, undefined)?.[def.discriminator ?? '']?._zod.def as
      { values?: unknown[] } | undefined;
    return literal?.values?.includes(choice) === true;
  });
  return chosen === undefined ? undefined : shapeOf(chosen, undefined);
}

/** Without `optional` and `default` around it. */
function unwrap(schema: z.ZodMiniType): z.ZodMiniType {
  const def = schema._zod.def as unknown as { innerType?: z.ZodMiniType };
  return def.innerType === undefined ? schema : unwrap(def.innerType);
}

function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueAt(data: unknown, path: Finding['path']): unknown {
  let value = data;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}
