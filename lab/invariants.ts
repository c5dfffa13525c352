/** What must hold in every session, whatever the product says of itself. */
import type { RunEvent } from '../cycle/record.ts';
import { leftOvers, recordsOf } from './left-overs.ts';
import type { Lab } from './start.ts';

export interface AliasWatch {
  /** Ends the watch; aliases that were seen empty. */
  stop(): Promise<string[]>;
}

const WATCH_MS = 250;

/** Asks the primary again and again: an alias is never empty. */
export function watchAliases(lab: Lab): AliasWatch {
  const { dns, example } = lab;
  const empty = new Set<string>();
  const ended = new AbortController();
  const watch = (async () => {
    while (!ended.signal.aborted) {
      for (const [alias, type] of [
        [`cp-${example.cluster}`, 'A'],
        [`tfx-${example.cluster}`, 'A'],
        ['dash', 'CNAME'],
      ] as const) {
        const records = await recordsOf(dns.servers[0] ?? '', `${alias}.${example.zone}`, type).catch(
          () => undefined,
        );
        if (records?.length === 0) empty.add(alias);
      }
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
  })();
  return {
    async stop() {
      ended.abort();
      await watch;
      return [...empty].map((alias) => `an alias is never empty: ${alias} was`);
    },
  };
}

/** From the events: no role leaves before the old answer of every alias has run out of its TTL. */
export function earlyRemovals(events: readonly RunEvent[], ttlSeconds: number): string[] {
  const removal = events.find((event) => event.kind === 'action.started' && event.irreversible);
  if (removal === undefined) return [];
  return events.flatMap((event) => {
    if (event.kind !== 'action.done' || !event.id.startsWith('dns.swap ')) return [];
    const passedMs = removal.atMs - event.atMs;
    if (passedMs < 0 || passedMs >= ttlSeconds * 1000) return [];
    return [
      `the old TTL is waited out before a role leaves: ${event.id} was ${Math.round(passedMs / 1000)} s before, of ${ttlSeconds}`,
    ];
  });
}

export async function remains(lab: Lab, replaced: readonly string[]): Promise<string[]> {
  const { example } = lab;
  const found = await Promise.all(
    replaced.map(async (name) => {
      const address = example.nodes.find((node) => node.name === name)?.address;
      return address === undefined ? [] : leftOvers(lab, name, address);
    }),
  );
  return found.flat().map((place) => `nothing of a replaced node is left: ${place}`);
}
