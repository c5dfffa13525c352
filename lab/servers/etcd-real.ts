/** A cluster of real etcd processes (Debian's etcd 3.4), each on its machine's own address, with mutual TLS. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EtcdMaterial } from '../world/etcd/machines.ts';
import type { EtcdCluster } from '../world/world.ts';
import { gateway, parseMembers } from './etcd-gateway.ts';
import type { GatewayAnswer, ListedMember } from './etcd-gateway.ts';

export interface EtcdProcessOptions {
  /** Folder for data and certificates. */
  dir: string;
  ports: { client: number; peer: number };
  material: (address: string) => EtcdMaterial;
  binary?: string | undefined;
}

/** Long enough for etcd's HealthInterval (5 s), within which it refuses to change its members. */
const RECONFIGURE_MS = 9_000;
const START_MS = 4_000;
const CALL_MS = 2_000;
/** A leader hands over after its clients are gone. */
const LEADER_END_MS = 2_000;
/** A follower answers what it was asked; then it would wait 1 s for its own gateway's HTTP/2 connection to end. */
const FOLLOWER_END_MS = 150;
const NOT_YET = /unhealthy cluster|request timed out|leader changed|no leader/;

/** The version of the etcd on this machine, or undefined when there is none. */
export function etcdVersion(binary = 'etcd'): string | undefined {
  const answer = spawnSync(binary, ['--version'], { encoding: 'utf8', timeout: 5_000 });
  return answer.status === 0 ? /etcd Version: (\S+)/.exec(answer.stdout)?.[1] : undefined;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

interface Member {
  name: string;
  address: string;
  /** Its `--initial-cluster`, frozen when it first starts. */
  initial: { cluster: string; state: 'new' | 'existing' };
  process?: ChildProcess | undefined;
  startedMs?: number;
  log: string;
}

export function realEtcd(options: EtcdProcessOptions): EtcdCluster {
  const binary = options.binary ?? 'etcd';
  const version = etcdVersion(binary);
  if (version === undefined)
    throw new Error(`expected the program ${binary}, found none that answers --version`);
  const known = new Map<string, Member>();
  const peerUrl = (address: string) => `https://${address}:${String(options.ports.peer)}`;
  const clientUrl = (address: string) => `https://${address}:${String(options.ports.client)}`;
  const target = (address: string) => ({
    address,
    port: options.ports.client,
    material: options.material(address),
  });
  const running = () => [...known.values()].filter((member) => isAlive(member.process));

  /** Asks each running member in turn until one answers. */
  async function ask(path: string, body: unknown): Promise<GatewayAnswer> {
    let failed: unknown = new Error('no etcd member is running');
    for (const member of running()) {
      try {
        return await gateway(target(member.address), 'POST', path, body, CALL_MS);
      } catch (error) {
        failed = error;
      }
    }
    throw failed;
  }

  async function listed(): Promise<ListedMember[]> {
    return parseMembers((await ask('/v3/cluster/member/list', {})).text);
  }

  /** Repeats a change of members while etcd answers that it is not ready for one. */
  async function reconfigure(path: string, body: unknown): Promise<void> {
    const endMs = Date.now() + RECONFIGURE_MS;
    let unheard = false;
    for (;;) {
      const answer = await ask(path, body).catch((error: unknown) => ({ status: 0, text: String(error) }));
      if (answer.status === 200) return;
      // The try before was heard although its answer was not.
      if (unheard && /member not found|already exists/.test(answer.text)) return;
      unheard ||= answer.status === 0;
      const later = NOT_YET.test(answer.text) || answer.status === 0;
      if (!later || Date.now() > endMs) throw new Error(`etcd: ${path} answered ${answer.text.trim()}`);
      await pause(100);
    }
  }

  async function healthy(address: string): Promise<boolean> {
    try {
      return (await gateway(target(address), 'GET', '/health', undefined, CALL_MS)).text.includes('"true"');
    } catch {
      return false;
    }
  }

  function launch(member: Member): void {
    const home = join(options.dir, member.name);
    const material = options.material(member.address);
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const file = (name: string, text: string) => {
      const path = join(home, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    const ca = file('ca.pem', material.caPem);
    const cert = file('cert.pem', material.certPem);
    const key = file('key.pem', material.keyPem);
    const child = spawn(
      binary,
      [
        ['--name', member.name],
        ['--data-dir', join(home, 'data')],
        ['--listen-client-urls', clientUrl(member.address)],
        ['--advertise-client-urls', clientUrl(member.address)],
        ['--listen-peer-urls', peerUrl(member.address)],
        ['--initial-advertise-peer-urls', peerUrl(member.address)],
        ['--initial-cluster', member.initial.cluster],
        ['--initial-cluster-state', member.initial.state],
        ['--initial-cluster-token', 'etcd-cluster-1'],
        ['--client-cert-auth=true', '--peer-client-cert-auth=true'],
        ['--trusted-ca-file', ca, '--cert-file', cert, '--key-file', key],
        ['--peer-trusted-ca-file', ca, '--peer-cert-file', cert, '--peer-key-file', key],
        // A tenth of rke's 500 and 5000 ms: the lab's time runs faster.
        ['--heartbeat-interval', '50', '--election-timeout', '500'],
        ['--logger', 'zap', '--log-outputs', 'stderr', '--log-level', 'warn'],
      ].flat(),
      { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] ?? '' } },
    );
    child.stderr.on('data', (part: Buffer) => {
      member.log = (member.log + part.toString('utf8')).slice(-8_000);
    });
    child.on('error', (error) => {
      member.log += String(error);
    });
    member.process = child;
    member.startedMs = Date.now();
  }

  /** Until the member answers healthy, its process ends, or the time is up (a cluster without quorum). */
  async function awaitStart(member: Member): Promise<void> {
    const endMs = Date.now() + START_MS;
    while (Date.now() < endMs) {
      if (!isAlive(member.process))
        throw new Error(`etcd ${member.name} ended at its start: ${member.log.slice(-600)}`);
      if (await healthy(member.address)) return;
      await pause(30);
    }
  }

  /** Whether the cluster's leadership is elsewhere, if need be because it was handed over as etcd does at its end. */
  async function follows(member: Member): Promise<boolean> {
    const call = async (path: string, body: unknown) => {
      const { status, text } = await gateway(target(member.address), 'POST', path, body, CALL_MS);
      if (status !== 200) throw new Error(`etcd: ${path} answered ${text.trim()}`);
      return JSON.parse(text) as { header?: { member_id?: string }; leader?: string };
    };
    try {
      const { header, leader } = await call('/v3/maintenance/status', {});
      if (leader !== undefined && leader !== header?.member_id) return true;
      const others = (await listed()).filter(
        ({ name }) => name !== member.name && isAlive(known.get(name)?.process),
      );
      // Whoever has run for the shortest time was just restarted: a rolling restart does not come to it next.
      const heir = others.sort((a, b) => startedMs(b.name) - startedMs(a.name))[0];
      if (heir === undefined) return false;
      await call('/v3/maintenance/transfer-leadership', { targetID: heir.id });
      return true;
    } catch {
      return false;
    }
  }

  const startedMs = (name: string): number => known.get(name)?.startedMs ?? 0;

  async function stop(name: string, how: 'term' | 'kill'): Promise<void> {
    const member = known.get(name);
    const child = member?.process;
    if (member === undefined || child === undefined || !isAlive(child)) return;
    const graceMs = how === 'kill' ? 0 : (await follows(member)) ? FOLLOWER_END_MS : LEADER_END_MS;
    const ended = new Promise<void>((resolve) =>
      child.once('exit', () => {
        resolve();
      }),
    );
    child.kill(how === 'kill' ? 'SIGKILL' : 'SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await ended;
    clearTimeout(timer);
  }

  return {
    kind: 'real',
    version,
    async bootstrap(first) {
      const cluster = first.map(({ name, address }) => `${name}=${peerUrl(address)}`).join(',');
      const members = first.map(({ name, address }): Member => ({
        name,
        address,
        initial: { cluster, state: 'new' },
        log: '',
      }));
      for (const member of members) {
        known.set(member.name, member);
        launch(member);
      }
      await Promise.all(members.map(awaitStart));
    },
    async members() {
      const list = await listed();
      return Promise.all(
        list.map(async (member) => ({
          ...member,
          started: member.name !== '',
          healthy: member.name !== '' && (await healthy(member.address)),
        })),
      );
    },
    async memberAdd(name, address) {
      await reconfigure('/v3/cluster/member/add', { peerURLs: [peerUrl(address)] });
      // A member that is new to the cluster must not bring the data of a former life.
      rmSync(join(options.dir, name, 'data'), { recursive: true, force: true });
      const others = (await listed()).filter((member) => member.address !== address && member.name !== '');
      const cluster = [...others, { name, address }]
        .map((member) => `${member.name}=${peerUrl(member.address)}`)
        .join(',');
      known.set(name, { name, address, initial: { cluster, state: 'existing' }, log: '' });
    },
    async memberRemove(name) {
      const address = known.get(name)?.address;
      const found = (await listed()).find((member) => member.name === name || member.address === address);
      if (found === undefined) throw new Error(`etcdserver: member not found: ${name}`);
      await reconfigure('/v3/cluster/member/remove', { ID: found.id });
    },
    async start(name, address) {
      const member = known.get(name);
      if (member === undefined || member.address !== address)
        throw new Error(`etcd ${name} on ${address} was never added to the cluster`);
      if (isAlive(member.process)) return;
      member.log = '';
      launch(member);
      await awaitStart(member);
    },
    stop,
    healthy,
    async close() {
      await Promise.all([...known.keys()].map((name) => stop(name, 'kill')));
    },
  };
}

function isAlive(child: ChildProcess | undefined): boolean {
  return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
