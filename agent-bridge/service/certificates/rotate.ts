/**
 * `rotate`: from one certificate to the next without a moment in which none is good. It begins with both, and a
 * person ends it when the other side has the new one: `--finish` drops the old, `--cancel` the new.
 */
import { CodedError } from '../../../ports/errors.ts';
import { fingerprintsOf } from '../../server/policy.ts';
import { certificatesIn } from './client-certificates.ts';
import { listCertificates, newCertificate, newServerPair, serverPins, tell } from './enroll.ts';
import type { CertificateSource, MakePorts } from './enroll.ts';
import { placesIn } from '../places.ts';
import { openPolicy } from '../policy-file.ts';
import { pairOf } from './served-certificate.ts';
import { text } from '../text.ts';

/** `finish` or `cancel`, or neither: begin. */
type Flags = ReadonlySet<string>;

/** Gives the exit code. */
export function rotateClient(
  config: string,
  name: string,
  flags: Flags,
  from: CertificateSource,
  ports: MakePorts,
): number {
  const ends = endOf(flags);
  const { disk, print } = ports;
  const { policy } = openPolicy(config, disk);
  const client = policy.clients.find((one) => one.name === name);
  if (client === undefined) throw refused(`${config} has no client ${JSON.stringify(name)}.`);
  const prints = fingerprintsOf(client);
  const kept = certificatesIn(text(disk, placesIn(policy.dataDir).clientCertificate(name)) ?? '');
  const certificates = prints.map((print) => {
    const found = kept.find(({ fingerprint }) => fingerprint === print);
    if (found === undefined)
      throw refused(`The certificate ${print} of ${name} is not in the data folder: run enroll ${name}.`);
    return { cert: found.pem, fingerprint: print };
  });
  const [first, second] = certificates;
  if (first === undefined) throw refused(`${name} is not enrolled: run enroll ${name}.`);

  if (ends === undefined) {
    if (second !== undefined)
      throw refused(begun(`${name} has`, first.fingerprint, second.fingerprint, name));
    const made = newCertificate(name, from, policy, ports);
    listCertificates(config, name, [first, made], policy, disk);
    tell(name, made, policy, from.json, ports);
    print(
      `Both certificates of ${name} are good now. When the service connection has the new one: rotate ${name} --finish.`,
    );
    return 0;
  }
  if (second === undefined) throw refused(notBegun(name));
  const [stays, goes] = ends === 'finish' ? [second, first] : [first, second];
  listCertificates(config, name, [stays], policy, disk);
  print(
    `${name} has one certificate again, ${stays.fingerprint}; ${goes.fingerprint} opens nothing any more.`,
  );
  return 0;
}

/** Gives the exit code. */
export function rotateServer(config: string, flags: Flags, ports: MakePorts): number {
  const ends = endOf(flags);
  const { disk, print } = ports;
  const { dataDir } = openPolicy(config, disk).policy;
  const places = placesIn(dataDir);
  const [served = '', next] = serverPins(dataDir, disk);

  if (ends === undefined) {
    if (next !== undefined) throw refused(begun('The server has', served, next));
    const { cert, key, fingerprint } = newServerPair(ports);
    disk.write(places.nextKey, key);
    disk.write(places.nextCertificate, cert);
    print(`The server's next certificate: SHA-256 ${fingerprint}`);
    print('The one before is served until rotate --finish. Until then every service connection needs both:');
    print(`${served},${fingerprint}`);
    return 0;
  }
  const cert = text(disk, places.nextCertificate);
  if (cert === undefined) throw refused(notBegun());
  if (ends === 'finish' && next !== undefined) {
    const pair = pairOf(cert, text(disk, places.nextKey) ?? '');
    if (pair === undefined)
      throw refused(
        `${places.nextKey} is not the key of ${places.nextCertificate}: run rotate --cancel, then rotate.`,
      );
    // The certificate last: the bridge looks at the key when the certificate is another one. What is broken off
    // here is ended by running it again, since the next pair is still there.
    disk.write(places.serverKey, pair.key);
    disk.write(places.serverCertificate, pair.cert);
  }
  disk.remove(places.nextCertificate);
  disk.remove(places.nextKey);
  const [now = ''] = serverPins(dataDir, disk);
  print(`The server's certificate: SHA-256 ${now}`);
  print(
    ends === 'finish'
      ? 'A bridge that runs serves it within a second, one that stands from its start on. Service connections may drop the one before.'
      : 'The next one is gone. Service connections may drop it.',
  );
  return 0;
}

function endOf(flags: Flags): 'finish' | 'cancel' | undefined {
  if (flags.has('finish') && flags.has('cancel')) throw refused('Either --finish or --cancel.');
  return flags.has('finish') ? 'finish' : flags.has('cancel') ? 'cancel' : undefined;
}

const begun = (who: string, old: string, next: string, name?: string): string => {
  const command = name === undefined ? 'rotate' : `rotate ${name}`;
  return `${who} two certificates already, ${old} and the next, ${next}. Go on with ${command} --finish, or drop the next one with ${command} --cancel.`;
};

const notBegun = (name?: string): string =>
  `There is no next certificate${name === undefined ? '' : ` of ${name}`}: begin with rotate${name === undefined ? '' : ` ${name}`}.`;

const refused = (detail: string): CodedError => new CodedError('NC2010', detail);
