/**
 * What must hold after every event, whatever is going wrong outside. Each is a pure function over what is seen, and
 * says whether there was anything for it to judge.
 */
import { RKE } from '../faults/disturb.ts';
import type { Seen } from './seen.ts';

export interface Judgement {
  /** Whether this state gave the invariant something to do: one that never has is no proof. */
  applies: boolean;
  broken?: string | undefined;
}

export type Invariant = (seen: Seen, before: Seen | undefined) => Judgement;

/** A machine that fell down a moment ago may be the reason for what a step decided before that. */
const NOTICE_MS = 20_000;
const nothing: Judgement = { applies: false };
const holds: Judgement = { applies: true };
const broken = (what: string): Judgement => ({ applies: true, broken: what });

const lately = (seen: Seen, address: string): boolean => {
  const since = seen.excused.get(address);
  return since !== undefined && seen.nowMs - since < NOTICE_MS;
};

/** Those members that are down for a reason of their own do not explain a loss when they have been down for long. */
const quorumKept: Invariant = (seen, before) => {
  const changed = before !== undefined && before.members.length !== seen.members.length;
  if (seen.quorum) return changed ? holds : nothing;
  if (seen.excused.has(RKE)) return nothing;
  const down = seen.members.filter(({ running }) => !running);
  if (down.some(({ address }) => lately(seen, address))) return nothing;
  // A voter that was just added has not started: the others must be enough without it, or it must come up.
  return broken(`etcd has no quorum: ${down.map(({ name, address }) => name || address).join(', ')} down`);
};

const controlPlaneServes: Invariant = (seen, before) => {
  if (seen.apiservers.length > 0)
    return before !== undefined && before.apiservers.join() !== seen.apiservers.join() ? holds : nothing;
  return seen.excused.size > 0 ? nothing : broken('no apiserver answers');
};

/** The node that leaves is cordoned only when its successor takes pods. */
const capacityKept: Invariant = (seen) => {
  const able = seen.nodes.filter(({ ready, cordoned, worker }) => ready && !cordoned && worker);
  const excused = seen.nodes.filter(
    ({ address, ready, cordoned }) => (!ready || cordoned) && seen.excused.has(address),
  ).length;
  const lost = [...seen.excused.keys()].filter(
    (address) => address !== RKE && !seen.nodes.some((node) => node.address === address),
  );
  if (able.length + excused + lost.length >= seen.steadyWorkers)
    return able.length > seen.steadyWorkers || seen.nodes.some(({ cordoned }) => cordoned) ? holds : nothing;
  const words = seen.nodes.map(
    ({ name, ready, cordoned }) => `${name}${ready ? '' : ' not Ready'}${cordoned ? ' cordoned' : ''}`,
  );
  return broken(`${able.length} nodes take pods, ${seen.steadyWorkers} are steady: ${words.join(', ')}`);
};

const surgeKept: Invariant = (seen) => {
  const running = seen.vms.filter(({ state }) => state === 'running').length;
  if (running <= seen.steadyVms + 1) return running > seen.steadyVms ? holds : nothing;
  return broken(`${running} VMs run, ${seen.steadyVms} are steady`);
};

const noTrafficToTheGone: Invariant = (seen) => {
  for (const { place, address } of seen.backends) {
    if (seen.excused.has(address)) continue;
    const runs = seen.vms.some((vm) => vm.address === address && vm.state === 'running');
    const joined = seen.nodes.some((node) => node.address === address);
    if (!runs) return broken(`${place} sends to ${address}, where no VM runs`);
    if (!joined) return broken(`${place} sends to ${address}, which is no node of the cluster`);
  }
  return seen.nodes.length !== seen.steadyVms ? holds : nothing;
};

const aliasNeverEmpty: Invariant = (seen, before) => {
  const empty = seen.aliases.find(({ members }) => members.length === 0);
  if (empty !== undefined) return broken(`${empty.name} is empty at ${empty.server}`);
  return before !== undefined && JSON.stringify(before.aliases) !== JSON.stringify(seen.aliases)
    ? holds
    : nothing;
};

const nothingReferredIsDeleted: Invariant = (seen, before) => {
  const newly = seen.vms.filter(
    (vm) => vm.setAside && before?.vms.find(({ id }) => id === vm.id)?.setAside !== true,
  );
  for (const { address, name } of newly) {
    const by = [
      ...seen.nodes.filter((node) => node.address === address).map((node) => `the Node ${node.name}`),
      ...seen.members.filter((member) => member.address === address).map(() => 'an etcd member'),
      ...seen.backends.filter((backend) => backend.address === address).map(({ place }) => place),
      ...seen.intent.filter((entry) => entry.address === address).map(() => 'cluster.yml'),
    ];
    if (by.length > 0) return broken(`${name} was set aside, and ${by.join(', ')} refers to ${address}`);
  }
  return newly.length > 0 ? holds : nothing;
};

const nothingHeldIsReused: Invariant = (seen, before) => {
  const fresh = seen.vms.filter((vm) => before !== undefined && !before.vms.some(({ id }) => id === vm.id));
  for (const vm of fresh) {
    const node = vm.name;
    const twin = seen.vms.find(
      (other) =>
        other.id !== vm.id &&
        (other.name === vm.name || other.name.startsWith(`${vm.name}-set-aside-`) || other.mac === vm.mac),
    );
    if (twin !== undefined)
      return broken(`${vm.name} was made while ${twin.name} (${twin.id}) holds its name or MAC`);
    if (seen.nodes.some(({ name }) => name === node))
      return broken(`${vm.name} was made while a Node has its name`);
  }
  const addresses = seen.vms.map(({ address }) => address).filter((address) => address !== '');
  const double = addresses.find((address, at) => addresses.indexOf(address) !== at);
  if (double !== undefined) return broken(`two VMs have the address ${double}`);
  return fresh.length > 0 ? holds : nothing;
};

export const INVARIANTS = {
  'etcd keeps its quorum': quorumKept,
  'a control plane is in service': controlPlaneServes,
  'capacity is never below steady': capacityKept,
  'running VMs are never above steady + 1': surgeKept,
  'no traffic goes to a node that is gone': noTrafficToTheGone,
  'an alias is never empty': aliasNeverEmpty,
  'nothing is deleted that is still referred to': nothingReferredIsDeleted,
  'no name or address is reused while it is held': nothingHeldIsReused,
} as const satisfies Record<string, Invariant>;
/** Judged where they happen, in the calls and the records. */
export const WATCHED = [
  'only the holder of the lock acts',
  'what cannot be taken back is preceded by its checks',
  'no secret is in any record',
] as const;
