/**
 * The host as the operations see it: its VMs, its records, its policy, and the one way to run a script.
 */
import { join } from 'node:path';
import type { Clock, Random } from '../../ports/ports.ts';
import { ScriptError } from './script-error.ts';
import type { Disk } from '../log/disk.ts';
import { sha256Hex } from '../log/chain.ts';
import type { BridgePolicy, ClientPolicy } from '../server/policy.ts';
import { readNotes } from './notes.ts';
import type { ReadNotes } from './notes.ts';
import type { Records, VmRecord } from './records.ts';
import { freshly } from './run-script.ts';
import type { RunScript } from './run-script.ts';
import type { ScriptInput, ScriptName, ScriptResult, VmFound } from './scripts.ts';

/** For a read or a short act; a host with hundreds of VMs lists them in some seconds. */
const SHORT_MS = 60_000;
/** How old the host's capacity may be in `host.read`. A creation looks for itself. */
const CAPACITY_AGE_MS = 5_000;

export interface FoundVm extends VmFound {
  /** Lower case. */
  id: string;
  host: string;
  read: ReadNotes;
  record?: VmRecord;
}

export interface Host {
  policy(): BridgePolicy;
  records: Records;
  disk: Disk;
  clock: Clock;
  random: Random;
  /** Whether this is a `vm.create` that has ended without its VM. */
  failedCreation(jobId: string): boolean;
  /** Throws `ScriptError` when it did not succeed. */
  run<S extends ScriptName>(script: S, input: ScriptInput<S>): Promise<ScriptResult<S>>;
  /** All VMs, as they are after this call was made. */
  vms(): Promise<FoundVm[]>;
  capacity(): Promise<ScriptResult<'host-info'>>;
  images(): Promise<ScriptResult<'image-list'>['images']>;
  /** Capacity and images, possibly some seconds old. */
  overview(): Promise<{ info: ScriptResult<'host-info'>; images: ScriptResult<'image-list'>['images'] }>;
  /** What `overview` remembers is out of date. */
  changed(): void;
}

export interface HostOptions {
  policy(): BridgePolicy;
  records: Records;
  disk: Disk;
  clock: Clock;
  random: Random;
  failedCreation(jobId: string): boolean;
  runScript: RunScript;
}

export function createHost({ runScript, ...rest }: HostOptions): Host {
  const { policy, records, clock } = rest;
  const run: Host['run'] = async (script, input) => {
    const outcome = await runScript(script, input, SHORT_MS);
    if (!outcome.ok) throw new ScriptError(script, outcome.error, outcome.log);
    return outcome.result;
  };
  const vms = freshly(async () => {
    const { host, vms: found } = await run('vm-list', {});
    return found.map((vm): FoundVm => {
      const id = vm.id.toLowerCase();
      const record = records.get(id);
      return { ...vm, id, host, read: readNotes(vm.notes), ...(record ? { record } : {}) };
    });
  });
  const capacity = freshly(() => run('host-info', { vmRoot: policy().vmRoot }));
  const images = freshly(async () => {
    const wanted = Object.entries(policy().images)
      .filter(([, { perNode }]) => !perNode)
      .map(([id]) => ({ id, folder: imageFolder(policy(), id) }));
    return (await run('image-list', { images: wanted })).images;
  });
  let remembered: { at: number; value: ReturnType<Host['overview']> } | undefined;
  return {
    ...rest,
    run,
    vms,
    capacity,
    images,
    async overview() {
      if (!remembered || clock.now() - remembered.at > CAPACITY_AGE_MS || clock.now() < remembered.at) {
        const value = Promise.all([capacity(), images()]).then(([info, built]) => ({ info, images: built }));
        const mine = { at: clock.now(), value };
        remembered = mine;
        value.catch(() => {
          if (remembered === mine) remembered = undefined;
        });
      }
      return remembered.value;
    },
    changed() {
      remembered = undefined;
    },
  };
}

export const imageFolder = (policy: BridgePolicy, id: string): string => join(policy.imageRoot, id);
export const setAsideRoot = (policy: BridgePolicy): string =>
  policy.setAsideRoot ?? join(policy.vmRoot, 'set-aside');

export interface ImageFiles {
  /** The template first. */
  files: { path: string; sha256: string }[];
  /** Of all files: what `pin` is compared with. */
  pin: string;
  /** What the image is built of, variables and base included: it decides whether an image is stale. */
  sourceHash: string;
}

/** The files that an image is made of, as they are now; undefined when one is missing. */
export function imageFiles(policy: BridgePolicy, disk: Disk, id: string): ImageFiles | undefined {
  const image = policy.images[id];
  if (!image) return undefined;
  const files: ImageFiles['files'] = [];
  for (const path of [image.template, ...image.sources]) {
    const bytes = disk.read(path);
    if (!bytes) return undefined;
    files.push({ path, sha256: sha256Hex(bytes) });
  }
  const pin = sha256Hex(files.map(({ sha256 }) => sha256).join('\n'));
  const more = [
    ...(image.base ? [`base ${image.base.sha256}`] : []),
    ...Object.entries(image.variables)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `variable ${name} ${value}`),
  ];
  return { files, pin, sourceHash: more.length === 0 ? pin : sha256Hex([pin, ...more].join('\n')) };
}

export const imageSourceHash = (policy: BridgePolicy, disk: Disk, id: string): string | undefined =>
  imageFiles(policy, disk, id)?.sourceHash;

/**
 * What is built anew for each node is always of today, as long as its template is there. A VM that was made so has no
 * date of an image, so none is ever called outdated because of this one.
 */
export function perNodeImages(
  policy: BridgePolicy,
  disk: Disk,
  nowMs: number,
): Omit<ScriptResult<'image-list'>['images'][number], 'disk'>[] {
  return Object.entries(policy.images).flatMap(([id, { perNode }]) => {
    const sourceHash = perNode ? imageSourceHash(policy, disk, id) : undefined;
    if (sourceHash === undefined) return [];
    const version = `per-node-${sourceHash.slice(0, 8)}`;
    return [{ id, builtAt: new Date(nowMs).toISOString(), version, sourceHash }];
  });
}

export const clientNamed = (policy: BridgePolicy, name: string): ClientPolicy | undefined =>
  policy.clients.find((client) => client.name === name);

/** Ours: a record, and a marker that says the same. */
export function isOurs(vm: FoundVm): vm is FoundVm & { record: VmRecord } {
  const { record, read } = vm;
  return record !== undefined && read.marker?.cluster === record.cluster && read.marker.node === record.node;
}

/** `00155D010203` → `00:15:5d:01:02:03`; empty stays empty. */
export const printedMac = (raw: string): string => raw.toLowerCase().replace(/(..)(?!$)/g, '$1:');
export const rawMac = (printed: string): string => printed.replaceAll(':', '').toUpperCase();
