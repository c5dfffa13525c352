/**
 * What a template is given. Packer's Hyper-V plugin puts values into PowerShell as they are, and Packer itself
 * evaluates what looks like its own templates: values that could be either are refused.
 */
import { join } from 'node:path';
import type { ImagePolicy } from '../../server/policy.ts';

/** Of a value that the log must not show: a shorter one would mask half of it. */
export const SHORTEST_SECRET = 8;
const LONGEST_SECRET = 1024;

export interface BuildPlaces {
  jobId: string;
  image: string;
  workFolder: string;
  /** Where the template has to put what it builds. */
  output: string;
}

export const buildName = ({ image, jobId }: Pick<BuildPlaces, 'image' | 'jobId'>): string =>
  `build-${image}-${jobId.slice(0, 8)}`;
export const outputFolder = (workFolder: string): string => join(workFolder, 'output');
export const temporaryFolder = (workFolder: string): string => join(workFolder, 'tmp');
export const seedIso = (workFolder: string): string => join(workFolder, 'seed.iso');
export const buildKey = (workFolder: string): string => join(workFolder, 'build-key');

/** All but the secrets. */
export function variablesOf(
  { variables, base }: Pick<ImagePolicy, 'variables' | 'base'>,
  places: BuildPlaces,
): Record<string, string> {
  return {
    ...variables,
    vm_name: buildName(places),
    output_directory: places.output,
    temp_directory: temporaryFolder(places.workFolder),
    seed_path: seedIso(places.workFolder),
    build_key_path: buildKey(places.workFolder),
    ...(base ? { base_path: base.file, base_checksum: `sha256:${base.sha256}` } : {}),
  };
}

/** A secret's value from the bytes of its file; undefined when it is none that can be given to Packer and masked. */
export function secretValue(bytes: Uint8Array | undefined): string | undefined {
  if (!bytes || bytes.length > LONGEST_SECRET * 4) return undefined;
  const value = new TextDecoder().decode(bytes).replace(/\r?\n$/, '');
  const usable = value.length >= SHORTEST_SECRET && value.length <= LONGEST_SECRET;
  return usable && !/[\u0000-\u001f\u007f\ufffd]|\{\{|\$\{|%\{/.test(value) ? value : undefined;
}
