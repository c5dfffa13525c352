/**
 * The certificates of clients on the disk: one file a client, with one certificate in it, or with two while the
 * client changes from one to the next. A file alone grants nothing: the fingerprint in bridge.yaml does.
 */
import { X509Certificate } from 'node:crypto';
import type { Disk } from '../../log/disk.ts';
import { fingerprintsOf, plainFingerprint } from '../../server/policy.ts';
import type { BridgePolicy } from '../../server/policy.ts';
import { placesIn } from '../places.ts';
import { text } from '../text.ts';

export interface KeptCertificate {
  pem: string;
  /** SHA-256, lower-case hex. */
  fingerprint: string;
  /** Milliseconds since 1970. */
  startsMs: number;
  endsMs: number;
}

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;

/** In the order of the text; what is no certificate is left out. */
export function certificatesIn(source: string): KeptCertificate[] {
  return [...source.matchAll(BLOCK)].flatMap(([block]) => {
    try {
      const { fingerprint256, validFrom, validTo } = new X509Certificate(block);
      return [
        {
          pem: `${block}\n`,
          fingerprint: plainFingerprint(fingerprint256),
          startsMs: Date.parse(validFrom),
          endsMs: Date.parse(validTo),
        },
      ];
    } catch {
      return [];
    }
  });
}

/** PEM of those whose fingerprint the policy lists. */
export function listedCertificates(policy: BridgePolicy, disk: Disk): string[] {
  const places = placesIn(policy.dataDir);
  return policy.clients.flatMap((client) => {
    const prints = fingerprintsOf(client);
    return certificatesIn(text(disk, places.clientCertificate(client.name)) ?? '')
      .filter(({ fingerprint }) => prints.includes(fingerprint))
      .map(({ pem }) => pem);
  });
}
