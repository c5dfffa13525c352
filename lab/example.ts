/**
 * The lab's input, as a concrete folder: somebody's cluster.yml, node-cycle.yml, known_hosts, proxy and GitOps files,
 * DNS records and VMs, made from the templates in lab/example for the addresses and ports of one run.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeSshKeyPair } from './ssh-key.ts';
import type { SshKey } from './ssh-key.ts';
import { HOME } from './example-shapes.ts';
import type { ExampleNodeShape, ExampleShape } from './example-shapes.ts';
import type { HostSpec } from './world/hosts/hosts.ts';
import { systemImages } from './world/rke/defaults.ts';

export { HOME, ROLE_SETS, SMALL, shapeWithOldest, withDue } from './example-shapes.ts';
export type { ExampleNodeShape, ExampleShape } from './example-shapes.ts';

export interface ExamplePorts {
  /** SSH of the nodes. */
  ssh: number;
  api: number;
  etcdClient: number;
  etcdPeer: number;
  /** Host ports of the ingress on each worker. */
  ingressHttp: number;
  ingressStream: number;
  /** The proxy's own listeners. */
  proxyHttp: number;
  proxyStream: number;
  proxyStatus: number;
}

export const EXAMPLE_PORTS: ExamplePorts = {
  ssh: 2222,
  api: 6443,
  etcdClient: 2379,
  etcdPeer: 2380,
  ingressHttp: 8081,
  ingressStream: 9000,
  proxyHttp: 8080,
  proxyStream: 9001,
  proxyStatus: 8088,
};

export interface ExampleOptions {
  /** Made when missing. */
  dir: string;
  /** Three numbers of an address: `127.a.b`. */
  base: string;
  ports?: Partial<ExamplePorts> | undefined;
  seed: number;
  nowMs: number;
  shape?: ExampleShape | undefined;
  /** Hyper-V hosts; the nodes go to them in turn. Default: one. */
  hosts?: number | undefined;
  /** Folder of templates; the lab's own when absent. Files without placeholders are taken as they are. */
  templates?: string | undefined;
}

export interface ExampleNode extends ExampleNodeShape {
  name: string;
  /** Where its VM is. */
  host: string;
  address: string;
  /** 12 hex digits. */
  mac: string;
  sshHostKey: SshKey;
  createdAtMs: number;
}

/** What is known only when the lab's servers run. */
export interface PublishValues {
  proxy: { address: string; port: number; user: string; hostKey: string };
  dnsServers: readonly string[];
  dnsKeyName: string;
  rkeBinary: string;
  stateDir: string;
  /** More files of the user's repository, by path: pipelines. */
  extraFiles?: Record<string, string> | undefined;
}

export interface ExampleInput {
  dir: string;
  base: string;
  seed: number;
  cluster: string;
  zone: string;
  ports: ExamplePorts;
  nodes: ExampleNode[];
  /** The key that the nodes accept: the service connection's. */
  nodeKey: SshKey;
  proxyAddress: string;
  dnsAddress: string;
  clusterYml: string;
  knownHosts: string;
  /** The proxy's include files, by name. */
  nginx: { http: Record<string, string>; stream: Record<string, string> };
  dnsRecords: { name: string; type: 'A' | 'CNAME'; ttl: number; data: string }[];
  /** For `createWorld`: each host with one golden image that is two days old. */
  hosts: HostSpec[];
  image: { id: string; version: string; sourceHash: string; builtAtMs: number };
  /** Bare repositories; `publish` fills them. */
  repositories: { user: string; gitops: string };
  /** The text of bridge.yaml with these values for what is left open in it. */
  bridgeYaml(values: Record<string, string>): string;
  /** The files of both repositories, as `publish` commits them. */
  texts(values: PublishValues): Record<'user' | 'gitops', Record<string, string>>;
  /** Writes node-cycle.yml and makes the first commit of both repositories. */
  publish(values: PublishValues): { commit: string; nodeCycleYml: string };
}

const DAY_MS = 86_400_000;
const TEMPLATES = join(dirname(fileURLToPath(import.meta.url)), 'example');
const ZONE = 'home.example';

export function makeExample(options: ExampleOptions): ExampleInput {
  const shape = options.shape ?? HOME;
  const ports: ExamplePorts = { ...EXAMPLE_PORTS, ...options.ports };
  const { base, nowMs } = options;
  const hostNames = Array.from({ length: options.hosts ?? 1 }, (_, index) => `hyperv${String(index + 1)}`);
  const nodes = shape.nodes.map((node, index): ExampleNode => ({
    ...node,
    name: `${shape.cluster}-n${String(index + 1)}`,
    host: hostNames[index % hostNames.length] ?? '',
    address: `${base}.${String(11 + index)}`,
    mac: `00155D0A0${(11 + index).toString(16).toUpperCase().padStart(3, '0')}`,
    sshHostKey: makeSshKeyPair(),
    createdAtMs: nowMs - node.ageDays * DAY_MS,
  }));
  const proxyAddress = `${base}.2`;
  const fixed = {
    base,
    cluster: shape.cluster,
    zone: ZONE,
    proxyAddress,
    proxyHttpPort: String(ports.proxyHttp),
    proxyStreamPort: String(ports.proxyStream),
    proxyStatusPort: String(ports.proxyStatus),
    ingressHttpPort: String(ports.ingressHttp),
    ...blocks(shape.cluster, nodes, ports),
  };
  const templates = options.templates ?? TEMPLATES;
  const read = (path: string) => readFileSync(join(templates, path), 'utf8');
  const fill = (path: string, more: Record<string, string> = {}) =>
    render(path, read(path), { ...fixed, ...more });
  const all = (folder: string) =>
    Object.fromEntries(readdirSync(join(templates, folder)).map((name) => [name, fill(`${folder}/${name}`)]));
  const nodeKey = makeSshKeyPair();
  const clusterYml = fill('repository/cluster.yml');
  const knownHosts = nodes
    .map(
      (node) =>
        `${ports.ssh === 22 ? node.address : `[${node.address}]:${String(ports.ssh)}`} ${node.sshHostKey.public}\n`,
    )
    .join('');
  const repositories = {
    user: join(options.dir, 'repositories', 'home.git'),
    gitops: join(options.dir, 'repositories', 'gitops.git'),
  };
  const image = {
    id: 'ubuntu-node',
    version: '22.04.20',
    sourceHash: 'a'.repeat(64),
    builtAtMs: nowMs - 2 * DAY_MS,
  };
  return {
    dir: options.dir,
    base,
    seed: options.seed,
    cluster: shape.cluster,
    zone: ZONE,
    ports,
    nodes,
    nodeKey,
    proxyAddress,
    dnsAddress: `${base}.3`,
    clusterYml,
    knownHosts,
    nginx: { http: all('http'), stream: all('stream') },
    dnsRecords: dnsRecords(shape.cluster, nodes),
    hosts: hostNames.map((name) => ({
      name,
      memoryMb: 65_536,
      diskBytes: 2 * 2 ** 40,
      images: [{ ...image, folder: 'D:\\Images\\ubuntu-node', content: imageContent() }],
    })),
    image,
    repositories,
    bridgeYaml: (values) =>
      fill('bridge.yaml', {
        nodePublicKey: nodeKey.public,
        maxRunningVms: String(nodes.length + 1),
        ...values,
      }),
    texts,
    publish(values) {
      const files = texts(values);
      const commit = firstCommit(repositories.user, join(options.dir, 'repositories', 'home'), files.user);
      firstCommit(repositories.gitops, join(options.dir, 'repositories', 'gitops'), files.gitops);
      return { commit, nodeCycleYml: files.user['node-cycle.yml'] ?? '' };
    },
  };

  function texts(values: PublishValues): Record<'user' | 'gitops', Record<string, string>> {
    const nodeCycleYml = fill('repository/node-cycle.yml', {
      rkeBinary: values.rkeBinary,
      stateDir: values.stateDir,
      proxySshPort: String(values.proxy.port),
      proxyUser: values.proxy.user,
      proxyHostKey: values.proxy.hostKey,
      proxyAddress: values.proxy.address,
      dnsServers: values.dnsServers.map((server) => JSON.stringify(server)).join(', '),
      dnsKeyName: values.dnsKeyName,
      gitopsRepository: repositories.gitops,
      placement: hostNames.length === 1 ? 'sameHost' : 'spread',
    });
    return {
      user: {
        'cluster.yml': clusterYml,
        'node-cycle.yml': nodeCycleYml,
        known_hosts: knownHosts,
        ...values.extraFiles,
      },
      gitops: {
        'README.md': fill('gitops/README.md'),
        'apps/ingress-nginx/values.yaml': fill('gitops/apps/ingress-nginx/values.yaml'),
      },
    };
  }
}

/** What the golden image brings: Docker, and the images that a join needs. */
export function imageContent(): { dockerVersion: string; images: string[] } {
  const images = systemImages('v1.20.15-rancher2-1');
  return {
    dockerVersion: '20.10.24',
    images: ['alpine', 'kubernetes', 'etcd', 'podInfraContainer', 'canalNode'].map(
      (key) => images[key] ?? '',
    ),
  };
}

/** Fills `{{name}}`; one that has no value is an error that names it. */
function render(path: string, text: string, values: Record<string, string>): string {
  return text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`lab/example/${path}: no value for {{${name}}}`);
    return value;
  });
}

/** The parts of the files that go by node, in the uneven hand of somebody who has edited them for years. */
function blocks(cluster: string, nodes: readonly ExampleNode[], ports: ExamplePorts): Record<string, string> {
  const workers = nodes.filter((node) => node.roles.includes('worker'));
  const port = (value: number) => String(value);
  const aliases = [
    [`cp-${cluster}`, 'A', 'controlplane'],
    [`tfx-${cluster}`, 'A', 'worker'],
    ...(aliasTarget(nodes) === undefined ? [] : [['dash', 'CNAME', 'worker']]),
  ];
  return {
    nodes: nodes.map((node, index) => nodeBlock(node, index, ports)).join(''),
    ingressServers: workers
      .map((node, index) => {
        const weight = index === 0 ? ' weight=2' : '';
        const comment = index === 1 ? '   # the one in the cellar' : '';
        return `    server ${node.address}:${port(ports.ingressHttp)}${weight} max_fails=2 fail_timeout=2s;${comment}\n`;
      })
      .join(''),
    streamServers: workers
      .map((node) => `\tserver ${node.address}:${port(ports.ingressStream)} max_fails=1 fail_timeout=2s;\n`)
      .join(''),
    externalIPs: workers
      .map((node, index) => `      - ${node.address}${index === 0 ? '   # also in the router' : ''}\n`)
      .join(''),
    aliases: aliases
      .map(([name = '', type = '', role = '']) => `    - { name: ${name}, type: ${type}, role: ${role} }\n`)
      .join(''),
    allow:
      nodes.filter((node) => node.roles.includes('etcd')).length === 1
        ? 'allow:\n  singleMember: true\n\n'
        : '',
  };
}

function aliasTarget(nodes: readonly ExampleNode[]): ExampleNode | undefined {
  return nodes.find((node) => node.roles.includes('worker'));
}

function nodeBlock(node: ExampleNode, index: number, ports: ExamplePorts): string {
  const ssh = ports.ssh === 22 ? '' : `      port: "${String(ports.ssh)}"\n`;
  const head = [
    index === 0 ? '    # servers\n' : '',
    `    - address: ${node.address}${index === 1 ? '      # replaced once already' : ''}\n`,
    ssh,
    `      hostname_override: ${node.name}\n`,
    '      user: ubuntu\n',
  ].join('');
  const roles =
    index % 2 === 0
      ? `      role: [${node.roles.join(', ')}]\n`
      : `      role:\n${node.roles.map((role) => `      - ${role}\n`).join('')}`;
  const labels = Object.entries(node.labels ?? {});
  const more = [
    labels.length > 0
      ? `      labels:\n${labels.map(([key, value]) => `        ${key}: ${value}\n`).join('')}`
      : '',
    (node.taints ?? []).length > 0
      ? `      taints:\n${(node.taints ?? []).map(({ key, value, effect }) => `        - key: ${key}\n${value === undefined ? '' : `          value: "${value}"\n`}          effect: ${effect}\n`).join('')}`
      : '',
  ].join('');
  return `${head}${roles}${more}\n`;
}

function dnsRecords(cluster: string, nodes: readonly ExampleNode[]): ExampleInput['dnsRecords'] {
  const ttl = 2;
  const set = (name: string, role: 'controlplane' | 'worker') =>
    nodes
      .filter((node) => node.roles.includes(role))
      .map((node) => ({ name, type: 'A' as const, ttl, data: node.address }));
  const target = aliasTarget(nodes);
  return [
    ...set(`cp-${cluster}`, 'controlplane'),
    ...set(`tfx-${cluster}`, 'worker'),
    ...nodes.map((node) => ({ name: node.name, type: 'A' as const, ttl, data: node.address })),
    ...(target === undefined
      ? []
      : [{ name: 'dash', type: 'CNAME' as const, ttl, data: `${target.name}.${ZONE}` }]),
  ];
}

/** A bare repository with one commit on main, made through a working copy that stays. Gives the commit. */
function firstCommit(bare: string, work: string, files: Record<string, string>): string {
  const git = (cwd: string, ...args: string[]) =>
    execFileSync('git', ['-c', 'init.defaultBranch=main', '-c', 'commit.gpgsign=false', ...args], {
      cwd,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: work,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_AUTHOR_NAME: 'Operator',
        GIT_AUTHOR_EMAIL: 'operator@home.example',
        GIT_COMMITTER_NAME: 'Operator',
        GIT_COMMITTER_EMAIL: 'operator@home.example',
      },
    });
  for (const folder of [bare, work]) mkdirSync(folder, { recursive: true });
  git(bare, 'init', '--quiet', '--bare');
  git(work, 'init', '--quiet');
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, path)), { recursive: true });
    writeFileSync(join(work, path), text);
  }
  git(work, 'add', '--all');
  git(work, 'commit', '--quiet', '-m', 'As it is');
  git(work, 'remote', 'add', 'origin', bare);
  git(work, 'push', '--quiet', 'origin', 'HEAD:refs/heads/main');
  return git(work, 'rev-parse', 'HEAD').trim();
}
