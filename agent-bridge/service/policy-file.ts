/** `bridge.yaml` as a file: followed while the bridge runs, and edited in one place by `enroll` and `revoke`. */
import { isMap, isSeq, parseDocument } from 'yaml';
import { CodedError } from '../../ports/errors.ts';
import type { Disk } from '../log/disk.ts';
import { parsePolicy } from '../server/policy.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { text } from './bridge.ts';

export interface PolicyFile {
  policy: BridgePolicy;
  /**
   * The policy of a text that is not the one seen last, or undefined. Throws NC2001 for a broken text and NC2010
   * for a missing one, once each: whoever asks keeps what it has.
   */
  changed(): BridgePolicy | undefined;
}

export function openPolicy(path: string, disk: Disk): PolicyFile {
  let seen = text(disk, path);
  const parse = (): BridgePolicy => {
    if (seen === undefined)
      throw new CodedError('NC2010', `There is no ${path}: give --config, or run init.`);
    return parsePolicy(seen, path);
  };
  return {
    policy: parse(),
    changed() {
      const now = text(disk, path);
      if (now === seen) return undefined;
      seen = now;
      return parse();
    },
  };
}

/** Only this one value changes; comments and order stay. A client that was not there gets an entry without grants. */
export function withFingerprint(source: string, name: string, fingerprint: string): string {
  const document = parseDocument(source);
  const clients = document.get('clients');
  const index = indexOf(clients, name);
  if (index !== -1) document.setIn(['clients', index, 'fingerprint'], fingerprint);
  else if (isSeq(clients)) document.addIn(['clients'], { name, fingerprint, clusters: [], operations: [] });
  else document.set('clients', [{ name, fingerprint, clusters: [], operations: [] }]);
  return document.toString({ lineWidth: 0 });
}

/** The grants stay, for the day that the client is enrolled again. undefined: no such client. */
export function withoutFingerprint(source: string, name: string): string | undefined {
  const document = parseDocument(source);
  const index = indexOf(document.get('clients'), name);
  if (index === -1) return undefined;
  document.deleteIn(['clients', index, 'fingerprint']);
  return document.toString({ lineWidth: 0 });
}

function indexOf(clients: unknown, name: string): number {
  const items: unknown[] = isSeq(clients) ? clients.items : [];
  return items.findIndex((item) => isMap(item) && item.get('name') === name);
}
