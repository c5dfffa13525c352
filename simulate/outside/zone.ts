/** A primary that takes updates and a secondary that follows it, behind the `DnsAsk` port and `nsupdate`. */
import { applyUpdate, type StandInRecord, type UpdateBody } from '../../lab/servers/dns/standin/update.ts';
import type { WorldClock } from '../../lab/world/world.ts';
import type { DnsAnswer, DnsQuery, RunResult } from '../../ports/ports.ts';

export interface Zone {
  readonly name: string;
  readonly servers: readonly string[];
  readonly key: { name: string; secret: string };
  /** What a server holds now; the primary when absent. */
  records(server?: string): readonly StandInRecord[];
  ask(query: Pick<DnsQuery, 'server' | 'name' | 'type'>): DnsAnswer;
  /** The program, for this input. */
  nsupdate(keyFile: string | undefined, stdin: string): RunResult;
  /** Servers that do not answer. */
  readonly away: Set<string>;
}

/** NOTIFY and a transfer. */
const TRANSFER_MS = 700;

export function zone(
  clock: WorldClock,
  options: {
    name: string;
    servers: readonly [string, string];
    key: Zone['key'];
    records: readonly StandInRecord[];
  },
): Zone {
  const { name, servers } = options;
  const first = {
    serial: 1,
    records: options.records.map((record) => ({ ...record, name: `${record.name}.${name}` })),
  };
  const held = new Map<string, { serial: number; records: StandInRecord[] }>(
    servers.map((server) => [server, first]),
  );
  const primary = servers[0];
  const at = (server: string) => held.get(server) ?? first;

  const send = (body: UpdateBody): string => {
    const now = at(primary);
    const next = applyUpdate(now.records, body);
    if (typeof next === 'string') return next;
    if (JSON.stringify(next) === JSON.stringify(now.records)) return 'NOERROR';
    const after = { serial: now.serial + 1, records: next };
    held.set(primary, after);
    clock.after(TRANSFER_MS, () => {
      for (const server of servers) if (at(server).serial < after.serial) held.set(server, after);
    });
    return 'NOERROR';
  };

  const self: Zone = {
    name,
    servers,
    key: options.key,
    away: new Set(),
    records: (server = primary) => at(server).records,
    ask({ server, name: asked, type }) {
      const { serial, records } = at(server);
      const wanted = asked.toLowerCase();
      if (wanted === name && type === 'SOA') {
        const soa = { name, type: 'SOA', ttl: 30, data: String(serial) };
        return { rcode: 'NOERROR', authoritative: true, answers: [soa] };
      }
      const named = records.filter((record) => record.name.toLowerCase() === wanted);
      return {
        rcode: named.length === 0 ? 'NXDOMAIN' : 'NOERROR',
        authoritative: true,
        answers: named
          .filter((record) => record.type === type || record.type === 'CNAME')
          .map((one) => ({ ...one })),
      };
    },
    nsupdate(keyFile, stdin) {
      const ended = (exitCode: number, stderr = ''): RunResult => ({
        exitCode,
        signal: null,
        stdout: '',
        stderr,
      });
      if (keyFile?.includes(`secret "${options.key.secret}"`) !== true)
        return ended(2, '; TSIG error with server: tsig verify failure\nupdate failed: NOTAUTH(BADKEY)\n');
      if (self.away.has(primary)) return ended(2, `; Communication with ${primary} failed: timed out\n`);
      const answer = send(bodyOf(stdin));
      return answer === 'NOERROR' ? ended(0) : ended(2, `update failed: ${answer}\n`);
    },
  };
  return self;
}

/** The commands that the product writes: one `send`. */
function bodyOf(stdin: string): UpdateBody {
  const body: UpdateBody = { zone: '', prereqs: [], updates: [] };
  const dotless = (text: string) => text.replace(/\.$/, '');
  for (const line of stdin.split('\n')) {
    const [command = '', kind = '', ...rest] = line.trim().split(/\s+/);
    if (command === 'zone') body.zone = dotless(kind);
    else if (command === 'prereq') {
      const [name = '', type, data] = rest;
      body.prereqs.push({
        kind: kind as UpdateBody['prereqs'][number]['kind'],
        name: dotless(name),
        ...(type === undefined ? {} : { type }),
        ...(data === undefined ? {} : { data: dotless(data) }),
      });
    } else if (command === 'update') {
      const name = dotless(rest.shift() ?? '');
      const ttl = /^\d+$/.test(rest[0] ?? '') ? Number(rest.shift()) : undefined;
      const [type, data] = rest;
      body.updates.push({
        kind: kind as 'add' | 'delete',
        name,
        ...(ttl === undefined ? {} : { ttl }),
        ...(type === undefined ? {} : { type }),
        ...(data === undefined ? {} : { data: dotless(data) }),
      });
    }
  }
  return body;
}
