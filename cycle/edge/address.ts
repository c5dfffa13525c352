/**
 * IP addresses as text: the only form in which an address may enter a proxy's configuration, a values file
 * or a DNS update. Pure, so that everything foreign can be checked before anything is sent.
 */
import { CodedError } from '../../ports/errors.ts';

const V4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/;
const V6_CHARACTERS = /^[0-9a-fA-F:.]{2,45}$/;

export function isIPv4(text: string): boolean {
  return V4.test(text);
}

export function isIPv6(text: string): boolean {
  return V6_CHARACTERS.test(text) && text.includes(':') && v6Canonical(text) !== undefined;
}

/** One spelling for each address: IPv6 in the short lower-case form, without brackets. Other text comes back as it is. */
export function canonicalAddress(text: string): string {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  if (isIPv4(bare)) return bare;
  if (V6_CHARACTERS.test(bare) && bare.includes(':')) return v6Canonical(bare) ?? text;
  return text;
}

/** The address in its one spelling; throws NC4003 for anything else (a newline or `;` inside included). */
export function requireAddress(text: string, what: string): string {
  if (isIPv4(text)) return text;
  if (isIPv6(text)) return canonicalAddress(text);
  throw new CodedError(
    'NC4003',
    `Expected an IPv4 or IPv6 address as ${what}, found ${JSON.stringify(text.slice(0, 80))}.`,
  );
}

/** The URL parser knows every spelling of IPv6 and writes RFC 5952's. */
function v6Canonical(text: string): string | undefined {
  try {
    return new URL(`http://[${text}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
}
