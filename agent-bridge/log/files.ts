/**
 * The files of the log. The first has the log's own name; each later one carries the number of its first entry
 * before the ending: `audit.log`, `audit.5120.log`. Only the newest is written.
 */
import { basename, dirname, join } from 'node:path';
import type { Disk } from './disk.ts';

export interface LogFile {
  path: string;
  /** Number of its first entry. */
  firstSeq: number;
}

/** Those that are there, oldest first. */
export function logFiles(disk: Disk, path: string): LogFile[] {
  const name = basename(path);
  return disk
    .list(dirname(path))
    .flatMap((each) => {
      const firstSeq = each === name ? 1 : numberIn(each, name);
      return firstSeq === undefined ? [] : [{ path: join(dirname(path), each), firstSeq }];
    })
    .sort((a, b) => a.firstSeq - b.firstSeq);
}

export const logFileFrom = (path: string, firstSeq: number): string =>
  firstSeq === 1 ? path : join(dirname(path), `${stem(basename(path))}.${firstSeq}.log`);

const stem = (name: string): string => name.replace(/\.log$/, '');

function numberIn(name: string, first: string): number | undefined {
  const match = /^\.([1-9][0-9]{0,14})\.log$/.exec(name.slice(stem(first).length));
  return match && name.startsWith(`${stem(first)}.`) ? Number(match[1]) : undefined;
}
