/** `dns.swap`: compare and swap of one record set; it never becomes empty. */
import type { HostOperation } from '../../jobs/host-operation.ts';
import { CHANGES } from '../../protocol/operations.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import type { Host } from '../host.ts';
import type { ScriptResult } from '../scripts.ts';

export function dnsSwap(host: Host): HostOperation {
  return {
    deadlineMs: CHANGES['dns.swap'].deadlineMs,
    async prepare({ params: given }) {
      const { zone, name, type, expect, add, remove, ttlSeconds } = given as Params<'dns.swap'>;
      const settings = host.policy().zones[zone];
      const server = settings?.servers[0];
      if (!settings || server === undefined) return { ok: false, error: 'denied' };
      const wanted = new Set([...expect, ...add].filter((data) => !remove.includes(data)));
      if (wanted.size === 0) return { ok: false, error: 'wouldBeEmpty' };
      const { servers } = await host.run('dns-read', { servers: [server], zone, names: [name] });
      const answer = servers[0];
      if (!answer) return { ok: false, error: 'unreachable' };
      const records = answer.records.filter((record) => record.name === name && record.type === type);
      const now = new Set(records.map(({ data }) => data));
      if (same(now, wanted)) {
        return { ok: 'already', result: { serial: answer.serial, records } satisfies Result<'dns.swap'> };
      }
      if (!same(now, new Set(expect))) return { ok: false, error: 'setChanged' };
      return {
        ok: true,
        script: 'dns-swap',
        input: {
          server,
          zone,
          name,
          type,
          expect,
          add: add.filter((data) => !now.has(data)),
          remove: remove.filter((data) => now.has(data)),
          ttlSeconds: ttlSeconds ?? settings.ttlSeconds,
        },
        secrets: [],
        context: { wanted: [...wanted] },
      };
    },
    async finish(_params, context, scriptResult) {
      const { wanted } = context as { wanted: string[] };
      const { serial, records } = scriptResult as ScriptResult<'dns-swap'>;
      if (!same(new Set(records.map(({ data }) => data)), new Set(wanted)))
        return { ok: false, error: 'badResult' };
      return { ok: true, result: { serial, records } satisfies Result<'dns.swap'> };
    },
    // The script adds before it removes: a half-made swap is a larger set, which the next run sees.
    cleanUp: async () => true,
  };
}

const same = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
  a.size === b.size && [...a].every((value) => b.has(value));
