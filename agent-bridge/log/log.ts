/**
 * The log in its file: opening checks the whole chain and folds it, appending is written and fsynced before the
 * caller may act. A torn last line is cut and recorded; any other fault stops the bridge.
 */
import { CodedError } from '../../ports/errors.ts';
import type { Clock } from '../../ports/ports.ts';
import { checkLine, GENESIS, seal } from './chain.ts';
import type { Entry, Head } from './chain.ts';
import type { Disk } from './disk.ts';
import type { LogEvent } from './events.ts';
import { apply, emptyState } from './fold.ts';
import type { State } from './fold.ts';

export interface AuditLog {
  readonly state: State;
  head(): Head;
  /** Durable when it returns. Throws `NC2003` when it cannot be written, and from then on always. */
  append(event: LogEvent): Entry;
  /** Whether `append` still writes. */
  writable(): boolean;
  close(): void;
}

export interface LogOptions {
  disk: Disk;
  clock: Clock;
  path: string;
  bootId: string;
}

export function openLog({ disk, clock, path, bootId }: LogOptions): AuditLog {
  const state = emptyState();
  const {
    head: verified,
    wholeBytes,
    tornBytes,
    fault,
  } = verifyLog(disk.read(path) ?? new Uint8Array(), (entry) => apply(state, entry));
  if (fault) throw new CodedError('NC2002', fault, [path]);
  if (tornBytes > 0) disk.write(path, disk.readRange(path, 0, wholeBytes));

  const file = disk.openAppend(path, true);
  let head = verified;
  let broken: unknown;
  const append = (event: LogEvent): Entry => {
    if (broken !== undefined)
      throw new CodedError('NC2003', `${path} could not be written before.`, [], { cause: broken });
    const sealed = seal(event, head, new Date(clock.now()).toISOString(), bootId);
    try {
      file.append(sealed.line);
    } catch (cause) {
      // Part of the line may be in the file: only a restart, which cuts it, may write again.
      broken = cause;
      throw new CodedError('NC2003', `${path}: ${String(cause)}`, [], { cause });
    }
    head = sealed.head;
    const entry = JSON.parse(sealed.line) as Entry;
    apply(state, entry);
    return entry;
  };
  if (tornBytes > 0) append({ event: 'torn', bytes: tornBytes });
  return { state, head: () => head, append, writable: () => broken === undefined, close: () => file.close() };
}

export interface Verified {
  head: Head;
  entries: number;
  /** Bytes up to the end of the last whole line. */
  wholeBytes: number;
  tornBytes: number;
  /** The first entry that is wrong, by its number and line. */
  fault?: string;
}

/** Checks a log's bytes from the first entry on; calls `each` for every good entry. */
export function verifyLog(bytes: Uint8Array, each: (entry: Entry) => void = () => {}): Verified {
  let head: Head = { seq: 0, hash: GENESIS };
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

/**
 * Compares heads that callers kept (`seq:hash`, one a line) with a log: a missing number means that the end was cut,
 * another hash means that the log was written anew.
 */
export function checkWitness(bytes: Uint8Array, witness: string): string[] {
  const hashes = new Map<number, string>();
  verifyLog(bytes, (entry) => hashes.set(entry.seq, entry.hash));
  const faults: string[] = [];
  for (const [index, line] of witness.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const match = /^(\d{1,15}):([0-9a-f]{64})$/.exec(line.trim());
    if (!match) {
      faults.push(`Witness line ${index + 1} is not seq:hash.`);
      continue;
    }
    const seq = Number(match[1]);
    if (seq === 0) continue;
    const hash = hashes.get(seq);
    if (hash === undefined)
      faults.push(`Entry ${seq}, which a caller saw, is missing: the end of the log was cut.`);
    else if (hash !== match[2])
      faults.push(`Entry ${seq} is not the one that a caller saw: the log was written anew.`);
  }
  return faults;
}
