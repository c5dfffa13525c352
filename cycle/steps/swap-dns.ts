/** SwapDns: the aliases name the node that stays, and no resolver can still hold the one that leaves. */
import { CodedError } from '../../ports/errors.ts';
import type { Config } from '../config/schema.ts';
import { aliasNeeds, disagreeing, ttlOf } from '../edge/dns/alias.ts';
import { membersOn, type RecordSet, type ServerView, type Swap } from '../edge/dns/zone.ts';
import type { Facts } from '../facts.ts';
import { addressOf, cycleRoles, type Slice } from '../observed.ts';
import {
  aliasData,
  aliasSet,
  fullName,
  nodeRecord,
  otherType,
  withSwap,
  type Alias,
} from '../plan/dns-records.ts';
import { aliasProbe } from '../plan/probes.ts';
import { refuse, type Action, type Plan } from '../step.ts';
import { lowerTtl, lowerWait, restoreTtl, TTL_MARGIN_MS, type TtlWay } from './alias-ttl.ts';

export type SwapDnsWorld = Slice<'nowMs' | 'facts' | 'lock' | 'vms' | 'intent' | 'dns' | 'probes'>;

export interface SwapDnsInput {
  leaving: string;
  staying: string;
  /** `out` takes a dead node out of sets before its successor is there. */
  change: 'swap' | 'out';
}

export interface SwapDnsActs {
  /** Compare-and-swap on the primary; refuses when the set is not the expected one. */
  changeDns(change: Swap, signal: AbortSignal): Promise<void>;
  writeFacts(change: Partial<Facts>, signal: AbortSignal): Promise<void>;
  nowMs(): number;
}

/** AD-integrated zones replicate by polling, about every 180 s. */
const REPLICATION_MS = 600_000;

export function planSwapDns<W extends SwapDnsWorld>(
  config: Config,
  input: SwapDnsInput,
  acts: SwapDnsActs,
  world: W,
): Plan<W> {
  const { dns } = config;
  if (dns === undefined) return [];
  const leavingAddress = addressOf(world, config.cluster, input.leaving);
  const stayingAddress = addressOf(world, config.cluster, input.staying);
  // A successor that never had an address can be in no record.
  if (leavingAddress === undefined && world.facts.direction === 'back') return [];
  if (leavingAddress === undefined || (stayingAddress === undefined && input.change === 'swap')) {
    return refuse('NC1217', 'The address of a node of the pair is not known.', [
      `${input.leaving}: ${leavingAddress ?? '?'}`,
      `${input.staying}: ${stayingAddress ?? '?'}`,
    ]);
  }
  // What the primary does not say is not "nothing there".
  const [primary] = world.dns;
  if (primary?.serial === undefined) return [everywhere(config, world, input.leaving)];
  // A change counts when every server has it, and those replicate in their own time.
  const settleMs = Math.max(config.pace.settleSeconds * 1000, REPLICATION_MS);
  const leaving = { name: input.leaving, address: leavingAddress };
  const staying = { name: input.staying, address: stayingAddress ?? '' };
  const joins: Action<W>[] = [];
  const removals: Action<W>[] = [];
  const waits: Action<W>[] = [];
  const lowers: Action<W>[] = [];
  const lowered: Action<W>[] = [];
  const restores: Action<W>[] = [];
  const way: TtlWay = { config, acts, settleMs };
  const push = (list: Action<W>[], action: Action<W> | undefined) => {
    if (action !== undefined) list.push(action);
  };

  if (
    input.change === 'swap' &&
    dns.nodeRecords &&
    nodeRecord(config, world.dns, staying.name) === undefined
  ) {
    const record: Swap = {
      name: fullName(staying.name, dns.zone),
      type: 'A',
      expect: [],
      add: [staying.address],
      remove: [],
      ttl: dns.ttlSeconds,
    };
    joins.push(
      swapAction(
        `dns.record ${staying.name}`,
        `the zone has no address record of ${staying.name}`,
        record,
        acts,
        settleMs,
      ),
    );
  }
  for (const alias of dns.aliases) {
    const oldData = aliasData(config, alias, leaving);
    const key = `${alias.name} ${oldData}`;
    const set = aliasSet(config, alias);
    const other = otherType(primary, set);
    if (other !== undefined)
      return refuse('NC1238', `${set.name} is no ${alias.type} in the zone, so it cannot be moved as one.`, [
        `${primary.server}: ${set.name} ${other.type} ${other.data}`,
      ]);
    const held = membersOn(primary, set).includes(oldData);
    const swapped = world.facts.swapped[key];
    push(restores, restoreTtl(way, alias, world));
    // A node that is dead, or a cycle that goes back, has no time for the wait that lowering costs.
    const unhurried = input.change === 'swap' && world.facts.direction === 'forward';
    if (held && unhurried) {
      push(lowers, lowerTtl(way, alias, world));
      push(lowered, lowerWait(way, alias, world));
    }
    // A clock that was put back: the time written down is still to come, and says nothing about when the data went.
    if (!held && swapped !== undefined && swapped.atMs > world.nowMs) {
      removals.push(sinceAction(alias, key, swapped.ttlSeconds, acts, settleMs));
      waits.push(ttlWait(alias, key, swapped.ttlSeconds, settleMs));
      continue;
    }
    if (!held && swapped === undefined) {
      if (hasMoved(config, world, alias, { leaving, staying })) {
        const ttl = ttlOf(primary, set) ?? dns.ttlSeconds;
        removals.push(sinceAction(alias, key, ttl, acts, settleMs));
        waits.push(ttlWait(alias, key, ttl, settleMs));
      }
      continue;
    }
    // A CNAME has one member: it moves when its successor is there.
    if (input.change === 'out' && alias.type === 'CNAME') continue;
    const member = aliasData(config, alias, staying);
    const needs = needsOf(world.dns, {
      ...set,
      ...(input.change === 'swap' ? { member } : {}),
      leaving: oldData,
      ttl: dns.ttlSeconds,
    });
    if (!Array.isArray(needs)) return refuse('NC1212', needs.message, [`${alias.name} names ${oldData}`]);
    if (input.change === 'swap' && needs.some(({ kind }) => kind !== 'agree'))
      push(joins, memberServes(config, alias, staying, world));
    if (input.change === 'swap' && needs[0]?.kind === 'remove')
      push(joins, joinedEverywhere(alias, set, member, world, settleMs));
    for (const need of needs) {
      if (need.kind === 'add') {
        const [added = ''] = need.swap.add;
        joins.push(
          swapAction(
            `dns.add ${alias.name} ${added}`,
            `${added} takes the place of ${oldData} before that one goes`,
            need.swap,
            acts,
            settleMs,
          ),
        );
      } else if (need.kind !== 'agree') {
        removals.push(leaveAction(alias, key, oldData, need.swap, acts, settleMs));
      }
    }
    const ttl = held ? (ttlOf(primary, set) ?? dns.ttlSeconds) : (swapped?.ttlSeconds ?? dns.ttlSeconds);
    if (held || world.nowMs < waitEndMs(world.facts, key)) waits.push(ttlWait(alias, key, ttl, settleMs));
  }

  const actions = [...lowers, ...joins, ...lowered, ...removals, ...waits, ...restores];
  if (actions.length > 0 || laggingServers(config, world.dns).length > 0)
    actions.push(everywhere(config, world, input.leaving));
  // The proof over the very path: what users open by the alias, at the member that it leads to now.
  if (input.change === 'swap')
    for (const alias of dns.aliases.filter((one) => leadsTo(config, one, staying, primary))) {
      const proof = memberServes(config, alias, staying, world);
      if (joins.every(({ id }) => id !== proof?.id)) push(actions, proof);
    }
  return actions;
}

function leadsTo(
  config: Config,
  alias: Alias,
  node: { name: string; address: string },
  primary: ServerView,
): boolean {
  return membersOn(primary, aliasSet(config, alias)).includes(aliasData(config, alias, node));
}

/** The old member waits for a server that was down, or does not follow the primary, while the new one came in. */
function joinedEverywhere<W extends SwapDnsWorld>(
  alias: Alias,
  set: RecordSet,
  member: string,
  world: W,
  settleMs: number,
): Action<W> | undefined {
  const lacking = (o: W) => o.dns.filter((server) => !membersOn(server, set).includes(member));
  const [first] = lacking(world);
  if (first === undefined) return undefined;
  return {
    id: `dns.joined ${alias.name}`,
    reason: `${first.server} does not have ${member} yet (${first.failure ?? `serial ${first.serial}`})`,
    done: (o) => lacking(o).length === 0,
    settleMs,
    predict: (o) => ({ ...o, dns: o.dns.map((server) => ({ ...server, ...toldBy(o.dns[0] ?? server) })) }),
  };
}

/** Undefined without a probe, and when the node answers what users open by the alias. */
function memberServes<W extends SwapDnsWorld>(
  config: Config,
  { name, probe }: Alias,
  staying: { name: string; address: string },
  world: W,
): Action<W> | undefined {
  const key = aliasProbe(name, staying.address);
  const said = world.probes[key] ?? 'not asked yet';
  if (probe === undefined || said === 'ok') return undefined;
  return {
    id: `probe.alias ${name}`,
    reason: `${staying.name} must answer ${probe.url} before ${name} leads to it (${said})`,
    done: (o) => o.probes[key] === 'ok',
    settleMs: config.kubernetes.readySeconds * 1000,
    predict: (o) => ({ ...o, probes: { ...o.probes, [key]: 'ok' } }),
  };
}

function everywhere<W extends SwapDnsWorld>(config: Config, world: W, leaving: string): Action<W> {
  return {
    id: `dns.everywhere ${leaving}`,
    reason: laggingServers(config, world.dns)[0] ?? 'every server of the zone must answer the new data',
    done: (o) => laggingServers(config, o.dns).length === 0,
    settleMs: Math.max(config.pace.settleSeconds * 1000, REPLICATION_MS),
    predict: (o) => ({ ...o, dns: o.dns.map((server) => ({ ...server, ...toldBy(o.dns[0] ?? server) })) }),
  };
}

function toldBy({ records, serial }: ServerView): Pick<ServerView, 'records' | 'serial'> {
  return serial === undefined ? { records } : { records, serial };
}

/** The alias has its new member and not the old one, but when that happened is lost. */
function hasMoved(
  config: Config,
  world: SwapDnsWorld,
  alias: Alias,
  pair: { leaving: { name: string; address: string }; staying: { name: string; address: string } },
): boolean {
  const [primary] = world.dns;
  return (
    primary !== undefined &&
    world.facts.direction === 'forward' &&
    cycleRoles(world, pair.leaving.name).includes(alias.role) &&
    membersOn(primary, aliasSet(config, alias)).includes(aliasData(config, alias, pair.staying))
  );
}

/** A missing start time means that the full wait begins now. */
function sinceAction<W extends SwapDnsWorld>(
  alias: Alias,
  key: string,
  ttlSeconds: number,
  acts: SwapDnsActs,
  settleMs: number,
): Action<W> {
  return {
    id: `dns.since ${alias.name}`,
    reason: 'nobody knows when the old data went: the full wait begins now',
    apply: (signal) => acts.writeFacts({ swapped: { [key]: { atMs: acts.nowMs(), ttlSeconds } } }, signal),
    done: (o) => (o.facts.swapped[key]?.atMs ?? Infinity) <= o.nowMs,
    settleMs,
    predict: (o) => ({
      ...o,
      facts: { ...o.facts, swapped: { ...o.facts.swapped, [key]: { atMs: o.nowMs, ttlSeconds } } },
    }),
  };
}

/** Why the servers do not agree yet; empty when all give the primary's data at its serial. */
export function laggingServers(config: Config, servers: readonly ServerView[]): string[] {
  return (config.dns?.aliases ?? []).flatMap((alias) => disagreeing(servers, aliasSet(config, alias)));
}

function needsOf(
  servers: readonly ServerView[],
  move: Parameters<typeof aliasNeeds>[1],
): ReturnType<typeof aliasNeeds> | CodedError {
  try {
    return aliasNeeds(servers, move);
  } catch (error) {
    if (error instanceof CodedError && error.code === 'NC4042') return error;
    throw error;
  }
}

function swapAction<W extends SwapDnsWorld>(
  id: string,
  reason: string,
  swap: Swap,
  acts: SwapDnsActs,
  settleMs: number,
): Action<W> {
  return {
    id,
    reason,
    apply: (signal) => acts.changeDns(swap, signal),
    done: (o) => o.dns.every((server) => swap.add.every((data) => membersOn(server, swap).includes(data))),
    settleMs,
    predict: (o) => withSwap(o, swap),
  };
}

/** The time goes onto the Lease before the old data goes: afterwards nobody could tell how long caches may hold it. */
function leaveAction<W extends SwapDnsWorld>(
  alias: Alias,
  key: string,
  gone: string,
  swap: Swap,
  acts: SwapDnsActs,
  settleMs: number,
): Action<W> {
  return {
    id: `dns.swap ${alias.name} ${gone}`,
    reason: `${alias.name} still names ${gone}, which leaves`,
    apply: async (signal) => {
      const remember = () =>
        acts.writeFacts({ swapped: { [key]: { atMs: acts.nowMs(), ttlSeconds: swap.ttl } } }, signal);
      await remember();
      await acts.changeDns(swap, signal);
      await remember();
    },
    done: (o) => o.dns.every((server) => !membersOn(server, swap).includes(gone)),
    settleMs,
    predict: (o) => ({
      ...withSwap(o, swap),
      facts: { ...o.facts, swapped: { ...o.facts.swapped, [key]: { atMs: o.nowMs, ttlSeconds: swap.ttl } } },
    }),
  };
}

function waitEndMs(facts: Facts, key: string): number {
  const swapped = facts.swapped[key];
  return swapped === undefined ? Infinity : swapped.atMs + swapped.ttlSeconds * 1000 + TTL_MARGIN_MS;
}

function ttlWait<W extends SwapDnsWorld>(
  alias: Alias,
  key: string,
  ttlSeconds: number,
  settleMs: number,
): Action<W> {
  return {
    id: `dns.ttl ${alias.name}`,
    reason: `resolvers may hold the old answer for ${ttlSeconds} s`,
    done: (o) => o.nowMs >= waitEndMs(o.facts, key),
    settleMs: ttlSeconds * 1000 + TTL_MARGIN_MS + settleMs,
    predict: (o) => ({ ...o, nowMs: Math.max(o.nowMs, waitEndMs(o.facts, key)) }),
  };
}
