/** The parts of the lab as its first lines and its JSON name them: real or a stand-in, and how much each was used. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PowerShell } from '../test/powershell/engine.ts';
import type { BridgeProcess } from './bridge-process.ts';
import type { ExampleInput } from './example.ts';
import type { RunningDns } from './servers/dns/dns.ts';
import { etcdServed } from './servers/etcd-served.ts';
import type { PowerShellHost } from './servers/powershell.ts';
import type { RunningProxy } from './servers/proxy/proxy.ts';
import type { LabWorld } from './world/create.ts';
import type { EtcdCluster } from './world/world.ts';

export interface Component {
  name: string;
  /** What a user has too; otherwise a stand-in of the lab. */
  real: boolean;
  version: string;
  calls(): number | Promise<number>;
}

export interface Parts {
  world: LabWorld;
  example: ExampleInput;
  etcd: EtcdCluster;
  /** Requests that the stand-in of etcd has answered. */
  etcdCalls(): number;
  bridges: readonly BridgeProcess[];
  proxy: RunningProxy;
  dns: RunningDns;
  /** The hosts whose scripts run in the real engine. */
  powershell: readonly PowerShellHost[];
  engine: PowerShell | undefined;
}

export function componentsOf(parts: Parts): Component[] {
  const { world, example, etcd, bridges, proxy, dns } = parts;
  const counted = (name: string) => () => world.calls.get(name) ?? 0;
  const { user, gitops } = example.repositories;
  const commits = () => commitsOf(user) + commitsOf(gitops);
  const commitsAtFirst = commits();
  const entries = () => bridges.reduce((sum, bridge) => sum + entriesOf(bridge), 0);
  const entriesAtFirst = entries();
  return [
    {
      name: bridges.length === 1 ? 'bridge' : `${bridges.length} bridges`,
      real: true,
      version: bridgeVersion(bridges[0]),
      calls: () => entries() - entriesAtFirst,
    },
    { name: 'git', real: true, version: gitVersion(), calls: () => commits() - commitsAtFirst },
    {
      name: 'nginx',
      real: proxy.nginx.kind === 'real',
      version: proxy.nginx.version,
      calls: () => proxy.nginx.calls(),
    },
    {
      name: 'sshd',
      real: proxy.sshd.kind === 'real',
      version: proxy.sshd.version,
      calls: () => proxy.sshd.calls(),
    },
    { name: 'DNS', real: dns.kind === 'real', version: dns.version, calls: () => dns.calls() },
    {
      name: 'etcd',
      real: etcd.kind === 'real',
      version: etcd.version,
      calls: () => (etcd.kind === 'real' ? etcdServed(world, example) : parts.etcdCalls()),
    },
    { name: 'Kubernetes API', real: false, version: world.kube.version, calls: counted('kubernetes') },
    { name: 'rke', real: false, version: 'v1.2.23', calls: counted('rke') },
    ...engineOf(parts),
    { name: 'node SSH', real: false, version: 'ssh2', calls: counted('ssh') },
    { name: 'ingress and shop', real: false, version: 'lab', calls: counted('ingress') },
  ];
}

/** The engine and, where it is the real one, the modules that only a Windows Server has. */
function engineOf({ world, powershell, engine }: Parts): Component[] {
  const name = 'PowerShell engine';
  const calls = () => world.calls.get('bridge-engine') ?? 0;
  if (engine === undefined) return [{ name, real: false, version: 'lab', calls }];
  const sum = (of: (host: PowerShellHost) => number) => () =>
    powershell.reduce((total, host) => total + of(host), 0);
  return [
    { name, real: true, version: engine.version, calls: sum((host) => host.starts()) },
    { name: 'Hyper-V module', real: false, version: 'lab', calls: sum((host) => host.cmdlets()) },
  ];
}

/** Commits beyond the first one: each is a push of the cycle. */
function commitsOf(repository: string): number {
  return Number(execFileSync('git', ['-C', repository, 'rev-list', '--count', 'refs/heads/main']));
}

function gitVersion(): string {
  return execFileSync('git', ['--version'], { encoding: 'utf8' })
    .replace(/^git version /, '')
    .trim();
}

/** Entries of the bridge's own log: a job has one for each of its states. */
function entriesOf(bridge: BridgeProcess): number {
  const log = join(bridge.dataDir, 'audit.log');
  return existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0;
}

/** As the bridge wrote it when it began: the first line of its log. */
function bridgeVersion(bridge: BridgeProcess | undefined): string {
  const log = bridge && join(bridge.dataDir, 'audit.log');
  const text = log !== undefined && existsSync(log) ? readFileSync(log, 'utf8') : '';
  return /"bridgeVersion":"([^"]+)"/.exec(text)?.[1] ?? 'unknown';
}
