/** What cannot be served without a gap while a node is replaced; refused unless a person allowed it by name. */
import type { Config } from '../config/schema.ts';
import type { Slice } from '../observed.ts';
import { refuse, type Refusal } from '../step.ts';

/** Controllers whose only pod runs on the node, as `namespace/name` without the template's hash. */
export function singlePods(world: Slice<'kube'>, node: string): string[] {
  const count = new Map<string, number>();
  const onNode = new Set<string>();
  for (const pod of world.kube.pods) {
    if (pod.ownerKind !== 'ReplicaSet' && pod.ownerKind !== 'StatefulSet') continue;
    if (pod.phase === 'Succeeded' || pod.phase === 'Failed' || pod.deleting) continue;
    const hash = pod.labels['pod-template-hash'];
    const owner = pod.ownerName ?? pod.name;
    const name = `${pod.namespace}/${hash === undefined ? owner : owner.replace(new RegExp(`-${hash}$`), '')}`;
    count.set(name, (count.get(name) ?? 0) + 1);
    if (pod.node === node) onNode.add(name);
  }
  return [...onNode].filter((name) => count.get(name) === 1).sort();
}

export function interruptions(config: Config, world: Slice<'kube'>, node: string): Refusal | undefined {
  const allowed = new Set(config.allow.interruption);
  const found = singlePods(world, node).filter((name) => !allowed.has(name));
  if (found.length === 0) return undefined;
  return refuse('NC1212', `${found.join(', ')} would be interrupted: the only replica runs on ${node}.`, [
    'Give it a second replica, or list it in allow.interruption.',
  ]);
}
