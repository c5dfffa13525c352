/**
 * All edges of one small environment at once, each with the product's own client: one proxy or a pair, a zone on two
 * servers, a GitOps repository; and the swap of one node for another over all of them.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rfc2136Zone } from '../../cycle/edge/dns/rfc2136.ts';
import type { DnsZone } from '../../cycle/edge/dns/zone.ts';
import { nginxProxy } from '../../cycle/edge/nginx/proxy.ts';
import type { Proxy } from '../../cycle/edge/nginx/proxy.ts';
import { startDns } from '../../lab/servers/dns/dns.ts';
import type { RunningDns } from '../../lab/servers/dns/dns.ts';
import { freePort } from '../../lab/servers/proxy/child.ts';
import { startProxy } from '../../lab/servers/proxy/proxy.ts';
import type { RunningProxy } from '../../lab/servers/proxy/proxy.ts';
import { dns } from '../../ports/dns.ts';
import { gitRepo } from '../../ports/git.ts';
import type { Repo } from '../../ports/ports.ts';
import { random } from '../../ports/random.ts';
import { run } from '../../ports/run.ts';
import { ssh } from '../../ports/ssh.ts';
import { startScript } from './child.ts';

export const OLD = '127.0.0.11';
export const OTHER = '127.0.0.12';
export const NEW = '127.0.0.13';
export const ZONE = 'edge.test';
export const ALIAS = { name: `tfx.${ZONE}`, type: 'A' } as const;
export const VALUES = 'ingress/values.yaml';
export const VALUES_PATH = 'controller.service.externalIPs';
export const WAIT = { deadlineMs: 30_000 };
/** Longer than any of these tests: an old worker keeps its streams until they end. */
const SHUTDOWN_SECONDS = 900;

export interface EdgeProxy {
  lab: RunningProxy;
  client: Proxy;
  ports: { http: number; http2: number; stream: number };
}

export interface Edges {
  dir: string;
  proxies: EdgeProxy[];
  dns: RunningDns;
  zone: DnsZone;
  repo: Repo;
  /** Git on the bare repository. */
  git(...args: string[]): string;
  backends: { web: number; lines: number };
  stop(): Promise<void>;
}

export interface EdgesOptions {
  proxies?: 1 | 2;
  use?: 'real' | 'stand-in';
}

export async function startEdges({ proxies: count = 1, use = 'real' }: EdgesOptions = {}): Promise<Edges> {
  const dir = mkdtempSync(join(tmpdir(), 'node-cycle-edges-'));
  // named runs as another user.
  chmodSync(dir, 0o755);
  const nodes = startScript(join(import.meta.dirname, 'backends.ts'), [OLD, OTHER, NEW]);
  const closers: (() => Promise<void>)[] = [() => nodes.end()];
  const stop = async (): Promise<void> => {
    await Promise.all(closers.map((close) => close()));
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const first = (await nodes.lines.next()) as IteratorResult<string, undefined>;
    const backends = JSON.parse(first.value ?? '') as Edges['backends'];
    const proxies: EdgeProxy[] = [];
    for (let n = 1; n <= count; n += 1) {
      const proxy = await oneProxy(join(dir, `proxy-${n}`), `edge-${n}`, backends, use);
      closers.push(() => proxy.lab.stop());
      proxies.push(proxy);
    }
    const records = [OLD, OTHER].map((data) => ({ name: 'tfx', type: 'A' as const, ttl: 1, data }));
    const zoneServers = await startDns({
      ...{ dir: join(dir, 'dns'), zone: ZONE, address: '127.0.0.1', port: 0, records, use },
      secondary: { address: '127.0.0.1', port: 0 },
    });
    closers.push(() => zoneServers.stop());
    const { servers, keyFile, nsupdate } = zoneServers;
    const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
    return {
      ...{ dir, proxies, backends, stop, dns: zoneServers },
      zone: rfc2136Zone({ zone: ZONE, servers, dns, run, keyFile, env, nsupdate }),
      ...gitOps(dir, env),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function oneProxy(
  dir: string,
  name: string,
  backends: Edges['backends'],
  use: 'real' | 'stand-in',
): Promise<EdgeProxy> {
  const [http, http2, stream] = [
    await freePort('127.0.0.1'),
    await freePort('127.0.0.1'),
    await freePort('127.0.0.1'),
  ];
  const both = (port: number) =>
    `    server ${OLD}:${port} max_fails=2 fail_timeout=1s; # node 1\n    server ${OTHER}:${port} max_fails=2 fail_timeout=1s; # node 2\n`;
  const lab = await startProxy({
    ...{ dir, address: '127.0.0.1', sshPort: 0, workerProcesses: 2, workerShutdownSeconds: SHUTDOWN_SECONDS },
    ...{ useNginx: use, useSshd: use },
    http: {
      'web.conf': `# web\nupstream web {\n${both(backends.web)}    keepalive 16;\n}\nmap $http_upgrade $connection_header { default upgrade; '' ''; }\nserver {\n    listen 127.0.0.1:${http};\n    location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_header; proxy_read_timeout 600s; }\n}\n${
        use === 'real'
          ? `server {\n    listen 127.0.0.1:${http2} http2;\n    location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }\n}\n`
          : ''
      }`,
    },
    stream: {
      'lines.conf': `upstream lines {\n${both(backends.lines)}}\nserver { listen 127.0.0.1:${stream}; proxy_pass lines; proxy_timeout 600s; }\n`,
    },
  });
  const client = nginxProxy({ name, target: lab.target, ssh, random });
  return { lab, client, ports: { http, http2, stream } };
}

function gitOps(dir: string, env: Record<string, string>): Pick<Edges, 'repo' | 'git'> {
  const [bare, work] = [join(dir, 'gitops.git'), join(dir, 'work')];
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.test', ...args], {
      encoding: 'utf8',
      env: { ...env, GIT_CONFIG_GLOBAL: '/dev/null' },
    }).trim();
  git('init', '-q', '--bare', '-b', 'main', bare);
  git('init', '-q', '-b', 'main', work);
  mkdirSync(join(work, 'ingress'));
  writeFileSync(
    join(work, VALUES),
    `# ingress\ncontroller:\n  service:\n    externalIPs:\n      - ${OLD} # node 1\n      - ${OTHER}\n    type: ClusterIP\n`,
  );
  git('-C', work, 'add', '.');
  git('-C', work, 'commit', '-qm', 'values');
  git('-C', work, 'push', '-q', bare, 'main');
  return {
    git: (...args) => git('-C', bare, ...args),
    repo: gitRepo({
      ...{ run, env, url: bare, branch: 'main', cacheDir: join(dir, 'cache') },
      credential: { kind: 'none' },
      author: { name: 'Node Cycle', email: 'node-cycle@example.test' },
    }),
  };
}
