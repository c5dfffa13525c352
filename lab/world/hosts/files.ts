/** A host's volume: Windows paths, compared without case. */
import type { Host } from './hosts.ts';

const fold = (path: string): string => path.toLowerCase().replaceAll('/', '\\').replace(/\\+$/, '');

/** The path as the volume spells it; undefined when there is no such file. */
export function fileAt(host: Host, path: string): string | undefined {
  const wanted = fold(path);
  return [...host.files.keys()].find((known) => fold(known) === wanted);
}

export function isUnder(path: string, folder: string): boolean {
  const real = fold(path);
  return !real.split('\\').includes('..') && real.startsWith(`${fold(folder)}\\`);
}

export const filesUnder = (host: Host, folder: string): string[] =>
  [...host.files.keys()].filter((path) => isUnder(path, folder));

export const usedBytes = (host: Host): number =>
  [...host.files.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

export const freeBytes = (host: Host): number => Math.max(0, host.diskBytes - usedBytes(host));

/** Gives the new path. */
export function moveFile(host: Host, path: string, folder: string): string {
  const from = fileAt(host, path);
  const to = `${folder.replace(/\\+$/, '')}\\${path.replace(/^.*\\/, '')}`;
  if (from === undefined || from === to) return to;
  const file = host.files.get(from);
  const content = host.contents.get(from);
  removeFile(host, from);
  if (file !== undefined) host.files.set(to, file);
  if (content !== undefined) host.contents.set(to, content);
  return to;
}

export function removeFile(host: Host, path: string): boolean {
  const known = fileAt(host, path);
  if (known === undefined) return false;
  host.contents.delete(known);
  return host.files.delete(known);
}
