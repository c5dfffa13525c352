/**
 * Certificates (RFC 5280): leaf only, one purpose, one year, each its own issuer. Pins take the place of an
 * authority, so there is no key that could sign another one. Node makes keys and signatures but no certificates;
 * a self-signed leaf is one screen of DER, less than any library that makes all kinds of them.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { TAG, der, oid, pem, sequence, tagged, time } from './der.ts';

/** A stolen key is good for no longer, and a person renews it once a year. */
export const VALID_DAYS = 365;
const DAY_MS = 86_400_000;
/** Clocks of agent and host differ by minutes: a new certificate must be good at once. */
const BEFORE_MS = 3_600_000;

const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const PURPOSE = { server: oid('1.3.6.1.5.5.7.3.1'), client: oid('1.3.6.1.5.5.7.3.2') };
const CRITICAL = der(TAG.boolean, Buffer.from([0xff]));
/** Bit 0 of the key usages, digitalSignature; 7 bits are unused. */
const DIGITAL_SIGNATURE = Buffer.from([7, 0x80]);

export interface Issued {
  cert: string;
  /** PKCS#8, PEM. */
  key: string;
  /** SHA-256, lower-case hex. */
  fingerprint: string;
}

/** `name` is from `[a-z0-9-]`; the first bit of `serial` is 0, as a positive number's is; `nowMs` is UTC. */
export function issue(
  name: string,
  purpose: keyof typeof PURPOSE,
  serial: Uint8Array,
  nowMs: number,
): Issued {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const part = (id: string, value: Uint8Array) => der(TAG.set, sequence(oid(id), value));
  // OpenSSL finds a trusted certificate by its subject and looks at the first: two of one client, while it changes
  // from one to the other, must not have the same.
  const subject = sequence(
    part('2.5.4.3', der(TAG.utf8String, Buffer.from(name))),
    part('2.5.4.5', der(TAG.printableString, Buffer.from(Buffer.from(serial).toString('hex')))),
  );
  const extension = (id: string, value: Uint8Array) =>
    sequence(oid(id), CRITICAL, der(TAG.octetString, value));
  const body = sequence(
    tagged(0, der(TAG.integer, Buffer.from([2]))),
    der(TAG.integer, serial),
    ECDSA_SHA256,
    subject,
    sequence(time(nowMs - BEFORE_MS), time(nowMs + VALID_DAYS * DAY_MS)),
    subject,
    keys.publicKey.export({ format: 'der', type: 'spki' }),
    tagged(
      3,
      sequence(
        // Basic constraints, empty: no authority.
        extension('2.5.29.19', sequence()),
        extension('2.5.29.15', der(TAG.bitString, DIGITAL_SIGNATURE)),
        extension('2.5.29.37', sequence(PURPOSE[purpose])),
      ),
    ),
  );
  const signature = sign('sha256', body, keys.privateKey);
  const certificate = sequence(body, ECDSA_SHA256, der(TAG.bitString, Buffer.from([0]), signature));
  return {
    cert: pem('CERTIFICATE', certificate),
    key: keys.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
    fingerprint: createHash('sha256').update(certificate).digest('hex'),
  };
}
