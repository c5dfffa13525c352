/** Which nodes are due, and why: by age, by image, or because somebody named them. Pure, for thousands of nodes. */
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import type { KubeNode } from '../cluster/kubernetes/observe.ts';
import type { Config } from '../config/schema.ts';
import type { Slice } from '../observed.ts';

export type Because = 'any' | 'age' | 'image';

export interface DueNode {
  node: KubeNode;
  vm: VmView | undefined;
  /** By the older of Node and VM, in days. */
  ageDays: number;
  /** Why it is due; undefined when it is not. */
  reason: string | undefined;
}

const DAY_MS = 86_400_000;

/** Every node with its age, oldest first; names break ties so that two runs agree. */
export function judgeAges(
  config: Config,
  world: Slice<'nowMs' | 'kube' | 'vms' | 'hosts'>,
  because: Because,
): DueNode[] {
  const vms = new Map<string, VmView>();
  for (const vm of world.vms) {
    if (vm.marker?.cluster === config.cluster && !vm.setAside) vms.set(vm.marker.node, vm);
  }
  // Each host builds its own image; a node is compared with the one of the host that its VM is on.
  const images = new Map(
    world.hosts.map(({ host, images: of }) => [host, of.find(({ id }) => id === config.vm.image)]),
  );
  return world.kube.nodes
    .map((node): DueNode => {
      const vm = vms.get(node.name);
      const bornMs = Math.min(node.createdAtMs, vm === undefined ? Infinity : Date.parse(vm.createdAt));
      const ageDays = (world.nowMs - bornMs) / DAY_MS;
      return {
        node,
        vm,
        ageDays,
        reason: reasonFor(config, vm, ageDays, images.get(vm?.host ?? ''), because),
      };
    })
    .sort((a, b) => b.ageDays - a.ageDays || (a.node.name < b.node.name ? -1 : 1));
}

function reasonFor(
  config: Config,
  vm: VmView | undefined,
  ageDays: number,
  image: { builtAt: string; stale: boolean } | undefined,
  because: Because,
): string | undefined {
  if (because !== 'image' && ageDays > config.age.limitDays) {
    return `it is ${ageDays.toFixed(1)} days old, more than ${config.age.limitDays}`;
  }
  const built = vm?.imageBuiltAt;
  if (because === 'age' || built === undefined || image === undefined) return undefined;
  return Date.parse(built) < Date.parse(image.builtAt)
    ? `its image is of ${built}, today's is of ${image.builtAt}`
    : undefined;
}
