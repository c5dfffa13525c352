/**
 * The log as it is written: opening checks the newest file's chain and folds it, appending is written and fsynced
 * before the caller may act. A torn last line is cut and recorded; any other fault stops the bridge.
 */
import { CodedError } from '../../ports/errors.ts';
import type { Clock } from '../../ports/ports.ts';
import { seal } from './chain.ts';
import type { Entry, Head } from './chain.ts';
import { isDiskFull } from './disk.ts';
import type { AppendFile, Disk } from './disk.ts';
import type { LogEvent } from './events.ts';
import { logFileFrom, logFiles } from './files.ts';
import { apply, emptyState, folded } from './fold.ts';
import type { State } from './state.ts';
import type { Reserve } from './reserve.ts';
import { headBefore, verifyLog } from './verify.ts';

export interface AuditLog {
  readonly state: State;
  head(): Head;
  /**
   * Durable when it returns. Throws `NC2003` when it was not written; after anything but a full disk, from then on
   * always.
   */
  append(event: LogEvent): Entry;
  /** Whether the last entry could be written. */
  writable(): boolean;
  /** false: nothing will be written any more until a restart. */
  usable(): boolean;
  close(): void;
}

export interface LogOptions {
  disk: Disk;
  clock: Clock;
  /** Of the first file; see files.ts. */
  path: string;
  bootId: string;
  reserve: Reserve;
  fileLimitBytes?: number;
  /** An entry that is durable, and its line. It must not throw. */
  onAppend?(entry: Entry, line: string): void;
}

/** 20,000 entries or so: checked in half a second at the start, and small enough to be looked at. */
export const LOG_FILE_LIMIT_BYTES = 16 * 1024 * 1024;

/** These begin something: they need the room for its end. */
const BEGINNINGS: ReadonlySet<LogEvent['event']> = new Set(['accepted', 'started']);
/** These end something, or make room: they may use what is held back. */
const ENDINGS: ReadonlySet<LogEvent['event']> = new Set([
  'ended',
  'requeued',
  'cancelAsked',
  'forgotten',
  'boot',
  'torn',
]);

export function openLog(options: LogOptions): AuditLog {
  const { disk, clock, path, bootId, reserve, fileLimitBytes = LOG_FILE_LIMIT_BYTES } = options;
  const state = emptyState();
  const newest = logFiles(disk, path).at(-1) ?? { path, firstSeq: 1 };
  const bytes = disk.read(newest.path) ?? new Uint8Array();
  const from = headBefore(bytes, newest.firstSeq);
  if (from === undefined)
    throw new CodedError('NC2002', `It does not begin with a folded state.`, [newest.path]);
  const opened = verifyLog(bytes, (entry) => apply(state, entry), from);
  if (opened.fault) throw new CodedError('NC2002', opened.fault, [newest.path]);

  let current = newest.path;
  let file: AppendFile = disk.openAppend(current, true);
  let size = opened.wholeBytes;
  if (opened.tornBytes > 0) file.cut(size);
  let head = opened.head;
  let failed = false;
  let broken: unknown;
  // A folded state may itself be large: a file is worth beginning when there is as much again besides it.
  const nextAt = (stateBytes: number) => Math.max(fileLimitBytes, 2 * stateBytes);
  let rotateAt = nextAt(newest.firstSeq === 1 ? 0 : bytes.indexOf(0x0a) + 1);

  const sealed = (event: LogEvent) => seal(event, head, new Date(clock.now()).toISOString(), bootId);

  function put(line: string): void {
    try {
      file.append(line);
      size += Buffer.byteLength(line);
    } catch (cause) {
      try {
        file.cut(size);
        if (!isDiskFull(cause)) broken = cause;
      } catch {
        // Part of the line may be in the file: only a restart, which cuts it, may write again.
        broken = cause;
      }
      throw cause;
    }
  }

  function taken(line: string, next: Head): Entry {
    head = next;
    const entry = JSON.parse(line) as Entry;
    apply(state, entry);
    options.onAppend?.(entry, line);
    return entry;
  }

  function rotate(): void {
    const { line, head: next } = sealed({ event: 'rotated', state: folded(state) });
    const newer = logFileFrom(path, next.seq);
    try {
      // Whole or not at all: until it is there, the file before is the newest.
      disk.write(newer, line);
    } catch (cause) {
      if (!isDiskFull(cause)) throw cause;
      // The file before goes on: no room for a new one is no reason to stop.
      rotateAt = size + fileLimitBytes;
      return;
    }
    try {
      const opening = disk.openAppend(newer, true);
      file.close();
      file = opening;
    } catch (cause) {
      broken = cause;
      throw cause;
    }
    current = newer;
    size = Buffer.byteLength(line);
    rotateAt = nextAt(size);
    taken(line, next);
  }

  function append(event: LogEvent): Entry {
    try {
      if (broken !== undefined) throw new Error('it could not be written before', { cause: broken });
      if (BEGINNINGS.has(event.event) && !reserve.ready())
        throw new Error('the disk has no room for the end of what would begin');
      if (size >= rotateAt) rotate();
      const { line, head: next } = sealed(event);
      if (ENDINGS.has(event.event)) reserve.spend(() => put(line));
      else put(line);
      failed = false;
      return taken(line, next);
    } catch (cause) {
      failed = true;
      throw new CodedError('NC2003', `${current}: ${String(cause)}`, [], { cause });
    }
  }
  if (opened.tornBytes > 0) append({ event: 'torn', bytes: opened.tornBytes });
  return {
    state,
    head: () => head,
    append,
    writable: () => broken === undefined && !failed,
    usable: () => broken === undefined,
    close: () => file.close(),
  };
}
