/**
 * etcd's membership, leadership and JSON gateway as a model: what etcd 3.4 answers, without raft's data.
 * No sockets: `lab/servers/etcd.ts` puts it on TLS. One table of cases runs on this and on the real thing.
 */
import { createHash } from 'node:crypto';
import type { WorldClock } from '../world.ts';
import { DATABASE_BYTES, databaseOf } from './database.ts';

export interface ModelMember {
  id: bigint;
  /** Empty until the member has started once, as in etcd. */
  name: string;
  address: string;
  isLearner: boolean;
  running: boolean;
  /** When it last became reachable; reconfiguration asks for `healthIntervalMs` of it. */
  activeSinceMs: number;
}

export interface EtcdAnswer {
  status: number;
  contentType: string;
  body: string;
  /** gRPC errors and streams end with a trailer. */
  trailer: boolean;
}

export interface EtcdModel {
  readonly version: string;
  members(): ModelMember[];
  leader(): ModelMember | undefined;
  hasQuorum(): boolean;
  bootstrap(members: readonly { name: string; address: string }[]): void;
  add(address: string, isLearner?: boolean): EtcdAnswer;
  remove(id: bigint): EtcdAnswer;
  /** False when the cluster does not know this member: its process would exit. */
  start(name: string, address: string): boolean;
  stop(address: string): void;
  /** One request to the member on `address`. */
  answer(address: string, method: string, path: string, body: string): EtcdAnswer;
  /** Told when the process on this address ends by itself, because it was removed. */
  onRemoved(listener: (address: string) => void): void;
}

export interface EtcdModelOptions {
  clock: WorldClock;
  random: () => number;
  ports: { client: number; peer: number };
  /** etcd's HealthInterval: 5 s. */
  healthIntervalMs?: number | undefined;
  electionMs?: number | undefined;
}

const VERSION = '3.4.23';
/** gRPC codes to HTTP, as grpc-gateway maps them. */
const HTTP_OF_CODE: Record<number, number> = { 2: 500, 3: 400, 5: 404, 9: 412, 14: 503 };

export function etcdModel(options: EtcdModelOptions): EtcdModel {
  const { clock, ports } = options;
  const healthIntervalMs = options.healthIntervalMs ?? 5_000;
  const members = new Map<bigint, ModelMember>();
  const alarms = new Map<string, { memberID: string; alarm: string }>();
  const removedListeners: ((address: string) => void)[] = [];
  const clusterId = randomId();
  let leaderId = 0n;
  let term = 1n;
  let index = 3n;
  const revision = 1n;

  function randomId(): bigint {
    const part = () => BigInt(Math.floor(options.random() * 0x1_0000_0000));
    return (part() << 32n) | part() | 1n;
  }
  const at = (address: string) => [...members.values()].find((member) => member.address === address);
  const voters = () => [...members.values()].filter((member) => !member.isLearner);
  const hasQuorum = () =>
    voters().filter((member) => member.running).length > Math.floor(voters().length / 2) &&
    voters().length > 0;
  const leader = () => {
    const found = members.get(leaderId);
    return found !== undefined && found.running && hasQuorum() ? found : undefined;
  };

  function elect(): void {
    if (leader() !== undefined || !hasQuorum()) return;
    const able = voters().filter((member) => member.running);
    const chosen = able[Math.floor(options.random() * able.length)];
    if (chosen === undefined) return;
    leaderId = chosen.id;
    term += 1n;
    index += 1n;
  }
  function electSoon(): void {
    clock.after(options.electionMs ?? 150, elect);
  }

  function header(member: ModelMember, withRevision: boolean): Record<string, string> {
    return {
      cluster_id: String(clusterId),
      member_id: String(member.id),
      ...(withRevision ? { revision: String(revision) } : {}),
      raft_term: String(term),
    };
  }
  function shown(member: ModelMember): Record<string, unknown> {
    return {
      ID: String(member.id),
      ...(member.name === '' ? {} : { name: member.name }),
      peerURLs: [`https://${member.address}:${String(ports.peer)}`],
      ...(member.name === '' ? {} : { clientURLs: [`https://${member.address}:${String(ports.client)}`] }),
      ...(member.isLearner ? { isLearner: true } : {}),
    };
  }
  const list = () => [...members.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).map(shown);
  const json = (value: unknown, status = 200): EtcdAnswer => ({
    status,
    contentType: 'application/json',
    body: JSON.stringify(value),
    trailer: status !== 200,
  });
  const failure = (code: number, text: string): EtcdAnswer =>
    json({ error: text, message: text, code }, HTTP_OF_CODE[code] ?? 500);

  const ACTIVE_ENOUGH = (member: ModelMember) =>
    member.running && clock.nowMs() - member.activeSinceMs >= healthIntervalMs;

  /** etcd's strict reconfiguration check for an added voter: enough started members, and all long connected. */
  function mayAdd(isLearner: boolean): EtcdAnswer | undefined {
    const started = voters().filter((member) => member.name !== '').length;
    const size = voters().length + (isLearner ? 0 : 1);
    if (voters().length !== 1 && started < Math.floor(size / 2) + 1)
      return failure(2, 'etcdserver: re-configuration failed due to not enough started members');
    // The member that is asked counts itself as connected; only the others must have been for long.
    const others = voters().filter((member) => member.id !== leaderId);
    if (!others.every(ACTIVE_ENOUGH)) return failure(14, 'etcdserver: unhealthy cluster');
    return undefined;
  }
  function mayRemove(target: ModelMember): EtcdAnswer | undefined {
    if (target.isLearner) return undefined;
    const rest = voters().filter((member) => member.id !== target.id);
    const started = rest.filter((member) => member.name !== '').length;
    if (voters().length === 1 || started < Math.floor(rest.length / 2) + 1)
      return failure(2, 'etcdserver: re-configuration failed due to not enough started members');
    if (!target.running) return undefined;
    const active = voters().filter((member) => member.id === leaderId || ACTIVE_ENOUGH(member)).length;
    if (active - 1 < 1 + Math.floor((voters().length - 1) / 2))
      return failure(14, 'etcdserver: unhealthy cluster');
    return undefined;
  }

  function add(address: string, isLearner = false): EtcdAnswer {
    const via = leader();
    if (via === undefined) return failure(14, 'etcdserver: request timed out');
    if (at(address) !== undefined) return failure(9, 'etcdserver: Peer URLs already exists');
    const refusal = mayAdd(isLearner);
    if (refusal !== undefined) return refusal;
    const member: ModelMember = {
      id: randomId(),
      name: '',
      address,
      isLearner,
      running: false,
      activeSinceMs: 0,
    };
    members.set(member.id, member);
    index += 1n;
    return json({ header: header(via, false), member: shown(member), members: list() });
  }

  function remove(id: bigint): EtcdAnswer {
    const via = leader();
    if (via === undefined) return failure(14, 'etcdserver: request timed out');
    const target = members.get(id);
    if (target === undefined) return failure(5, 'etcdserver: member not found');
    const refusal = mayRemove(target);
    if (refusal !== undefined) return refusal;
    const answer = () => json({ header: header(via, false), members: list() });
    members.delete(id);
    index += 1n;
    if (target.running) {
      target.running = false;
      clock.after(20, () => {
        for (const listener of removedListeners) listener(target.address);
      });
    }
    if (leaderId === id) {
      leaderId = 0n;
      electSoon();
    }
    return answer();
  }

  function status(member: ModelMember): EtcdAnswer {
    const now = leader();
    return json({
      header: header(member, true),
      version: VERSION,
      dbSize: String(DATABASE_BYTES),
      ...(now === undefined ? {} : { leader: String(now.id) }),
      raftIndex: String(index),
      raftTerm: String(term),
      raftAppliedIndex: String(index),
      ...(now === undefined ? { errors: ['etcdserver: no leader'] } : {}),
      dbSizeInUse: '16384',
      ...(member.isLearner ? { isLearner: true } : {}),
    });
  }

  function alarm(request: Record<string, unknown>): EtcdAnswer {
    const { memberID = '0', alarm: kind = '' } = request as { memberID?: string; alarm?: string };
    const key = `${memberID} ${kind}`;
    if (request['action'] === 'ACTIVATE') alarms.set(key, { memberID, alarm: kind });
    const shownAlarms = [...alarms.values()];
    if (request['action'] === 'DEACTIVATE') alarms.delete(key);
    return json(shownAlarms.length === 0 ? {} : { alarms: shownAlarms });
  }

  function transfer(member: ModelMember, request: Record<string, unknown>): EtcdAnswer {
    if (member.id !== leader()?.id) return failure(9, 'etcdserver: not leader');
    const target = idOf(request['targetID']);
    const chosen = target === undefined ? undefined : members.get(target);
    if (chosen === undefined || chosen.isLearner || !chosen.running)
      return failure(9, 'etcdserver: bad leader transferee');
    if (chosen.id !== leaderId) {
      leaderId = chosen.id;
      term += 1n;
    }
    return json({ header: header(member, true) });
  }

  /** The database, and its SHA-256 as the last 32 bytes, as `snapshot` sends it. */
  function snapshot(): EtcdAnswer {
    const file = databaseOf(revision);
    const hash = createHash('sha256').update(file).digest();
    const part = (bytes: Uint8Array) =>
      `${JSON.stringify({ result: { blob: Buffer.from(bytes).toString('base64') } })}\n`;
    return { status: 200, contentType: 'application/json', body: part(file) + part(hash), trailer: true };
  }

  function post(member: ModelMember, path: string, body: string): EtcdAnswer {
    let request: Record<string, unknown>;
    try {
      request = JSON.parse(body) as Record<string, unknown>;
    } catch (error) {
      return failure(3, (error as Error).message);
    }
    if (path === '/v3/cluster/member/list') return json({ header: header(member, false), members: list() });
    if (path === '/v3/maintenance/status') return status(member);
    if (path === '/v3/maintenance/alarm') return alarm(request);
    if (path === '/v3/maintenance/transfer-leadership') return transfer(member, request);
    if (path === '/v3/maintenance/snapshot') return snapshot();
    if (path === '/v3/cluster/member/remove') return remove(idOf(request['ID']) ?? 0n);
    if (path === '/v3/cluster/member/add') {
      const url = (request['peerURLs'] as string[] | undefined)?.[0] ?? '';
      return add(new URL(url).hostname, request['isLearner'] === true);
    }
    return { status: 404, contentType: 'text/plain; charset=utf-8', body: 'Not Found\n', trailer: false };
  }

  return {
    version: VERSION,
    members: () => [...members.values()],
    leader,
    hasQuorum,
    bootstrap(first) {
      for (const { name, address } of first) {
        const member = {
          id: randomId(),
          name,
          address,
          isLearner: false,
          running: true,
          activeSinceMs: clock.nowMs(),
        };
        members.set(member.id, member);
      }
      elect();
    },
    add,
    remove,
    start(name, address) {
      const member = at(address);
      if (member === undefined) return false;
      member.name = name;
      if (!member.running) member.activeSinceMs = clock.nowMs();
      member.running = true;
      index += 1n;
      elect();
      return true;
    },
    stop(address) {
      const member = at(address);
      if (member === undefined) return;
      member.running = false;
      if (member.id === leaderId) {
        leaderId = 0n;
        electSoon();
      }
    },
    answer(address, method, path, body) {
      const member = at(address);
      if (member === undefined || !member.running) return failure(14, 'etcdserver: server stopped');
      const text = (value: string, code: number): EtcdAnswer => ({
        status: code,
        contentType: 'text/plain; charset=utf-8',
        body: value,
        trailer: false,
      });
      if (path === '/health')
        return leader() === undefined ? text('{"health":"false"}', 503) : text('{"health":"true"}', 200);
      if (path === '/version') return json({ etcdserver: VERSION, etcdcluster: '3.4.0' });
      if (method !== 'POST') return text('Method Not Allowed\n', 405);
      return post(member, path, body);
    },
    onRemoved(listener) {
      removedListeners.push(listener);
    },
  };
}

/** The decimal string (or JSON number) of a request as an id. */
function idOf(value: unknown): bigint | undefined {
  try {
    return BigInt(value as string);
  } catch {
    return undefined;
  }
}
