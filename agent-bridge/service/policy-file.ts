/** `bridge.yaml` as a file: followed while the bridge runs, and written by the commands that change it. */
import { CodedError } from '../../ports/errors.ts';
import type { Disk } from '../log/disk.ts';
import { parsePolicy } from '../server/policy.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { text } from './text.ts';

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

/** Nothing is written when `edited` is no valid policy: the one in force must not be replaced by a broken file. */
export function writePolicy(path: string, edited: string, disk: Disk): void {
  parsePolicy(edited, path);
  disk.write(path, edited);
}
