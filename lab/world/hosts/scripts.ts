/** What each script of the bridge does on a modelled host. Shapes are the bridge's own (agent-bridge/host/scripts.ts). */
import type { ScriptInput, ScriptName, ScriptResult } from '../../../agent-bridge/host/scripts.ts';
import { pass } from '../clock.ts';
import type { Machine } from '../world.ts';
import { createVm } from './createvm.ts';
import type { EngineContext, ScriptRun } from './engine.ts';
import { Killed, ScriptRefusal } from './engine.ts';
import { fileAt, filesUnder, freeBytes, isUnder, moveFile, removeFile } from './files.ts';
import { addImage, DEFAULT_CONTENT } from './hosts.ts';
import type { Host, Vm } from './hosts.ts';
import { freeMemoryMb } from './power.ts';

/** No image of the lab is built for each node. */
type HandledScript = Exclude<ScriptName, 'vm-import' | 'vm-build'>;
type Handlers = {
  [S in HandledScript]: (
    context: EngineContext,
    input: ScriptInput<S>,
    run: ScriptRun,
  ) => ScriptResult<S> | Promise<ScriptResult<S>>;
};

export const scriptHandlers: Handlers = {
  'vm-list': ({ host, world }) => ({
    host: host.name,
    vms: [...host.vms.values()].map((vm) => {
      const machine = world.machines.get(vm.id);
      return {
        id: vm.id.toUpperCase(),
        name: vm.name,
        state: vm.state,
        notes: vm.notes,
        createdAt: new Date(vm.createdAtMs).toISOString(),
        addresses: guestAddresses(vm, machine),
        mac: vm.mac,
        cpuCount: vm.cpuCount,
        memoryMb: vm.memoryMb,
        startAction: vm.startAction,
        startDelaySeconds: vm.startDelaySeconds,
        vlan: vm.vlan,
        path: vm.path,
        disks: [...vm.disks],
      };
    }),
  }),
  'vm-create': createVm,
  async 'vm-stop'(context, input, run) {
    const vm = found(context.host, input.id);
    await stop(context, vm, input.gracefulSeconds, run);
    return { id: vm.id, state: vm.state };
  },
  async 'vm-set-aside'(context, input, run) {
    const { host, timing } = context;
    const vm = found(host, input.id);
    vm.startAction = 'nothing';
    await stop(context, vm, input.gracefulSeconds, run);
    await step(context, timing.hypervStep, run);
    vm.name = input.newName;
    vm.connected = false;
    await step(context, timing.diskMove, run);
    moveStorage(host, vm, input.folder);
    return { id: vm.id, name: vm.name, state: vm.state, path: vm.path, disks: [...vm.disks] };
  },
  async 'vm-purge'(context, input, run) {
    const { host, timing, world } = context;
    const vm = input.id === null ? undefined : host.vms.get(input.id.toLowerCase());
    const outside = [...input.disks, ...(input.folder === null ? [] : [`${input.folder}\\x`])].find(
      (path) => !input.roots.some((root) => isUnder(path, root)),
    );
    if (outside !== undefined) throw new ScriptRefusal('denied');
    if (vm !== undefined) {
      await stop(context, vm, 0, run);
      vm.checkpoints = [];
      await step(context, timing.hypervStep, run);
      // Remove-VM leaves every disk where it is.
      host.vms.delete(vm.id);
      world.machines.delete(vm.id);
    }
    await step(context, timing.diskMove, run);
    const doomed = [...input.disks, ...(input.folder === null ? [] : filesUnder(host, input.folder))];
    const filesRemoved = doomed.filter((path) => removeFile(host, path)).length;
    return { vmRemoved: vm !== undefined, filesRemoved };
  },
  async 'vm-undelete'(context, input, run) {
    const { host, timing } = context;
    const vm = found(host, input.id);
    await step(context, timing.diskMove, run);
    vm.name = input.name;
    moveStorage(host, vm, input.folder);
    return { id: vm.id, name: vm.name, state: vm.state, path: vm.path };
  },
  'vm-eject-seed'({ host }, input) {
    const vm = found(host, input.id);
    if (!input.roots.some((root) => isUnder(input.path, root))) throw new ScriptRefusal('denied');
    removeFile(host, input.path);
    return { id: vm.id };
  },
  'vm-adopt'({ host }, input) {
    const vm = found(host, input.id);
    if (vm.notes !== input.expectNotes) throw new ScriptRefusal('setChanged');
    vm.notes = input.notes;
    return { id: vm.id, notes: vm.notes };
  },
  'host-info': ({ host, hosts }) => ({
    host: host.name,
    memoryFreeMb: Math.max(0, freeMemoryMb(host)),
    memoryTotalMb: host.memoryMb,
    diskFreeBytes: freeBytes(host),
    vmsRunning: hosts.vms().filter((vm) => vm.host === host.name && vm.state === 'running').length,
  }),
  // This host is no DNS server and knows none.
  'dns-read': () => {
    throw new ScriptRefusal('unreachable');
  },
  'dns-swap': () => {
    throw new ScriptRefusal('unreachable');
  },
  'image-list': ({ host }, input) => ({
    images: input.images.flatMap(({ id, folder }) => {
      const path = fileAt(host, `${folder}\\image.json`);
      const text = path === undefined ? undefined : host.files.get(path)?.text;
      if (text === undefined) return [];
      const built = JSON.parse(text) as ScriptResult<'image-list'>['images'][number];
      return built.id === id && fileAt(host, built.disk) !== undefined ? [built] : [];
    }),
  }),
  // A VM holds its image's disk by a whole copy or a child that is not modelled as one: nothing is outdated here.
  'disk-parents': ({ host }) => ({ parents: [...host.contents.keys()] }),
  async 'image-build'(context, input, run) {
    const { host, timing, world } = context;
    const parts = 3;
    for (let part = 1; part <= parts; part += 1) {
      run.say(`packer: part ${part} of ${parts}`);
      await step(context, timing.imageBuild / parts, run);
    }
    const builtAtMs = world.clock.nowMs();
    const { id, folder, version, sourceHash } = input;
    const before = [...host.contents].find(([path]) => isUnder(path, folder))?.[1] ?? DEFAULT_CONTENT;
    const { disk } = addImage(host, { id, folder, version, sourceHash, builtAtMs, content: before });
    return { id, builtAt: new Date(builtAtMs).toISOString(), version, disk };
  },
};

function found(host: Host, id: string): Vm {
  const vm = host.vms.get(id.toLowerCase());
  if (vm === undefined) throw new ScriptRefusal('notFound');
  return vm;
}

async function stop(context: EngineContext, vm: Vm, gracefulSeconds: number, run: ScriptRun): Promise<void> {
  await step(context, context.timing.hypervStep, run);
  await context.power.off(vm, gracefulSeconds > 0 ? 'shutdown' : 'cut');
}

function moveStorage(host: Host, vm: Vm, folder: string): void {
  vm.disks = vm.disks.map((disk) => moveFile(host, disk, folder));
  for (const rest of filesUnder(host, vm.path)) moveFile(host, rest, folder);
  vm.path = folder;
}

/** Lets time go by between two cmdlets; a killed child does no further one. */
export async function step({ world }: EngineContext, ms: number, run: ScriptRun): Promise<void> {
  await pass(world.clock, ms);
  if (run.signal?.aborted === true) throw new Killed();
}

/** The guest's own list, by its KVP daemon: the link-local one is always in it. */
export function guestAddresses(vm: Vm, machine: Machine | undefined): string[] {
  return machine?.up === true && vm.connected ? [machine.address, linkLocal(vm.mac)] : [];
}

/** fe80::/10 from the MAC, as the guest's kernel makes it. */
function linkLocal(mac: string): string {
  const bytes = mac.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? [];
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = bytes;
  const hex = (high: number, low: number) => ((high << 8) | low).toString(16);
  return `fe80::${hex(a ^ 2, b)}:${hex(c, 0xff)}:${hex(0xfe, d)}:${hex(e, f)}`;
}
