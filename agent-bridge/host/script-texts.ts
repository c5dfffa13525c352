/**
 * The scripts as this bundle was built with them. `init` writes them to the host; before each start the file there is
 * compared with the text here, so nothing else ever runs in their name.
 */
import { join } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import type { Disk } from '../log/disk.ts';
import { SCRIPTS } from './scripts.ts';
import type { ScriptName } from './scripts.ts';

/** File name → text, put in by the build: `scripts/host-scripts.mjs`. */
declare const HOST_SCRIPTS: { readonly [file: string]: string } | undefined;

export const SCRIPT_TEXTS: ReadonlyMap<string, string> = new Map(
  Object.entries(typeof HOST_SCRIPTS === 'undefined' ? {} : HOST_SCRIPTS),
);

const fileOf = (name: ScriptName): string => `${name}.ps1`;
/** Those that others take in: whatever starts, they run with it. */
const SHARED = [...SCRIPT_TEXTS.keys()].filter(
  (file) => !Object.keys(SCRIPTS).some((name) => `${name}.ps1` === file),
);

/** Names of the files of `dir` that are missing or not this version's, of those that `files` names. */
export function foreignScripts(
  disk: Disk,
  dir: string,
  files: Iterable<string> = SCRIPT_TEXTS.keys(),
): string[] {
  return [...files].filter((file) => {
    const found = disk.read(join(dir, file));
    const wanted = SCRIPT_TEXTS.get(file);
    return found === undefined || wanted === undefined || !Buffer.from(wanted).equals(found);
  });
}

/** The script's path. Throws `NC2014` when it, or a file that it takes in, is not this version's. */
export function scriptPath(disk: Disk, dir: string, name: ScriptName): string {
  const foreign = foreignScripts(disk, dir, [fileOf(name), ...SHARED]);
  if (foreign.length > 0) throw new CodedError('NC2014', `In ${dir}: ${foreign.join(', ')}.`, foreign);
  return join(dir, fileOf(name));
}

/** Writes what is missing or other; gives the names. */
export function writeScripts(disk: Disk, dir: string): string[] {
  const foreign = foreignScripts(disk, dir);
  if (foreign.length > 0) disk.makeDir(dir);
  for (const file of foreign) disk.write(join(dir, file), SCRIPT_TEXTS.get(file) ?? '');
  return foreign;
}
