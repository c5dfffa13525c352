/**
 * RkeRemoveRole: takes one role from the node that leaves: controlplane, then etcd, then the node itself. The
 * last role of a node leaves with its entry, because rke rejects an empty list of roles.
 */
import { CodedError } from '../../ports/errors.ts';
import { planDrain } from '../cluster/kubernetes/drain.ts';
import { endpointsOnNode, LEAVING_TAINT, serviceDaemonPods } from '../cluster/kubernetes/endpoints.ts';
import { dropRole, parseClusterYml, removeNode, type Edit } from '../cluster/rke/cluster-yml.ts';
import { missingFromState } from '../cluster/rke/state.ts';
import type { Config, Role } from '../config/schema.ts';
import {
  addressOf,
  isOff,
  entryOf,
  kubeNode,
  memberName,
  memberOf,
  stateNodeOf,
  type Slice,
} from '../observed.ts';
import { judgeLeave, refuseBy } from '../plan/etcd-path.ts';
import { preflight } from '../plan/preflight.ts';
import { refuse, type Action, type Plan, type Refusal } from '../step.ts';
import { snapshotAction, snapshotTaken } from './etcd-snapshot.ts';
import { withNode, type AddNodeActs } from './rke-add-node.ts';

export type RemoveRoleWorld = Slice<
  'nowMs' | 'facts' | 'lock' | 'vms' | 'intent' | 'state' | 'kube' | 'etcd' | 'apiservers' | 'ssh'
>;

export interface RemoveRoleInput {
  leaving: string;
  staying: string;
  role: 'controlplane' | 'etcd' | 'node';
}

export interface RemoveRoleActs extends AddNodeActs {
  /** Hands etcd's leadership to a healthy voter other than `node`. */
  moveLeader(node: string, signal: AbortSignal): Promise<void>;
  cordon(node: string, signal: AbortSignal): Promise<void>;
  drain(node: string, signal: AbortSignal): Promise<void>;
  addLeavingTaint(node: string, signal: AbortSignal): Promise<void>;
  /** Removes a member or Node that rke has lost sight of, by ourselves. */
  removeOrphan(node: string, signal: AbortSignal): Promise<void>;
}

export function planRemoveRole<W extends RemoveRoleWorld>(
  config: Config,
  input: RemoveRoleInput,
  acts: RemoveRoleActs,
  world: W,
): Plan<W> {
  const { leaving, role } = input;
  const dead = isOff(config, world, leaving);
  const address = addressOf(world, config.cluster, leaving);
  const entry = entryOf(world, leaving, address);
  // What the file no longer gives may still be in rke's state: then `rke up` has not completed.
  const inState = stateNodeOf(world, leaving, address)?.roles ?? [];
  const held: readonly Role[] = [...new Set([...(entry?.roles ?? []), ...inState])];
  if (role === 'node') return planNode(config, input, acts, world, address, held);

  // Taken back before rke had completed the join: dropping one role would make rke join it with the others.
  const neverJoined = world.facts.direction === 'back' && inState.length === 0;
  // The last role of a node goes with its entry; the `node` step then takes this role's precautions too.
  if (
    dead ||
    neverJoined ||
    !held.includes(role) ||
    entry === undefined ||
    (entry.roles.length === 1 && entry.roles.includes(role))
  ) {
    return verifyRoleGone(config, input, world, address);
  }
  const order = wrongOrder(world, leaving, address, role);
  if (order !== undefined) return order;
  return rolePlan(config, input, acts, world, address);
}

/** Role by role: facts first, then precautions, then cluster.yml, rke, proof. */
function rolePlan<W extends RemoveRoleWorld>(
  config: Config,
  input: RemoveRoleInput,
  acts: RemoveRoleActs,
  world: W,
  address: string | undefined,
): Plan<W> {
  const { leaving } = input;
  const role = input.role as 'controlplane' | 'etcd';
  const objection =
    preflight(config, world, { leaving, dead: false }) ??
    staysInService(config, world, leaving, address, role);
  if (objection !== undefined) return objection;
  const settleMs = config.pace.settleSeconds * 1000;
  const edit = (text: string) => edited(dropRole(text, leaving, role));
  const actions: Action<W>[] = [];
  if (world.facts.roleRemoved !== true && world.facts.direction === 'forward')
    actions.push(noWayBack(acts, leaving, settleMs));
  if (role === 'etcd') actions.push(...etcdPrecautions(acts, world, leaving, address, settleMs));
  if (entryOf(world, leaving, address)?.roles.includes(role) === true) {
    actions.push({
      id: `cluster.yml drop ${role} ${leaving}`,
      reason: `${leaving} leaves, one role at a time: ${role}`,
      irreversible: true,
      apply: (signal) => acts.editClusterYml(edit, `Take ${role} from ${leaving}, which leaves`, signal),
      done: (o) => entryOf(o, leaving, address)?.roles.includes(role) !== true,
      settleMs,
      predict: (o) => withText(o, edit(o.intent.text)),
    });
  }
  actions.push({
    id: `rke up without ${role} ${leaving}`,
    reason: `cluster.yml no longer gives ${role} to ${leaving}; rke's state, etcd or the node still does`,
    irreversible: true,
    apply: (signal) => acts.rkeUp(role === 'etcd' ? { membersRemoved: [memberName(leaving)] } : {}, signal),
    done: (o) => whyRoleStays(o, leaving, address, role) === undefined,
    settleMs,
    predict: (o) => predictWithoutRole(o, leaving, address, role),
  });
  actions.push(proof(config, leaving, address, role, settleMs));
  return actions;
}

function proof<W extends RemoveRoleWorld>(
  config: Config,
  leaving: string,
  address: string | undefined,
  role: 'controlplane' | 'etcd',
  settleMs: number,
): Action<W> {
  return {
    id: `${role}.gone ${leaving}`,
    reason: 'the member list, the node and every apiserver are asked, not rke',
    done: (o) => whyRoleStays(o, leaving, address, role) === undefined,
    settleMs: Math.max(settleMs, config.kubernetes.readySeconds * 1000),
    predict: (o) => o,
  };
}

/** For a role that is gone already, or that leaves with the entry: only the proof, if it is missing. */
function verifyRoleGone<W extends RemoveRoleWorld>(
  config: Config,
  input: RemoveRoleInput,
  world: W,
  address: string | undefined,
): Plan<W> {
  const role = input.role as 'controlplane' | 'etcd';
  const entry = entryOf(world, input.leaving, address);
  // Without an entry the node step is at it, or has ended: the proof is its own.
  const leavesWithEntry =
    isOff(config, world, input.leaving) || entry === undefined || entry.roles.includes(role);
  if (leavesWithEntry || whyRoleStays(world, input.leaving, address, role) === undefined) return [];
  return [proof(config, input.leaving, address, role, config.pace.settleSeconds * 1000)];
}

function planNode<W extends RemoveRoleWorld>(
  config: Config,
  input: RemoveRoleInput,
  acts: RemoveRoleActs,
  world: W,
  address: string | undefined,
  held: readonly Role[],
): Plan<W> {
  const { leaving } = input;
  const dead = isOff(config, world, leaving);
  const settleMs = config.pace.settleSeconds * 1000;
  if (whyNodeStays(world, leaving, address) === undefined) return [];
  const entry = entryOf(world, leaving, address);
  const last = entry?.roles.length === 1 ? entry.roles[0] : undefined;
  const early = held.filter((role) => role !== 'worker' && role !== last);
  if (!dead && world.facts.direction === 'forward' && entry !== undefined && early.length > 0) {
    return refuse(
      'NC1221',
      `${leaving} still has ${early.join(' and ')}, which leave first and one at a time.`,
      [
        `cluster.yml: role [${entry.roles.join(', ')}]`,
        `rke state: [${stateNodeOf(world, leaving, address)?.roles.join(', ') ?? ''}]`,
      ],
    );
  }
  const objection =
    preflight(config, world, { leaving, dead }) ??
    (['controlplane', 'etcd'] as const)
      // An orphan has a member although no file gives it the role.
      .filter((role) => held.includes(role) || role === 'etcd')
      .map((role) => staysInService(config, world, leaving, address, role, dead))
      .find((found) => found !== undefined);
  if (objection !== undefined) return objection;

  const actions: Action<W>[] = [];
  const orphan = refuseBy(
    missingFromState(world.state, {
      etcdMembers: world.etcd.members.map((member) => member.name),
      nodes: world.kube.nodes.map((node) => ({ name: node.name, address: node.internalIp })),
    }).filter((finding) => [finding.message, ...finding.evidence].some((text) => text.includes(leaving))),
  );
  const node = kubeNode(world, leaving);
  if (node !== undefined && !dead) actions.push(...emptyNode(config, input, acts, world));
  if (world.facts.roleRemoved !== true && world.facts.direction === 'forward')
    actions.push(noWayBack(acts, leaving, settleMs));
  if (memberOf(world, leaving, address) !== undefined)
    actions.push(...etcdPrecautions(acts, world, leaving, address, settleMs));
  const edit = (text: string) =>
    edited(
      removeNode(
        text,
        entryOf({ intent: { commit: '', text, yml: parseClusterYml(text) } }, leaving, address)?.address ??
          leaving,
      ),
    );
  if (entry !== undefined) {
    actions.push({
      id: `cluster.yml remove ${leaving}`,
      reason: `${leaving} leaves the cluster${held.length > 0 ? ` with its last role (${held.join(', ')})` : ''}`,
      irreversible: true,
      apply: (signal) =>
        acts.editClusterYml(edit, `Take ${leaving} out; ${input.staying} replaces it`, signal),
      done: (o) => entryOf(o, leaving, address) === undefined,
      settleMs,
      predict: (o) => withText(o, edit(o.intent.text)),
    });
  }
  if (orphan !== undefined && entry === undefined) {
    actions.push({
      id: `orphan.remove ${leaving}`,
      reason: `rke has lost sight of ${leaving} and would leave it behind: ${orphan.what}`,
      irreversible: true,
      apply: (signal) => acts.removeOrphan(leaving, signal),
      done: (o) => kubeNode(o, leaving) === undefined && memberOf(o, leaving, address) === undefined,
      settleMs,
      predict: (o) => predictGone(o, leaving, address),
    });
  }
  if (orphan === undefined || stateNodeOf(world, leaving, address) !== undefined) {
    const addresses = address === undefined ? [] : [address];
    const members = memberOf(world, leaving, address) === undefined ? [] : [memberName(leaving)];
    actions.push({
      id: `rke up without ${leaving}`,
      reason: whyNodeStays(world, leaving, address) ?? `${leaving} has left cluster.yml`,
      irreversible: true,
      apply: async (signal) => {
        // rke uncordons every node that is still in the file; this one is not any more, and stays empty until rke deletes it.
        await acts.rkeUp(
          { removed: addresses, membersRemoved: members, dead: dead ? addresses : [] },
          signal,
        );
      },
      done: (o) => whyNodeStays(o, leaving, address) === undefined,
      settleMs,
      predict: (o) => predictGone(o, leaving, address),
    });
  }
  actions.push({
    id: `node.gone ${leaving}`,
    reason: 'Kubernetes, etcd, endpoints and rke’s state are asked',
    done: (o) => whyNodeStays(o, leaving, address) === undefined,
    settleMs,
    predict: (o) => o,
  });
  return actions;
}

/** Cordon, drain, the DaemonSet pods that back a Service, and no endpoint left: in this order. */
function emptyNode<W extends RemoveRoleWorld>(
  config: Config,
  input: RemoveRoleInput,
  acts: RemoveRoleActs,
  world: W,
): Action<W>[] {
  const { leaving } = input;
  const settleMs = config.pace.settleSeconds * 1000;
  const actions: Action<W>[] = [];
  if (kubeNode(world, leaving)?.unschedulable !== true) {
    actions.push({
      id: `cordon ${leaving}`,
      reason: 'no new pod may come to a node that leaves',
      apply: (signal) => acts.cordon(leaving, signal),
      done: (o) => kubeNode(o, leaving)?.unschedulable !== false,
      settleMs,
      predict: (o) => withNode(o, leaving, (node) => ({ ...node, unschedulable: true })),
    });
  }
  const toEvict = planDrain(world.kube, leaving).evict;
  if (toEvict.length > 0) {
    actions.push({
      id: `drain ${leaving}`,
      reason: `${toEvict.length} pods run on it that can run elsewhere`,
      apply: (signal) => acts.drain(leaving, signal),
      done: (o) => planDrain(o.kube, leaving).evict.length === 0,
      settleMs,
      predict: (o) => withoutPods(o, leaving, (pod) => pod.ownerKind !== 'DaemonSet'),
    });
  }
  const backing = serviceDaemonPods(world.kube, leaving).filter((found) => !found.tolerates);
  if (backing.length > 0) {
    actions.push({
      id: `taint ${leaving}`,
      reason: `${backing.map(({ pod, services }) => `${pod.name} (${services.join(', ')})`).join(', ')} must end before the node does`,
      apply: (signal) => acts.addLeavingTaint(leaving, signal),
      done: (o) => serviceDaemonPods(o.kube, leaving).every((found) => found.tolerates),
      settleMs: config.kubernetes.drainSeconds * 1000,
      predict: (o) =>
        withNode(
          withoutPods(o, leaving, (pod) => backing.some((found) => found.pod.uid === pod.uid)),
          leaving,
          (seen) => ({
            ...seen,
            taints: [...seen.taints.filter(({ key }) => key !== LEAVING_TAINT.key), LEAVING_TAINT],
          }),
        ),
    });
  }
  const named = endpointsOnNode(world.kube, leaving).filter(ownEndpoint(world, leaving));
  if (named.length > 0 || toEvict.length > 0 || backing.length > 0) {
    actions.push({
      id: `endpoints.gone ${leaving}`,
      reason: 'no Service may send a request to a node that is about to go',
      done: (o) => endpointsOnNode(o.kube, leaving).filter(ownEndpoint(o, leaving)).length === 0,
      settleMs: Math.max(settleMs, config.kubernetes.readySeconds * 1000),
      predict: (o) => ({
        ...o,
        kube: {
          ...o.kube,
          endpointSlices: o.kube.endpointSlices.map((slice) => ({
            ...slice,
            endpoints: slice.endpoints.filter((endpoint) => endpoint.nodeName !== leaving),
          })),
        },
      }),
    });
  }
  return actions;
}

/** Pods that tolerate everything (network, proxy) serve until the node's last moment: their endpoints do not count. */
function ownEndpoint(
  world: RemoveRoleWorld,
  node: string,
): (endpoint: { pod?: string | undefined; namespace: string }) => boolean {
  const tolerated = new Set(
    serviceDaemonPods(world.kube, node)
      .filter((found) => found.tolerates)
      .map((found) => found.pod.name),
  );
  return (endpoint) =>
    endpoint.pod === undefined || !tolerated.has(endpoint.pod.slice(endpoint.pod.indexOf('/') + 1));
}

function noWayBack<W extends RemoveRoleWorld>(
  acts: RemoveRoleActs,
  leaving: string,
  settleMs: number,
): Action<W> {
  return {
    id: `fact.roleRemoved ${leaving}`,
    reason: 'written before the first removal: from here the cycle only goes forward',
    apply: (signal) => acts.writeFacts({ roleRemoved: true }, signal),
    done: (o) => o.facts.roleRemoved === true,
    settleMs,
    predict: (o) => ({ ...o, facts: { ...o.facts, roleRemoved: true } }),
  };
}

function etcdPrecautions<W extends RemoveRoleWorld>(
  acts: RemoveRoleActs,
  world: W,
  leaving: string,
  address: string | undefined,
  settleMs: number,
): Action<W>[] {
  const actions: Action<W>[] = [];
  if (!snapshotTaken(world))
    actions.push(
      snapshotAction(acts, world, leaving, 'a checked copy, off the node, before a member leaves', settleMs),
    );
  if (memberOf(world, leaving, address)?.leader === true && world.etcd.members.length > 1) {
    actions.push({
      id: `etcd.moveLeader ${leaving}`,
      reason: `${memberName(leaving)} leads; an election in the middle of its removal would stop writes`,
      apply: (signal) => acts.moveLeader(leaving, signal),
      done: (o) => memberOf(o, leaving, address)?.leader !== true,
      settleMs,
      predict: (o) => ({
        ...o,
        etcd: {
          ...o.etcd,
          members: o.etcd.members.map((member, index, all) => ({
            ...member,
            leader:
              member.name !== memberName(leaving) &&
              index === all.findIndex((other) => other.name !== memberName(leaving)),
          })),
        },
      }),
    });
  }
  return actions;
}

/** Quorum before an etcd removal; another control plane that serves before a control-plane removal. */
function staysInService(
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

function wrongOrder(
  world: RemoveRoleWorld,
  leaving: string,
  address: string | undefined,
  role: Role,
): Refusal | undefined {
  const state = stateNodeOf(world, leaving, address);
  const entry = entryOf(world, leaving, address);
  const controlplane =
    state?.roles.includes('controlplane') === true || entry?.roles.includes('controlplane') === true;
  if (role !== 'etcd' || !controlplane) return undefined;
  return refuse('NC1221', `${leaving} still has controlplane, which leaves before etcd.`, [
    `cluster.yml: role [${entry?.roles.join(', ') ?? ''}]`,
    `rke state: [${state?.roles.join(', ') ?? ''}]`,
  ]);
}

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

function edited(edit: Edit): string {
  if (edit.ok) return edit.text;
  throw new CodedError('NC3204', `${edit.problem}: ${edit.message}`);
}

function withText<W extends Slice<'intent'>>(world: W, text: string): W {
  return { ...world, intent: { commit: 'predicted', text, yml: parseClusterYml(text) } };
}

/** The DaemonSets of the pods that go want and have one pod less each. */
function withoutPods<W extends Slice<'kube'>>(
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

function predictWithoutRole<W extends RemoveRoleWorld>(
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

function predictGone<W extends RemoveRoleWorld>(world: W, leaving: string, address: string | undefined): W {
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
