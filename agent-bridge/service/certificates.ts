/**
 * Certificates: leaf only, one purpose, one year, each its own issuer. Pins take the place of an authority, so there
 * is no key that could sign another one.
 */
import * as x509 from '@peculiar/x509';

export const VALID_DAYS = 365;
const DAY_MS = 86_400_000;
/** Clocks of agent and host differ by minutes: a new certificate must be good at once. */
const BEFORE_MS = 3_600_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const PURPOSE = { server: x509.ExtendedKeyUsage.serverAuth, client: x509.ExtendedKeyUsage.clientAuth };

export interface Issued {
  cert: string;
  /** PKCS#8, PEM. */
  key: string;
  /** SHA-256, lower-case hex. */
  fingerprint: string;
}

/** `name` is from `[a-z0-9-]`; `serial` is hex; `nowMs` is UTC. */
export async function issue(
  name: string,
  purpose: keyof typeof PURPOSE,
  serial: string,
  nowMs: number,
): Promise<Issued> {
  const { subtle } = globalThis.crypto;
  const keys = await subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial,
    name: `CN=${name}`,
    notBefore: new Date(nowMs - BEFORE_MS),
    notAfter: new Date(nowMs + VALID_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([PURPOSE[purpose]], true),
    ],
  });
  const pkcs8 = new Uint8Array(await subtle.exportKey('pkcs8', keys.privateKey));
  return {
    cert: `${cert.toString('pem').trim()}\n`,
    key: `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY').trim()}\n`,
    fingerprint: Buffer.from(await cert.getThumbprint('SHA-256')).toString('hex'),
  };
}
