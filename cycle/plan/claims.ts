/** Which VM is a node's, over all hosts: one and no other, or a refusal that names all who say so. Pure. */
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import type { Config } from '../config/schema.ts';
import type { Slice } from '../observed.ts';
import { refuse, type Refusal } from '../step.ts';

/** The VM that says it is this node, set-aside ones left out. NC1228 or NC1219 when there are more than one. */
export function claimOf(config: Config, world: Slice<'vms'>, node: string): VmView | Refusal | undefined {
  const all = world.vms.filter(({ marker }) => marker?.cluster === config.cluster && marker.node === node);
  const twice = knownTwice(config, { vms: all });
  if (twice !== undefined) return twice;
  const claims = all.filter(({ setAside }) => !setAside);
  return claims.length > 1
    ? refuse('NC1219', `${claims.length} VMs say that they are ${node}.`, claims.map(inWords))
    : claims[0];
}

/** An id is one VM's alone: on two hosts it was moved and left behind, or is a replica; which one counts is a person's to say. */
export function knownTwice(config: Config, world: Slice<'vms'>): Refusal | undefined {
  const first = new Map<string, VmView>();
  for (const vm of world.vms) {
    if (vm.marker?.cluster !== config.cluster) continue;
    const other = first.get(vm.id);
    if (other !== undefined)
      return refuse('NC1228', `The VM of ${vm.marker.node} is known on ${other.host} and on ${vm.host}.`, [
        inWords(other),
        inWords(vm),
      ]);
    first.set(vm.id, vm);
  }
  return undefined;
}

function inWords({ name, id, host, state }: VmView): string {
  return `${name} (${id}) on ${host}, ${state}`;
}
