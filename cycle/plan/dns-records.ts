/** Which records of the zone name a node. Names are full, without their final dot. Pure. */
import type { Config } from '../config/schema.ts';
import { membersAfter, membersOn, type RecordSet, type ServerView, type Swap } from '../edge/dns/zone.ts';
import type { Slice } from '../observed.ts';
import { ttlOf } from '../edge/dns/alias.ts';

export type Alias = NonNullable<Config['dns']>['aliases'][number];

/** A name in full, whichever way it was written. */
export function fullName(name: string, zone: string): string {
  const bare = name.toLowerCase().replace(/\.$/, '');
  return bare === zone.toLowerCase() || bare.endsWith(`.${zone.toLowerCase()}`)
    ? bare
    : `${bare}.${zone.toLowerCase()}`;
}

export function aliasSet(config: Config, alias: Alias): RecordSet {
  return { name: fullName(alias.name, config.dns?.zone ?? ''), type: alias.type };
}

/** What an alias holds for a node: its address, or its name. */
export function aliasData(config: Config, alias: Alias, node: { name: string; address: string }): string {
  return alias.type === 'CNAME' ? fullName(node.name, config.dns?.zone ?? '') : node.address;
}

/** The node's own address record on the primary; undefined when none is kept or there is none. */
export function nodeRecord(
  config: Config,
  servers: readonly ServerView[],
  node: string,
): (RecordSet & { ttl: number; data: string[] }) | undefined {
  const [primary] = servers;
  if (config.dns?.nodeRecords !== true || primary === undefined) return undefined;
  for (const type of ['A', 'AAAA'] as const) {
    const set = { name: fullName(node, config.dns.zone), type };
    const data = membersOn(primary, set);
    if (data.length > 0) return { ...set, data, ttl: ttlOf(primary, set) ?? config.dns.ttlSeconds };
  }
  return undefined;
}

/** What stands at the name instead of the set: a CNAME beside nothing else, or addresses where a CNAME was meant. */
export function otherType(view: ServerView, set: RecordSet): { type: string; data: string } | undefined {
  return view.records.find(
    (record) =>
      record.name.toLowerCase() === set.name.toLowerCase() &&
      record.type !== set.type &&
      [record.type, set.type].includes('CNAME'),
  );
}

/** Every set that a cycle looks at: the aliases with what may stand in their place, and the records of its two nodes. */
export function setsOf(config: Config, nodes: readonly string[]): RecordSet[] {
  if (config.dns === undefined) return [];
  const { zone, aliases, nodeRecords } = config.dns;
  const own = nodeRecords
    ? nodes.flatMap((node) => (['A', 'AAAA'] as const).map((type) => ({ name: fullName(node, zone), type })))
    : [];
  const others = { A: ['CNAME'], AAAA: ['CNAME'], CNAME: ['A', 'AAAA'] } as const;
  const sets = aliases.flatMap((alias) => {
    const set = aliasSet(config, alias);
    return [set, ...others[alias.type].map((type) => ({ ...set, type }))];
  });
  const keys = new Set<string>();
  return [...sets, ...own].filter(({ name, type }) => keys.size < keys.add(`${name} ${type}`).size);
}

/** Every server after the change, with one serial more. */
export function withSwap<W extends Slice<'dns'>>(world: W, swap: Swap): W {
  const after = membersAfter(swap).map((data) => ({ name: swap.name, type: swap.type, ttl: swap.ttl, data }));
  const from = swap.expectType ?? swap.type;
  return {
    ...world,
    dns: world.dns.map((server) => ({
      ...server,
      ...(server.serial === undefined ? {} : { serial: (server.serial + 1) % 2 ** 32 }),
      records: [
        ...server.records.filter(
          (record) => record.name.toLowerCase() !== swap.name.toLowerCase() || record.type !== from,
        ),
        ...after,
      ],
    })),
  };
}
