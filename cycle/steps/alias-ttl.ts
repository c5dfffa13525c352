/**
 * An alias's TTL around its swap, where that is allowed: lowered and waited out before the old member goes, so that
 * nobody holds it for long afterwards, and restored when it has gone, on the way back too.
 */
import { retime, ttlOf } from '../edge/dns/alias.ts';
import { membersOn, type ServerView } from '../edge/dns/zone.ts';
import type { Facts } from '../facts.ts';
import type { Slice } from '../observed.ts';
import { aliasSet, withSwap, type Alias } from '../plan/dns-records.ts';
import type { Config } from '../config/schema.ts';
import type { Action } from '../step.ts';
import type { SwapDnsActs } from './swap-dns.ts';

/** Resolvers count whole seconds. */
export const TTL_MARGIN_MS = 1_000;

type TtlWorld = Slice<'nowMs' | 'facts' | 'dns'>;

export interface TtlWay {
  config: Config;
  acts: SwapDnsActs;
  settleMs: number;
}

/** Undefined when the alias has the low TTL, or may keep its own. */
export function lowerTtl<W extends TtlWorld>(way: TtlWay, alias: Alias, world: W): Action<W> | undefined {
  const low = way.config.dns?.lowerTtlSeconds;
  const set = aliasSet(way.config, alias);
  const [primary] = world.dns;
  const now = primary && ttlOf(primary, set);
  if (low === undefined || now === undefined || now <= low) return undefined;
  const swap = retime(world.dns, set, low);
  if (swap === undefined) return undefined;
  // A run that was killed in between had written the TTL down already, and what is there now may not be the alias's own.
  const ttlSeconds = world.facts.ttls?.[alias.name]?.ttlSeconds ?? now;
  const remember = (atMs: number) => ({ ttls: { [alias.name]: { ttlSeconds, atMs } } });
  return {
    id: `dns.lower ${alias.name}`,
    reason: `its TTL of ${now} s would be the wait after the swap; ${low} s is enough`,
    apply: async (signal) => {
      const write = () => way.acts.writeFacts(remember(way.acts.nowMs()), signal);
      await write();
      await way.acts.changeDns(swap, signal);
      await write();
    },
    done: (o) => o.dns.every((server) => (ttlOf(server, set) ?? Infinity) <= low),
    settleMs: way.settleMs,
    predict: (o) => withFacts(withSwap(o, swap), remember(o.nowMs)),
  };
}

/** Until then somebody may hold the alias with its own TTL. */
export function lowerWait<W extends TtlWorld>(way: TtlWay, alias: Alias, world: W): Action<W> | undefined {
  const endMs = (facts: Facts) => {
    const lowered = facts.ttls?.[alias.name];
    return lowered === undefined ? 0 : lowered.atMs + lowered.ttlSeconds * 1000 + TTL_MARGIN_MS;
  };
  if (world.nowMs >= endMs(world.facts)) return undefined;
  const seconds = world.facts.ttls?.[alias.name]?.ttlSeconds ?? 0;
  return {
    id: `dns.lowered ${alias.name}`,
    reason: `resolvers may hold it for ${seconds} s from before its TTL was lowered`,
    done: (o) => o.nowMs >= endMs(o.facts),
    settleMs: seconds * 1000 + TTL_MARGIN_MS + way.settleMs,
    predict: (o) => ({ ...o, nowMs: Math.max(o.nowMs, endMs(o.facts)) }),
  };
}

/** Undefined when it was never lowered. */
export function restoreTtl<W extends TtlWorld>(way: TtlWay, alias: Alias, world: W): Action<W> | undefined {
  const own = world.facts.ttls?.[alias.name]?.ttlSeconds;
  if (own === undefined) return undefined;
  const set = aliasSet(way.config, alias);
  const [primary] = world.dns;
  const held = primary !== undefined && membersOn(primary, set).length > 0;
  const swap = held ? retime(world.dns, set, own) : undefined;
  const forget = { ttls: { [alias.name]: undefined } };
  return {
    id: `dns.restore ${alias.name}`,
    reason: `its TTL was ${own} s before the swap`,
    apply: async (signal) => {
      if (swap !== undefined) await way.acts.changeDns(swap, signal);
      await way.acts.writeFacts(forget, signal);
    },
    done: (o) => o.facts.ttls?.[alias.name] === undefined && everywhere(o.dns, set, own),
    settleMs: way.settleMs,
    predict: (o) => withFacts(swap === undefined ? o : withSwap(o, swap), forget),
  };
}

function everywhere(servers: readonly ServerView[], set: Parameters<typeof ttlOf>[1], ttl: number): boolean {
  return servers.every((server) => (ttlOf(server, set) ?? ttl) === ttl);
}

function withFacts<W extends TtlWorld>(world: W, { ttls }: Pick<Facts, 'ttls'>): W {
  return { ...world, facts: { ...world.facts, ttls: { ...world.facts.ttls, ...ttls } } };
}
