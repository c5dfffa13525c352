/**
 * What bridge.yaml grants, read a second time: from the file's text, with no line of the bridge's own code, and by
 * other means (loops over characters, not patterns), so that one mistake is not made twice.
 */
import { BlockList, SocketAddress, isIPv6 } from 'node:net';
import { parse } from 'yaml';

export interface Grants {
  name: string;
  clusters: string[];
  operations: string[];
  names?: string[];
  sizes?: string[];
  images?: string[];
  addressRanges?: string[];
  macPrefixes?: string[];
  switches?: string[];
  dns?: { zone: string; names: string[]; types?: string[]; targets?: string[]; maxTtlSeconds?: number }[];
  budgets?: Record<string, number>;
}

export interface Oracle {
  budgetOf(client: string, op: string): number;
  /** Whether this operation with these parameters stands in the file for this client. */
  granted(client: string, op: string, params: unknown): boolean;
}

type Test = (value: unknown) => boolean;
type Params = Record<string, unknown>;

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const consists = (text: string, of: string) => Array.from(text).every((c) => of.includes(c));
const isText = (value: unknown): value is string => typeof value === 'string';

const isLabel: Test = (value) =>
  isText(value) &&
  value.length >= 1 &&
  value.length <= 63 &&
  consists(value, `${LETTERS}0123456789-`) &&
  !value.startsWith('-') &&
  !value.endsWith('-');
const isDomain: Test = (value) =>
  isText(value) && value.length <= 253 && value.split('.').length > 1 && value.split('.').every(isLabel);
const isHex = (text: string, length: number) => text.length === length && consists(text, 'abcdef0123456789');
const isGuid: Test = (value) => {
  if (!isText(value)) return false;
  const parts = value.split('-');
  return parts.length === 5 && [8, 4, 4, 4, 12].every((length, n) => isHex(parts[n] ?? '', length));
};
const isMac: Test = (value) =>
  isText(value) && value.split(':').length === 6 && value.split(':').every((part) => isHex(part, 2));
const isWhole =
  (least: number, most: number): Test =>
  (value) =>
    typeof value === 'number' && Math.floor(value) === value && value >= least && value <= most;
const isListOf =
  (test: Test, least: number): Test =>
  (value) =>
    Array.isArray(value) && value.length >= least && value.length <= 64 && value.every(test);

/** NaN for what is not a dotted quad in its one spelling. */
function quad(value: unknown): number {
  if (!isText(value)) return NaN;
  const parts = value
    .split('.')
    .map((part) => (consists(part, '0123456789') && part !== '' ? Number(part) : NaN));
  const spelt = parts.length === 4 && parts.every((n) => n >= 0 && n <= 255) && parts.join('.') === value;
  return spelt ? new DataView(Uint8Array.from(parts).buffer).getUint32(0) : NaN;
}
const isIpv6: Test = (value) =>
  isText(value) &&
  isIPv6(value) &&
  consists(value, 'abcdef0123456789:') &&
  !value.startsWith('::ffff:') &&
  new SocketAddress({ address: value, family: 'ipv6' }).address === value;
const isRecordData: Test = (value) => !Number.isNaN(quad(value)) || isIpv6(value) || isDomain(value);

const PARAMETERS: Record<string, Record<string, Test>> = {
  'host.read': {},
  'vm.read': { cluster: isLabel },
  'dns.read': { zone: isDomain, names: isListOf(isLabel, 1) },
  'image.build': { image: isLabel },
  'vm.create': {
    ...{ cluster: isLabel, node: isLabel, 'role?': isLabel, size: isLabel, image: isLabel },
    ...{ 'address?': (value) => !Number.isNaN(quad(value)), 'mac?': isMac, 'inheritFrom?': isGuid },
    ...{ 'replaces?': isLabel, fence: isWhole(0, Number.MAX_SAFE_INTEGER) },
  },
  'vm.stop': { cluster: isLabel, id: isGuid, fence: isWhole(0, Number.MAX_SAFE_INTEGER) },
  'vm.delete': { cluster: isLabel, id: isGuid, fence: isWhole(0, Number.MAX_SAFE_INTEGER) },
  'dns.swap': {
    ...{
      cluster: isLabel,
      zone: isDomain,
      name: isLabel,
      type: (value) => value === 'A' || value === 'AAAA' || value === 'CNAME',
    },
    ...{
      expect: isListOf(isRecordData, 0),
      add: isListOf(isRecordData, 0),
      remove: isListOf(isRecordData, 0),
    },
    ...{ 'ttlSeconds?': isWhole(1, 86_400), fence: isWhole(0, Number.MAX_SAFE_INTEGER) },
  },
};
const BUDGETS: Record<string, string> = {
  'image.build': 'imageBuilds',
  'vm.create': 'creations',
  'vm.stop': 'stops',
  'vm.delete': 'deletions',
  'dns.swap': 'dnsSwaps',
};
export const READ_NAMES = ['host.read', 'vm.read', 'dns.read'];

function hasShape(op: string, params: unknown): params is Params {
  const wanted = Object.hasOwn(PARAMETERS, op) ? PARAMETERS[op] : undefined;
  if (!wanted || typeof params !== 'object' || params === null || Array.isArray(params)) return false;
  const names = Object.keys(wanted).map((name) => name.replace('?', ''));
  if (!Object.keys(params).every((name) => names.includes(name))) return false;
  return Object.entries(wanted).every(([name, test]) => {
    const bare = name.replace('?', '');
    return Object.hasOwn(params, bare) ? test((params as Params)[bare]) : name.endsWith('?');
  });
}

/** A pattern with stars, piece by piece from both ends. */
export function fits(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*');
  if (star === -1) return pattern === name;
  if (!name.startsWith(pattern.slice(0, star))) return false;
  const rest = name.slice(star);
  return Array.from({ length: rest.length + 1 }, (_, n) => rest.slice(n)).some((tail) =>
    fits(pattern.slice(star + 1), tail),
  );
}

function within(address: unknown, range: string): boolean {
  const at = quad(address);
  const [base = '', bits] = range.split('/');
  const [first = '', last = first] = base.split('-');
  const from = quad(first);
  const to = bits === undefined ? quad(last) : from + 2 ** (32 - Number(bits)) - 1;
  return at >= from && at <= to;
}

function within6(address: string, range: string): boolean {
  const [base = '', bits] = range.split('/');
  const [first = '', last = first] = base.split('-');
  if (!isIpv6(address) || !isIPv6(first)) return false;
  const list = new BlockList();
  if (bits === undefined) list.addRange(first, last, 'ipv6');
  else list.addSubnet(first, Number(bits), 'ipv6');
  return list.check(address, 'ipv6');
}

export function oracleOf(policyText: string, owned: Record<string, string>): Oracle {
  const file = parse(policyText) as { clients: Grants[]; networks: Record<string, { subnet: string }> };
  const grantsOf = (client: string) => file.clients.find(({ name }) => name === client) as Grants;
  const owns = (mine: Grants, id: unknown, cluster: unknown) =>
    isText(id) &&
    Object.hasOwn(owned, id) &&
    owned[id] === cluster &&
    mine.clusters.includes(owned[id] ?? '');
  const fitsSome = (patterns: string[] = [], name: unknown) =>
    patterns.some((one) => fits(one, name as string));
  return {
    budgetOf: (client, op) => grantsOf(client).budgets?.[BUDGETS[op] ?? ''] ?? 0,
    granted(client, op, params) {
      const mine = grantsOf(client);
      if (!mine.operations.includes(op) || !hasShape(op, params)) return false;
      const has = (name: string) => Object.hasOwn(params, name);
      const { cluster, zone, type, address } = params;
      if (has('cluster') && !mine.clusters.includes(cluster as string)) return false;
      if (has('node') && !fitsSome(mine.names, params['node'])) return false;
      if (has('replaces') && !fitsSome(mine.names, params['replaces'])) return false;
      if (has('size') && !(mine.sizes ?? []).includes(params['size'] as string)) return false;
      if (has('image') && !(mine.images ?? []).includes(params['image'] as string)) return false;
      if (has('id') && !owns(mine, params['id'], cluster)) return false;
      if (has('inheritFrom') && !owns(mine, params['inheritFrom'], cluster)) return false;
      if (
        has('mac') &&
        !(mine.macPrefixes ?? ['00:15:5d']).some((one) => String(params['mac']).indexOf(one) === 0)
      )
        return false;
      const ranges = mine.addressRanges ?? [];
      if (has('address')) {
        if (!ranges.some((range) => within(address, range))) return false;
        if (!(mine.switches ?? []).some((one) => within(address, file.networks[one]?.subnet ?? '1.1.1.1')))
          return false;
      }
      if (!has('zone')) return true;
      const records = (mine.dns ?? []).find((one) => one.zone === zone);
      if (!records) return false;
      const names = (has('names') ? params['names'] : [params['name']]) as string[];
      if (!names.every((name) => fitsSome(records.names, name))) return false;
      if (has('type') && !(records.types ?? ['A']).includes(type as string)) return false;
      if (has('ttlSeconds') && (params['ttlSeconds'] as number) > (records.maxTtlSeconds ?? 3600))
        return false;
      return ((params['add'] ?? []) as string[]).every((data) => {
        if (type === 'A') return ranges.some((range) => within(data, range));
        if (type === 'AAAA') return ranges.some((range) => within6(data, range));
        return isDomain(data) && !/\.[0-9]+$/.test(data) && fitsSome(records.targets, data);
      });
    },
  };
}

/** The one spelling of a value; a body in any other is not to be accepted. */
export function spelt(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spelt).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([name, one]) => `${JSON.stringify(name)}:${spelt(one)}`).join()}}`;
}

/** The value of a body, undefined when its bytes are not its one spelling. */
export function meaning(body: Buffer): unknown {
  try {
    const value = JSON.parse(body.toString('utf8')) as unknown;
    return Buffer.from(spelt(value)).equals(body) ? value : undefined;
  } catch {
    return undefined;
  }
}
