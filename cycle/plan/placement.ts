/**
 * On which host a successor is made: the one of the node that it replaces, or with `vm.placement: spread` the one with
 * room where no other etcd member runs. Pure; one look at each VM and each entry of cluster.yml.
 */
import type { Config, Role } from '../config/schema.ts';
import type { HostSeen } from '../hosts.ts';
import { vmOf, type Slice } from '../observed.ts';
import { refuse, type Refusal } from '../step.ts';
import { sizeFor } from './size.ts';

export type PlacementWorld = Slice<'facts' | 'hosts' | 'vms' | 'intent'>;

/** @returns the name of the host; NC1229 says for each host why not. */
export function placeSuccessor(
  config: Config,
  world: PlacementWorld,
  leaving: string,
  roles: readonly Role[],
): string | Refusal {
  const old = vmOf(world, config.cluster, leaving);
  const home = old?.host ?? world.facts.old?.host;
  if (config.vm.placement === 'sameHost' && home !== undefined)
    return stay(config, world, leaving, roles, home);

  const loads = loadsOf(config, world, leaving);
  const judged = world.hosts.map((seen): Judged => {
    const { running, members } = loads.get(seen.host) ?? NOTHING;
    const against = [
      ...whyNotAllowed(config, seen, running, roles),
      ...whyUnfit(config, seen, old?.memoryMb ?? 0),
    ];
    return { seen, against, members: roles.includes('etcd') ? members : [] };
  });
  // A host with a member is no choice as long as another has none, not even when that one is full: two members would
  // then be lost together, and nobody would have said so.
  const apart = judged.some(({ members }) => members.length === 0);
  for (const one of judged)
    if (apart) one.against.push(...one.members.map((m) => `runs the etcd member of ${m}`));
  const [best] = judged.filter(({ against }) => against.length === 0).sort(byRoom);
  if (best !== undefined) return best.seen.host;
  return refuse(
    'NC1229',
    `No host can take the successor of ${leaving}.`,
    judged.map(({ seen, against }) => `${seen.host}: ${against.join('; ')}`),
  );
}

/** Memory is left to the bridge, which knows what a size needs. */
function stay(
  config: Config,
  world: PlacementWorld,
  leaving: string,
  roles: readonly Role[],
  home: string,
): string | Refusal {
  const seen = world.hosts.find(({ host }) => host === home);
  if (seen === undefined)
    return refuse(
      'NC1229',
      `The successor of ${leaving} has to be on ${home}, and no bridge of this task is there.`,
      [`hosts: ${world.hosts.map(({ host }) => host).join(', ')}`],
    );
  const running = loadsOf(config, world, leaving).get(home)?.running ?? 0;
  const against = whyNotAllowed(config, seen, running, roles);
  return against.length === 0
    ? home
    : refuse('NC1229', `${home} cannot take the successor of ${leaving}.`, against);
}

interface Judged {
  seen: HostSeen;
  /** Why not, in words. */
  against: string[];
  /** Other nodes whose etcd member it runs. */
  members: readonly string[];
}

/** Fewest etcd members, then most free memory, then by name, so that two runs agree. */
function byRoom(a: Judged, b: Judged): number {
  return (
    a.members.length - b.members.length ||
    b.seen.memoryFreeMb - a.seen.memoryFreeMb ||
    (a.seen.host < b.seen.host ? -1 : 1)
  );
}

/** What there is on one host. */
interface Load {
  /** Running VMs of this client's clusters: what maxRunningVms of the bridge counts. */
  running: number;
  /** Nodes with an etcd member there, without the one that leaves. */
  members: string[];
}

const NOTHING: Load = { running: 0, members: [] };

function loadsOf(config: Config, world: PlacementWorld, leaving: string): Map<string, Load> {
  // By name and by address: a VM that nobody has adopted carries no name of a node.
  const etcd = new Map<string, string>();
  for (const { roles, hostnameOverride = '', address } of world.intent.yml.nodes) {
    const name = hostnameOverride === '' ? address : hostnameOverride;
    if (roles.includes('etcd') && name !== leaving) etcd.set(name, name).set(address, name);
  }
  const loads = new Map<string, Load>();
  for (const { host, marker, setAside, state, addresses } of world.vms) {
    if (setAside) continue;
    const load = loads.get(host) ?? { running: 0, members: [] };
    loads.set(host, load);
    if (state === 'running' && marker !== undefined) load.running += 1;
    const own = marker?.cluster === config.cluster ? [marker.node, ...addresses] : addresses;
    const member = own.map((each) => etcd.get(each)).find((node) => node !== undefined);
    if (member !== undefined) load.members.push(member);
  }
  return loads;
}

function whyNotAllowed(
  config: Config,
  { clientPolicy }: HostSeen,
  running: number,
  roles: readonly Role[],
): string[] {
  const { image } = config.vm;
  const size = sizeFor(config, roles);
  const { maxRunningVms, budgetsLeft, images, sizes } = clientPolicy;
  const against: string[] = [];
  if (running + 1 > maxRunningVms)
    against.push(
      `one VM more would be ${running + 1}, and maxRunningVms in its bridge.yaml is ${maxRunningVms}`,
    );
  if (budgetsLeft.creations < 1) against.push("today's budget of creations is spent");
  if (!images.includes(image)) against.push(`its bridge does not allow the image ${image}`);
  if (size !== undefined && !sizes.includes(size)) against.push(`its bridge does not allow the size ${size}`);
  return against;
}

/** What a size needs only the bridge knows, and it judges again: the memory of the old VM stands for it here. */
function whyUnfit(config: Config, { images, memoryFreeMb }: HostSeen, neededMb: number): string[] {
  const { image } = config.vm;
  const against: string[] = [];
  if (!images.some(({ id }) => id === image)) against.push(`it has no image ${image}`);
  if (memoryFreeMb < neededMb)
    against.push(`${memoryFreeMb} MB of memory are free, ${neededMb} MB are needed`);
  return against;
}
