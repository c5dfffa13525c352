/**
 * The policy's judgement: allowed only when the operation is listed for the client and every parameter passes the
 * rule that the operation's definition gives it. A refusal names the field, the rule and the policy's line.
 */
import type { Operation, Rule } from '../protocol/operation.ts';
import type { Refusal } from '../protocol/wire.ts';
import { DomainName, Ipv4, Ipv6 } from '../protocol/shapes.ts';
import type { BridgePolicy, ClientPolicy } from './policy.ts';
import { inRange } from './ranges.ts';

export interface Judged {
  policy: BridgePolicy;
  client: ClientPolicy;
  /** Cluster of the bridge's own record of a VM; undefined when it has none. */
  clusterOf(vmId: string): string | undefined;
}

type Params = { [name: string]: unknown };
type Check = (value: unknown, judged: Judged, params: Params) => boolean;

/** undefined: allowed. Parameters must already have their operation's shape. */
export function refusalOf(operation: Operation, params: Params, judged: Judged): Refusal | undefined {
  const { client, policy } = judged;
  const index = policy.clients.indexOf(client);
  if (!client.operations.includes(operation.name)) {
    return { code: 'notGranted', rule: 'operations', line: policy.lineOf(['clients', index, 'operations']) };
  }
  for (const [field, { rule }] of Object.entries(operation.params)) {
    const value = params[field];
    if (value === undefined) continue;
    if (!RULES[rule].check(value, judged, params)) {
      return { code: 'notGranted', field, rule, line: policy.lineOf(['clients', index, RULES[rule].key]) };
    }
  }
  return undefined;
}

/** `*` stands for any run of letters, digits and hyphens (and dots, in a host name). */
export function matches(pattern: string, name: string, any = '[a-z0-9-]*'): boolean {
  const source = pattern
    .split('*')
    .map((part) => part.replaceAll('.', '\\.'))
    .join(any);
  return new RegExp(`^${source}$`).test(name);
}

const zoneOf = ({ client }: Judged, params: Params) => client.dns.find(({ zone }) => zone === params['zone']);

type RecordType = 'A' | 'AAAA' | 'CNAME';

const inRanges = (data: string, { client }: Judged): boolean =>
  client.addressRanges.some((range) => inRange(data, range));

/** Data must be of the record's own type: an address would match the target `*` of a CNAME. */
const DATA_OF: Record<RecordType, (data: string, judged: Judged, params: Params) => boolean> = {
  A: (data, judged) => Ipv4.safeParse(data).success && inRanges(data, judged),
  AAAA: (data, judged) => Ipv6.safeParse(data).success && inRanges(data, judged),
  CNAME: (data, judged, params) =>
    DomainName.safeParse(data).success &&
    (zoneOf(judged, params)?.targets ?? []).some((target) => matches(target, data, '[a-z0-9.-]*')),
};

/** For each rule: the client's key that it reads, what it checks, and how `check` says it. */
export const RULES: Record<
  Rule,
  { key: keyof ClientPolicy; check: Check; says(client: ClientPolicy): string }
> = {
  clusters: {
    key: 'clusters',
    check: (value, { client }) => client.clusters.includes(value as string),
    says: (client) => `one of the clusters ${list(client.clusters)}`,
  },
  names: {
    key: 'names',
    check: (value, { client }) => client.names.some((pattern) => matches(pattern, value as string)),
    says: (client) => `a name like ${list(client.names)}`,
  },
  sizes: {
    key: 'sizes',
    check: (value, { client }) => client.sizes.includes(value as string),
    says: (client) => `one of the sizes ${list(client.sizes)}`,
  },
  images: {
    key: 'images',
    check: (value, { client }) => client.images.includes(value as string),
    says: (client) => `one of the images ${list(client.images)}`,
  },
  addressRanges: {
    key: 'addressRanges',
    // Also inside the subnet of one of the client's networks: else no network could carry it.
    check: (value, { client, policy }) =>
      client.addressRanges.some((range) => inRange(value as string, range)) &&
      client.switches.some((name) => inRange(value as string, policy.networks[name]?.subnet ?? '')),
    says: (client) => `an address in ${list(client.addressRanges)} on ${list(client.switches)}`,
  },
  macPrefixes: {
    key: 'macPrefixes',
    check: (value, { client }) => client.macPrefixes.some((prefix) => (value as string).startsWith(prefix)),
    says: (client) => `a MAC address that begins with ${list(client.macPrefixes)}`,
  },
  ownVm: {
    key: 'clusters',
    check(value, { client, clusterOf }, params) {
      const cluster = clusterOf(value as string);
      return cluster !== undefined && cluster === params['cluster'] && client.clusters.includes(cluster);
    },
    says: () => 'a VM of that cluster that the bridge made or a person adopted',
  },
  zones: {
    key: 'dns',
    check: (value, { client }) => client.dns.some(({ zone }) => zone === value),
    says: (client) => `one of the zones ${list(client.dns.map(({ zone }) => zone))}`,
  },
  dnsNames: {
    key: 'dns',
    check(value, judged, params) {
      const names = Array.isArray(value) ? (value as string[]) : [value as string];
      const patterns = zoneOf(judged, params)?.names ?? [];
      return names.every((name) => patterns.some((pattern) => matches(pattern, name)));
    },
    says: (client) => `a record name like ${list(client.dns.flatMap(({ names }) => names))}`,
  },
  dnsTypes: {
    key: 'dns',
    check: (value, judged, params) => zoneOf(judged, params)?.types.some((type) => type === value) ?? false,
    says: (client) => `records of type ${list([...new Set(client.dns.flatMap(({ types }) => types))])}`,
  },
  dnsData: {
    key: 'dns',
    check: (value, judged, params) =>
      (value as string[]).every((data) => DATA_OF[params['type'] as RecordType](data, judged, params)),
    says: (client) =>
      `addresses in ${list(client.addressRanges)}, or names like ${list(client.dns.flatMap(({ targets }) => targets))}`,
  },
  ttl: {
    key: 'dns',
    check: (value, judged, params) => (value as number) <= (zoneOf(judged, params)?.maxTtlSeconds ?? 0),
    says: (client) =>
      `a TTL up to ${Math.max(0, ...client.dns.map(({ maxTtlSeconds }) => maxTtlSeconds))} seconds`,
  },
  // Judged against the log when the job is accepted: it needs the order of all clients' requests.
  fence: {
    key: 'clusters',
    check: () => true,
    says: () => 'a number not lower than any seen for that cluster',
  },
  ofItsType: { key: 'name', check: () => true, says: () => 'any value of its type' },
};

const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '));
