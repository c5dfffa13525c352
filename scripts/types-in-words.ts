/** The types of the bridge's protocol in words, read from the schemas themselves. */
import * as z from 'zod/mini';
import { VmView } from '../agent-bridge/protocol/operations.ts';
import * as shapes from '../agent-bridge/protocol/shapes.ts';
import { JobError, JobView } from '../agent-bridge/protocol/wire.ts';
import { row } from './table.ts';

type Schema = z.core.$ZodType;

/** A shape without its words does not compile. */
const WORDS: Record<keyof typeof shapes, string> = {
  Name: 'a name: lower-case letters, digits and hyphens, 63 at most',
  Guid: 'an id: a GUID in lower case',
  Mac: 'a MAC address, lower case with colons',
  Ipv4: 'an IPv4 address without leading zeros',
  Ipv6: 'an IPv6 address in its one short spelling, lower case',
  DomainName: 'a host or zone name in lower case, no dot at its end, two labels at least, the last no number',
  RecordType: 'a type of records',
  RecordData: 'an address for A and AAAA, a host name for CNAME',
  TtlSeconds: 'seconds',
  Fence: 'the number of the cluster’s lock, which rises with each take-over',
  Instant: 'a time in UTC, as in 2026-01-02T03:04:05.678Z',
  Sha256: 'a SHA-256, 64 hex digits in lower case',
  Megabytes: 'megabytes',
  Bytes: 'bytes',
  Seconds: 'seconds',
  Count: 'a count',
  Vlan: 'a VLAN’s number',
  SshPublicKey: 'an SSH host key, `type base64`',
  HostText: 'text that the host gave; it is shown and compared, and goes into no script',
  VmState: 'a VM’s state',
  StartAction: 'what a VM does when its host starts',
  Marker: 'what the bridge wrote into the VM’s notes',
  DnsRecordShape: 'a DNS record',
};

const OTHER_WORDS: Record<string, string> = { VmView: 'a VM of the host', JobView: 'a job' };

const NAMED: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  ...Object.entries(shapes).map(([name, schema]): [unknown, string] => [schema, name]),
  [VmView, 'VmView'],
  [JobError, 'JobError'],
  [JobView, 'JobView'],
]);

/** The parts of a schema's definition that the protocol uses. */
type Definition = { type: string } & Partial<{
  innerType: Schema;
  element: Schema;
  options: Schema[];
  shape: Record<string, Schema>;
  entries: Record<string, string>;
  values: unknown[];
}>;
const definitionOf = (schema: Schema): Definition => schema._zod.def;

/** A parameter's type; the names are those of the table of types. */
export function typeText(schema: Schema): string {
  const { type, innerType, element } = definitionOf(schema);
  if (type === 'optional' && innerType) return `${typeText(innerType)}; may be absent`;
  if (type === 'array' && element) return `list of \`${notation(element)}\`${amountOf(schema)}`;
  const name = NAMED.get(schema);
  return name === undefined ? `\`${notation(schema)}\`` : `\`${name}\`: ${wordsOf(name)}`;
}

/** A shape as one would write it in TypeScript, with the names of the table of types. */
export function notation(schema: Schema, indent = '', open = false): string {
  const name = open ? undefined : NAMED.get(schema);
  if (name !== undefined) return name;
  const { type, element, options, entries, values, shape } = definitionOf(schema);
  if (type === 'array' && element) return `${notation(element, indent)}[]`;
  if (options) return options.map((option) => notation(option, indent)).join(' | ');
  if (entries ?? values) return (values ?? Object.values(entries ?? {})).map(quoted).join(' | ');
  if (shape === undefined) return type;
  const fields = Object.entries(shape).map(([key, field]) => {
    const { type: kind, innerType } = definitionOf(field);
    const optional = kind === 'optional' && innerType !== undefined;
    return `${indent}  ${key}${optional ? '?' : ''}: ${notation(optional ? innerType : field, `${indent}  `)}`;
  });
  return fields.length === 0 ? '{}' : `{\n${fields.join('\n')}\n${indent}}`;
}

const quoted = (value: unknown): string => JSON.stringify(value);

/** A row for each named type. */
export function typesTable(): string[] {
  const rows = Object.entries(shapes)
    .filter(([, schema]) => definitionOf(schema).shape === undefined)
    .map(([name, schema]) => row([`\`${name}\``, wordsOf(name), formOf(schema)]));
  const objects = [...NAMED].filter(([schema]) => definitionOf(schema as Schema).shape !== undefined);
  return [
    '| type | meaning | values |',
    '| --- | --- | --- |',
    ...rows,
    ...objects.flatMap(([schema, name]) => [
      '',
      `\`${name}\`, ${wordsOf(name)}:`,
      '',
      '```',
      notation(schema as Schema, '', true),
      '```',
    ]),
  ];
}

const wordsOf = (name: string): string => (WORDS as Record<string, string>)[name] ?? OTHER_WORDS[name] ?? '';

/** Taken from the schema, so that it cannot be another than the one that is checked. */
function formOf(schema: Schema): string {
  const { options } = definitionOf(schema);
  if (options && NAMED.has(options[0])) return `\`${options.map((one) => notation(one)).join(' | ')}\``;
  const { enum: allowed, minimum, maximum, maxLength } = z.toJSONSchema(schema);
  if (allowed) return allowed.map((one) => `\`${String(one)}\``).join(', ');
  if (minimum !== undefined && maximum !== undefined)
    return `whole number from ${minimum} to ${maximum === Number.MAX_SAFE_INTEGER ? '2^53-1' : maximum}`;
  return maxLength === undefined ? '' : `${maxLength} characters at most`;
}

function amountOf(schema: Schema): string {
  const { minItems, maxItems } = z.toJSONSchema(schema);
  const least = minItems === undefined ? '' : `${minItems} at least`;
  const most = maxItems === undefined ? '' : `${maxItems} at most`;
  const amount = [least, most].filter((part) => part !== '').join(', ');
  return amount === '' ? '' : ` (${amount})`;
}
