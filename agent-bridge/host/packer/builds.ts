/** Which of an image's builds have had their time. */
import { sep } from 'node:path';

/** As the bridge names them; other files of the folder are not ours to count. */
const BUILD = /^\d{8}t\d{6}z-[0-9a-f]{8}\.vhdx$/;

export interface BuildsToKeep {
  /** File names of the image's folder. */
  names: readonly string[];
  folder: string;
  /** The version that image.json names. */
  current: string;
  keep: number;
  /** Disks of all VMs, and their differencing parents. */
  inUse: readonly string[];
}

/** File names, oldest first. One in use stays, however old: a VM's disk is nothing without its parent. */
export function outdatedBuilds({ names, folder, current, keep, inUse }: BuildsToKeep): string[] {
  const used = new Set(inUse.map(plain));
  const old = names
    .filter((name) => BUILD.test(name) && name !== `${current}.vhdx`)
    .sort()
    .reverse();
  return old
    .slice(Math.max(0, keep - 1))
    .filter((name) => !used.has(plain(`${folder}${sep}${name}`)))
    .reverse();
}

/** Windows compares without case and takes both slashes. */
const plain = (path: string): string => path.replaceAll('\\', '/').toLowerCase();
