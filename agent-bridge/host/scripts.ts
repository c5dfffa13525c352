/**
 * The seam to the host: what each script is given on stdin and what it answers.
 *
 * A script is started as `<engine.file> …engine.args <scriptsDir>/<script>.ps1`, without anything else in argv.
 * It reads one JSON document to the end of stdin: `{"v":1,"nonce":"<32 hex>","script":"vm-list","input":{…}}`.
 * Its last line on stdout that is not blank is `##NC-RESULT <nonce> {json}`; everything else on stdout and stderr
 * is log. Success is exit code 0 and a result of the script's shape. A failure that the script understands is
 * exit code 3 and `##NC-RESULT <nonce> {"error":"<code>"}`; any other ending is `scriptFailed`.
 *
 * The input has everything resolved: paths, switch, VLAN, memory, the whole text of the notes. A script decides
 * nothing. Ids may come in either case; MACs come as Hyper-V prints them, 12 hex digits.
 */
import * as z from 'zod/mini';
import * as s from '../protocol/shapes.ts';

export { FAILURE_EXIT, RESULT_PREFIX } from './frame.ts';

export const ScriptFailure = z.strictObject({
  error: z.enum([
    'notFound',
    'nameTaken',
    'replicated',
    'setChanged',
    'diskFull',
    'denied',
    'unreachable',
    'notOurs',
    'templateChanged',
    'templateInvalid',
    'baseChanged',
    'builderFailed',
    'provisionerFailed',
    'noDisk',
    'wrongExport',
    'scriptChanged',
  ]),
});
export type ScriptFailure = z.infer<typeof ScriptFailure>;

/** Absolute, in the host's own spelling; always made by the bridge or read from the host. */
const HostPath = z.string().check(z.minLength(1), z.maxLength(1024));
const AnyGuid = z
  .string()
  .check(z.regex(/^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/));
const RawMac = z.string().check(z.regex(/^([0-9A-Fa-f]{12})?$/));
/** The whole of a VM's notes. */
const Notes = z.string().check(z.maxLength(32_768));
const nullable = z.nullable;

export const VmFound = z.object({
  id: AnyGuid,
  name: s.HostText,
  state: s.VmState,
  notes: Notes,
  createdAt: s.Instant,
  /** As the guest reports them, so they are claims: filtered by the bridge. */
  addresses: z.array(s.HostText),
  mac: RawMac,
  cpuCount: s.Count,
  memoryMb: s.Megabytes,
  startAction: s.StartAction,
  startDelaySeconds: s.Seconds,
  /** null: untagged. */
  vlan: nullable(s.Vlan),
  /** The VM's configuration folder. */
  path: HostPath,
  disks: z.array(HostPath),
});
export type VmFound = z.infer<typeof VmFound>;

/** What a VM gets before its first start, however it came to be. */
const vmSettings = {
  name: s.Name,
  folder: HostPath,
  memoryMb: s.Megabytes,
  /** null: as much as `memoryMb`, always. */
  dynamicMemory: nullable(z.strictObject({ minimumMb: s.Megabytes, maximumMb: s.Megabytes })),
  cpuCount: s.Count,
  switchName: s.HostText,
  vlan: nullable(s.Vlan),
  /** 12 hex digits, upper case. */
  mac: z.string().check(z.regex(/^[0-9A-F]{12}$/)),
  macSpoofing: z.boolean(),
  /** Name of the template; null: off. */
  secureBoot: nullable(s.HostText),
  notes: Notes,
  startAction: s.StartAction,
  startDelaySeconds: s.Seconds,
  /** What the seed configures, for whoever does not read the seed: null with DHCP. */
  address: nullable(s.Ipv4),
  seed: z.strictObject({ path: HostPath, base64: z.string() }),
};
const StartedVm = z.strictObject({ id: AnyGuid, mac: RawMac, state: s.VmState });
/** `exported`: the folder, below `folder`, that Packer exported the VM to. */
const vmImport = z.strictObject({ ...vmSettings, exported: HostPath });

/** What Packer builds, and where. */
const packerOrder = {
  /** New; what is in it goes when Packer has ended. */
  workFolder: HostPath,
  packer: HostPath,
  /** The template first. `to` is relative, with `/`. */
  files: z.array(z.strictObject({ from: HostPath, to: HostPath, sha256: s.Sha256 })).check(z.minLength(1)),
  base: nullable(z.strictObject({ file: HostPath, sha256: s.Sha256 })),
  /** For the variables file; `secrets` are in it too. */
  variables: z.record(z.string(), z.string()),
  secrets: z.record(z.string(), z.string()),
};

export const SCRIPTS = {
  /** All VMs of the host, ours or not. */
  'vm-list': {
    input: z.strictObject({}),
    result: z.strictObject({ host: s.HostText, vms: z.array(VmFound) }),
  },
  /**
   * Copies (or differences) the image's disk, makes the VM, writes the seed, starts it. The folder is new and this
   * job's own. The seed is an ISO image with `meta-data`, `user-data` (`#cloud-config`, then JSON) and, with a static
   * address, `network-config` (JSON, netplan version 2).
   */
  'vm-create': {
    input: z.strictObject({
      ...vmSettings,
      imageDisk: HostPath,
      differencing: z.boolean(),
      disk: HostPath,
    }),
    result: StartedVm,
  },
  /**
   * Imports the one VM of the export where it lies, gives it its settings and starts it. `wrongExport` when that is
   * not one VM of generation 2, with one adapter, no checkpoint, and all its disks in the folder.
   */
  'vm-import': { input: vmImport, result: StartedVm },
  /** Takes the seed out of the VM's drive and removes its file, when that is below one of `roots`. May be repeated. */
  'vm-eject-seed': {
    input: z.strictObject({ id: AnyGuid, path: HostPath, roots: z.array(HostPath) }),
    result: z.strictObject({ id: AnyGuid }),
  },
  /** Shuts down for `gracefulSeconds` (0: at once), then powers off. An unknown id is `notFound`. */
  'vm-stop': {
    input: z.strictObject({ id: AnyGuid, gracefulSeconds: s.Seconds }),
    result: z.strictObject({ id: AnyGuid, state: s.VmState }),
  },
  /** Off, start action nothing, renamed, adapters disconnected, storage moved to `folder`. May be repeated. */
  'vm-set-aside': {
    input: z.strictObject({ id: AnyGuid, newName: s.HostText, folder: HostPath, gracefulSeconds: s.Seconds }),
    result: z.strictObject({
      id: AnyGuid,
      name: s.HostText,
      state: s.VmState,
      path: HostPath,
      disks: z.array(HostPath),
    }),
  },
  /**
   * Takes the VM away (when `id` is given and it is there), then the recorded disks and the folder, each only when
   * its real path is under one of `roots`. May be repeated; what is already gone is no error.
   */
  'vm-purge': {
    input: z.strictObject({
      id: nullable(AnyGuid),
      folder: nullable(HostPath),
      disks: z.array(HostPath),
      roots: z.array(HostPath),
    }),
    result: z.strictObject({ vmRemoved: z.boolean(), filesRemoved: s.Count }),
  },
  /** Back from the set-aside: renamed, moved to `folder`, adapters left disconnected, not started. */
  'vm-undelete': {
    input: z.strictObject({ id: AnyGuid, name: s.HostText, folder: HostPath }),
    result: z.strictObject({ id: AnyGuid, name: s.HostText, state: s.VmState, path: HostPath }),
  },
  /** Writes the notes, only when they are still `expectNotes` (else `setChanged`). */
  'vm-adopt': {
    input: z.strictObject({ id: AnyGuid, expectNotes: Notes, notes: Notes }),
    result: z.strictObject({ id: AnyGuid, notes: Notes }),
  },
  'host-info': {
    /** The volume of this folder is the one whose free space counts. */
    input: z.strictObject({ vmRoot: HostPath }),
    result: z.strictObject({
      host: s.HostText,
      memoryFreeMb: s.Megabytes,
      memoryTotalMb: s.Megabytes,
      diskFreeBytes: s.Bytes,
      vmsRunning: s.Count,
    }),
  },
  /** Every server is asked by itself; names without records give none. Names in records are relative to the zone. */
  'dns-read': {
    input: z.strictObject({ servers: z.array(s.HostText), zone: s.DomainName, names: z.array(s.Name) }),
    result: z.strictObject({
      servers: z.array(
        z.strictObject({ server: s.HostText, serial: s.HostText, records: z.array(s.DnsRecordShape) }),
      ),
    }),
  },
  /** Reads the set, compares it with `expect` (else `setChanged`), adds first, then removes record by record. */
  'dns-swap': {
    input: z.strictObject({
      server: s.HostText,
      zone: s.DomainName,
      name: s.Name,
      type: s.RecordType,
      expect: z.array(s.RecordData),
      add: z.array(s.RecordData),
      remove: z.array(s.RecordData),
      ttlSeconds: s.TtlSeconds,
    }),
    /** The set of that name and type afterwards, and the zone's serial. */
    result: z.strictObject({ serial: s.HostText, records: z.array(s.DnsRecordShape) }),
  },
  /** The newest finished build of each image; one that was never built is not in the answer. */
  'image-list': {
    input: z.strictObject({ images: z.array(z.strictObject({ id: s.Name, folder: HostPath })) }),
    result: z.strictObject({
      images: z.array(
        z.strictObject({
          id: s.Name,
          builtAt: s.Instant,
          version: s.HostText,
          sourceHash: s.Sha256,
          disk: HostPath,
        }),
      ),
    }),
  },
  /** Every differencing parent of these disks, up to the first. A disk that is gone has none. */
  'disk-parents': {
    input: z.strictObject({ disks: z.array(HostPath) }),
    result: z.strictObject({ parents: z.array(HostPath) }),
  },
  /**
   * Run by the bundle (`RUN_BY_BUNDLE`), not by PowerShell: Packer in `workFolder` on copies of `files`, its disk to
   * `<folder>/<version>.vhdx`, and `<folder>/image.json` as the last act.
   */
  'image-build': {
    input: z.strictObject({
      id: s.Name,
      version: s.HostText,
      sourceHash: s.Sha256,
      folder: HostPath,
      ...packerOrder,
    }),
    result: z.strictObject({ id: s.Name, builtAt: s.Instant, version: s.HostText, disk: HostPath }),
  },
  /** Run by the bundle: Packer, and when it has exported a VM, `vm-import` on it with PowerShell. */
  'vm-build': {
    input: z.strictObject({
      ...packerOrder,
      engine: z.strictObject({ file: HostPath, args: z.array(z.string()), scriptsDir: HostPath }),
      vm: vmImport,
    }),
    result: StartedVm,
  },
} as const;

export type ScriptName = keyof typeof SCRIPTS;

/** Have no `.ps1`: the bundle itself is started with this word instead. Same stdin, same answer. */
export const RUN_BY_BUNDLE: Readonly<Partial<Record<ScriptName, string>>> = {
  'image-build': 'run-packer',
  'vm-build': 'run-packer',
};

export type ScriptInput<S extends ScriptName> = z.infer<(typeof SCRIPTS)[S]['input']>;
export type VmSettings = Omit<ScriptInput<'vm-import'>, 'exported'>;
export type PackerOrder = Pick<ScriptInput<'vm-build'>, keyof typeof packerOrder>;
export type ScriptResult<S extends ScriptName> = z.infer<(typeof SCRIPTS)[S]['result']>;

/** The document on stdin. */
export interface ScriptRequest<S extends ScriptName = ScriptName> {
  v: 1;
  nonce: string;
  script: S;
  input: ScriptInput<S>;
}
