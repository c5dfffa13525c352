/**
 * A zone that takes dynamic updates (RFC 2136) signed with TSIG: read from every server over the DNS port,
 * changed by `nsupdate` with the whole set as prerequisite, and read back, because a server may accept an
 * update and ignore it.
 */
import { CodedError } from '../../../ports/errors.ts';
import { PortError } from '../../../ports/ports.ts';
import type { DnsAsk, DnsRecord, Run, RunResult, Wait } from '../../../ports/ports.ts';
import type { Secret } from '../../../ports/secret.ts';
import { canonicalData, isDnsName, membersAfter, membersOn, requireSwap } from './zone.ts';
import type { DnsZone, RecordSet, RecordType, ServerView, Swap, SwapOutcome } from './zone.ts';

export interface Rfc2136Options {
  zone: string;
  /** `address:port` of each server, the one that takes updates first. */
  servers: readonly string[];
  dns: DnsAsk;
  run: Run;
  /** File made from `tsigKeyFile`, readable by its owner only. */
  keyFile: string;
  /** Environment of `nsupdate`: PATH at least. */
  env: Record<string, string>;
  /** Default `nsupdate`. */
  nsupdate?: string;
}

export function rfc2136Zone(options: Rfc2136Options): DnsZone {
  const { zone, servers } = options;
  const primary = servers[0];
  if (primary === undefined || !isDnsName(zone)) {
    throw new CodedError(
      'NC4041',
      `Expected a zone with at least one server, found ${JSON.stringify(zone)}.`,
    );
  }
  const view = (server: string, sets: readonly RecordSet[], wait: Wait) =>
    readServer(options.dns, server, zone, sets, wait);

  return {
    zone,
    primary,
    read: (sets, wait) => Promise.all(servers.map((server) => view(server, sets, wait))),

    async swap(change, wait) {
      requireSwap(change, zone);
      let result: RunResult;
      try {
        result = await options.run({
          file: options.nsupdate ?? 'nsupdate',
          args: ['-k', options.keyFile, '-t', String(Math.max(1, Math.floor(wait.deadlineMs / 1_000)))],
          stdin: updateText(change, zone, primary),
          env: { ...options.env, LC_ALL: 'C' },
          deadlineMs: wait.deadlineMs,
          signal: wait.signal,
        });
      } catch (error) {
        if (!(error instanceof PortError) || error.kind === 'aborted' || error.kind === 'notfound')
          throw error;
        return { refused: 'unreachable', detail: error.message };
      }
      if (result.exitCode !== 0) return judgeNsupdate(result);
      const after = await view(primary, [change], wait);
      const [found, wanted] = [membersOn(after, change), membersAfter(change)];
      if (found.join(' ') === wanted.join(' ')) return 'swapped';
      return {
        refused: 'ignored',
        detail: `${primary} accepted the update of ${change.name} ${change.type}; expected ${wanted.join(', ') || 'none'}, it answers ${after.failure ?? (found.join(', ') || 'none')}`,
      };
    },
  };
}

/** The key file of `nsupdate -k`; write it with mode 0600. */
export function tsigKeyFile(name: string, algorithm: string, secret: Secret): string {
  const value = secret.reveal().trim();
  if (!isDnsName(name) || !/^hmac-[a-z0-9-]+$/.test(algorithm) || !/^[A-Za-z0-9+/]+={0,2}$/.test(value)) {
    throw new CodedError(
      'NC4041',
      'Expected a TSIG key: a name, an algorithm such as hmac-sha256 and a base64 secret.',
    );
  }
  return `key "${name}" {\n\talgorithm ${algorithm};\n\tsecret "${value}";\n};\n`;
}

/** nsupdate's input. One `send` is one message: the server takes all of it or nothing. */
export function updateText(change: Swap, zone: string, primary: string): string {
  const { host, port } = splitServer(primary);
  const from: RecordType = change.expectType ?? change.type;
  const name = `${change.name}.`;
  const rdata = (type: RecordType, data: string) => (type === 'CNAME' ? `${data.replace(/\.$/, '')}.` : data);
  const lines = [`server ${host} ${port}`, `zone ${zone}.`];
  if (change.expect.length > 0) {
    for (const data of change.expect) lines.push(`prereq yxrrset ${name} ${from} ${rdata(from, data)}`);
  } else if (change.type === 'CNAME') {
    lines.push(`prereq nxdomain ${name}`);
  } else {
    // An address beside a CNAME would be accepted and ignored.
    lines.push(`prereq nxrrset ${name} ${from}`, `prereq nxrrset ${name} CNAME`);
  }
  for (const data of change.remove) lines.push(`update delete ${name} ${from} ${rdata(from, data)}`);
  for (const data of change.add)
    lines.push(`update add ${name} ${change.ttl} ${change.type} ${rdata(change.type, data)}`);
  return `${lines.join('\n')}\nsend\n`;
}

/** Every refusal of a server ends nsupdate with 2; only its words tell them apart. */
export function judgeNsupdate(
  result: Pick<RunResult, 'exitCode' | 'stderr'>,
): Exclude<SwapOutcome, 'swapped'> {
  const detail =
    result.stderr.trim().split('\n').slice(-3).join(' / ') || `nsupdate ended with ${result.exitCode}`;
  const code = /update failed: ([A-Z]+(?:\([A-Z]+\))?)/.exec(result.stderr)?.[1] ?? '';
  if (/^(NXRRSET|YXRRSET|NXDOMAIN|YXDOMAIN)$/.test(code)) return { refused: 'stale', detail };
  if (code === 'REFUSED') return { refused: 'policy', detail };
  if (/^NOTAUTH\(/.test(code) || /TSIG|could not read key|bad key/i.test(result.stderr))
    return { refused: 'key', detail };
  if (
    /timed out|connection refused|unreachable|communication with|could not talk|network/i.test(result.stderr)
  ) {
    return { refused: 'unreachable', detail };
  }
  return { refused: 'failed', detail };
}

async function readServer(
  dns: DnsAsk,
  server: string,
  zone: string,
  sets: readonly RecordSet[],
  wait: Wait,
): Promise<ServerView> {
  const ask = async (name: string, type: RecordType | 'SOA'): Promise<DnsRecord[]> => {
    const answer = await dns({ server, name, type, deadlineMs: wait.deadlineMs, signal: wait.signal });
    const known = answer.rcode === 'NOERROR' || answer.rcode === 'NXDOMAIN';
    if (!known) throw new CodedError('NC4040', `${server} answers ${answer.rcode} for ${name} ${type}.`);
    if (!answer.authoritative)
      throw new CodedError('NC4040', `${server} answers for ${name} without authority.`);
    // Asked for an A, a server adds the CNAME and, when it can, what that leads to: only the name's own records count.
    return answer.answers.filter((r) => r.name.toLowerCase() === name.toLowerCase() && r.type === type);
  };
  try {
    // The serial first: records that are newer than their serial are harmless, the other way round is not.
    const serial = Number((await ask(zone, 'SOA'))[0]?.data);
    if (!Number.isInteger(serial)) throw new CodedError('NC4040', `${server} has no SOA for ${zone}.`);
    const records: DnsRecord[] = [];
    for (const set of sets) {
      for (const record of await ask(set.name, set.type)) {
        records.push({ ...record, data: canonicalData(set.type, record.data) });
      }
    }
    return { server, serial, records };
  } catch (error) {
    if (error instanceof PortError && error.kind !== 'aborted')
      return { server, records: [], failure: error.message };
    if (error instanceof CodedError) return { server, records: [], failure: error.message };
    throw error;
  }
}

function splitServer(server: string): { host: string; port: string } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9A-Za-z.-]+)):(\d{1,5})$/.exec(server);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || match?.[3] === undefined) {
    throw new CodedError(
      'NC4041',
      `Expected a server as address:port, found ${JSON.stringify(server.slice(0, 80))}.`,
    );
  }
  return { host, port: match[3] };
}
