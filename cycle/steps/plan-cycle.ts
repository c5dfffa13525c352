/**
 * PlanCycle: which node is due, who succeeds it, and whether the whole way can be gone; then the lock and the
 * facts of the cycle. An unfinished cycle is continued with the same pair.
 */
import { judgeLock } from '../cluster/kubernetes/lease.ts';
import type { LocalService } from '../cluster/kubernetes/services.ts';
import type { Config } from '../config/schema.ts';
import { windowOpen } from '../config/window.ts';
import { factsToAnnotations, finished, pairOf, type Direction, type Facts, NO_FACTS } from '../facts.ts';
import { entryOf, isOff, kubeNode, vmAddress, vmOf, type World } from '../observed.ts';
import { knownTwice } from '../plan/claims.ts';
import { judgeAges, type Because, type DueNode } from '../plan/due.ts';
import { judgeWholePath } from '../plan/etcd-path.ts';
import { noPodForTraffic } from '../plan/ingress-pods.ts';
import { interruptions } from '../plan/interruptions.ts';
import { strandedPlaces } from '../plan/mentions.ts';
import { placeSuccessor } from '../plan/placement.ts';
import { nameSuccessor } from '../plan/successor.ts';
import { preflight } from '../plan/preflight.ts';
import { releases, type ReleaseActs } from '../plan/reservations.ts';
import { isRefusal, refuse, type Action, type Plan, type Refusal } from '../step.ts';
import { foreseePath, type Path } from '../plan/path.ts';
import { REPLACES_LABEL } from './rke-add-node.ts';
import { whyNodeStays } from '../plan/leaving.ts';

/** PlanCycle also looks at what only it needs. */
export interface PlanWorld extends World {
  /** Names and addresses that the last 1,000 commits of cluster.yml held. */
  history: { names: ReadonlySet<string>; addresses: ReadonlySet<string> };
  /** The service says that the lock's holder has ended. */
  holderEnded: boolean;
  /** Links of our pull requests that wait, when the cycle is to be turned round: they belong to the way it was going. */
  proposals: readonly string[];
  /** Services whose policy is `Local`. */
  localServices: readonly LocalService[];
}

export interface PlanInput {
  /** A name, or undefined for the oldest that is due. */
  node: string | undefined;
  because: Because;
  direction: Direction;
  /** Queued by a schedule and not by a person: it never turns a cycle round. */
  scheduled: boolean;
  /** This run, as the lock names it. */
  me: string;
}

export interface PlanActs extends ReleaseActs {
  takeLock(world: PlanWorld, annotations: Record<string, string | null>, signal: AbortSignal): Promise<void>;
  writeAllFacts(facts: Facts, signal: AbortSignal): Promise<void>;
  /** Abandons our pull requests that wait. */
  withdrawProposals(signal: AbortSignal): Promise<void>;
}

export type Decision =
  | {
      kind: 'cycle';
      facts: Facts;
      resumed: boolean;
      leaving: string;
      staying: string;
      dead: boolean;
      path: Path;
      reason: string;
    }
  | { kind: 'nothing'; reason: string }
  | Refusal;

/** Pure: what this run is to do. */
export function decide(config: Config, input: PlanInput, world: PlanWorld): Decision {
  const lock = judgeLock(
    world.lock,
    input.me,
    world.nowMs,
    config.lock.limitDays * 86_400_000,
    world.holderEnded,
  );
  if (typeof lock === 'object')
    return { kind: 'nothing', reason: `another run is in progress: ${lock.heldBy}` };

  const twice = knownTwice(config, world);
  if (twice !== undefined) return twice;
  const unfinished = unfinishedFacts(config, world);
  if (unfinished !== undefined) return continueCycle(config, input, world, unfinished);
  if (input.direction === 'back')
    return refuse('NC1226', `No cycle of ${config.cluster} is unfinished, so none can be taken back.`);
  return beginCycle(config, input, world);
}

function beginCycle(config: Config, input: PlanInput, world: PlanWorld): Decision {
  const chosen = choose(config, input, world);
  if (isRefusal(chosen) || 'kind' in chosen) return chosen;
  const { node, vm, reason = 'it was named when the run was queued' } = chosen;
  const dead = isDead(config, world, node.name);
  const entry = entryOf(world, node.name, node.internalIp);
  if (entry === undefined) {
    return refuse('NC1219', `The node ${node.name} has no entry of its own in cluster.yml.`, [
      `InternalIP ${node.internalIp ?? 'none'}`,
    ]);
  }
  if (vm === undefined || !vm.adopted) return notAdopted(config, world, node.name, entry.address);
  const successor = nameSuccessor(config, world, entry.roles);
  if (isRefusal(successor)) return successor;
  const host = placeSuccessor(config, world, node.name, entry.roles);
  const facts: Facts = {
    ...NO_FACTS,
    ...finished(world.facts),
    old: {
      name: node.name,
      address: entry.address,
      host: vm.host,
      vmId: vm.id,
      mac: vm.mac,
      roles: entry.roles,
      labels: entry.labels,
      taints: entry.taints,
    },
    successor: isRefusal(host) ? successor : { ...successor, host },
    reason,
    startedAtMs: world.nowMs,
    foreignCordon: node.unschedulable,
  };
  const noRoom = isRefusal(host) ? host : deletions(world, vm.host);
  return judged(config, { ...world, facts }, { facts, resumed: false, reason, dead }, noRoom);
}

function continueCycle(config: Config, input: PlanInput, world: PlanWorld, unfinished: Facts): Decision {
  const old = unfinished.old?.name ?? '';
  if (input.node !== undefined && input.node !== old) {
    return refuse('NC1213', `The cycle of ${old} is unfinished; ${input.node} has to wait for its end.`, [
      `successor: ${unfinished.successor?.name ?? ''}`,
    ]);
  }
  if (input.direction === 'back' && unfinished.roleRemoved === true) {
    return refuse('NC1220', `${old} has lost a role already, so the cycle only goes forward.`, [
      `roles at the start: ${unfinished.old?.roles.join(', ') ?? ''}`,
    ]);
  }
  const direction = directionOf(input, unfinished);
  const facts = { ...unfinished, direction };
  const reason = `${direction === 'back' ? 'taking back' : 'continuing'} the cycle of ${old}: ${unfinished.reason ?? 'no reason was recorded'}`;
  return judged(
    config,
    { ...world, facts },
    { facts, resumed: true, reason, dead: isDead(config, { ...world, facts }, old) },
  );
}

/** Only a person turns a cycle round. */
export function directionOf(input: PlanInput, unfinished: Facts): Direction {
  return input.scheduled ? unfinished.direction : input.direction;
}

/** The path is followed to its end before anything is touched. */
function judged(
  config: Config,
  world: PlanWorld,
  cycle: { facts: Facts; resumed: boolean; reason: string; dead: boolean },
  noRoom?: Refusal,
): Decision {
  const pair = pairOf(cycle.facts);
  if (pair === undefined) return refuse('NC1219', 'The facts of the cycle name no pair.');
  const dead = cycle.dead && cycle.facts.direction === 'forward';
  if (!cycle.resumed) {
    const objection =
      preflight(config, world, { leaving: pair.leaving, dead }) ??
      (cycle.facts.old?.roles.includes('etcd') === true
        ? judgeWholePath(world, config, pair.leaving, dead)
        : undefined) ??
      noRoom ??
      // What ran on a dead node is interrupted already.
      (dead ? undefined : wouldStop(config, world, pair.leaving, cycle.facts.old?.address ?? ''));
    if (objection !== undefined) return objection;
  }
  const [primary] = world.dns;
  if (config.dns !== undefined && primary?.serial === undefined) {
    return refuse('NC4040', `Nobody says what ${config.dns.zone} holds, so the way cannot be judged.`, [
      `${primary?.server ?? config.dns.servers.join(', ')}: ${primary?.failure ?? 'no answer'}`,
    ]);
  }
  const path = foreseePath(config, { ...pair, dead }, world);
  if (path.refusal !== undefined) {
    const { leg, refusal } = path.refusal;
    return { ...refusal, evidence: [`found in advance, in ${leg}`, ...refusal.evidence] };
  }
  return { kind: 'cycle', ...cycle, ...pair, dead, path };
}

function wouldStop(config: Config, world: PlanWorld, name: string, address: string): Refusal | undefined {
  return (
    interruptions(config, world, name) ??
    noPodForTraffic(config, world, { name, address }) ??
    strandedPlaces(config, world, { name, address })
  );
}

function choose(
  config: Config,
  input: PlanInput,
  world: PlanWorld,
): DueNode | { kind: 'nothing'; reason: string } | Refusal {
  const nodes = judgeAges(config, world, input.because);
  if (input.node !== undefined) {
    const named = nodes.find(({ node }) => node.name === input.node);
    if (named === undefined)
      return refuse(
        'NC1210',
        `There is no node ${input.node}.`,
        nodes.map(({ node }) => node.name),
      );
    if (named.node.holdReason !== undefined)
      return refuse('NC1211', `${input.node} is held: ${named.node.holdReason}.`);
    return { ...named, reason: 'it was named when the run was queued' };
  }
  if (config.window !== undefined && !windowOpen(config.window, world.nowMs)) {
    return {
      kind: 'nothing',
      reason: `the window is closed (${config.window.days.join(', ')} ${config.window.from} to ${config.window.to} ${config.window.timeZone})`,
    };
  }
  const due = nodes.filter(({ reason }) => reason !== undefined);
  const free = due.find(({ node }) => node.holdReason === undefined);
  if (free !== undefined) return free;
  if (due.length > 0)
    return {
      kind: 'nothing',
      reason: `every node that is due is held: ${due.map(({ node }) => `${node.name} (${node.holdReason})`).join(', ')}`,
    };
  const oldest = nodes[0];
  return {
    kind: 'nothing',
    reason:
      oldest === undefined
        ? 'the cluster has no nodes'
        : `the oldest node, ${oldest.node.name}, is ${oldest.ageDays.toFixed(1)} days old`,
  };
}

/** The facts of a cycle that has not ended: from the Lease, else from what marker and label still say. */
export function unfinishedFacts(config: Config, world: World): Facts | undefined {
  if (world.facts.old !== undefined && world.facts.successor !== undefined) return world.facts;
  for (const vm of world.vms) {
    const { marker } = vm;
    if (marker?.cluster !== config.cluster || marker.replaces === undefined || vm.setAside) continue;
    const old = vmOf(world, config.cluster, marker.replaces);
    const entry = entryOf(world, marker.replaces);
    if (old === undefined && entry === undefined && kubeNode(world, marker.replaces) === undefined) continue;
    const address = entry?.address ?? vmAddress(old);
    if (address === undefined) continue;
    return {
      ...NO_FACTS,
      ...finished(world.facts),
      old: {
        ...{ name: marker.replaces, address, roles: entry?.roles ?? [] },
        ...{ host: old?.host, vmId: old?.id, mac: old?.mac },
      },
      successor: { name: marker.node, address: marker.address, host: vm.host },
      reason: `the marker of ${marker.node} (or its label ${REPLACES_LABEL}) says that it replaces ${marker.replaces}`,
      startedAtMs: Date.parse(marker.createdAt),
    };
  }
  return undefined;
}

/**
 * NotReady for long enough, and silent to SSH: both, or it is only ill. A node of a cycle whose VM is off stays
 * dead until nothing of the cluster knows it, whatever of it has gone already.
 */
export function isDead(config: Config, world: World, name: string): boolean {
  const node = kubeNode(world, name);
  if (world.facts.old?.name === name && node?.ready !== true && isOff(config, world, name))
    return whyNodeStays(world, name, world.facts.old.address) !== undefined;
  if (node === undefined || node.ready) return false;
  const silentMs = world.nowMs - (node.lastHeartbeatMs ?? 0);
  const address = entryOf(world, name, node.internalIp)?.address;
  return (
    silentMs > config.pace.deadAfterSeconds * 1000 && address !== undefined && world.ssh[address] !== 'ok'
  );
}

/** Judged now, since the old VM goes at the end of the cycle. */
function deletions(world: World, host: string): Refusal | undefined {
  const left = world.hosts.find((seen) => seen.host === host)?.clientPolicy.budgetsLeft.deletions ?? 0;
  if (left > 0) return undefined;
  return refuse('NC1218', `Today's budget of the bridge on ${host} is spent.`, [`deletions left: ${left}`]);
}

function notAdopted(config: Config, world: World, node: string, address: string): Refusal {
  const vm = world.vms.find((candidate) => candidate.addresses.includes(address) || candidate.name === node);
  const command =
    vm === undefined
      ? `no VM of ${world.hosts.map(({ host }) => host).join(', ')} has the address ${address} or the name ${node}`
      : `on ${vm.host}: adopt --cluster ${config.cluster} --node ${node} ${vm.id}`;
  return refuse('NC1216', `The bridge does not know the VM of ${node}.`, [command]);
}

export function planPlanCycle<W extends PlanWorld>(
  config: Config,
  input: PlanInput,
  acts: PlanActs,
  world: W,
): Plan<W> {
  const decision = decide(config, input, world);
  if (decision.kind === 'refusal') return decision;
  if (decision.kind === 'nothing') return giveBack(config, input, acts, world);
  const actions: Action<W>[] = [];
  const annotations = factsToAnnotations(decision.facts);
  const written = (o: W) =>
    Object.entries(annotations).every(([key, value]) => (o.lock?.annotations[key] ?? null) === value);
  // First of all: with the direction on the Lease nobody would look for them, and one that is merged later brings back
  // what the steps have undone by then.
  if (world.proposals.length > 0) {
    actions.push({
      id: 'proposals.withdraw',
      reason: `they belong to the other direction: ${world.proposals.join(', ')}`,
      apply: (signal) => acts.withdrawProposals(signal),
      done: (o) => o.proposals.length === 0,
      settleMs: config.pace.settleSeconds * 1000,
      predict: (o) => ({ ...o, proposals: [] }),
    });
  }
  if (world.lock?.holder !== input.me) actions.push(lockTaken(config, input, acts, world, decision.facts));
  if (!written(world)) {
    actions.push({
      id: 'facts.write',
      reason: `the pair ${decision.leaving}, ${decision.staying} and the direction ${decision.facts.direction} outlive this run`,
      apply: (signal) => acts.writeAllFacts(decision.facts, signal),
      done: written,
      settleMs: config.pace.settleSeconds * 1000,
      predict: (o) => withLease(o, decision.facts, input.me, o.lock?.fence ?? 1),
    });
  }
  // Those of the pair are the steps' own: one is still to be reserved, one goes with its VM.
  return [...actions, ...releases(config, world, acts, [decision.leaving, decision.staying])];
}

/** A run that finds nothing due still gives back the addresses of VMs that were purged meanwhile. */
function giveBack<W extends PlanWorld>(config: Config, input: PlanInput, acts: PlanActs, world: W): Plan<W> {
  const due = duePlanReleases(config, input, acts, world);
  if (due.length === 0 || world.lock?.holder === input.me) return due;
  return [lockTaken(config, input, acts, world, world.facts), ...due];
}

/** None while another run is at work, or while a cycle is unfinished. */
export function duePlanReleases<W extends PlanWorld>(
  config: Config,
  input: PlanInput,
  acts: PlanActs,
  world: W,
): Action<W>[] {
  const limitMs = config.lock.limitDays * 86_400_000;
  const lock = judgeLock(world.lock, input.me, world.nowMs, limitMs, world.holderEnded);
  if (typeof lock === 'object' || world.facts.old !== undefined) return [];
  return releases(config, world, acts, []);
}

function lockTaken<W extends PlanWorld>(
  config: Config,
  input: PlanInput,
  acts: PlanActs,
  world: W,
  facts: Facts,
): Action<W> {
  return {
    id: 'lock.take',
    reason: `one run at a time works on ${config.cluster}`,
    apply: (signal) => acts.takeLock(world, factsToAnnotations(facts), signal),
    done: (o) => o.lock?.holder === input.me,
    settleMs: config.pace.settleSeconds * 1000,
    predict: (o) => withLease(o, facts, input.me, (o.lock?.fence ?? 0) + 1),
  };
}

function withLease<W extends PlanWorld>(world: W, facts: Facts, holder: string, fence: number): W {
  const kept = Object.entries({ ...world.lock?.annotations, ...factsToAnnotations(facts) });
  const annotations = Object.fromEntries(
    kept.filter((entry): entry is [string, string] => entry[1] !== null),
  );
  const { name = '', resourceVersion = '' } = world.lock ?? {};
  return {
    ...world,
    facts,
    lock: { name, holder, fence, acquiredAtMs: world.nowMs, annotations, resourceVersion },
  };
}
