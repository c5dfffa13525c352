/**
 * A certificate authority and the leaves that it signs: ECDSA P-256 over WebCrypto. The lab's own, made new
 * for each world; rke's are RSA, which no reader of them may depend on.
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** As rke's: ten years. */
const LIFETIME_DAYS = 3650;

x509.cryptoProvider.set(webcrypto);

/**
 * Who makes a key or a certificate. A simulation keeps what it once made: one seed asks for the same again and again,
 * and WebCrypto's threads know nothing of its time.
 */
export type Maker = <T>(what: string, make: () => Promise<T>) => Promise<T>;
let made: Maker = (_what, make) => make();

export function makeWith(maker: Maker): void {
  made = maker;
}

export interface Issued {
  certPem: string;
  keyPem: string;
}

export interface LeafRequest {
  commonName: string;
  organization?: string | undefined;
  /** Addresses and DNS names. */
  sans?: readonly string[] | undefined;
  usage: 'server' | 'client' | 'both';
  days?: number | undefined;
}

export interface Authority extends Issued {
  issue(leaf: LeafRequest): Promise<Issued>;
}

function pem(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', key));
}

async function keyPair(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** Positive, 120 bits. */
function serial(): string {
  return `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString('hex')}`;
}

function validity(nowMs: number, days: number) {
  return { notBefore: new Date(nowMs - DAY_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}

/** A key alone, for what signs without a certificate (service account tokens). */
export function privateKeyPem(): Promise<string> {
  return made('key', async () => exportKey((await keyPair()).privateKey));
}

export function createAuthority(commonName: string, nowMs: number): Promise<Authority> {
  return made(`authority ${commonName}`, () => newAuthority(commonName, nowMs));
}

async function newAuthority(commonName: string, nowMs: number): Promise<Authority> {
  const keys = await keyPair();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${commonName}`,
    ...validity(nowMs, LIFETIME_DAYS),
    signingAlgorithm: ALGORITHM,
    keys: keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authority(cert, keys.privateKey, nowMs);
}

/** The authority whose certificate and key a state file keeps. Throws when either does not parse. */
export function loadAuthority(certPem: string, keyPem: string, nowMs: number): Promise<Authority> {
  return made(`loaded ${certPem}`, () => readAuthority(certPem, keyPem, nowMs));
}

async function readAuthority(certPem: string, keyPem: string, nowMs: number): Promise<Authority> {
  const der = Buffer.from(keyPem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const key = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
  return authority(new x509.X509Certificate(certPem), key, nowMs);
}

async function authority(
  cert: x509.X509Certificate,
  key: webcrypto.CryptoKey,
  nowMs: number,
): Promise<Authority> {
  const certPem = `${cert.toString('pem')}\n`;
  return {
    certPem,
    keyPem: await exportKey(key),
    issue: (leaf) => made(`leaf ${JSON.stringify(leaf)} ${certPem}`, () => newLeaf(leaf)),
  };

  async function newLeaf(leaf: LeafRequest): Promise<Issued> {
    const keys = await keyPair();
    const usages: string[] = [];
    if (leaf.usage !== 'client') usages.push(x509.ExtendedKeyUsage.serverAuth);
    if (leaf.usage !== 'server') usages.push(x509.ExtendedKeyUsage.clientAuth);
    const names = [...new Set(leaf.sans ?? [])];
    const issued = await x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject:
        leaf.organization === undefined || leaf.organization === ''
          ? `CN=${leaf.commonName}`
          : `O=${leaf.organization}, CN=${leaf.commonName}`,
      issuer: cert.subject,
      ...validity(nowMs, leaf.days ?? LIFETIME_DAYS),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: key,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
          true,
        ),
        new x509.ExtendedKeyUsageExtension(usages),
        ...(names.length > 0
          ? [
              new x509.SubjectAlternativeNameExtension(
                names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
              ),
            ]
          : []),
        await x509.AuthorityKeyIdentifierExtension.create(cert),
      ],
    });
    return { certPem: `${issued.toString('pem')}\n`, keyPem: await exportKey(keys.privateKey) };
  }
}
