/**
 * A zone on Windows DNS servers, reached through the bridge's operations `dns.read` and `dns.swap`. A record's
 * name or type cannot be changed there (Set-DnsServerResourceRecord), so CNAME ↔ A is a removal and an
 * addition with a gap between them; the bridge does it in one job.
 */
import type { Wait } from '../../../ports/ports.ts';
import { canonicalData, membersAfter, membersOn, requireSwap } from './zone.ts';
import type { DnsZone, RecordSet, ServerView, Swap, SwapOutcome, SwapRefusal } from './zone.ts';

/** What the bridge's client gives: the two operations, as functions. */
export interface BridgeDns {
  /** One view a server, by the names of `dns.servers`. */
  read(
    request: { zone: string; servers: readonly string[]; sets: readonly RecordSet[] },
    wait: Wait,
  ): Promise<ServerView[]>;
  /** `refused` is a code of the bridge's result, no free text. */
  swap(
    request: { zone: string; server: string; change: Required<Swap> },
    wait: Wait,
  ): Promise<{ swapped: true } | { refused: SwapRefusal; detail?: string }>;
}

export interface WindowsZoneOptions {
  zone: string;
  /** DNS servers by name or address, the one that takes changes first. */
  servers: readonly [string, ...string[]];
  bridge: BridgeDns;
}

export function windowsZone(options: WindowsZoneOptions): DnsZone {
  const { zone, servers, bridge } = options;
  const primary = servers[0];
  const read = async (
    from: readonly string[],
    sets: readonly RecordSet[],
    wait: Wait,
  ): Promise<ServerView[]> => {
    const views = await bridge.read({ zone, servers: from, sets }, wait);
    return from.map((server) => {
      const view = views.find((one) => one.server === server);
      if (!view) return { server, records: [], failure: 'the bridge gave no answer for this server' };
      const wanted = view.records.flatMap((record) => {
        const set = sets.find(
          (s) => s.type === record.type && s.name.toLowerCase() === record.name.toLowerCase(),
        );
        return set ? [{ ...record, data: canonicalData(set.type, record.data) }] : [];
      });
      return { ...view, records: wanted };
    });
  };
  return {
    zone,
    primary,
    read: (sets, wait) => read(servers, sets, wait),
    async swap(change, wait): Promise<SwapOutcome> {
      requireSwap(change, zone);
      const both = change.add.filter((data) => change.remove.includes(data));
      if (both.length > 0) {
        // The script adds first, and Windows refuses a record that is there: nothing would change but the log.
        return {
          refused: 'failed',
          detail: `Windows DNS cannot be given another TTL for ${both.join(', ')} here`,
        };
      }
      const full: Required<Swap> = { ...change, expectType: change.expectType ?? change.type };
      const answer = await bridge.swap({ zone, server: primary, change: full }, wait);
      if ('refused' in answer) return { refused: answer.refused, detail: answer.detail ?? answer.refused };
      const [view] = await read([primary], [change], wait);
      const [found, wanted] = [view ? membersOn(view, change) : [], membersAfter(change)];
      if (found.join(' ') === wanted.join(' ')) return 'swapped';
      return {
        refused: 'ignored',
        detail: `${primary} reports the change of ${change.name} as done; expected ${wanted.join(', ')}, it holds ${found.join(', ') || 'none'}`,
      };
    },
  };
}
