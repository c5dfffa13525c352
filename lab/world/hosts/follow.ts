/**
 * A host whose VMs are changed by somebody else: what was seen there becomes the model, and whoever runs there runs
 * here. Guests still live in the world only.
 */
import type { World } from '../world.ts';
import { firstBoot } from './first-boot.ts';
import type { Seed } from './first-boot.ts';
import type { Host, ImageContent, Vm } from './hosts.ts';
import type { Power } from './power.ts';

export interface SeenVm {
  vm: Omit<Vm, 'host'>;
  /** What it starts from for the first time; undefined when it has no seed in its drive. */
  firstBoot(): { seed: Seed; content: ImageContent } | undefined;
}

/** `seen`: all VMs of the host. */
export function followVms(
  { world, host, power }: { world: World; host: Host; power: Power },
  seen: readonly SeenVm[],
): void {
  for (const vm of host.vms.values()) {
    if (seen.some((one) => one.vm.id === vm.id)) continue;
    void power.off(vm, 'cut');
    host.vms.delete(vm.id);
    world.machines.delete(vm.id);
  }
  for (const { vm: now } of seen) {
    const { state, ...rest } = now;
    const vm: Vm = host.vms.get(now.id) ?? { ...now, host: host.name, state: 'off' };
    host.vms.set(vm.id, Object.assign(vm, rest));
    if (state === 'running') continue;
    void power.off(vm, 'cut');
    vm.state = state;
  }
  // After all others are off: their memory is free.
  for (const { vm: now, ...given } of seen) {
    const vm = host.vms.get(now.id);
    if (vm === undefined || now.state !== 'running' || vm.state === 'running') continue;
    const start = world.machines.has(vm.id) ? undefined : given.firstBoot();
    if (start !== undefined) world.machines.set(vm.id, firstBoot(host, vm, start.seed, start.content));
    void power.on(vm);
  }
}
