/**
 * A host whose scripts run in PowerShell's own engine, with stand-ins of the modules that only a Windows Server has
 * (test/powershell). Its VMs are in world.json, which cmdlets alone write, and its disks are real files; the world
 * follows. What only guests know, and power that a fault takes, goes back in guests.json, which the lab alone writes.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { engineEnv, type PowerShell } from '../../test/powershell/engine.ts';
import { adapter, type World, type WorldVm } from '../../test/powershell/host.ts';
import type { LabWorld } from '../world/create.ts';
import type { SeenVm } from '../world/hosts/follow.ts';
import { readSeed } from '../world/hosts/first-boot.ts';
import type { HostSpec, ImageContent, StartAction, Vm, VmState } from '../world/hosts/hosts.ts';
import { guestAddresses } from '../world/hosts/scripts.ts';
import { quoted } from './engine.ts';

export interface PowerShellHost {
  /** What bridge.yaml names. */
  engine: string;
  vmRoot: string;
  imageRoot: string;
  /** Processes of the engine so far, and calls of stand-in cmdlets. */
  starts(): number;
  cmdlets(): number;
  stop(): void;
}

const LOOK_MS = 100;
const MIB = 2 ** 20;
const START_ACTIONS = { nothing: 'Nothing', startIfRunning: 'StartIfRunning', start: 'Start' } as const;
const STATES: Record<string, VmState> = {
  Running: 'running',
  Off: 'off',
  Starting: 'starting',
  Saved: 'saved',
};

/** Takes over the host as the model has it now. */
export function servePowerShell(
  world: LabWorld,
  spec: HostSpec,
  options: { dir: string; engine: PowerShell },
): PowerShellHost {
  const [worldDir, vmRoot, imageRoot] = ['world', 'vms', 'images'].map((name) => join(options.dir, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [worldDir, vmRoot, imageRoot]) mkdirSync(folder, { recursive: true });
  const host = world.hosts.all.get(spec.name);
  if (host === undefined) throw new Error(`The world has no host ${spec.name}.`);
  writeImages(spec, imageRoot);
  const [vmsFile, guestsFile, startsFile] = ['world.json', 'guests.json', 'starts'].map((name) =>
    join(worldDir, name),
  ) as [string, string, string];
  const first: World = {
    host: { memoryTotalMb: spec.memoryMb },
    switches: ['External'],
    vms: [...host.vms.values()].map((vm) => onDisk(vm, vmRoot, host.contents.get(vm.disks[0] ?? ''))),
    ...{ dns: {}, faults: [], denied: [], guestAddresses: [] },
  };
  writeFileSync(vmsFile, JSON.stringify(first));
  // From here on they are on the disk.
  host.files.clear();
  host.contents.clear();

  const power = new Map<string, number>();
  const tellGuests = (): void => {
    const guests = [...host.vms.values()].map((vm) => [
      vm.id,
      {
        power: power.get(vm.id) ?? 0,
        state: vm.state === 'running' ? 'Running' : 'Off',
        addresses: guestAddresses(vm, world.machines.get(vm.id)),
      },
    ]);
    writeFileSync(`${guestsFile}.new`, JSON.stringify(Object.fromEntries(guests)));
    renameSync(`${guestsFile}.new`, guestsFile);
  };
  let lookedAt = '';
  const look = (): void => {
    const { ino, mtimeMs, size } = statSync(vmsFile);
    if (lookedAt === `${ino} ${mtimeMs} ${size}`) return;
    lookedAt = `${ino} ${mtimeMs} ${size}`;
    const { vms } = JSON.parse(readFileSync(vmsFile, 'utf8')) as World;
    const seen = vms.map((vm): SeenVm => {
      const id = vm.id.toLowerCase();
      // Without a cmdlet in between, the model knows of its power: it may have lost it.
      const known = power.get(id) === (vm.power ?? 0) ? host.vms.get(id)?.state : undefined;
      power.set(id, vm.power ?? 0);
      return seenVm(vm, known ?? STATES[vm.state] ?? 'other');
    });
    world.hosts.follow(spec.name, seen);
  };
  look();
  tellGuests();
  world.on((event) => {
    if ((event.kind === 'machine.up' || event.kind === 'machine.down') && event.machine.host === spec.name)
      tellGuests();
  });
  const timer = setInterval(look, LOOK_MS);

  const engine = join(options.dir, 'powershell');
  writeWrapper(engine, {
    env: engineEnv({ NODE_CYCLE_TEST_WORLD: worldDir, COMPUTERNAME: spec.name }),
    ...{ startsFile, file: options.engine.file },
  });
  return {
    ...{ engine, vmRoot, imageRoot },
    starts: () => linesOf(startsFile),
    cmdlets: () => linesOf(join(worldDir, 'calls.log')),
    stop: () => clearInterval(timer),
  };
}

/** The bridge gives its children an allow-listed environment, so what the stand-ins need is set here. */
function writeWrapper(
  path: string,
  { env, startsFile, file }: { env: Record<string, string>; startsFile: string; file: string },
): void {
  const lines = [
    '#!/bin/sh',
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`),
    `echo >>${quoted(startsFile)}`,
    `exec ${quoted(file)} "$@"`,
  ];
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o755 });
}

/** A disk's text is what is in it; a copy of it has the same. */
function writeImages(spec: HostSpec, imageRoot: string): void {
  for (const { id, version, sourceHash, builtAtMs, content } of spec.images) {
    const folder = join(imageRoot, id);
    const disk = join(folder, `${version}.vhdx`);
    writeDisk(disk, content);
    chmodSync(disk, 0o444);
    const image = { id, builtAt: new Date(builtAtMs).toISOString(), version, sourceHash, disk };
    writeFileSync(join(folder, 'image.json'), JSON.stringify(image));
  }
}

function writeDisk(disk: string, content: ImageContent | undefined): void {
  mkdirSync(dirname(disk), { recursive: true });
  writeFileSync(disk, JSON.stringify(content));
}

/** A child begins with the name of its parent, as the stand-ins write it. */
function contentOf(disk: string): ImageContent {
  const text = readFileSync(disk, 'utf8');
  const parent = /^differencing (.+)$/.exec(text)?.[1];
  return parent === undefined ? (JSON.parse(text) as ImageContent) : contentOf(parent);
}

/** The VM as the stand-ins know it, with its files. */
function onDisk(vm: Vm, vmRoot: string, content: ImageContent | undefined): WorldVm {
  const path = join(vmRoot, vm.name);
  const disk = join(path, 'system.vhdx');
  writeDisk(disk, content);
  mkdirSync(join(path, 'Virtual Machines'));
  writeFileSync(join(path, 'Virtual Machines', `${vm.id.toUpperCase()}.vmcx`), 'configuration');
  return {
    ...{ id: vm.id, name: vm.name, notes: vm.notes, path, disks: [disk], dvds: [], snapshots: [] },
    state: vm.state === 'running' ? 'Running' : 'Off',
    createdAt: new Date(vm.createdAtMs).toISOString(),
    adapters: [adapter({ mac: vm.mac, ...(vm.vlan === null ? {} : { vlanMode: 'Access', vlan: vm.vlan }) })],
    ...{ cpuCount: vm.cpuCount, memoryStartup: vm.memoryMb * MIB, dynamicMemory: false },
    ...{ startAction: START_ACTIONS[vm.startAction], startDelay: vm.startDelaySeconds },
  };
}

function seenVm(vm: WorldVm, state: VmState): SeenVm {
  const [card] = vm.adapters;
  const setting = (name: string, otherwise: number): number => Number(vm[name] ?? otherwise);
  const actions = Object.entries(START_ACTIONS) as [StartAction, string][];
  return {
    vm: {
      ...{ id: vm.id.toLowerCase(), name: vm.name, state, notes: vm.notes, path: vm.path, disks: vm.disks },
      createdAtMs: Date.parse(vm.createdAt),
      mac: card?.mac ?? '',
      connected: card !== undefined && card.switch !== null,
      cpuCount: setting('cpuCount', 1),
      memoryMb: setting('memoryStartup', 1024 * MIB) / MIB,
      startAction: actions.find(([, theirs]) => theirs === vm['startAction'])?.[0] ?? 'startIfRunning',
      startDelaySeconds: setting('startDelay', 0),
      vlan: card?.vlanMode === 'Access' ? card.vlan : null,
      checkpoints: vm.snapshots.map(({ name }) => name),
    },
    firstBoot() {
      const seed = vm.dvds.find((dvd) => dvd !== null);
      const [disk] = vm.disks;
      if (seed === undefined || disk === undefined) return undefined;
      return { seed: readSeed(readFileSync(seed)), content: contentOf(disk) };
    },
  };
}

const linesOf = (file: string): number =>
  existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
