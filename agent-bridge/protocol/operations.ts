/**
 * The operations of the bridge, and no others.
 */
import * as z from 'zod/mini';
import { change, param, read } from './operation.ts';
import type { Operation, ParamsOf } from './operation.ts';
import * as s from './shapes.ts';
import { JobView } from './wire.ts';

const MINUTE_MS = 60_000;
/** An installation from an ISO with all its updates takes most of an hour, on a slow host two. */
const BUILD_LIMIT_MS = 120 * MINUTE_MS;
/** Of a VM from an image: a copy of a large disk, and its start. */
export const CREATE_LIMIT_MS = 30 * MINUTE_MS;
/** Names in one question, each asked of each server within the deadline: the nodes and aliases of one cluster. */
export const DNS_NAMES_LIMIT = 64;

const hostRead = read({
  name: 'host.read',
  does: 'Reads the host’s free memory and disk, its images, and what this client may do.',
  params: {},
  result: z.strictObject({
    hosts: z.array(
      z.strictObject({
        host: s.HostText,
        memoryFreeMb: s.Megabytes,
        memoryTotalMb: s.Megabytes,
        diskFreeBytes: s.Bytes,
        vmsRunning: s.Count,
      }),
    ),
    images: z.array(
      z.strictObject({
        id: s.Name,
        builtAt: s.Instant,
        version: s.HostText,
        sourceHash: s.Sha256,
        /** Built from other sources than today's, or older than its limit. */
        stale: z.boolean(),
      }),
    ),
    bridgeVersion: s.HostText,
    certificateExpiresAt: s.Instant,
    clientPolicy: z.strictObject({
      addressRanges: z.array(s.HostText),
      switches: z.array(s.Name),
      sizes: z.array(s.Name),
      images: z.array(s.Name),
      maxRunningVms: s.Count,
      /** What is left of each daily budget now. */
      budgetsLeft: z.strictObject({
        creations: s.Count,
        deletions: s.Count,
        imageBuilds: s.Count,
        dnsSwaps: s.Count,
        stops: s.Count,
      }),
    }),
  }),
  deadlineMs: MINUTE_MS,
  redact: [],
});

export const VmView = z.strictObject({
  id: s.Guid,
  host: s.HostText,
  name: s.HostText,
  state: s.VmState,
  setAside: z.boolean(),
  setAsideAt: z.exactOptional(s.Instant),
  purgeAt: z.exactOptional(s.Instant),
  /** The bridge holds a record of this VM: it made it, or a person ran `adopt`. */
  adopted: z.boolean(),
  marker: z.exactOptional(s.Marker),
  createdAt: s.Instant,
  image: z.exactOptional(s.Name),
  imageBuiltAt: z.exactOptional(s.Instant),
  addresses: z.array(s.HostText),
  /** Empty when the VM has no adapter. */
  mac: z.union([s.Mac, z.literal('')]),
  cpuCount: s.Count,
  memoryMb: s.Megabytes,
  startAction: s.StartAction,
  startDelaySeconds: s.Seconds,
  vlan: z.exactOptional(s.Vlan),
  /** What the notes hold besides our marker: nothing, another tool's JSON object, or other text. */
  notesOwner: z.enum(['none', 'json', 'text']),
  sshHostKeys: z.array(s.SshPublicKey),
});
export type VmView = z.infer<typeof VmView>;

const vmRead = read({
  name: 'vm.read',
  does: 'Lists the VMs of the host with their markers, and this client’s jobs.',
  params: { cluster: param(s.Name, 'clusters') },
  result: z.strictObject({ vms: z.array(VmView), jobs: z.array(JobView) }),
  deadlineMs: MINUTE_MS,
  redact: [],
});

const dnsRead = read({
  name: 'dns.read',
  does: 'Reads records of the given names from every server of a zone.',
  params: {
    zone: param(s.DomainName, 'zones'),
    names: param(z.array(s.Name).check(z.minLength(1), z.maxLength(DNS_NAMES_LIMIT)), 'dnsNames'),
  },
  result: z.strictObject({
    servers: z.array(
      z.strictObject({ server: s.HostText, serial: s.HostText, records: z.array(s.DnsRecordShape) }),
    ),
  }),
  deadlineMs: MINUTE_MS,
  redact: [],
});

const imageBuild = change({
  name: 'image.build',
  does: 'Builds an image from its pinned template.',
  params: { image: param(s.Name, 'images') },
  result: z.strictObject({ image: s.Name, builtAt: s.Instant, version: s.HostText }),
  deadlineMs: BUILD_LIMIT_MS,
  redact: [],
  lane: 'image',
  budget: 'imageBuilds',
  target: ({ image }) => `image:${image}`,
});

const vmCreate = change({
  name: 'vm.create',
  does: 'Creates and starts a VM from an image.',
  params: {
    cluster: param(s.Name, 'clusters'),
    node: param(s.Name, 'names'),
    role: param(z.exactOptional(s.Name), 'ofItsType'),
    size: param(s.Name, 'sizes'),
    image: param(s.Name, 'images'),
    /** Static address; without it the guest asks DHCP. */
    address: param(z.exactOptional(s.Ipv4), 'addressRanges'),
    /** As an address reservation gave it; without it the bridge makes one. */
    mac: param(z.exactOptional(s.Mac), 'macPrefixes'),
    /** The VM whose notes, start order and VLAN the new one gets. */
    inheritFrom: param(z.exactOptional(s.Guid), 'ownVm'),
    replaces: param(z.exactOptional(s.Name), 'names'),
    fence: param(s.Fence, 'fence'),
  },
  result: z.strictObject({
    id: s.Guid,
    host: s.HostText,
    name: s.Name,
    mac: s.Mac,
    address: z.exactOptional(s.Ipv4),
    sshHostKeys: z.array(s.SshPublicKey),
  }),
  // With an image that is built for each node; otherwise `CREATE_LIMIT_MS`.
  deadlineMs: BUILD_LIMIT_MS + CREATE_LIMIT_MS,
  redact: [],
  lane: 'vm',
  budget: 'creations',
  target: ({ cluster, node }) => `vm:${cluster}/${node}`,
});

const vmStop = change({
  name: 'vm.stop',
  does: 'Powers a VM off.',
  params: {
    cluster: param(s.Name, 'clusters'),
    id: param(s.Guid, 'ownVm'),
    fence: param(s.Fence, 'fence'),
  },
  result: z.strictObject({ id: s.Guid, state: s.VmState }),
  deadlineMs: 10 * MINUTE_MS,
  redact: [],
  lane: 'vm',
  budget: 'stops',
  target: ({ id }) => `vm:${id}`,
});

const vmDelete = change({
  name: 'vm.delete',
  does: 'Sets a VM aside: off, renamed, moved, unable to start by itself; purged after keepStopped.',
  params: {
    cluster: param(s.Name, 'clusters'),
    id: param(s.Guid, 'ownVm'),
    fence: param(s.Fence, 'fence'),
  },
  result: z.strictObject({ id: s.Guid, setAsideAt: s.Instant, purgeAt: s.Instant }),
  deadlineMs: 20 * MINUTE_MS,
  redact: [],
  lane: 'vm',
  budget: 'deletions',
  target: ({ id }) => `vm:${id}`,
});

/** Addresses behind one alias: more than nodes that share one anywhere, and all fit into one answer over TCP. */
const RECORDS_LIMIT = 64;
const dataSet = z.array(s.RecordData).check(z.maxLength(RECORDS_LIMIT));

const dnsSwap = change({
  name: 'dns.swap',
  does: 'Adds and removes records of one name, only when the set is still the expected one; never empties it.',
  params: {
    /** Whose fence counts. */
    cluster: param(s.Name, 'clusters'),
    zone: param(s.DomainName, 'zones'),
    name: param(s.Name, 'dnsNames'),
    type: param(s.RecordType, 'dnsTypes'),
    expect: param(dataSet, 'ofItsType'),
    add: param(dataSet, 'dnsData'),
    remove: param(dataSet, 'ofItsType'),
    ttlSeconds: param(z.exactOptional(s.TtlSeconds), 'ttl'),
    fence: param(s.Fence, 'fence'),
  },
  result: z.strictObject({ serial: s.HostText, records: z.array(s.DnsRecordShape) }),
  deadlineMs: 5 * MINUTE_MS,
  redact: [],
  lane: 'dns',
  budget: 'dnsSwaps',
  target: ({ zone, name }) => `dns:${zone}/${name}`,
});

export const READS = { 'host.read': hostRead, 'vm.read': vmRead, 'dns.read': dnsRead };
export const CHANGES = {
  'image.build': imageBuild,
  'vm.create': vmCreate,
  'vm.stop': vmStop,
  'vm.delete': vmDelete,
  'dns.swap': dnsSwap,
};

export type Reads = typeof READS;
export type Changes = typeof CHANGES;
export type ReadName = keyof Reads;
export type ChangeName = keyof Changes;
export type OperationName = ReadName | ChangeName;
export type Params<O extends OperationName> = ParamsOf<(Reads & Changes)[O]['params']>;
export type Result<O extends OperationName> = z.core.output<(Reads & Changes)[O]['result']>;

/** A map and not an object: `toString` is no operation. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  Object.entries({ ...READS, ...CHANGES }) as unknown as [string, Operation][],
);
