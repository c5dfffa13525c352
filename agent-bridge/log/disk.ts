/**
 * The disk as the bridge needs it: small files, written whole or exclusively, and one file that only grows.
 * Everything is synchronous on purpose: a decision, its log entry and its answer happen in one turn, so two
 * requests cannot come between them.
 */
export interface Disk {
  /** undefined when the file is not there. */
  read(path: string): Uint8Array | undefined;
  readRange(path: string, offset: number, length: number): Uint8Array;
  /** Bytes, undefined when it is not there. */
  size(path: string): number | undefined;
  /** Temporary file in the same folder, fsync, rename. Owner-only. */
  write(path: string, data: string | Uint8Array): void;
  /** The whole file appears at once or, when the name is taken, not at all (false). */
  createExclusive(path: string, data: string): boolean;
  /** `durable`: each append is fsynced; else the system writes when it likes (a job's log). */
  openAppend(path: string, durable: boolean): AppendFile;
  list(dir: string): string[];
  makeDir(path: string): void;
  /** A file or a whole folder; nothing there is no error. */
  remove(path: string): void;
}

export interface AppendFile {
  /** Written (and fsynced, when durable) when it returns; throws when it could not be. */
  append(data: string | Uint8Array): void;
  /** Takes back what lies beyond `bytes`: the part of a line that a full disk left. */
  cut(bytes: number): void;
  close(): void;
}

/** The disk, or this account's share of it, is full: what a later try may do, unlike after any other fault. */
export const isDiskFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT'].includes((error as { code?: string } | undefined)?.code ?? '');
