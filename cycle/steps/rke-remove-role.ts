/**
 * RkeRemoveRole: takes one role from the node that leaves: controlplane, then etcd, then the node itself. The
 * last role of a node leaves with its entry, because rke rejects an empty list of roles.
 */
import { dropRole } from '../cluster/rke/cluster-yml.ts';
import type { Config, Role } from '../config/schema.ts';
import { addressOf, entryOf, isOff, memberName, memberOf, stateNodeOf } from '../observed.ts';
import {
  hasControlPlaneLabel,
  predictRoleProven,
  predictWithoutRole,
  startAgain,
  staysInService,
  stoppedApiserver,
  whyRoleStays,
  withText,
  type RemoveRoleWorld,
} from '../plan/leaving.ts';
import { preflight } from '../plan/preflight.ts';
import { isRefusal, refuse, type Action, type Plan, type Refusal } from '../step.ts';
import { windowOpen } from '../config/window.ts';
import { planNode } from './leave-node.ts';
import {
  edited,
  etcdPrecautions,
  noWayBack,
  type RemoveRoleActs,
  type RemoveRoleInput,
} from './leave-precautions.ts';

export type { RemoveRoleActs, RemoveRoleInput } from './leave-precautions.ts';
export type { RemoveRoleWorld } from '../plan/leaving.ts';

export function planRemoveRole<W extends RemoveRoleWorld>(
  config: Config,
  input: RemoveRoleInput,
  acts: RemoveRoleActs,
  world: W,
): Plan<W> {
  const plan = planOf(config, input, acts, world);
  return windowAtGate(config, world, plan) ?? plan;
}

/** With `window.atGates: strict` a removal begins only in the window; what has begun is finished. */
function windowAtGate<W extends RemoveRoleWorld>(
  config: Config,
  world: W,
  plan: Plan<W>,
): Refusal | undefined {
  const { window } = config;
  if (window?.atGates !== 'strict' || isRefusal(plan) || windowOpen(window, world.nowMs)) return undefined;
  if (!plan.some((action) => action.id.startsWith('cluster.yml '))) return undefined;
  return refuse('NC1225', 'The approval came outside of the window, and window.atGates is strict.', [
    `${window.days.join(', ')} ${window.from} to ${window.to} ${window.timeZone}`,
  ]);
}

function planOf<W extends RemoveRoleWorld>(
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
    return verifyRoleGone(config, input, acts, world, address);
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
    predict: (o) => predictRoleProven(o, leaving, role),
  };
}

/**
 * For a role that is gone already, or that leaves with the entry: only the proof, if it is missing. What rke says it
 * has done and has not is done by ourselves: a member that its state has lost, and an apiserver that it left stopped.
 */
function verifyRoleGone<W extends RemoveRoleWorld>(
  config: Config,
  input: RemoveRoleInput,
  acts: RemoveRoleActs,
  world: W,
  address: string | undefined,
): Plan<W> {
  const { leaving } = input;
  const role = input.role as 'controlplane' | 'etcd';
  const entry = entryOf(world, leaving, address);
  // Without an entry the node step is at it, or has ended: the proof is its own.
  const leavesWithEntry = isOff(config, world, leaving) || entry === undefined || entry.roles.includes(role);
  if (leavesWithEntry || whyRoleStays(world, leaving, address, role) === undefined) return [];
  const settleMs = config.pace.settleSeconds * 1000;
  const actions: Action<W>[] = [];
  if (role === 'etcd' && memberOf(world, leaving, address) !== undefined) {
    const objection =
      preflight(config, world, { leaving, dead: false }) ??
      staysInService(config, world, leaving, address, role);
    if (objection !== undefined) return objection;
    actions.push(
      ...etcdPrecautions(acts, world, leaving, address, settleMs),
      lostMember(acts, leaving, address, settleMs),
    );
  }
  const stopped = role === 'controlplane' ? stoppedApiserver(world, leaving) : undefined;
  if (stopped !== undefined) actions.push(startAgain(acts, stopped, leaving, settleMs));
  // rke writes its state before it changes labels, and takes off those that its state has: killed in between, none.
  else if (role === 'controlplane' && hasControlPlaneLabel(world, leaving)) {
    actions.push({
      id: `unlabel ${leaving}`,
      reason: `rke's state no longer gives controlplane to ${leaving}, whose label does: an rke up was cut short`,
      apply: (signal) => acts.label(leaving, { 'node-role.kubernetes.io/controlplane': null }, signal),
      done: (o) => !hasControlPlaneLabel(o, leaving),
      settleMs,
      predict: (o) => predictWithoutRole(o, leaving, address, role),
    });
  }
  return [...actions, proof(config, leaving, address, role, settleMs)];
}

/** rke ended well and left the member; its state has lost it, so no further run would take it out. */
function lostMember<W extends RemoveRoleWorld>(
  acts: RemoveRoleActs,
  leaving: string,
  address: string | undefined,
  settleMs: number,
): Action<W> {
  return {
    id: `member.remove ${leaving}`,
    reason: `rke's state no longer has ${memberName(leaving)}, and etcd still does: rke would leave it for ever`,
    irreversible: true,
    apply: (signal) => acts.removeMember(leaving, signal),
    done: (o) => memberOf(o, leaving, address) === undefined,
    settleMs,
    predict: (o) => predictWithoutRole(o, leaving, address, 'etcd'),
  };
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
