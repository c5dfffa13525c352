/**
 * A client's certificate whose key was made elsewhere: taken only when it is what the bridge would have made itself,
 * and the very one that its maker named.
 */
import { X509Certificate } from 'node:crypto';
import { CodedError } from '../../../ports/errors.ts';
import { plainFingerprint } from '../../server/policy.ts';
import { VALID_DAYS } from './issue.ts';

const DAY_MS = 86_400_000;
/** The id of "for TLS clients" among the extended key usages (RFC 5280, 4.2.1.12). */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
/** Below it OpenSSL's own security level 2 refuses the key. */
const RSA_BITS = 2048;
/** The curves of TLS 1.3's signatures (RFC 8446, 4.2.3), by OpenSSL's names. */
const CURVES: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1'];

/**
 * `pem`: the text of a file with this one certificate. `fingerprint`: SHA-256, hex, with or without colons, as its
 * maker read it from the certificate. `listed`: those that open the door now. Throws NC2013 with what does not fit.
 */
export function foreignCertificate(
  pem: string,
  fingerprint: string,
  listed: readonly string[],
  nowMs: number,
): { cert: string; fingerprint: string } {
  const named = plainFingerprint(fingerprint);
  if (!/^[0-9a-f]{64}$/.test(named))
    throw cannot(`--fingerprint is SHA-256, 64 hexadecimal digits; found ${JSON.stringify(fingerprint)}.`);
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem))
    throw cannot('The file holds a private key, which must not leave the agent: give the certificate alone.');
  const blocks: readonly string[] =
    pem.match(/-----BEGIN [A-Z0-9 ]+-----[^-]*-----END [A-Z0-9 ]+-----/g) ?? [];
  if (blocks.length !== 1) throw cannot(`Expected one certificate as PEM, found ${blocks.length} blocks.`);
  const block = blocks[0] ?? '';
  const certificate = parsed(block);
  const found = plainFingerprint(certificate.fingerprint256);
  if (found !== named)
    throw cannot(
      `Its SHA-256 is ${found}, not ${named}: it is another certificate than the one that was named.`,
    );
  const faults = FAULTS.flatMap((fault) => fault(certificate, nowMs) ?? []);
  // OpenSSL finds a trusted certificate by its subject and looks at the first: the other one would be locked out.
  const twin = listed
    .map((each) => new X509Certificate(each))
    .find(
      (each) => each.subject === certificate.subject && each.fingerprint256 !== certificate.fingerprint256,
    );
  if (twin)
    faults.push(
      `Its subject, ${JSON.stringify(certificate.subject)}, is that of ${plainFingerprint(twin.fingerprint256)}, which is listed too: put something into it that no other has.`,
    );
  if (faults.length > 0) throw cannot(faults.join(' '));
  return { cert: `${block}\n`, fingerprint: found };
}

type Fault = (certificate: X509Certificate, nowMs: number) => string | undefined;

const FAULTS: readonly Fault[] = [
  (one) => (one.ca ? 'It is an authority (CA:TRUE): a client’s certificate signs nothing.' : undefined),
  // Pins take the place of an authority: OpenSSL is given this certificate as the only one to trust.
  (one) =>
    one.issuer === one.subject && one.verify(one.publicKey)
      ? undefined
      : 'It is not self-signed: the bridge knows no authority that could have signed it.',
  (one) => {
    // Node gives the extended key usages under this name; undefined: for every purpose.
    const purposes = (one.keyUsage as string[] | undefined) ?? [];
    return purposes.length === 1 && purposes[0] === CLIENT_AUTH
      ? undefined
      : `It is for ${purposes.length === 0 ? 'every purpose' : purposes.join(', ')}, not for TLS clients alone (extendedKeyUsage=clientAuth).`;
  },
  (one, nowMs) => {
    const days = (Date.parse(one.validTo) - nowMs) / DAY_MS;
    if (Date.parse(one.validFrom) > nowMs)
      return `It is not good before ${one.validFrom}; now it is ${at(nowMs)}.`;
    if (days < 0) return `It ended at ${one.validTo}.`;
    return days > VALID_DAYS + 1 ? `It is good until ${one.validTo}: longer than a year.` : undefined;
  },
  ({ publicKey }) => {
    const { modulusLength = 0, namedCurve = '' } = publicKey.asymmetricKeyDetails ?? {};
    const type = publicKey.asymmetricKeyType ?? 'of an unknown kind';
    if (type === 'rsa' ? modulusLength >= RSA_BITS : type === 'ed25519' || CURVES.includes(namedCurve))
      return undefined;
    const size = type === 'rsa' ? ` of ${modulusLength} bits` : ` ${namedCurve}`.trimEnd();
    return `Its key is ${type}${size}: expected EC P-256, Ed25519, or RSA of ${RSA_BITS} bits or more.`;
  },
];

const at = (ms: number): string => new Date(ms).toISOString();

function parsed(block: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch {
    throw cannot('The file holds no certificate that can be read.');
  }
}

const cannot = (detail: string): CodedError => new CodedError('NC2013', detail);
