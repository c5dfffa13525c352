/** The end of a node: emptied first, then out of cluster.yml and the cluster, with the last role's precautions. */
import { planDrain } from '../cluster/kubernetes/drain.ts';
import { endpointsOnNode, LEAVING_TAINT, serviceDaemonPods } from '../cluster/kubernetes/endpoints.ts';
import type { KubePod } from '../cluster/kubernetes/observation.ts';
import { parseClusterYml, removeNode } from '../cluster/rke/cluster-yml.ts';
import { missingFromState } from '../cluster/rke/state.ts';
import type { Config, Role } from '../config/schema.ts';
import { entryOf, isOff, kubeNode, memberName, memberOf, stateNodeOf, withNode } from '../observed.ts';
import { refuseBy } from '../plan/etcd-path.ts';
import {
  predictGone,
  staysInService,
  whyNodeStays,
  withoutPods,
  withText,
  type RemoveRoleWorld,
} from '../plan/leaving.ts';
import { preflight } from '../plan/preflight.ts';
import { refuse, type Action, type Plan } from '../step.ts';
import {
  edited,
  etcdPrecautions,
  noWayBack,
  type RemoveRoleActs,
  type RemoveRoleInput,
} from './leave-precautions.ts';

export function planNode<W extends RemoveRoleWorld>(
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
      reason: `no Service may send a request to a node that is about to go${listed(named.map(({ namespace, service, pod, address }) => `${namespace}/${service} to ${pod ?? address}`))}`,
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
  const ending = endingPods(world, leaving);
  if (ending.length > 0 || backing.length > 0) {
    actions.push({
      id: `pods.ended ${leaving}`,
      reason: `pods that are asked to end still serve the connections that they have${listed(ending.map(({ namespace, name }) => `${namespace}/${name}`))}`,
      done: (o) => endingPods(o, leaving).length === 0,
      settleMs: config.kubernetes.drainSeconds * 1000,
      predict: (o) => withoutPods(o, leaving, (pod) => pod.deleting),
    });
  }
  return actions;
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? '' : `: ${names.join(', ')}`;
}

/** rke deletes the Node and its containers at once: what has not ended by then is cut off in the middle of an answer. */
function endingPods(world: RemoveRoleWorld, node: string): KubePod[] {
  return world.kube.pods.filter((pod) => pod.node === node && pod.deleting && !pod.mirror);
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
