/** Whether the successor will have a pod of its own where a Service sends requests to pods on the same node only. Pure. */
import { endpointsOnNode } from '../cluster/kubernetes/endpoints.ts';
import type { LocalService } from '../cluster/kubernetes/services.ts';
import type { Config } from '../config/schema.ts';
import { placesOf } from '../edge/nginx/upstreams.ts';
import type { Slice } from '../observed.ts';
import { refuse, type Refusal } from '../step.ts';

/**
 * A DaemonSet that runs on the old node runs on the new one too: that gets the same labels and taints. A pod of anything
 * else stays where it is until the drain, which is after the traffic has moved.
 */
export function noPodForTraffic(
  config: Config,
  world: Slice<'kube' | 'proxies' | 'ingress'> & { localServices: readonly LocalService[] },
  node: { name: string; address: string },
): Refusal | undefined {
  const allowed = new Set(config.allow.interruption);
  const ports = new Set(
    world.proxies.flatMap(({ files }) => placesOf(files, node.address).map(({ port }) => port)),
  );
  const published = world.ingress?.addresses.includes(node.address) === true;
  const here = endpointsOnNode(world.kube, node.name).filter(({ ready }) => ready);
  for (const service of world.localServices) {
    const name = `${service.namespace}/${service.name}`;
    const takes =
      service.nodePorts.some((port) => ports.has(port)) ||
      service.addresses.includes(node.address) ||
      (published && service.addresses.some((address) => world.ingress?.addresses.includes(address)));
    const pods = here
      .filter((endpoint) => endpoint.namespace === service.namespace && endpoint.service === service.name)
      .map(({ pod }) => world.kube.pods.find((one) => `${one.namespace}/${one.name}` === pod));
    if (!takes || pods.length === 0 || allowed.has(name)) continue;
    if (pods.some((pod) => pod?.ownerKind === 'DaemonSet')) continue;
    return refuse(
      'NC1212',
      `${name} sends requests only to pods on the same node (externalTrafficPolicy: Local), and none of them is sure to run on the successor of ${node.name}.`,
      [
        ...pods.map(
          (pod) => `${pod?.namespace}/${pod?.name} of ${pod?.ownerKind ?? 'nothing'} on ${node.name}`,
        ),
        `Run it as a DaemonSet, set externalTrafficPolicy: Cluster, or list ${name} in allow.interruption.`,
      ],
    );
  }
  return undefined;
}
