/** The generated files as text: pure functions of the schema, the error list and the task manifests. */
import * as z from 'zod/mini';
import { BridgeFile } from '../agent-bridge/server/policy.ts';
import { configSchema } from '../cycle/config.ts';
import { ERRORS } from '../ports/errors.ts';
import { row } from './table.ts';

/** The parts of a JSON Schema that the configuration's schema uses. */
interface JsonSchema {
  type?: string;
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  oneOf?: JsonSchema[];
  anyOf?: JsonSchema[];
}

export interface TaskInput {
  name: string;
  type: string;
  label: string;
  required?: boolean;
  defaultValue?: string;
  helpMarkDown?: string;
  visibleRule?: string;
  options?: Record<string, string>;
  groupName?: string;
}

export interface TaskManifest {
  $schema?: string;
  id: string;
  name: string;
  friendlyName: string;
  description: string;
  version: { Major: number; Minor: number; Patch: number };
  minimumAgentVersion?: string;
  instanceNameFormat: string;
  groups?: { name: string; displayName: string }[];
  inputs: TaskInput[];
  outputVariables?: { name: string; description: string }[];
  restrictions?: { settableVariables?: { allowed?: string[] } };
  execution: Record<string, { target: string }>;
}

/** For editors: what may be written, so keys with a default are not required. */
export function configJsonSchema(): object {
  return {
    ...z.toJSONSchema(configSchema, { io: 'input' }),
    $id: 'node-cycle.schema.json',
    title: 'node-cycle.yml',
    description: 'Configuration of Node Cycle. Nothing in it is secret.',
  };
}

/** For editors: the form of bridge.yaml. What only the bridge checks (ranges, names that must be there) is not in it. */
export function bridgeJsonSchema(): object {
  return {
    ...z.toJSONSchema(BridgeFile, { io: 'input' }),
    $id: 'bridge.schema.json',
    title: 'bridge.yaml',
    description: 'The allow-list of the bridge. What is not written in it is not allowed.',
  };
}

export function configDocument(): string {
  const rows: string[] = [];
  const schema = configJsonSchema() as JsonSchema;
  describeGroup(schema, '', rows);
  return [
    '# node-cycle.yml',
    '',
    'Generated from `cycle/config/schema.ts` by `npm run generate`. Everything that is not secret stands in this one file; secrets come from service connections. A first line `# yaml-language-server: $schema=…/node-cycle.schema.json` gives completion and checks in editors (`schemas/node-cycle.schema.json`).',
    '',
    '| key | value | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function describeGroup(group: JsonSchema, prefix: string, rows: string[]): void {
  for (const [key, value] of Object.entries(group.properties ?? {})) {
    const path = `${prefix}${key}`;
    const required = group.required?.includes(key) === true;
    const fallback = required ? 'required' : value.default === undefined ? '' : fallbackText(value.default);
    rows.push(row([`\`${path}\``, typeText(value), fallback, value.description ?? '']));
    describeInside(value, path, rows);
  }
}

function describeInside(value: JsonSchema, path: string, rows: string[]): void {
  if (value.properties !== undefined) describeGroup(value, `${path}.`, rows);
  else if (value.items?.properties !== undefined) describeGroup(value.items, `${path}[].`, rows);
  else if (value.oneOf !== undefined) describeAlternatives(value.oneOf, path, rows);
}

/** Alternatives differ by one constant key; each of the others is listed once, with the values it belongs to. */
function describeAlternatives(options: JsonSchema[], path: string, rows: string[]): void {
  const [first] = options;
  const key = Object.entries(first?.properties ?? {}).find(([, value]) => value.const !== undefined)?.[0];
  if (key === undefined) return;
  const values = options.map((option) => `\`${String(option.properties?.[key]?.const)}\``);
  rows.push(row([`\`${path}.${key}\``, values.join(', '), 'required', 'Which of the alternatives.']));
  for (const option of options) {
    const { [key]: choice, ...properties } = option.properties ?? {};
    const inner: string[] = [];
    describeGroup({ ...option, properties }, `${path}.`, inner);
    rows.push(...inner.map((line) => line.replace(/ \|$/, ` (with ${key} ${String(choice?.const)}) |`)));
  }
}

function typeText(value: JsonSchema): string {
  if (value.enum !== undefined) return value.enum.map((each) => `\`${String(each)}\``).join(', ');
  if (value.oneOf !== undefined || value.properties !== undefined) return 'group';
  if (value.items !== undefined) return `list of ${typeText(value.items).replace(/^group$/, 'groups')}`;
  if (value.type !== 'number' && value.type !== 'integer')
    return value.type === 'boolean' ? '`true`, `false`' : 'text';
  const most = value.maximum === undefined || value.maximum > 1e9 ? '' : ` to ${value.maximum}`;
  const least = value.minimum === undefined || value.minimum < -1e9 ? '' : ` from ${value.minimum}`;
  const above = value.exclusiveMinimum === undefined ? '' : ` above ${value.exclusiveMinimum}`;
  return `${value.type === 'integer' ? 'whole number' : 'number'}${least}${above}${most}`;
}

function fallbackText(value: unknown): string {
  if (Array.isArray(value) && value.length === 0) return 'none';
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return '';
  return `\`${Array.isArray(value) ? value.join(', ') : String(value)}\``;
}

const CHAPTERS: Record<string, string> = {
  1: 'Configuration and engine',
  2: 'Bridge',
  3: 'Cluster',
  4: 'Edges',
  5: 'Tasks and pipelines',
  9: 'Lab',
};

export function errorsDocument(): string {
  const lines = [
    '# Errors',
    '',
    'Generated from `ports/errors.ts` by `npm run generate`. A code is never reused. The message in the log adds what was found and where.',
  ];
  let chapter = '';
  for (const [code, { title, remedy }] of Object.entries(ERRORS).sort(([a], [b]) => a.localeCompare(b))) {
    const next = CHAPTERS[code.charAt(2)] ?? 'Other';
    if (next !== chapter)
      lines.push('', `## ${next}`, '', '| code | what is wrong | what to do |', '| --- | --- | --- |');
    chapter = next;
    lines.push(row([code, title, remedy]));
  }
  return [...lines, ''].join('\n');
}

export function tasksDocument(tasks: readonly TaskManifest[]): string {
  const order = [
    'PlanCycle',
    'ProvisionNode',
    'RkeAddNode',
    'UpdateIngress',
    'SwapDns',
    'RkeRemoveRole',
    'DeleteVm',
  ];
  const rank = ({ name }: TaskManifest) => (order.includes(name) ? order.indexOf(name) : order.length);
  const sorted = [...tasks].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  const lines = ['# Tasks', '', 'Generated from `tasks/*/task.json` by `npm run generate`.'];
  for (const task of sorted) {
    lines.push('', `## ${task.name}`, '', task.description, '');
    lines.push('| input | type | default | meaning |', '| --- | --- | --- | --- |');
    for (const input of task.inputs) lines.push(row(inputCells(input)));
    const outputs = task.outputVariables ?? [];
    if (outputs.length > 0) lines.push('', '| output | meaning |', '| --- | --- |');
    for (const { name, description } of outputs) lines.push(row([`\`${name}\``, description]));
  }
  return [...lines, ''].join('\n');
}

function inputCells(input: TaskInput): string[] {
  const type =
    input.options === undefined
      ? input.type
      : Object.keys(input.options)
          .map((each) => `\`${each}\``)
          .join(', ');
  const fallback =
    input.defaultValue === undefined || input.defaultValue === '' ? '' : `\`${input.defaultValue}\``;
  const needed = input.required === true && fallback === '' ? 'required' : fallback;
  const shown = input.visibleRule === undefined ? '' : ` Only with ${input.visibleRule}.`;
  return [`\`${input.name}\``, type, needed, `${input.helpMarkDown ?? input.label}${shown}`];
}
