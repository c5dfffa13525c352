/**
 * The bridges' DNS operations as the Windows zone asks for them: their names are relative, the zone's are full, and
 * one question holds so many names. Of several bridges the first that grants the zone is used.
 */
import { DNS_NAMES_LIMIT, type Result } from '../agent-bridge/protocol/operations.ts';
import { requireLock } from '../cycle/acts/facts.ts';
import { changeOnHost } from '../cycle/acts/host.ts';
import type { Context } from '../cycle/context.ts';
import type { BridgeDns } from '../cycle/edge/dns/windows.ts';
import { isSilence, naming, type HostBridge } from '../cycle/hosts.ts';
import { fullName } from '../cycle/plan/dns-records.ts';
import { CodedError } from '../ports/errors.ts';
import type { Wait } from '../ports/ports.ts';

type Servers = Result<'dns.read'>['servers'];

export function bridgeDns(ctx: Context): BridgeDns {
  const relative = (name: string, zone: string) => name.toLowerCase().slice(0, -zone.length - 1);
  let granting: HostBridge | undefined;

  /** Found by asking for the names themselves, since a grant is by zone and name. Throws CodedError of the client. */
  async function bridgeFor(zone: string, names: string[], wait: Wait): Promise<HostBridge> {
    if (granting !== undefined) return granting;
    const [only, ...others] = ctx.bridges;
    if (only !== undefined && others.length === 0) return only;
    const refused: CodedError[] = [];
    for (const bridge of ctx.bridges) {
      try {
        await ask(bridge, zone, names, wait);
        granting = bridge;
        return bridge;
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        refused.push(error);
      }
    }
    // One that did not answer may be the one, and is worth another question.
    const first = refused.find(isSilence) ?? refused[0];
    throw new CodedError(
      first?.code ?? 'NC5009',
      `No bridge reads ${names.join(', ')} of ${zone}.`,
      refused.map(({ detail }) => detail),
    );
  }

  return {
    async read({ zone, sets }, wait) {
      const names = [...new Set(sets.map((set) => relative(set.name, zone)))];
      const bridge = await bridgeFor(zone, names.slice(0, DNS_NAMES_LIMIT), wait);
      const answers: Servers[] = [];
      for (let at = 0; at < names.length; at += DNS_NAMES_LIMIT)
        answers.push(await ask(bridge, zone, names.slice(at, at + DNS_NAMES_LIMIT), wait));
      return joined(answers).map(({ server, serial, records }) => ({
        server,
        serial: Number(serial),
        records: records.map((record) => ({ ...record, name: fullName(record.name, zone) })),
      }));
    },
    async swap({ zone, change }, wait) {
      if (change.expectType !== change.type)
        return {
          refused: 'failed',
          detail: `the bridge changes members of a set, and ${change.name} would turn from ${change.expectType} into ${change.type}`,
        };
      const name = relative(change.name, zone);
      const bridge = await bridgeFor(zone, [name], wait);
      const signal = wait.signal ?? ctx.signal;
      const fence = await requireLock(ctx, signal);
      const ended = await changeOnHost(
        ctx,
        bridge,
        'dns.swap',
        {
          cluster: ctx.config.cluster,
          zone,
          name,
          type: change.type,
          expect: change.expect,
          add: change.add,
          remove: change.remove,
          ttlSeconds: change.ttl,
          fence,
        },
        wait.deadlineMs,
        signal,
      );
      if (ended.kind === 'done') return { swapped: true };
      return {
        refused: ended.code === 'setChanged' ? 'stale' : 'failed',
        detail: [ended.code, ...ended.evidence].join(' '),
      };
    },
  };
}

async function ask(bridge: HostBridge, zone: string, names: string[], wait: Wait): Promise<Servers> {
  return (await naming(bridge, bridge.client.read('dns.read', { zone, names }, wait))).servers;
}

/** One view a server, under the serial of its first answer: records that are newer than their serial do no harm. */
function joined([first = [], ...others]: readonly Servers[]): Servers {
  return first.flatMap((view) => {
    const more = others.map((servers) => servers.find(({ server }) => server === view.server));
    // Half of what a server holds would look like all of it.
    if (more.includes(undefined)) return [];
    return [{ ...view, records: [view, ...more].flatMap((one) => one?.records ?? []) }];
  });
}
