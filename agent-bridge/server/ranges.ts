/** IPv4 ranges: `10.0.0.0/24`, `10.0.0.10-10.0.0.99` or one address. The one place where the bridge reads an address. */
import { Ipv4 } from '../protocol/shapes.ts';

export interface Range {
  from: number;
  to: number;
}

export function addressNumber(text: string): number | undefined {
  if (!Ipv4.safeParse(text).success) return undefined;
  return text.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

export function parseRange(text: string): Range | undefined {
  const cidr = /^([0-9.]+)\/(3[0-2]|[12]?[0-9])$/.exec(text);
  if (cidr) {
    const base = addressNumber(cidr[1] ?? '');
    const size = 2 ** (32 - Number(cidr[2]));
    return base === undefined || base % size !== 0 ? undefined : { from: base, to: base + size - 1 };
  }
  const [first, last, more] = text.split('-');
  const from = addressNumber(first ?? '');
  const to = last === undefined ? from : addressNumber(last);
  return more !== undefined || from === undefined || to === undefined || to < from ? undefined : { from, to };
}

export function inRange(address: string, range: string): boolean {
  const value = addressNumber(address);
  const bounds = parseRange(range);
  return value !== undefined && bounds !== undefined && value >= bounds.from && value <= bounds.to;
}

export const prefixLength = (cidr: string): number => Number(cidr.split('/')[1]);

/** What a guest reports about itself is shown only when it can be an address of a node. */
export function usableAddress(text: string): boolean {
  return addressNumber(text) !== undefined && !inRange(text, '169.254.0.0/16') && text !== '0.0.0.0';
}
