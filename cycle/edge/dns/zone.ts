/**
 * A DNS zone as the cycle needs it: what each of its servers answers now, and one compare-and-swap on a set of
 * records. Two adapters: RFC 2136 with TSIG, and Windows DNS through the bridge.
 */
import type { DnsRecord, Wait } from '../../../ports/ports.ts';
import { CodedError } from '../../../ports/errors.ts';
import { canonicalAddress, isIPv4, isIPv6 } from '../address.ts';

export type RecordType = 'A' | 'AAAA' | 'CNAME';

export interface RecordSet {
  /** Full name, without its final dot. */
  name: string;
  type: RecordType;
}

/** What one server of the zone holds itself. */
export interface ServerView {
  server: string;
  /** Of the SOA; a decimal of 32 bits. Absent when the server could not be asked. */
  serial?: number;
  records: DnsRecord[];
  /** Why it could not be asked. */
  failure?: string;
}

export interface Swap extends RecordSet {
  /** Type of the set that is there now; another one only for CNAME ↔ A. Default: `type`. */
  expectType?: RecordType;
  /** The whole set as it was read; empty: the name has no such record. The swap happens only when it is still so. */
  expect: string[];
  add: string[];
  remove: string[];
  /** Seconds. */
  ttl: number;
}

export type SwapRefusal =
  /** The set is not what was expected: read again. */
  | 'stale'
  /** The server's update policy does not allow it. */
  | 'policy'
  /** TSIG: unknown key, wrong secret, or clocks too far apart. */
  | 'key'
  /** Accepted, and without effect: an A beside a CNAME. */
  | 'ignored'
  | 'unreachable'
  | 'failed';

export type SwapOutcome = 'swapped' | { refused: SwapRefusal; detail: string };

export interface DnsZone {
  readonly zone: string;
  /** The primary: the server that takes updates. */
  readonly primary: string;
  /** Every server, the primary first; a server that cannot be asked is in the list with its failure. */
  read(sets: readonly RecordSet[], wait: Wait): Promise<ServerView[]>;
  swap(change: Swap, wait: Wait): Promise<SwapOutcome>;
}

const LABEL = /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

export function isDnsName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => LABEL.test(label));
}

/** One spelling of a record's data: names in lower case without the final dot, addresses canonical. */
export function canonicalData(type: RecordType, data: string): string {
  return type === 'CNAME' ? data.replace(/\.$/, '').toLowerCase() : canonicalAddress(data);
}

/** Members of a set on one server, each in its one spelling, sorted. */
export function membersOn(view: ServerView, set: RecordSet): string[] {
  return view.records
    .filter((r) => r.type === set.type && r.name.toLowerCase() === set.name.toLowerCase())
    .map((r) => canonicalData(set.type, r.data))
    .sort();
}

/** Throws NC4041 before anything is sent: nsupdate reads lines, so a name or value is a name or value and no more. */
export function requireSwap(change: Swap, zone: string): void {
  const bad = (what: string, found: string): CodedError =>
    new CodedError('NC4041', `Expected ${what}, found ${JSON.stringify(found.slice(0, 80))}.`);
  const inZone =
    change.name.toLowerCase() === zone.toLowerCase() ||
    change.name.toLowerCase().endsWith(`.${zone.toLowerCase()}`);
  if (!isDnsName(change.name) || !inZone) throw bad(`a name in the zone ${zone}`, change.name);
  if (!Number.isInteger(change.ttl) || change.ttl < 1 || change.ttl > 2_147_483_647) {
    throw bad('a TTL in whole seconds', String(change.ttl));
  }
  const check = (type: RecordType, data: string): void => {
    const good =
      type === 'A' ? isIPv4(data) : type === 'AAAA' ? isIPv6(data) : isDnsName(data.replace(/\.$/, ''));
    if (!good) throw bad(`data of a ${type} record for ${change.name}`, data);
  };
  for (const data of change.expect) check(change.expectType ?? change.type, data);
  for (const data of change.remove) check(change.expectType ?? change.type, data);
  for (const data of change.add) check(change.type, data);
  if (change.type === 'CNAME' && change.add.length > 1)
    throw bad('one CNAME for a name', change.add.join(', '));
}

/** The set after the change. */
export function membersAfter(change: Swap): string[] {
  const from = change.expectType ?? change.type;
  const gone = new Set(change.remove.map((data) => canonicalData(from, data)));
  const kept =
    from === change.type
      ? change.expect.map((data) => canonicalData(from, data)).filter((data) => !gone.has(data))
      : [];
  return [...new Set([...kept, ...change.add.map((data) => canonicalData(change.type, data))])].sort();
}

/** RFC 1982: serials count in a circle. True when `a` is `b` or later. */
export function serialAtLeast(a: number, b: number): boolean {
  return (a - b) >>> 0 < 0x8000_0000;
}
