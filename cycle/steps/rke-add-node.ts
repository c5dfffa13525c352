/** RkeAddNode: the node that stays is in cluster.yml, in the cluster, and serves. */
import { addNode, parseClusterYml, restoreRole, type Edit } from '../cluster/rke/cluster-yml.ts';
import { LEAVING_TAINT } from '../cluster/kubernetes/endpoints.ts';
import type { Config, Role } from '../config/schema.ts';
import {
  addressOf,
  cycleRoles,
  entryOf,
  kubeNode,
  memberName,
  memberOf,
  stateNodeOf,
  vmOf,
  withNode,
  type Slice,
} from '../observed.ts';
import { refuse, type Action, type Plan } from '../step.ts';
import { CodedError } from '../../ports/errors.ts';
import { startAgain, stoppedApiserver } from '../plan/leaving.ts';
import { judgeJoin } from '../plan/etcd-path.ts';
import { snapshotAction, snapshotTaken, type SnapshotActs } from './etcd-snapshot.ts';

export type AddNodeWorld = Slice<
  | 'nowMs'
  | 'facts'
  | 'lock'
  | 'vms'
  | 'intent'
  | 'state'
  | 'kube'
  | 'readyInARow'
  | 'etcd'
  | 'apiservers'
  | 'ssh'
>;

export interface AddNodeInput {
  leaving: string;
  staying: string;
}

export interface AddNodeActs extends SnapshotActs {
  /** Commits and pushes cluster.yml as `edit` makes it from the branch's tip. */
  editClusterYml(edit: (text: string) => string, message: string, signal: AbortSignal): Promise<void>;
  rkeUp(
    change: { added?: string[]; removed?: string[]; membersRemoved?: string[]; dead?: string[] },
    signal: AbortSignal,
  ): Promise<void>;
  label(node: string, labels: Record<string, string | null>, signal: AbortSignal): Promise<void>;
  uncordon(node: string, signal: AbortSignal): Promise<void>;
  removeLeavingTaint(node: string, signal: AbortSignal): Promise<void>;
}

export const REPLACES_LABEL = 'node-cycle/replaces';

const NOT_READY_TAINT = /not-ready|unreachable|network-unavailable|uninitialized/;

export function planAddNode<W extends AddNodeWorld>(
  config: Config,
  input: AddNodeInput,
  acts: AddNodeActs,
  world: W,
): Plan<W> {
  const { leaving, staying } = input;
  const address = addressOf(world, config.cluster, staying);
  if (address === undefined)
    return refuse('NC1217', `No VM and no entry says which address ${staying} has.`, [
      'Run ProvisionNode first.',
    ]);
  const roles = cycleRoles(world, leaving);
  const settleMs = config.pace.settleSeconds * 1000;
  const readyMs = config.kubernetes.readySeconds * 1000;
  const actions: Action<W>[] = [];
  const entry = entryOf(world, staying, address);

  const joined = hasJoined(world, staying, address, roles);
  if (!joined) {
    if (roles.length === 0)
      return refuse('NC1219', `Nothing says which roles ${staying} takes over from ${leaving}.`, [
        `the Lease has lost the facts of this cycle, and cluster.yml has no entry for ${leaving}`,
      ]);
    if (world.ssh[address] !== 'ok') {
      return refuse(
        'NC1224',
        `rke's login to ${staying} at ${address} is not proven: ${world.ssh[address] ?? 'not tried'}.`,
      );
    }
    if (roles.includes('etcd') && memberOf(world, staying, address) === undefined) {
      // From one voter to two, etcd stands still while the second starts; the way back is this copy.
      const alone = world.etcd.members.length === 1 && config.allow.singleMember;
      const objection = judgeJoin(world, config, alone || snapshotTaken(world));
      if (objection !== undefined) return objection;
      if (alone && !snapshotTaken(world))
        actions.push(
          snapshotAction(
            acts,
            world,
            leaving,
            'the only member gets a second one: a checked copy before',
            settleMs,
          ),
        );
    }
  }

  if (entry === undefined) {
    const like = world.facts.old?.name ?? leaving;
    const edit = (text: string) => {
      const pattern = entryOf(
        { intent: { commit: '', text, yml: parseClusterYml(text) } },
        like,
        world.facts.old?.address,
      );
      const source = pattern?.address ?? parseClusterYml(text).nodes[0]?.address ?? like;
      const edited = addNode(text, source, {
        address,
        hostnameOverride: staying,
        roles,
        ...(pattern === undefined
          ? { labels: { ...world.facts.old?.labels }, taints: world.facts.old?.taints ?? [] }
          : {}),
      });
      return textOf(edited);
    };
    actions.push({
      id: `cluster.yml add ${staying}`,
      reason: `cluster.yml has no entry for ${staying} at ${address} with ${roles.join(', ')}`,
      apply: (signal) =>
        acts.editClusterYml(edit, `Add ${staying} (${roles.join(', ')}), which replaces ${leaving}`, signal),
      done: (o) => entryOf(o, staying, address) !== undefined,
      settleMs,
      predict: (o) => {
        const text = edit(o.intent.text);
        return { ...o, intent: { commit: 'predicted', text, yml: parseClusterYml(text) } };
      },
    });
  }

  const lacking = entry === undefined ? [] : roles.filter((role) => !entry.roles.includes(role));
  if (lacking.length > 0) {
    const edit = (text: string) =>
      lacking.reduce((now, role) => textOf(restoreRole(now, address, role)), text);
    actions.push({
      id: `cluster.yml restore ${staying}`,
      reason: `${lacking.join(', ')} had been taken from ${staying} on the way back`,
      apply: (signal) =>
        acts.editClusterYml(edit, `Give ${lacking.join(', ')} back to ${staying}, which stays`, signal),
      done: (o) => roles.every((role) => entryOf(o, staying, address)?.roles.includes(role) === true),
      settleMs,
      predict: (o) => {
        const text = edit(o.intent.text);
        return { ...o, intent: { commit: 'predicted', text, yml: parseClusterYml(text) } };
      },
    });
  }

  if (!joined) {
    actions.push({
      id: `rke up add ${staying}`,
      reason: `rke's state, Kubernetes or etcd does not have ${staying} with ${roles.join(', ')} yet`,
      apply: (signal) => acts.rkeUp({ added: [address] }, signal),
      done: (o) => hasJoined(o, staying, address, roles) && stoppedApiserver(o, leaving) === undefined,
      settleMs,
      predict: (o) => predictJoined(o, staying, address, roles),
    });
  }
  const stopped = joined ? stoppedApiserver(world, leaving) : undefined;
  if (stopped !== undefined) actions.push(startAgain(acts, stopped, leaving, settleMs));

  const node = kubeNode(world, staying);
  const stayed = world.facts.direction === 'back' && world.facts.foreignCordon !== true;
  if (node?.unschedulable === true && (stayed || world.facts.successor?.name === staying)) {
    actions.push({
      id: `uncordon ${staying}`,
      reason: `${staying} is cordoned and stays`,
      apply: (signal) => acts.uncordon(staying, signal),
      done: (o) => kubeNode(o, staying)?.unschedulable === false,
      settleMs,
      predict: (o) => withNode(o, staying, (n) => ({ ...n, unschedulable: false })),
    });
  }
  if (node?.taints.some((taint) => taint.key === LEAVING_TAINT.key) === true) {
    actions.push({
      id: `untaint ${staying}`,
      reason: `${staying} still has the taint of a node that leaves`,
      apply: (signal) => acts.removeLeavingTaint(staying, signal),
      done: (o) => kubeNode(o, staying)?.taints.every((taint) => taint.key !== LEAVING_TAINT.key) ?? false,
      settleMs,
      predict: (o) =>
        withNode(o, staying, (n) => ({ ...n, taints: n.taints.filter((t) => t.key !== LEAVING_TAINT.key) })),
    });
  }
  // Once the old VM is set aside, the label has been cleared for good.
  const replaces =
    world.facts.successor?.name === staying && vmOf(world, config.cluster, leaving) !== undefined;
  if (replaces && node?.labels[REPLACES_LABEL] !== leaving) {
    actions.push({
      id: `label ${staying}`,
      reason: `the label ${REPLACES_LABEL} says which node ${staying} replaces`,
      apply: (signal) => acts.label(staying, { [REPLACES_LABEL]: leaving }, signal),
      done: (o) => kubeNode(o, staying)?.labels[REPLACES_LABEL] === leaving,
      settleMs,
      predict: (o) =>
        withNode(o, staying, (n) => ({ ...n, labels: { ...n.labels, [REPLACES_LABEL]: leaving } })),
    });
  }

  const unproven = whyNotServing(config, world, staying, address, roles);
  if (unproven !== undefined || actions.length > 0) {
    actions.push({
      id: `node.serves ${staying}`,
      reason: unproven ?? 'everything about the node is looked at once more',
      done: (o) => whyNotServing(config, o, staying, address, roles) === undefined,
      settleMs: readyMs,
      predict: (o) => predictServing(config, o, staying, address, roles),
    });
  }
  return actions;
}

function textOf(edit: Edit): string {
  if (edit.ok) return edit.text;
  throw new CodedError('NC3204', `${edit.problem}: ${edit.message}`);
}

/** In cluster.yml's sense and in fact: entry completed by rke, Node there, etcd voter there. */
export function hasJoined(
  world: AddNodeWorld,
  name: string,
  address: string,
  roles: readonly Role[],
): boolean {
  const inState = stateNodeOf(world, name, address);
  if (inState === undefined || !roles.every((role) => inState.roles.includes(role))) return false;
  if (kubeNode(world, name) === undefined) return false;
  return !roles.includes('etcd') || memberOf(world, name, address) !== undefined;
}

/** The first thing that is missing until the node serves, in words; undefined when nothing is. */
export function whyNotServing(
  config: Config,
  world: AddNodeWorld,
  name: string,
  address: string,
  roles: readonly Role[],
): string | undefined {
  const node = kubeNode(world, name);
  if (node === undefined) return `Kubernetes has no Node ${name}`;
  if (!node.ready) return `${name} is not Ready (${node.readyReason})`;
  const streak = world.readyInARow[name] ?? 0;
  if (streak < config.kubernetes.readyInARow)
    return `${name} was seen Ready ${streak} times in a row, not ${config.kubernetes.readyInARow}`;
  const waiting = node.taints.find((taint) => NOT_READY_TAINT.test(taint.key));
  if (waiting !== undefined) return `${name} has the taint ${waiting.key}`;
  if (node.internalIp !== undefined && node.internalIp !== address)
    return `${name} shows the address ${node.internalIp}, not ${address}`;
  const wrongRole = roles.find((role) => node.labels[`node-role.kubernetes.io/${role}`] === undefined);
  if (wrongRole !== undefined) return `${name} lacks the label of the role ${wrongRole}`;
  const daemon = world.kube.pods.find(
    (pod) => pod.node === name && pod.ownerKind === 'DaemonSet' && !pod.ready,
  );
  if (daemon !== undefined) return `the pod ${daemon.namespace}/${daemon.name} on ${name} is not Ready`;
  const lacking = world.kube.daemonSets.find((set) => set.desired > set.ready);
  if (lacking !== undefined)
    return `the DaemonSet ${lacking.namespace}/${lacking.name} has ${lacking.ready} of ${lacking.desired} pods Ready`;
  if (roles.includes('etcd')) {
    const member = memberOf(world, name, address);
    if (member === undefined) return `etcd has no member ${memberName(name)}`;
    if (member.isLearner) return `${memberName(name)} is a learner`;
    if (!member.healthy) return `${memberName(name)} is not healthy: ${member.trouble ?? 'no reason given'}`;
  }
  if (roles.includes('controlplane') && world.apiservers[address] !== 'ok') {
    return `the apiserver at ${address} is not ready: ${world.apiservers[address] ?? 'not asked'}`;
  }
  return undefined;
}

/** All that `whyNotServing` asks for; what a dead node held back is gone by then as well. */
function predictServing<W extends AddNodeWorld>(
  config: Config,
  world: W,
  name: string,
  address: string,
  roles: readonly Role[],
): W {
  const next = withNode(world, name, (node) => ({
    ...node,
    ready: true,
    internalIp: address,
    taints: node.taints.filter(({ key }) => !NOT_READY_TAINT.test(key)),
    labels: {
      ...Object.fromEntries(roles.map((role) => [`node-role.kubernetes.io/${role}`, 'true'])),
      ...node.labels,
    },
  }));
  const { kube, etcd } = next;
  return {
    ...next,
    kube: {
      ...kube,
      pods: kube.pods.map((pod) => (pod.node === name ? { ...pod, ready: true } : pod)),
      daemonSets: kube.daemonSets.map((set) => ({ ...set, ready: Math.max(set.ready, set.desired) })),
    },
    etcd: {
      ...etcd,
      members: etcd.members.map((member) =>
        member.name === memberName(name) ? { ...member, isLearner: false, healthy: true } : member,
      ),
    },
    readyInARow: { ...next.readyInARow, [name]: config.kubernetes.readyInARow },
    apiservers: roles.includes('controlplane') ? { ...next.apiservers, [address]: 'ok' } : next.apiservers,
  };
}

function predictJoined<W extends AddNodeWorld>(
  world: W,
  name: string,
  address: string,
  roles: readonly Role[],
): W {
  const like = world.kube.nodes[0];
  const labels = Object.fromEntries(roles.map((role) => [`node-role.kubernetes.io/${role}`, 'true']));
  const nodes =
    like === undefined || kubeNode(world, name) !== undefined
      ? world.kube.nodes
      : [
          ...world.kube.nodes,
          {
            ...like,
            name,
            internalIp: address,
            addresses: [{ type: 'InternalIP', address }],
            ready: true,
            unschedulable: false,
            labels,
            taints: [],
            createdAtMs: world.nowMs,
            holdReason: undefined,
          },
        ];
  const member = {
    id: `predicted ${name}`,
    name: memberName(name),
    peerUrls: [],
    clientUrls: [],
    address,
    isLearner: false,
    healthy: true,
    leader: false,
    alarms: [],
  };
  const members =
    roles.includes('etcd') && memberOf(world, name, address) === undefined
      ? [...world.etcd.members, member]
      : world.etcd.members;
  const stateNodes = world.state.current.nodes.filter((node) => node.address !== address);
  const stateNode = {
    address,
    internalAddress: address,
    hostnameOverride: name,
    roles: [...roles],
    user: '',
    port: '',
  };
  return {
    ...world,
    kube: { ...world.kube, nodes },
    etcd: { ...world.etcd, members },
    state: { ...world.state, current: { ...world.state.current, nodes: [...stateNodes, stateNode] } },
    apiservers: roles.includes('controlplane') ? { ...world.apiservers, [address]: 'ok' } : world.apiservers,
  };
}
