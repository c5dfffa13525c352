/** `enroll`: a client's certificate, made here or taken from its maker, and what goes into the service connection. */
import { resolve } from 'node:path';
import { CodedError } from '../../../ports/errors.ts';
import type { Clock, Random } from '../../../ports/ports.ts';
import type { Disk } from '../../log/disk.ts';
import { Name } from '../../protocol/shapes.ts';
import { parsePolicy } from '../../server/policy.ts';
import type { BridgePolicy } from '../../server/policy.ts';
import { issue } from './issue.ts';
import type { Issued } from './issue.ts';
import { certificatesIn, listedCertificates } from './client-certificates.ts';
import { foreignCertificate } from './foreign-certificate.ts';
import { placesIn } from '../places.ts';
import { withFingerprints } from '../policy-edit.ts';
import { openPolicy, writePolicy } from '../policy-file.ts';
import { text } from '../text.ts';

export interface MakePorts {
  disk: Disk;
  clock: Clock;
  random: Random;
  print(line: string): void;
}

export interface CertificateSource {
  /** Where the values go instead of to the terminal. */
  json?: string | undefined;
  /** File with a certificate whose key was made elsewhere, and the fingerprint that its maker named. */
  certificate?: string | undefined;
  fingerprint?: string | undefined;
}

/** A certificate, with its key when it was made here. */
export type ClientCertificate = Omit<Issued, 'key'> & Partial<Pick<Issued, 'key'>>;

/** Replaces whatever the client had. Gives the exit code. */
export function enroll(config: string, name: string, from: CertificateSource, ports: MakePorts): number {
  if (!Name.safeParse(name).success)
    throw new CodedError('NC2010', `enroll needs a name from [a-z0-9-], found ${JSON.stringify(name)}.`);
  const { policy } = openPolicy(config, ports.disk);
  serverPins(policy.dataDir, ports.disk);
  // What the client had goes, so nothing has to be told apart from it.
  const others = { ...policy, clients: policy.clients.filter((one) => one.name !== name) };
  const made = newCertificate(name, from, others, ports);
  listCertificates(config, name, [made], policy, ports.disk);
  tell(name, made, policy, from.json, ports);
  ports.print(
    `${config} now names the client ${name}; what it may do is written there; a bridge that runs takes a change within a second.`,
  );
  return 0;
}

/** Makes one, or takes the one that is given. */
export function newCertificate(
  name: string,
  from: CertificateSource,
  policy: BridgePolicy,
  ports: MakePorts,
): ClientCertificate {
  const { certificate, fingerprint } = from;
  if (certificate === undefined && fingerprint === undefined)
    return issue(name, 'client', serial(ports.random), ports.clock.now());
  if (certificate === undefined)
    throw new CodedError(
      'NC2013',
      '--fingerprint needs --certificate FILE too: TLS compares with the certificate itself, of which a fingerprint is not enough.',
    );
  if (fingerprint === undefined)
    throw new CodedError(
      'NC2013',
      '--certificate needs --fingerprint SHA256 too, as it was read where the key was made: so nobody can put another file in its place.',
    );
  const pem = text(ports.disk, resolve(certificate));
  if (pem === undefined) throw new CodedError('NC2013', `There is no ${certificate}.`);
  return foreignCertificate(pem, fingerprint, listedCertificates(policy, ports.disk), ports.clock.now());
}

/**
 * From now on these open the door for the client, and no others. The certificates are on the disk before
 * bridge.yaml names them, and as long as it does: a break in between leaves one of the two states.
 */
export function listCertificates(
  config: string,
  name: string,
  certificates: readonly { cert: string; fingerprint: string }[],
  policy: BridgePolicy,
  disk: Disk,
): void {
  const places = placesIn(policy.dataDir);
  const path = places.clientCertificate(name);
  const edited = withFingerprints(
    text(disk, config) ?? '',
    name,
    certificates.map(({ fingerprint }) => fingerprint),
  );
  parsePolicy(edited, config);
  const wanted = certificates.map(({ cert }) => cert);
  const before = certificatesIn(text(disk, path) ?? '').map(({ pem }) => pem);
  disk.makeDir(places.clients);
  disk.write(path, [...new Set([...before, ...wanted])].join(''));
  writePolicy(config, edited, disk);
  disk.write(path, wanted.join(''));
}

/** What goes into the service connection, as text or as a file that only its owner can read. */
export function tell(
  name: string,
  made: ClientCertificate,
  policy: BridgePolicy,
  json: string | undefined,
  { disk, print }: MakePorts,
): void {
  const url = policy.url ?? `https://${policy.listen.host}:${policy.listen.port}`;
  const serverPin = serverPins(policy.dataDir, disk).join(',');
  if (json !== undefined) {
    const { cert, key, fingerprint } = made;
    const values = { name, url, serverPin, cert, ...(key === undefined ? {} : { key }), fingerprint };
    disk.write(resolve(json), `${JSON.stringify(values, undefined, 2)}\n`);
    print(`Wrote ${json}.`);
    return;
  }
  print(
    made.key === undefined
      ? 'For the service connection; its private key is the one that was made elsewhere:'
      : 'For the service connection; the private key is stored nowhere else:',
  );
  print(`URL\n${url}`);
  print(`Server fingerprint (SHA-256)\n${serverPin}`);
  print(`Certificate\n${made.cert}`);
  if (made.key !== undefined) print(`Private key\n${made.key}`);
}

/** Fingerprints that a client has to accept: the served one, and the next while the server changes to it. */
export function serverPins(dataDir: string, disk: Disk): string[] {
  const { serverCertificate, nextCertificate } = placesIn(dataDir);
  const of = (path: string) => certificatesIn(text(disk, path) ?? '').map(({ fingerprint }) => fingerprint);
  const served = of(serverCertificate);
  if (served.length === 0)
    throw new CodedError('NC2010', `There is no ${serverCertificate}: run init first.`);
  return [...new Set([...served, ...of(nextCertificate)])];
}

export const newServerPair = ({ random, clock }: Pick<MakePorts, 'random' | 'clock'>): Issued =>
  issue('node-cycle-bridge', 'server', serial(random), clock.now());

/** Positive, as RFC 5280 asks: the first bit is 0. */
function serial(random: Random): Uint8Array {
  const bytes = random.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}
