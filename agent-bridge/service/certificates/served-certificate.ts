/** The server's key and certificate, followed on the disk: `rotate --finish` puts others there while the bridge runs. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { CodedError } from '../../../ports/errors.ts';
import type { Disk } from '../../log/disk.ts';
import { plainFingerprint } from '../../server/policy.ts';
import { placesIn } from '../places.ts';
import { readableByOthers } from '../system-adapter.ts';
import { text } from '../text.ts';

export interface Pair {
  key: string;
  cert: string;
  /** SHA-256, lower-case hex. */
  fingerprint: string;
  /** UTC. */
  expiresAt: string;
}

export interface ServedCertificate {
  current(): Pair;
  /** The pair that is on the disk now, when it is another one; from then on it is the current one. */
  changed(): Pair | undefined;
}

/** Throws NC2010 when there is no pair, NC2011 when others can read the key. */
export function servedCertificate(dataDir: string, disk: Disk): ServedCertificate {
  const places = placesIn(dataDir);
  const cert = () => text(disk, places.serverCertificate);
  const withKey = (certificate: string) => pairOf(certificate, text(disk, places.serverKey) ?? '');
  const mustBeOurs = () => {
    if (readableByOthers(places.serverKey)) throw new CodedError('NC2011', places.serverKey);
  };

  let seen = cert();
  if (seen === undefined)
    throw new CodedError('NC2010', `There is no server certificate in ${dataDir}: run init first.`);
  const first = withKey(seen);
  if (first === undefined)
    throw new CodedError(
      'NC2010',
      `${places.serverKey} is not the key of ${places.serverCertificate}: when \`rotate --finish\` was broken off, run it again; else put the right one back.`,
    );
  mustBeOurs();
  let current = first;
  return {
    current: () => current,
    changed() {
      // The certificate is written after its key: as long as it is the same, there is nothing to look at.
      const found = cert();
      if (found === undefined || found === seen) return undefined;
      const next = withKey(found);
      if (next === undefined) return undefined;
      // Before the key's own check, so that its fault is told once.
      seen = found;
      mustBeOurs();
      current = next;
      return next;
    },
  };
}

/** undefined when they do not belong together. */
export function pairOf(cert: string, key: string): Pair | undefined {
  try {
    const certificate = new X509Certificate(cert);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return undefined;
    return {
      key,
      cert,
      fingerprint: plainFingerprint(certificate.fingerprint256),
      expiresAt: new Date(certificate.validTo).toISOString(),
    };
  } catch {
    return undefined;
  }
}
