/**
 * What a node that leaves still has, what stays in service without it, and what the world is like afterwards.
 * Pure: member list, Node, endpoints and rke's state are asked, and never rke's word for it.
 */
import { endpointsOnNode } from '../cluster/kubernetes/endpoints.ts';
import { parseClusterYml } from '../cluster/rke/cluster-yml.ts';
import type { Config, Role } from '../config/schema.ts';
import { entryOf, kubeNode, memberName, memberOf, stateNodeOf, withNode, type Slice } from '../observed.ts';
import { refuse, type Refusal } from '../step.ts';
import { judgeLeave } from './etcd-path.ts';

export type RemoveRoleWorld = Slice<
  'nowMs' | 'facts' | 'lock' | 'vms' | 'intent' | 'state' | 'kube' | 'etcd' | 'apiservers' | 'ssh'
>;

/** Why the role is not gone, as the world says it; undefined when it is. */
export function whyRoleStays(
  world: RemoveRoleWorld,
  leaving: string,
  address: string | undefined,
  role: 'controlplane' | 'etcd',
): string | undefined {
  if (entryOf(world, leaving, address)?.roles.includes(role) === true)
    return `cluster.yml still gives ${role} to ${leaving}`;
  if (stateNodeOf(world, leaving, address)?.roles.includes(role) === true)
    return `rke's state still gives ${role} to ${leaving}`;
  if (role === 'etcd') {
    if (memberOf(world, leaving, address) !== undefined)
      return `etcd still has the member ${memberName(leaving)}`;
    const sick = world.etcd.members.find((member) => !member.healthy);
    return sick === undefined ? undefined : `${sick.name} is not healthy: ${sick.trouble ?? ''}`;
  }
  if (kubeNode(world, leaving)?.labels['node-role.kubernetes.io/controlplane'] !== undefined)
    return `${leaving} still has the label of a control plane`;
  const silent = world.intent.yml.nodes.find(
    (node) => node.roles.includes('controlplane') && world.apiservers[node.address] !== 'ok',
  );
  return silent === undefined
    ? undefined
    : `the apiserver at ${silent.address} is not ready: ${world.apiservers[silent.address] ?? 'not asked'}`;
}

/** What still knows the node; undefined when nothing of the cluster does. */
export function whyNodeStays(
  world: Slice<'intent' | 'state' | 'kube' | 'etcd'>,
  name: string,
  address: string | undefined,
): string | undefined {
  if (entryOf(world, name, address) !== undefined) return `cluster.yml has an entry for ${name}`;
  if (kubeNode(world, name) !== undefined) return `Kubernetes has the Node ${name}`;
  if (memberOf(world, name, address) !== undefined) return `etcd has the member ${memberName(name)}`;
  if (stateNodeOf(world, name, address) !== undefined) return `rke's state has ${name}`;
  const endpoint = endpointsOnNode(world.kube, name)[0];
  return endpoint === undefined
    ? undefined
    : `the Service ${endpoint.namespace}/${endpoint.service} has an endpoint on ${name}`;
}

/** Quorum before an etcd removal; another control plane that serves before a control-plane removal. */
export function staysInService(
  config: Config,
  world: RemoveRoleWorld,
  leaving: string,
  address: string | undefined,
  role: 'controlplane' | 'etcd',
  dead = false,
): Refusal | undefined {
  if (role === 'etcd') {
    if (memberOf(world, leaving, address) === undefined) return undefined;
    return judgeLeave(world, config, leaving, { snapshotTaken: true, dead });
  }
  const others = world.intent.yml.nodes.filter(
    (node) => node.address !== address && node.roles.includes('controlplane'),
  );
  const serving = others.filter((node) => world.apiservers[node.address] === 'ok');
  if (serving.length > 0) return undefined;
  return refuse(
    'NC1212',
    `No control plane would serve without ${leaving}.`,
    others.map((node) => `${node.address}: ${world.apiservers[node.address] ?? 'not asked'}`),
  );
}

export function withText<W extends Slice<'intent'>>(world: W, text: string): W {
  return { ...world, intent: { commit: 'predicted', text, yml: parseClusterYml(text) } };
}

/** The DaemonSets of the pods that go want and have one pod less each. */
export function withoutPods<W extends Slice<'kube'>>(
  world: W,
  node: string,
  which: (pod: W['kube']['pods'][number]) => boolean,
): W {
  const gone = world.kube.pods.filter((pod) => pod.node === node && which(pod));
  const pods = world.kube.pods.filter((pod) => !gone.includes(pod));
  const daemonSets = world.kube.daemonSets.map((set) => {
    const own = gone.filter((pod) => pod.ownerUid === set.uid);
    return {
      ...set,
      desired: set.desired - own.length,
      ready: set.ready - own.filter((pod) => pod.ready).length,
    };
  });
  return { ...world, kube: { ...world.kube, pods, daemonSets } };
}

export function predictWithoutRole<W extends RemoveRoleWorld>(
  world: W,
  leaving: string,
  address: string | undefined,
  role: Role,
): W {
  const nodes = world.state.current.nodes.map((node) =>
    node.hostnameOverride === leaving || node.address === address
      ? { ...node, roles: node.roles.filter((held) => held !== role) }
      : node,
  );
  const next = { ...world, state: { ...world.state, current: { ...world.state.current, nodes } } };
  if (role === 'etcd')
    return {
      ...next,
      etcd: {
        ...next.etcd,
        members: next.etcd.members.filter((member) => member.name !== memberName(leaving)),
      },
    };
  return withNode(next, leaving, (node) => {
    const labels = { ...node.labels };
    delete labels[`node-role.kubernetes.io/${role}`];
    return { ...node, labels };
  });
}

export function predictGone<W extends RemoveRoleWorld>(
  world: W,
  leaving: string,
  address: string | undefined,
): W {
  const cleared = withoutPods(world, leaving, () => true);
  return {
    ...cleared,
    kube: {
      ...cleared.kube,
      nodes: cleared.kube.nodes.filter((node) => node.name !== leaving),
      endpointSlices: cleared.kube.endpointSlices.map((slice) => ({
        ...slice,
        endpoints: slice.endpoints.filter((endpoint) => endpoint.nodeName !== leaving),
      })),
    },
    etcd: {
      ...cleared.etcd,
      members: cleared.etcd.members.filter(
        (member) => member.name !== memberName(leaving) && member.address !== address,
      ),
    },
    state: {
      ...cleared.state,
      current: {
        ...cleared.state.current,
        nodes: cleared.state.current.nodes.filter(
          (node) => node.hostnameOverride !== leaving && node.address !== address,
        ),
      },
    },
  };
}
