/**
 * A service that reserves an address: by name it gives a MAC and an address (and, if it likes, a DNS name), by MAC it
 * takes them back. It belongs to the operator and stands in front of his DHCP; we only call it.
 */
import { CodedError } from '../../../ports/errors.ts';
import { ipv4ToNumber } from '../../plan/addresses.ts';

export interface Reservation {
  /** Lower case with colons, as the bridge takes it. */
  mac: string;
  address: string;
}

export interface ReservationService {
  /**
   * Reserves, or gives what the name has already.
   *
   * @throws CodedError NC4080 no answer for now, NC4081 refused, NC4082 unreadable, NC4083 the name is taken.
   */
  reserve(name: string, signal: AbortSignal): Promise<Reservation>;
  /** @throws CodedError NC4080, NC4081. */
  release(mac: string, signal: AbortSignal): Promise<'released' | 'notThere'>;
  /** Undefined when the service cannot be asked by name. */
  find: ((name: string, signal: AbortSignal) => Promise<Reservation | undefined>) | undefined;
}

/** `00:15:5d:01:02:03` from any usual form; undefined when it is no address of one adapter. */
export function plainMac(text: string): string | undefined {
  const form = /^([0-9a-f]{12}|[0-9a-f]{2}([:-])[0-9a-f]{2}(\2[0-9a-f]{2}){4})$/i;
  if (!form.test(text)) return undefined;
  const octets = text.toLowerCase().replace(/[:-]/g, '').match(/../g) ?? [];
  const group = (Number.parseInt(octets[0] ?? '', 16) & 1) === 1;
  return group || octets.every((octet) => octet === '00') ? undefined : octets.join(':');
}

export function macAs(form: 'colons' | 'dashes' | 'plain', mac: string): string {
  if (form === 'colons') return mac;
  return mac.toUpperCase().replaceAll(':', form === 'dashes' ? '-' : '');
}

/**
 * MAC and address out of an answer, by the names of its fields (`lease.mac` is a field of a field).
 *
 * @throws CodedError NC4082.
 */
export function readReservation(
  answer: unknown,
  fields: { mac: string; address: string },
  where: string,
): Reservation {
  const foundMac = fieldOf(answer, fields.mac);
  const foundAddress = fieldOf(answer, fields.address);
  const mac = typeof foundMac === 'string' ? plainMac(foundMac) : undefined;
  const address = typeof foundAddress === 'string' ? foundAddress : undefined;
  if (mac === undefined) throw unreadable(where, `the MAC of an adapter in "${fields.mac}"`, foundMac);
  if (address === undefined || ipv4ToNumber(address) === undefined)
    throw unreadable(where, `an IPv4 address in "${fields.address}"`, foundAddress);
  return { mac, address };
}

function unreadable(where: string, expected: string, found: unknown): CodedError {
  const shown = found === undefined ? 'no such field' : clean(JSON.stringify(found));
  return new CodedError('NC4082', `${where}: expected ${expected}, found ${shown}.`);
}

function fieldOf(answer: unknown, path: string): unknown {
  let value = answer;
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

const LONGEST_SHOWN = 200;

/** Text of the service as evidence: one line, short, without control characters. */
export function clean(text: string): string {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ').trim();
  return line.length <= LONGEST_SHOWN ? line : `${line.slice(0, LONGEST_SHOWN)}...`;
}
