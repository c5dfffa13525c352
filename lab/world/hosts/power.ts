/** Power of VMs: on boots the guest, off ends it at once or after it has shut down. */
import { pass } from '../clock.ts';
import type { Timing } from '../timing.ts';
import type { Machine, Timer, World } from '../world.ts';
import type { Host, Vm } from './hosts.ts';

export interface Power {
  /** Resolves when the guest is up; rejects when the host lacks the memory. */
  on(vm: Vm): Promise<void>;
  off(vm: Vm, how: 'cut' | 'shutdown'): Promise<void>;
  /** For the world's beginning. */
  alreadyRunning(vm: Vm, machine: Machine): void;
  peak(): number;
}

export class NoMemory extends Error {
  constructor(vm: Vm, freeMb: number) {
    super(
      `'${vm.name}' failed to start. Not enough memory in the system to start the virtual machine ${vm.name} with ram size ${vm.memoryMb} megabytes: ${freeMb} are free.`,
    );
    this.name = 'NoMemory';
  }
}

export const freeMemoryMb = (host: Host): number =>
  host.memoryMb -
  [...host.vms.values()].filter(({ state }) => state === 'running').reduce((sum, vm) => sum + vm.memoryMb, 0);

export function createPower(world: World, timing: Timing, hosts: Map<string, Host>): Power {
  const booting = new Map<string, Timer>();
  let peak = 0;

  const started = (vm: Vm, machine: Machine | undefined): void => {
    vm.state = 'running';
    if (machine !== undefined) machine.powered = true;
    let running = 0;
    for (const host of hosts.values())
      for (const other of host.vms.values()) if (other.state === 'running') running += 1;
    peak = Math.max(peak, running);
  };
  const up = (machine: Machine): void => {
    machine.up = true;
    world.emit({ kind: 'machine.up', machine });
    // Docker starts again what ran before: all of RKE's containers have a restart policy.
    for (const [container, { image }] of machine.containers) {
      machine.containers.set(container, { image, startedAtMs: world.clock.nowMs() });
      world.emit({ kind: 'container.started', machine, container });
    }
  };
  const down = (vm: Vm): void => {
    booting.get(vm.id)?.cancel();
    booting.delete(vm.id);
    vm.state = 'off';
    const machine = world.machines.get(vm.id);
    if (machine === undefined || !machine.powered) return;
    machine.powered = false;
    machine.up = false;
    world.emit({ kind: 'machine.down', machine });
  };

  return {
    async on(vm) {
      if (vm.state === 'running') return;
      const host = hosts.get(vm.host);
      if (host !== undefined && freeMemoryMb(host) < vm.memoryMb) throw new NoMemory(vm, freeMemoryMb(host));
      const machine = world.machines.get(vm.id);
      started(vm, machine);
      if (machine === undefined) return;
      await new Promise<void>((resolve) => {
        booting.set(
          vm.id,
          world.clock.after(timing.boot, () => {
            booting.delete(vm.id);
            if (machine.powered) up(machine);
            resolve();
          }),
        );
      });
    },
    async off(vm, how) {
      if (vm.state !== 'running') return;
      if (how === 'shutdown') await pass(world.clock, timing.shutdown);
      down(vm);
    },
    alreadyRunning(vm, machine) {
      started(vm, machine);
      up(machine);
    },
    peak: () => peak,
  };
}
