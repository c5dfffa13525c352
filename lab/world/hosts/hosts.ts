/**
 * The Hyper-V hosts: VMs, their disks on a modelled file system, golden images, memory. Powering a VM on boots its
 * guest, the Machine that the rest of the world sees. Names are not unique, Remove-VM leaves disks, and notes belong
 * to whoever wrote them, as on a real host.
 */
import { CodedError } from '../../../ports/errors.ts';
import type { Timing } from '../timing.ts';
import type { Machine, World } from '../world.ts';
import { runScript } from './engine.ts';
import type { EngineResult } from './engine.ts';
import { followVms } from './follow.ts';
import type { SeenVm } from './follow.ts';
import { createPower } from './power.ts';

export type VmState = 'running' | 'off' | 'starting' | 'saved' | 'other';
export type StartAction = 'nothing' | 'startIfRunning' | 'start';

export interface Vm {
  id: string;
  host: string;
  name: string;
  state: VmState;
  notes: string;
  createdAtMs: number;
  /** 12 hex digits, upper case; '' without an adapter. */
  mac: string;
  connected: boolean;
  cpuCount: number;
  memoryMb: number;
  startAction: StartAction;
  startDelaySeconds: number;
  vlan: number | null;
  path: string;
  disks: string[];
  checkpoints: string[];
}

/** A file on a host's volume; content only for the few that are read back. */
export interface HostFile {
  sizeBytes: number;
  text?: string | undefined;
}

/** What is inside an image, and so in every guest that starts from it. */
export interface ImageContent {
  dockerVersion: string;
  /** Container images that are already there. */
  images: string[];
}

export interface ImageSpec {
  id: string;
  folder: string;
  version: string;
  sourceHash: string;
  builtAtMs: number;
  content: ImageContent;
}

export interface HostSpec {
  name: string;
  memoryMb: number;
  diskBytes: number;
  images: ImageSpec[];
  /** Addresses that DHCP hands out, in order; none: every guest needs a static one. */
  dhcp?: string[] | undefined;
}

export interface Host {
  name: string;
  memoryMb: number;
  diskBytes: number;
  vms: Map<string, Vm>;
  files: Map<string, HostFile>;
  /** What an image's disk contains, by the disk's path. */
  contents: Map<string, ImageContent>;
  dhcp: string[];
}

/** A VM that is there when the story begins. */
export interface VmSpec {
  host?: string | undefined;
  id?: string | undefined;
  name: string;
  address: string;
  mac?: string | undefined;
  notes?: string | undefined;
  createdAtMs: number;
  cpuCount?: number | undefined;
  memoryMb?: number | undefined;
  startAction?: StartAction | undefined;
  startDelaySeconds?: number | undefined;
  vlan?: number | null | undefined;
  /** Default: running, and its guest up. */
  state?: 'running' | 'off' | undefined;
  /** Folder of the VM; its disk is `<path>\<name>.vhdx`. */
  path?: string | undefined;
  sshHostKey: { private: string; public: string };
  authorizedKeys?: string[] | undefined;
  content?: ImageContent | undefined;
}

export interface Hosts {
  readonly all: Map<string, Host>;
  vms(): Vm[];
  vm(id: string): Vm | undefined;
  /** Makes a VM with its guest, without taking time. */
  addVm(spec: VmSpec): { vm: Vm; machine: Machine };
  /** Resolves when the guest is up. */
  powerOn(id: string): Promise<void>;
  /** `cut` at once; `shutdown` after the guest has ended. */
  powerOff(id: string, how: 'cut' | 'shutdown'): Promise<void>;
  /** One call of the PowerShell seam; `script` is the file's name, `stdin` the JSON text. `signal`: the child was killed. */
  engine(host: string, script: string, stdin: string, signal?: AbortSignal): Promise<EngineResult>;
  /** For a host whose scripts run elsewhere: all VMs as they are there now. */
  follow(host: string, seen: readonly SeenVm[]): void;
  /** VMs running now, and the most that ever ran together. */
  running(): number;
  peak(): number;
}

const GUEST_DISK_BYTES = 12 * 2 ** 30;
export const DEFAULT_CONTENT: ImageContent = { dockerVersion: '20.10.24', images: [] };

export function createHosts(world: World, timing: Timing, specs: HostSpec[]): Hosts {
  const all = new Map(specs.map((spec) => [spec.name, hostOf(spec)]));
  const power = createPower(world, timing, all);
  const first = specs[0]?.name;
  const find = (id: string): Vm | undefined => {
    for (const host of all.values()) {
      const vm = host.vms.get(id.toLowerCase());
      if (vm !== undefined) return vm;
    }
    return undefined;
  };
  const named = (name: string): Host => {
    const host = all.get(name);
    if (host === undefined) throw new CodedError('NC9201', `no such host: ${name}`);
    return host;
  };
  const hosts: Hosts = {
    all,
    vms: () => [...all.values()].flatMap((host) => [...host.vms.values()]),
    vm: find,
    addVm(spec) {
      const host = named(spec.host ?? first ?? '(none)');
      const id = spec.id ?? newGuid(world.random);
      const path = spec.path ?? `D:\\VMs\\${spec.name}`;
      const disk = `${path}\\${spec.name}.vhdx`;
      const vm: Vm = {
        id,
        host: host.name,
        name: spec.name,
        state: 'off',
        notes: spec.notes ?? '',
        createdAtMs: spec.createdAtMs,
        mac: (spec.mac ?? newMac(world.random)).toUpperCase(),
        connected: true,
        cpuCount: spec.cpuCount ?? 2,
        memoryMb: spec.memoryMb ?? 4096,
        startAction: spec.startAction ?? 'startIfRunning',
        startDelaySeconds: spec.startDelaySeconds ?? 0,
        vlan: spec.vlan ?? null,
        path,
        disks: [disk],
        checkpoints: [],
      };
      host.vms.set(id, vm);
      host.files.set(disk, { sizeBytes: GUEST_DISK_BYTES });
      const content = spec.content ?? DEFAULT_CONTENT;
      host.contents.set(disk, content);
      const machine = guest(vm, { ...spec, content });
      world.machines.set(id, machine);
      if (spec.state !== 'off') power.alreadyRunning(vm, machine);
      return { vm, machine };
    },
    powerOn: (id) => power.on(existing(find(id), id)),
    powerOff: (id, how) => power.off(existing(find(id), id), how),
    engine: (name, script, stdin, signal) =>
      runScript({ world, timing, host: named(name), hosts, power }, script, stdin, signal),
    follow: (name, seen) => followVms({ world, host: named(name), power }, seen),
    running: () => hosts.vms().filter((vm) => vm.state === 'running' || vm.state === 'starting').length,
    peak: () => power.peak(),
  };
  return hosts;
}

function existing(vm: Vm | undefined, id: string): Vm {
  if (vm === undefined) throw new CodedError('NC9201', `no such VM: ${id}`);
  return vm;
}

function hostOf(spec: HostSpec): Host {
  const host: Host = {
    name: spec.name,
    memoryMb: spec.memoryMb,
    diskBytes: spec.diskBytes,
    vms: new Map(),
    files: new Map(),
    contents: new Map(),
    dhcp: [...(spec.dhcp ?? [])],
  };
  for (const image of spec.images) addImage(host, image);
  return host;
}

/** A finished build: a disk, and the file that says so. */
export function addImage(host: Host, image: ImageSpec): { disk: string } {
  const disk = `${image.folder}\\${image.version}.vhdx`;
  host.files.set(disk, { sizeBytes: 4 * 2 ** 30 });
  host.contents.set(disk, image.content);
  const text = JSON.stringify({
    id: image.id,
    builtAt: new Date(image.builtAtMs).toISOString(),
    version: image.version,
    sourceHash: image.sourceHash,
    disk,
  });
  host.files.set(`${image.folder}\\image.json`, { sizeBytes: text.length, text });
  return { disk };
}

export interface GuestSpec {
  name: string;
  address: string;
  sshHostKey: { private: string; public: string };
  authorizedKeys?: string[] | undefined;
  content: ImageContent;
}

/** The guest of a VM: off until its VM is powered on. */
export function guest(vm: Vm, spec: GuestSpec): Machine {
  return {
    vmId: vm.id,
    host: vm.host,
    name: spec.name,
    address: spec.address,
    mac: vm.mac,
    powered: false,
    up: false,
    sshHostKey: spec.sshHostKey,
    authorizedKeys: [...(spec.authorizedKeys ?? [])],
    dockerVersion: spec.content.dockerVersion,
    images: new Set(spec.content.images),
    containers: new Map(),
    files: new Map(),
  };
}

const hexDigits = (random: () => number, n: number): string =>
  Array.from({ length: n }, () => Math.floor(random() * 16).toString(16)).join('');

export function newGuid(random: () => number): string {
  return [8, 4, 4, 4, 12].map((n) => hexDigits(random, n)).join('-');
}

/** In Hyper-V's own range. */
export function newMac(random: () => number): string {
  return `00155D${hexDigits(random, 6)}`.toUpperCase();
}
