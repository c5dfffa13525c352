/** IPv4 ranges: which address a successor takes. The one place where an address is read as a number. */

/** The address as an unsigned number; undefined unless it is four decimal parts without leading zeros. */
export function ipv4ToNumber(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function numberToIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

export interface Range {
  first: number;
  last: number;
}

/** `a-b`, both ends included; undefined when it is not two addresses in order. */
export function parseRange(text: string): Range | undefined {
  const [from, to, ...rest] = text.split('-');
  const first = ipv4ToNumber(from ?? '');
  const last = ipv4ToNumber(to ?? '');
  if (first === undefined || last === undefined || rest.length > 0 || last < first) return undefined;
  return { first, last };
}

export function inRanges(address: string, ranges: readonly string[]): boolean {
  const value = ipv4ToNumber(address);
  if (value === undefined) return false;
  return ranges.some((text) => {
    const range = parseRange(text);
    return range !== undefined && range.first <= value && value <= range.last;
  });
}

/** The first address of the ranges that nothing holds. */
export function firstFree(ranges: readonly string[], held: ReadonlySet<string>): string | undefined {
  for (const text of ranges) {
    const range = parseRange(text);
    if (range === undefined) continue;
    for (let value = range.first; value <= range.last; value += 1) {
      const address = numberToIpv4(value);
      if (!held.has(address)) return address;
    }
  }
  return undefined;
}
