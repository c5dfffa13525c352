/** `audit verify`: the whole log, file by file, and the heads that callers kept. */
import { resolve } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import type { Disk } from '../log/disk.ts';
import { logFiles } from '../log/files.ts';
import { checkWitness, verifyFiles } from '../log/verify.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { placesIn } from './places.ts';
import { text } from './text.ts';

/** Gives the exit code. `witness`: a file with one `seq:hash` a line. */
export function auditVerify(
  policy: BridgePolicy,
  witness: string | undefined,
  { disk, print }: { disk: Disk; print(line: string): void },
): number {
  const path = placesIn(policy.dataDir).log;
  const files = logFiles(disk, path).length;
  if (files === 0) throw new CodedError('NC2010', `There is no ${path}.`);
  const kept = witness === undefined ? '' : text(disk, resolve(witness));
  if (kept === undefined) throw new CodedError('NC2010', `There is no witness file ${witness ?? ''}.`);

  const hashes = new Map<number, string>();
  const { head, firstSeq, entries, tornBytes, faults } = verifyFiles(disk, path, (entry) =>
    hashes.set(entry.seq, entry.hash),
  );
  const all = [...faults, ...checkWitness(hashes, firstSeq, kept)];
  all.forEach(print);
  if (tornBytes > 0)
    print(`The last line is incomplete (${tornBytes} bytes): the bridge cuts it when it starts.`);
  if (firstSeq > 1) print(`Older files were put away: the first entry here is ${firstSeq}.`);
  print(`${entries} entries in ${files} file(s) are whole, up to ${head.seq}:${head.hash}.`);
  return all.length === 0 ? 0 : 1;
}
