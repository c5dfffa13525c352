/** Checking the log: one file's bytes, all its files in their order, and heads that callers kept. */
import { canonicalJson } from '../protocol/canonical.ts';
import { checkLine, GENESIS } from './chain.ts';
import type { Entry, Head } from './chain.ts';
import type { Disk } from './disk.ts';
import { logFiles } from './files.ts';
import type { LogFile } from './files.ts';
import { apply, emptyState, folded } from './fold.ts';

export interface Verified {
  head: Head;
  entries: number;
  /** Bytes up to the end of the last whole line. */
  wholeBytes: number;
  tornBytes: number;
  /** The first entry that is wrong, by its number and line. */
  fault?: string;
}

const BEGIN: Head = { seq: 0, hash: GENESIS };

/** Checks a file's bytes as what follows `from`; calls `each` for every good entry. */
export function verifyLog(
  bytes: Uint8Array,
  each: (entry: Entry) => void = () => {},
  from: Head = BEGIN,
): Verified {
  let head = from;
  let entries = 0;
  let start = 0;
  const decoder = new TextDecoder();
  for (;;) {
    const end = bytes.indexOf(0x0a, start);
    if (end === -1) break;
    const checked = checkLine(decoder.decode(bytes.subarray(start, end)), head);
    if (!checked.ok) {
      const fault = `Entry ${head.seq + 1} (line ${entries + 1}) ${checked.fault}.`;
      return { head, entries, wholeBytes: start, tornBytes: 0, fault };
    }
    each(checked.entry);
    head = { seq: checked.entry.seq, hash: checked.entry.hash };
    entries += 1;
    start = end + 1;
  }
  return { head, entries, wholeBytes: start, tornBytes: bytes.byteLength - start };
}

/** The head that the first entry of a rotated file says it continues; undefined when it is none. */
export function headBefore(bytes: Uint8Array, firstSeq: number): Head | undefined {
  if (firstSeq === 1) return BEGIN;
  const end = bytes.indexOf(0x0a);
  if (end === -1) return undefined;
  try {
    const entry = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as Entry;
    const begins = entry.event === 'rotated' && entry.seq === firstSeq;
    return begins ? { seq: firstSeq - 1, hash: entry.prevHash } : undefined;
  } catch {
    return undefined;
  }
}

export interface VerifiedFiles {
  head: Head;
  /** Number of the first entry that is there: above 1 when older files were put away. */
  firstSeq: number;
  entries: number;
  tornBytes: number;
  faults: string[];
}

/**
 * Checks all files of a log, and that each new file's folded state is what the files before it say; calls `each`
 * for every good entry. A log without files has no entries.
 */
export function verifyFiles(
  disk: Disk,
  path: string,
  each: (entry: Entry) => void = () => {},
): VerifiedFiles {
  const files = logFiles(disk, path);
  const state = emptyState();
  let head = BEGIN;
  let entries = 0;
  let tornBytes = 0;

  /** What is wrong with this file as the one that follows `head`. */
  function check({ path: name, firstSeq }: LogFile, isFirst: boolean): string | undefined {
    if (tornBytes > 0) return 'the file before it ends with an incomplete line, and another file follows it.';
    const bytes = disk.read(name) ?? new Uint8Array();
    const before = isFirst ? headBefore(bytes, firstSeq) : head;
    if (before === undefined) return `does not begin with entry ${firstSeq} and a folded state.`;
    if (before.seq + 1 !== firstSeq)
      return `begins with entry ${firstSeq}; the entries from ${before.seq + 1} on are missing.`;
    const otherState: string[] = [];
    const checked = verifyLog(
      bytes,
      (entry) => {
        const compared = entry.event === 'rotated' && !isFirst;
        if (compared && canonicalJson(folded(state)) !== canonicalJson(entry.state))
          otherState.push('its folded state is not what the files before it say.');
        apply(state, entry);
        each(entry);
      },
      before,
    );
    head = checked.head;
    entries += checked.entries;
    tornBytes = checked.tornBytes;
    return checked.fault ?? otherState[0];
  }

  const faults: string[] = [];
  for (const [index, file] of files.entries()) {
    const fault = check(file, index === 0);
    if (fault === undefined) continue;
    faults.push(`${file.path}: ${fault}`);
    break;
  }
  return { head, firstSeq: files[0]?.firstSeq ?? 1, entries, tornBytes, faults };
}

/**
 * Compares heads that callers kept (`seq:hash`, one a line) with the hashes of a log that begins with `firstSeq`: a
 * missing number means that the end was cut, another hash means that the log was written anew.
 */
export function checkWitness(
  hashes: ReadonlyMap<number, string>,
  firstSeq: number,
  witness: string,
): string[] {
  const faults: string[] = [];
  for (const [index, line] of witness.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const match = /^(\d{1,15}):([0-9a-f]{64})$/.exec(line.trim());
    if (!match) {
      faults.push(`Witness line ${index + 1} is not seq:hash.`);
      continue;
    }
    const seq = Number(match[1]);
    // What is older than the files that are there cannot be compared.
    if (seq < firstSeq) continue;
    const hash = hashes.get(seq);
    if (hash === undefined)
      faults.push(`Entry ${seq}, which a caller saw, is missing: the end of the log was cut.`);
    else if (hash !== match[2])
      faults.push(`Entry ${seq} is not the one that a caller saw: the log was written anew.`);
  }
  return faults;
}
