/** IPv4 addresses and ranges as they stand in node-cycle.yml: strict dotted decimal, no leading zeros. */

export interface AddressRange {
  /** First and last address, both included, as unsigned 32-bit numbers. */
  first: number;
  last: number;
}

/** undefined when the text is not an address. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** `first-last`; undefined when one end is not an address. The ends may be in the wrong order. */
export function parseRange(text: string): AddressRange | undefined {
  const [from = '', to = '', ...more] = text.split('-');
  const first = parseIpv4(from);
  const last = parseIpv4(to);
  return more.length > 0 || first === undefined || last === undefined ? undefined : { first, last };
}

export function inRange(range: AddressRange, address: number): boolean {
  return range.first <= address && address <= range.last;
}
