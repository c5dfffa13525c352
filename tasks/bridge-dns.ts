/** The bridge's DNS operations as the Windows zone asks for them: its names are relative, the zone's are full. */
import type { BridgeDns } from '../cycle/edge/dns/windows.ts';
import type { Context } from '../cycle/context.ts';
import { changeOnHost } from '../cycle/acts/host.ts';
import { requireLock } from '../cycle/acts/facts.ts';
import { fullName } from '../cycle/plan/dns-records.ts';

export function bridgeDns(ctx: Context): BridgeDns {
  const relative = (name: string, zone: string) => name.toLowerCase().slice(0, -zone.length - 1);
  return {
    async read({ zone, sets }, wait) {
      const names = [...new Set(sets.map((set) => relative(set.name, zone)))];
      const { servers } = await ctx.bridge.read('dns.read', { zone, names }, wait);
      return servers.map(({ server, serial, records }) => ({
        server,
        serial: Number(serial),
        records: records.map((record) => ({ ...record, name: fullName(record.name, zone) })),
      }));
    },
    async swap({ zone, change }, wait) {
      if (change.type === 'AAAA')
        return { refused: 'failed', detail: 'the bridge changes A and CNAME records' };
      const fence = await requireLock(ctx, wait.signal ?? ctx.signal);
      const ended = await changeOnHost(
        ctx,
        'dns.swap',
        {
          cluster: ctx.config.cluster,
          zone,
          name: relative(change.name, zone),
          type: change.type,
          expect: change.expect,
          add: change.add,
          remove: change.remove,
          ttlSeconds: change.ttl,
          fence,
        },
        wait.deadlineMs,
        wait.signal ?? ctx.signal,
      );
      if (ended.kind === 'done') return { swapped: true };
      return {
        refused: ended.code === 'setChanged' ? 'stale' : 'failed',
        detail: [ended.code, ...ended.evidence].join(' '),
      };
    },
  };
}
