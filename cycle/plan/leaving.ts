/**
 * What a node that leaves still has, what stays in service without it, and what the world is like afterwards.
 * Pure: member list, Node, endpoints and rke's state are asked, and never rke's word for it.
 */
import { endpointsOnNode } from '../cluster/kubernetes/endpoints.ts';
import type { EtcdObservation } from '../cluster/etcd/members.ts';
import { whyStillMember } from '../cluster/etcd/removal.ts';
import { parseClusterYml } from '../cluster/rke/cluster-yml.ts';
import type { Config, Role } from '../config/schema.ts';
import { entryOf, kubeNode, memberName, memberOf, stateNodeOf, withNode, type Slice } from '../observed.ts';
import { refuse, type Action, type Refusal } from '../step.ts';
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
    return whyStillMember(world.etcd, memberName(leaving));
  }
  if (hasControlPlaneLabel(world, leaving)) return `${leaving} still has the label of a control plane`;
  const silent = world.intent.yml.nodes.find(
    (node) => node.roles.includes('controlplane') && world.apiservers[node.address] !== 'ok',
  );
  return silent === undefined
    ? undefined
    : `the apiserver at ${silent.address} is not ready: ${world.apiservers[silent.address] ?? 'not asked'}`;
}

/**
 * A control plane that rke completed and whose node is up, while its apiserver does not answer: an `rke up` that was
 * killed leaves it stopped, and only another one starts it. `except` is the node that leaves.
 */
export function stoppedApiserver(
  world: Slice<'intent' | 'state' | 'kube' | 'apiservers'>,
  except: string,
): string | undefined {
  return world.intent.yml.nodes
    .filter(({ roles }) => roles.includes('controlplane'))
    .map(({ address }) => stateNodeOf(world, address))
    .filter((node) => node?.roles.includes('controlplane') === true && node.hostnameOverride !== except)
    .filter((node) => node !== undefined && kubeNode(world, node.hostnameOverride)?.ready === true)
    .map((node) => node?.address ?? '')
    .find((address) => world.apiservers[address] !== undefined && world.apiservers[address] !== 'ok');
}

/** `rke up` on an unchanged cluster.yml: it starts again what a killed one has left stopped. */
export function startAgain<W extends Slice<'intent' | 'state' | 'kube' | 'apiservers'>>(
  acts: { rkeUp(change: Record<string, never>, signal: AbortSignal): Promise<void> },
  address: string,
  leaving: string,
  settleMs: number,
): Action<W> {
  return {
    id: `rke up for the apiserver ${address}`,
    reason: `the apiserver at ${address} does not answer although its node is Ready: an rke up was cut short`,
    apply: (signal) => acts.rkeUp({}, signal),
    done: (o) => stoppedApiserver(o, leaving) !== address,
    settleMs,
    predict: (o) => ({ ...o, apiservers: { ...o.apiservers, [address]: 'ok' } }),
  };
}

export function hasControlPlaneLabel(world: Slice<'kube'>, name: string): boolean {
  return kubeNode(world, name)?.labels['node-role.kubernetes.io/controlplane'] !== undefined;
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
      etcd: withoutMember(next.etcd, (member) => member.name === memberName(leaving)),
    };
  return withNode(next, leaving, (node) => {
    const labels = { ...node.labels };
    delete labels[`node-role.kubernetes.io/${role}`];
    return { ...node, labels };
  });
}

/** Gone from every member's own list as well. */
function withoutMember(
  etcd: EtcdObservation,
  which: (member: EtcdObservation['members'][number]) => boolean,
): EtcdObservation {
  const gone = etcd.members.filter(which);
  const ids = new Set(gone.map(({ id }) => id));
  const names = new Set(gone.map(({ name }) => name));
  return {
    ...etcd,
    members: etcd.members.filter((member) => !gone.includes(member)),
    ...(etcd.lists === undefined
      ? {}
      : {
          lists: etcd.lists.map((list) => ({
            ...list,
            ids: list.ids.filter((id) => !ids.has(id)),
            names: list.names.filter((name) => !names.has(name)),
          })),
        }),
  };
}

/** The world in which every remaining member has been heard without the one that left, and is well. */
export function predictRoleProven<W extends Slice<'etcd' | 'apiservers' | 'kube' | 'intent'>>(
  world: W,
  leaving: string,
  role: 'controlplane' | 'etcd',
): W {
  if (role === 'controlplane') {
    const serving = world.intent.yml.nodes.filter(({ roles }) => roles.includes('controlplane'));
    const ok = Object.fromEntries(serving.map(({ address }) => [address, 'ok']));
    const next = { ...world, apiservers: { ...world.apiservers, ...ok } };
    return withNode(next, leaving, (node) => ({
      ...node,
      labels: withoutKey(node.labels, 'node-role.kubernetes.io/controlplane'),
    }));
  }
  const { lists: _heard, ...etcd } = world.etcd;
  const members = etcd.members.map((member) => ({ ...member, healthy: true, listed: true }));
  return { ...world, etcd: { ...etcd, members, disagree: false } };
}

function withoutKey(labels: Readonly<Record<string, string>>, key: string): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => name !== key));
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
    etcd: withoutMember(
      cleared.etcd,
      (member) => member.name === memberName(leaving) || member.address === address,
    ),
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
