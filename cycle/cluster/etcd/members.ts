/** etcd asked directly over its JSON gateway: every member, by client certificates. 64-bit ids are strings. */
import { PortError } from '../../../ports/ports.ts';
import type { Http, Wait } from '../../../ports/ports.ts';
import type { Secret } from '../../../ports/secret.ts';

export interface EtcdTarget {
  /** Client URLs, `https://address:2379`. */
  endpoints: readonly string[];
  ca?: string | undefined;
  cert?: string | undefined;
  key?: Secret | undefined;
  /** Name to verify instead of the endpoint's host. */
  serverName?: string | undefined;
}

export interface EtcdMember {
  /** Decimal, never a number: 64 bits. */
  id: string;
  /** Empty while it has not started. */
  name: string;
  peerUrls: string[];
  clientUrls: string[];
  /** Host of its peer URL. */
  address: string;
  isLearner: boolean;
  /** It answered its own /health with true, and its status without errors. */
  healthy: boolean;
  /** It leads, as told by the members that answer. */
  leader: boolean;
  raftIndex?: string | undefined;
  raftTerm?: string | undefined;
  dbSizeBytes?: number | undefined;
  dbInUseBytes?: number | undefined;
  revision?: string | undefined;
  version?: string | undefined;
  alarms: string[];
  /** It gave its own list of the members. */
  listed?: boolean | undefined;
  /** Why it does not count as healthy. */
  trouble?: string | undefined;
}

export interface EtcdObservation {
  clusterId: string;
  members: EtcdMember[];
  /** Endpoints that answered, and those that did not with the reason. */
  reachable: string[];
  unreachable: { endpoint: string; message: string }[];
  /** The members that answered gave different lists: nothing may be decided on it. */
  disagree: boolean;
  /** Who the members are, by each endpoint that was asked and answered. */
  lists?: readonly { endpoint: string; ids: string[]; names: string[] }[] | undefined;
  /** Milliseconds since 1970. */
  observedAtMs: number;
}

export type EtcdResult<T> =
  | { ok: true; value: T }
  /** `status` 0: no answer. */
  | { ok: false; status: number; message: string; sent: boolean };

/** Longest time that one member may take in an observation. */
const MEMBER_MS = 5_000;
/** No answer of the gateway but a snapshot is near this size. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * Asks every endpoint of the target, then every member that they name.
 *
 * @throws PortError when no endpoint gives a member list.
 */
export async function observeEtcd(
  http: Http,
  target: EtcdTarget,
  options: { wait: Wait; nowMs: number; memberMs?: number | undefined },
): Promise<EtcdObservation> {
  const { wait, nowMs } = options;
  const each: Wait = { ...wait, deadlineMs: Math.min(wait.deadlineMs, options.memberMs ?? MEMBER_MS) };
  const ask = (endpoints: readonly string[]) =>
    Promise.all(
      endpoints.map(async (endpoint) => ({ endpoint, list: await memberList(http, target, endpoint, each) })),
    );
  const known = await ask(target.endpoints);
  const first = known.find(({ list }) => list.ok)?.list;
  if (first?.ok !== true) {
    const why = known.map(({ endpoint, list }) => `${endpoint}: ${list.ok ? '' : list.message}`).join('; ');
    throw new PortError('unreachable', 'http', `no etcd member answers: ${why || 'no endpoints are known'}`);
  }
  const { members, clusterId } = first.value;
  // A member that the target does not know has a say in who is a member too.
  const others = members.flatMap((member) => endpointOf(target, member) ?? []);
  const lists = [...known, ...(await ask(others.filter((one) => !target.endpoints.includes(one))))];
  const answered = lists.flatMap(({ endpoint, list }) => (list.ok ? [{ endpoint, ...list.value }] : []));
  const facts = (one: { clusterId: string; members: EtcdMember[] }) =>
    JSON.stringify([
      one.clusterId,
      one.members.map(({ id, name, isLearner }) => [id, name, isLearner]).sort(),
    ]);
  const seen = await Promise.all(members.map((member) => look(http, target, member, each)));
  const leaders = new Set(seen.flatMap(({ leaderId }) => leaderId ?? []));
  const alarms = await alarmsOf(http, target, answered[0]?.endpoint ?? '', each);
  return {
    clusterId,
    members: seen.map(({ member }) => ({
      ...member,
      leader: leaders.size === 1 && leaders.has(member.id),
      listed: answered.some(({ endpoint }) => endpoint === endpointOf(target, member)),
      alarms: alarms
        .filter((alarm) => alarm.memberId === member.id || alarm.memberId === '0')
        .map(({ name }) => name),
    })),
    reachable: answered.map(({ endpoint }) => endpoint),
    unreachable: lists.flatMap(({ endpoint, list }) =>
      list.ok ? [] : [{ endpoint, message: list.message }],
    ),
    disagree: new Set(answered.map(facts)).size > 1,
    lists: answered.map(({ endpoint, members: listed }) => ({
      endpoint,
      ids: listed.map(({ id }) => id),
      names: listed.map(({ name }) => name),
    })),
    observedAtMs: nowMs,
  };
}

export async function memberList(
  http: Http,
  target: EtcdTarget,
  endpoint: string,
  wait: Wait,
): Promise<EtcdResult<{ clusterId: string; members: EtcdMember[] }>> {
  const answer = await post<MemberListAnswer>(http, target, endpoint, '/v3/cluster/member/list', {}, wait);
  if (!answer.ok) return answer;
  const members = (answer.value.members ?? []).map(memberOf);
  // A number would have lost digits before we could see it.
  if (members.some(({ id }) => id === '')) return lost(`${endpoint}: expected member ids as texts`);
  return { ok: true, value: { clusterId: answer.value.header?.cluster_id ?? '', members } };
}

/** Asks the leader's endpoint to hand over to `toId`. */
export async function transferLeadership(
  http: Http,
  target: EtcdTarget,
  leaderEndpoint: string,
  toId: string,
  wait: Wait,
): Promise<EtcdResult<true>> {
  const path = '/v3/maintenance/transfer-leadership';
  return done(await post(http, target, leaderEndpoint, path, { targetID: toId }, wait));
}

/** Asks `endpoint`, which must not be the member's own. */
export async function removeMember(
  http: Http,
  target: EtcdTarget,
  endpoint: string,
  id: string,
  wait: Wait,
): Promise<EtcdResult<true>> {
  return done(await post(http, target, endpoint, '/v3/cluster/member/remove', { ID: id }, wait));
}

/** Where to ask this member: the target's endpoint with its host, else its own client URL. */
export function endpointOf(target: EtcdTarget, member: EtcdMember): string | undefined {
  const known = target.endpoints.find((endpoint) => new URL(endpoint).hostname === member.address);
  return known ?? member.clientUrls.find((url) => !url.includes('//0.0.0.0')) ?? member.clientUrls[0];
}

export function etcdTls(target: EtcdTarget) {
  return { ca: target.ca, cert: target.cert, key: target.key?.reveal(), servername: target.serverName };
}

interface Header {
  cluster_id?: string;
  member_id?: string;
  revision?: string;
  raft_term?: string;
}

interface MemberListAnswer {
  header?: Header;
  members?: {
    ID?: unknown;
    name?: string;
    peerURLs?: string[];
    clientURLs?: string[];
    isLearner?: boolean;
  }[];
}

export interface StatusAnswer {
  header?: Header;
  version?: string;
  dbSize?: string;
  dbSizeInUse?: string;
  leader?: string;
  raftIndex?: string;
  raftTerm?: string;
  errors?: string[];
  isLearner?: boolean;
}

function memberOf(raw: NonNullable<MemberListAnswer['members']>[number]): EtcdMember {
  const peerUrls = raw.peerURLs ?? [];
  return {
    id: typeof raw.ID === 'string' ? raw.ID : '',
    name: raw.name ?? '',
    peerUrls,
    clientUrls: raw.clientURLs ?? [],
    address: hostOf(peerUrls[0]),
    isLearner: raw.isLearner === true,
    healthy: false,
    leader: false,
    alarms: [],
  };
}

async function look(
  http: Http,
  target: EtcdTarget,
  member: EtcdMember,
  wait: Wait,
): Promise<{ member: EtcdMember; leaderId?: string }> {
  const endpoint = endpointOf(target, member);
  if (endpoint === undefined || member.name === '')
    return { member: { ...member, trouble: 'it has not started' } };
  const [status, health] = await Promise.all([
    post<StatusAnswer>(http, target, endpoint, '/v3/maintenance/status', {}, wait),
    exchange(http, target, 'GET', `${endpoint}/health`, undefined, wait),
  ]);
  if (!status.ok) return { member: { ...member, trouble: status.message } };
  const { value } = status;
  // Another member may answer at this address (a proxy, a reused address): that says nothing about this one.
  if (value.header?.member_id !== member.id) {
    return {
      member: {
        ...member,
        trouble: `${endpoint} is answered by member ${value.header?.member_id ?? 'unknown'}`,
      },
    };
  }
  const trouble = troubleOf(value, health);
  return {
    member: {
      ...member,
      healthy: trouble === undefined,
      trouble,
      raftIndex: value.raftIndex ?? '0',
      raftTerm: value.raftTerm ?? '0',
      dbSizeBytes: Number(value.dbSize ?? 0),
      dbInUseBytes: Number(value.dbSizeInUse ?? 0),
      revision: value.header.revision ?? '0',
      version: value.version,
    },
    ...(value.leader === undefined || value.leader === '0' ? {} : { leaderId: value.leader }),
  };
}

function troubleOf(status: StatusAnswer, health: EtcdResult<string>): string | undefined {
  if (status.errors !== undefined && status.errors.length > 0) return status.errors.join('; ');
  if (status.leader === undefined || status.leader === '0') return 'it sees no leader';
  if (!health.ok) return `health: ${health.message}`;
  return /"health"\s*:\s*("true"|true)/.test(health.value)
    ? undefined
    : `health: ${health.value.slice(0, 200)}`;
}

async function alarmsOf(
  http: Http,
  target: EtcdTarget,
  endpoint: string,
  wait: Wait,
): Promise<{ memberId: string; name: string }[]> {
  interface Alarms {
    alarms?: { memberID?: string; alarm?: string }[];
  }
  const answer = await post<Alarms>(http, target, endpoint, '/v3/maintenance/alarm', { action: 'GET' }, wait);
  // Not to know is no reason to go on: it counts as an alarm of every member.
  if (!answer.ok) return [{ memberId: '0', name: `unknown (${answer.message})` }];
  return (answer.value.alarms ?? []).map((one) => ({
    memberId: one.memberID ?? '0',
    name: one.alarm ?? 'unknown',
  }));
}

export async function post<T>(
  http: Http,
  target: EtcdTarget,
  endpoint: string,
  path: string,
  body: unknown,
  wait: Wait,
): Promise<EtcdResult<T>> {
  const answer = await exchange(http, target, 'POST', endpoint + path, JSON.stringify(body), wait);
  if (!answer.ok) return answer;
  try {
    return { ok: true, value: JSON.parse(answer.value) as T };
  } catch {
    return lost(`${endpoint}: expected JSON, found ${JSON.stringify(answer.value.slice(0, 100))}`);
  }
}

async function exchange(
  http: Http,
  target: EtcdTarget,
  method: string,
  url: string,
  body: string | undefined,
  wait: Wait,
): Promise<EtcdResult<string>> {
  try {
    const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await http({ method, url, headers, body, tls: etcdTls(target), ...wait });
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of response.body) {
      size += part.byteLength;
      if (size > MAX_ANSWER_BYTES) return lost(`${url}: an answer of over ${MAX_ANSWER_BYTES} bytes`);
      parts.push(part);
    }
    const text = Buffer.concat(parts).toString('utf8');
    if (response.status === 200) return { ok: true, value: text };
    return {
      ok: false,
      status: response.status,
      message: `${url}: ${response.status} ${text.slice(0, 300)}`,
      sent: true,
    };
  } catch (error) {
    if (!(error instanceof PortError)) throw error;
    if (error.kind === 'aborted') throw error;
    return { ok: false, status: 0, message: error.message, sent: error.sent };
  }
}

function done(answer: EtcdResult<unknown>): EtcdResult<true> {
  return answer.ok ? { ok: true, value: true } : answer;
}

function lost(message: string): { ok: false; status: number; message: string; sent: boolean } {
  return { ok: false, status: 0, message, sent: true };
}

function hostOf(url: string | undefined): string {
  return url !== undefined && URL.canParse(url) ? new URL(url).hostname : '';
}
