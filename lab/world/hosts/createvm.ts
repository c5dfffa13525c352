/** `vm-create`: one cmdlet after the other, so that a kill in the middle leaves what it would leave on a real host. */
import type { ScriptInput, ScriptResult } from '../../../agent-bridge/host/scripts.ts';
import type { EngineContext, ScriptRun } from './engine.ts';
import { ScriptRefusal } from './engine.ts';
import { fileAt, freeBytes } from './files.ts';
import { firstBoot, readSeed } from './first-boot.ts';
import { DEFAULT_CONTENT, newGuid } from './hosts.ts';
import type { Vm } from './hosts.ts';
import { step } from './scripts.ts';

/** A differencing disk begins small. */
const CHILD_DISK_BYTES = 64 * 2 ** 20;
const SEED_BYTES = 384 * 2 ** 10;

export async function createVm(
  context: EngineContext,
  input: ScriptInput<'vm-create'>,
  run: ScriptRun,
): Promise<ScriptResult<'vm-create'>> {
  const { host, timing, world, power } = context;
  if ([...host.vms.values()].some(({ name }) => name === input.name)) throw new ScriptRefusal('nameTaken');
  const golden = fileAt(host, input.imageDisk);
  if (golden === undefined) throw new ScriptRefusal('notFound');
  const sizeBytes = input.differencing ? CHILD_DISK_BYTES : (host.files.get(golden)?.sizeBytes ?? 0);
  if (freeBytes(host) < sizeBytes + SEED_BYTES) throw new ScriptRefusal('diskFull');
  const content = host.contents.get(golden) ?? DEFAULT_CONTENT;
  const seed = readSeed(Buffer.from(input.seed.base64, 'base64'));

  run.say(`Copy-Item ${input.disk}`);
  await step(context, timing.diskCopy, run);
  host.files.set(input.disk, { sizeBytes });
  host.contents.set(input.disk, content);

  run.say(`New-VM ${input.name}`);
  await step(context, timing.hypervStep, run);
  const vm: Vm = {
    id: newGuid(world.random),
    host: host.name,
    name: input.name,
    state: 'off',
    notes: '',
    createdAtMs: world.clock.nowMs(),
    mac: '000000000000',
    connected: false,
    cpuCount: 1,
    memoryMb: input.memoryMb,
    startAction: 'startIfRunning',
    startDelaySeconds: 0,
    vlan: null,
    path: input.folder,
    disks: [input.disk],
    checkpoints: [],
  };
  host.vms.set(vm.id, vm);

  run.say('Set-VM, Set-VMProcessor, Set-VMFirmware');
  await step(context, timing.hypervStep, run);
  vm.notes = input.notes;
  vm.cpuCount = input.cpuCount;
  vm.startAction = input.startAction;
  vm.startDelaySeconds = input.startDelaySeconds;

  run.say('Set-VMNetworkAdapter');
  await step(context, timing.hypervStep, run);
  vm.mac = input.mac;
  vm.vlan = input.vlan;
  vm.connected = true;

  run.say('Add-VMDvdDrive');
  await step(context, timing.hypervStep, run);
  host.files.set(input.seed.path, { sizeBytes: SEED_BYTES });

  run.say('Start-VM');
  await step(context, timing.hypervStep, run);
  world.machines.set(vm.id, firstBoot(host, vm, seed, content));
  // Start-VM returns when the power is on, long before the guest is up.
  const booted = power.on(vm);
  booted.catch(() => undefined);
  await Promise.race([booted, step(context, timing.hypervStep, run)]);
  return { id: vm.id, mac: vm.mac, state: vm.state };
}
