/**
 * Address ranges: `10.0.0.0/24`, `10.0.0.10-10.0.0.99`, `2001:db8::/64` or one address. The one place where the bridge
 * reads an address.
 */
import { Ipv4, Ipv6 } from '../protocol/shapes.ts';

const IPV4_BITS = 32;
const IPV6_BITS = 128;
const IPV6_GROUPS = 8;

export interface Range {
  /** 32 or 128: an address is in a range of its own family only. */
  bits: number;
  from: bigint;
  to: bigint;
}

interface Address {
  bits: number;
  value: bigint;
}

function addressOf(text: string): Address | undefined {
  if (Ipv4.safeParse(text).success)
    return { bits: IPV4_BITS, value: joined(text.split('.').map(BigInt), IPV4_BITS / 4) };
  if (!Ipv6.safeParse(text).success) return undefined;
  const [left = '', right = ''] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => BigInt(`0x${group}`)));
  const [head, tail] = [groups(left), groups(right)];
  const zeros = Array<bigint>(IPV6_GROUPS - head.length - tail.length).fill(0n);
  return { bits: IPV6_BITS, value: joined([...head, ...zeros, ...tail], IPV6_BITS / IPV6_GROUPS) };
}

const joined = (digits: readonly bigint[], bitsEach: number): bigint =>
  digits.reduce((sum, digit) => (sum << BigInt(bitsEach)) + digit, 0n);

export function parseRange(text: string): Range | undefined {
  const cidr = /^([0-9a-f.:]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  if (cidr) {
    const base = addressOf(cidr[1] ?? '');
    const prefix = Number(cidr[2]);
    if (!base || prefix > base.bits) return undefined;
    const size = 1n << BigInt(base.bits - prefix);
    return base.value % size === 0n
      ? { bits: base.bits, from: base.value, to: base.value + size - 1n }
      : undefined;
  }
  const [first = '', last = first, more] = text.split('-');
  const [from, to] = [addressOf(first), addressOf(last)];
  if (more !== undefined || !from || to?.bits !== from.bits || to.value < from.value) return undefined;
  return { bits: from.bits, from: from.value, to: to.value };
}

export function inRange(address: string, range: string): boolean {
  const given = addressOf(address);
  const bounds = parseRange(range);
  return given?.bits === bounds?.bits && isBetween(given, bounds);
}

const isBetween = (given: Address | undefined, bounds: Range | undefined): boolean =>
  given !== undefined && bounds !== undefined && given.value >= bounds.from && given.value <= bounds.to;

export const prefixLength = (cidr: string): number => Number(cidr.split('/')[1]);

/** What a guest reports about itself is shown only when it can be an address of a node. */
export function usableAddress(text: string): boolean {
  return Ipv4.safeParse(text).success && !inRange(text, '169.254.0.0/16') && text !== '0.0.0.0';
}
