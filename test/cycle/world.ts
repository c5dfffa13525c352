/** A healthy cluster as PlanCycle sees it: one builder for each thing in it. */
import { stringify } from 'yaml';
import { parse } from 'zod/mini';
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import type { KubeNode, KubePod } from '../../cycle/cluster/kubernetes/observe.ts';
import { parseClusterYml } from '../../cycle/cluster/rke/cluster-yml.ts';
import { configSchema, type Config, type Role } from '../../cycle/config/schema.ts';
import type { DnsRecord } from '../../ports/ports.ts';
import { NO_FACTS } from '../../cycle/facts.ts';
import type { HostSeen } from '../../cycle/hosts.ts';
import { memberName, type World } from '../../cycle/observed.ts';
import { type PlanWorld } from '../../cycle/steps/plan-cycle.ts';

export const NOW_MS = Date.parse('2026-06-15T12:00:00.000Z');
export const DAY_MS = 86_400_000;
export const ME = 'org/project/7/100';
export const ALL_ROLES: readonly Role[] = ['controlplane', 'etcd', 'worker'];
export const ROLE_SETS: readonly (readonly Role[])[] = [
  ['controlplane', 'etcd', 'worker'],
  ['controlplane', 'etcd'],
  ['controlplane', 'worker'],
  ['etcd', 'worker'],
  ['controlplane'],
  ['etcd'],
  ['worker'],
];

export interface NodeSpec {
  name: string;
  roles: readonly Role[];
  ageDays: number;
  address?: string;
  vm?: Partial<VmView> | 'none';
  kube?: Partial<KubeNode>;
}

export type Over<T> = { [K in keyof T]?: T[K] };

/** `home`, with everything that a cycle can touch: proxy, ingress values, two kinds of alias, node records. */
export function configOf(over: Record<string, unknown> = {}): Config {
  return parse(configSchema, {
    cluster: 'home',
    rke: {},
    addresses: { source: 'static', ranges: ['10.0.0.60-10.0.0.79'] },
    vm: { image: 'ubuntu-node', sizes: { controlplane: 'server', etcd: 'server', worker: 'agent' } },
    proxies: [
      {
        name: 'pi',
        host: '10.0.0.5',
        user: 'node-cycle',
        hostKey: 'ssh-ed25519 AAAA',
        probe: { url: 'http://shop.home.example/healthz' },
      },
    ],
    ingress: {
      repository: 'ssh://git@git.example/gitops.git',
      file: 'apps/ingress-nginx/values.yaml',
      path: 'controller.service.externalIPs',
      sync: { tool: 'argocd', application: 'ingress-nginx' },
      probe: { port: 80 },
    },
    dns: {
      adapter: 'rfc2136',
      zone: 'home.example',
      servers: ['10.0.0.2:53', '10.0.0.3:53'],
      keyName: 'node-cycle',
      aliases: [
        { name: 'cp-home', type: 'A', role: 'controlplane' },
        { name: 'apps', type: 'CNAME', role: 'worker' },
      ],
      ttlSeconds: 300,
    },
    ...over,
  });
}

/** The node that is due (`home-n1`, oldest) has `roles`; three members of etcd and two control planes in all cases. */
export function nodesWith(roles: readonly Role[]): NodeSpec[] {
  return [
    { name: 'home-n1', roles, ageDays: 90 },
    { name: 'home-n2', roles: ALL_ROLES, ageDays: 30 },
    { name: 'home-n3', roles: ALL_ROLES, ageDays: 20 },
    { name: 'home-n4', roles: roles.includes('etcd') ? ['worker'] : ALL_ROLES, ageDays: 10 },
  ];
}

export function worldOf(config: Config, nodes: readonly NodeSpec[] = nodesWith(ALL_ROLES)): PlanWorld {
  const specs = nodes.map((node, index) => ({ ...node, address: node.address ?? `10.0.0.${11 + index}` }));
  const text = clusterYmlText(specs);
  const yml = parseClusterYml(text);
  const workers = specs.filter((node) => node.roles.includes('worker'));
  const having = (role: Role) => specs.filter((node) => node.roles.includes(role));
  const pods = specs.flatMap(({ name, roles }) => [
    podOf(name, 'canal', 'DaemonSet', { tolerations: [{ operator: 'Exists' }] }),
    ...(roles.includes('worker')
      ? [podOf(name, 'ingress', 'DaemonSet'), podOf(name, 'web', 'ReplicaSet')]
      : []),
  ]);
  const addresses = workers.map(({ address }) => address);
  return {
    nowMs: NOW_MS,
    lock: undefined,
    facts: NO_FACTS,
    hosts: [hostOf('hv1')],
    vms: specs.flatMap((node) => (node.vm === 'none' ? [] : [{ ...vmFor(node), ...node.vm }])),
    jobs: [],
    kube: {
      nodes: specs.map((node) => ({ ...kubeNodeOf(node), ...node.kube })),
      pods,
      budgets: [],
      daemonSets: [
        {
          namespace: 'default',
          name: 'canal',
          uid: 'canal',
          desired: specs.length,
          ready: specs.length,
          tolerations: [{ operator: 'Exists' }],
        },
      ],
      endpointSlices: ['web', 'ingress'].map((service) => ({
        namespace: 'default',
        name: `${service}-abc`,
        service,
        endpoints: workers.map(({ name }) => ({
          address: `10.42.0.${name.slice(-1)}`,
          nodeName: name,
          ready: true,
          terminating: false,
          pod: { namespace: 'default', name: `${service}-${name}` },
        })),
      })),
      volumeAttachments: [],
      persistentVolumes: [],
      observedAtMs: NOW_MS,
    },
    readyInARow: Object.fromEntries(specs.map(({ name }) => [name, 3])),
    etcd: {
      clusterId: '1',
      members: having('etcd').map(({ name, address }, index) => ({
        id: String(100 + index),
        name: memberName(name),
        peerUrls: [`https://${address}:2380`],
        clientUrls: [`https://${address}:2379`],
        address,
        isLearner: false,
        healthy: true,
        leader: index === 0,
        alarms: [],
      })),
      reachable: [],
      unreachable: [],
      disagree: false,
      observedAtMs: NOW_MS,
    },
    intent: { commit: 'c0', text, yml },
    state: {
      desired: { nodes: [], config: {} },
      current: {
        nodes: specs.map(({ name, address, roles }) => ({
          address,
          internalAddress: address,
          hostnameOverride: name,
          roles: [...roles],
          user: 'rke',
          port: '22',
        })),
        config: {
          kubernetesVersion: 'v1.20.15-rancher2-1',
          authentication: { strategy: 'x509', sans: ['cp-home.home.example'] },
        },
      },
      certificates: new Map(),
      caSha256: '',
      caSerial: '',
    },
    apiservers: Object.fromEntries(having('controlplane').map(({ address }) => [address, 'ok'])),
    knownHosts: specs.map(({ address }) => `${address} ssh-ed25519 AAAA\n`).join(''),
    ssh: Object.fromEntries(specs.map(({ address }) => [address, 'ok'])),
    proxies:
      config.proxies.length === 0
        ? []
        : [
            {
              ...{ name: 'pi', files: proxyFiles(addresses), workers: ['101'] },
              ...{ loaded: 'yes', connections: {} },
            },
          ],
    ingress: config.ingress && {
      commit: 'g0',
      text: `controller:\n  service:\n    externalIPs:   # one for each worker\n${addresses.map((a) => `      - ${a}\n`).join('')}    type: ClusterIP\n`,
      addresses,
    },
    dns:
      config.dns === undefined
        ? []
        : config.dns.servers.map((server) => ({ server, serial: 7, records: recordsOf(specs) })),
    probes: {
      'proxy pi http://shop.home.example/healthz': 'ok',
      ...Object.fromEntries(addresses.map((a) => [`node ${a}`, 'ok'])),
    },
    reservations: {},
    evidence: {},
    history: {
      names: new Set(specs.map(({ name }) => name)),
      addresses: new Set(specs.map(({ address }) => address)),
    },
    holderEnded: false,
    proposals: [],
    localServices: [],
  };
}

type Placed = NodeSpec & { address: string };

function clusterYmlText(nodes: readonly Placed[]): string {
  const entries = nodes.map(
    ({ name, address, roles }) =>
      `  - address: ${address}   # ${name}\n    hostname_override: ${name}\n    user: rke\n    role: [${roles.join(', ')}]\n`,
  );
  const rest = stringify({
    kubernetes_version: 'v1.20.15-rancher2-1',
    authentication: { strategy: 'x509', sans: ['cp-home.home.example'] },
  });
  return `# The cluster at home.\nnodes:\n${entries.join('')}\n${rest}`;
}

function proxyFiles(addresses: readonly string[]): Record<string, string> {
  const servers = (port: number) => addresses.map((a) => `    server ${a}:${port} max_fails=2;\n`).join('');
  return {
    '/etc/nginx/conf.d/home.conf': `upstream ingress_http {\n    least_conn;\n${servers(80)}    keepalive 8;\n}\n`,
    '/etc/nginx/stream.d/tcp.conf': `upstream ingress_stream {\n${servers(9000)}}\n`,
  };
}

function recordsOf(nodes: readonly Placed[]): DnsRecord[] {
  const a = (name: string, data: string, ttl: number) => ({
    name: `${name}.home.example`,
    type: 'A',
    ttl,
    data,
  });
  return [
    ...nodes
      .filter((node) => node.roles.includes('controlplane'))
      .map((node) => a('cp-home', node.address, 120)),
    ...nodes.map((node) => a(node.name, node.address, 600)),
    {
      name: 'apps.home.example',
      type: 'CNAME',
      ttl: 60,
      data: `${nodes.find((node) => node.roles.includes('worker'))?.name ?? ''}.home.example`,
    },
  ];
}

/** A host with room for five more VMs, its image newer than every node. */
export function hostOf(host: string, over: Over<HostSeen> = {}): HostSeen {
  return {
    ...{
      host,
      memoryFreeMb: 65_536,
      memoryTotalMb: 131_072,
      diskFreeBytes: 2 ** 40,
      vmsRunning: 4,
    },
    images: [
      {
        id: 'ubuntu-node',
        builtAt: '2026-06-14T00:00:00.000Z',
        version: '1',
        sourceHash: 'a'.repeat(64),
        stale: false,
      },
    ],
    bridgeVersion: '0.1.0',
    certificateExpiresAt: '2027-06-14T00:00:00.000Z',
    clientPolicy: {
      addressRanges: ['10.0.0.60-10.0.0.79'],
      switches: ['lan'],
      sizes: ['server', 'agent'],
      images: ['ubuntu-node'],
      maxRunningVms: 10,
      budgetsLeft: { creations: 5, deletions: 5, imageBuilds: 2, dnsSwaps: 20, stops: 5 },
    },
    ...over,
  };
}

/** What the bridge of a host grants, changed on all hosts. */
export function granting<W extends Pick<World, 'hosts'>>(world: W, over: Over<HostSeen['clientPolicy']>): W {
  const hosts = world.hosts.map((seen) => ({ ...seen, clientPolicy: { ...seen.clientPolicy, ...over } }));
  return { ...world, hosts };
}

export function vmFor({ name, address, ageDays }: Placed): VmView {
  const createdAt = new Date(NOW_MS - ageDays * DAY_MS).toISOString();
  return {
    id: `00000000-0000-0000-0000-0000000000${name.slice(-1).padStart(2, '0')}`,
    host: 'hv1',
    name,
    state: 'running',
    setAside: false,
    adopted: true,
    marker: { cluster: 'home', node: name, address, createdAt },
    createdAt,
    imageBuiltAt: createdAt,
    addresses: [address],
    mac: '00:15:5d:00:00:01',
    cpuCount: 2,
    memoryMb: 4096,
    startAction: 'start',
    startDelaySeconds: 0,
    notesOwner: 'none',
    sshHostKeys: [],
  };
}

function kubeNodeOf({ name, address, roles, ageDays }: Placed): KubeNode {
  return {
    name,
    uid: `${name}-uid`,
    addresses: [{ type: 'InternalIP', address }],
    internalIp: address,
    ready: true,
    readyReason: 'KubeletReady',
    trouble: [],
    unschedulable: false,
    labels: Object.fromEntries(roles.map((role) => [`node-role.kubernetes.io/${role}`, 'true'])),
    annotations: {},
    taints: [],
    createdAtMs: NOW_MS - ageDays * DAY_MS,
    lastHeartbeatMs: NOW_MS - 5_000,
    kubeletVersion: 'v1.20.15',
    osImage: 'Ubuntu',
    containerRuntime: 'docker://20.10',
    bootId: `${name}-boot`,
    resourceVersion: '1',
    allocatable: { cpuMillis: 4_000, memoryBytes: 2 ** 33, pods: 110 },
  };
}

export function podOf(node: string, app: string, ownerKind: string, over: Over<KubePod> = {}): KubePod {
  return {
    namespace: 'default',
    name: `${app}-${node}`,
    uid: `${app}-${node}`,
    node,
    ownerKind,
    ownerName: ownerKind === 'ReplicaSet' ? `${app}-5d4f` : app,
    phase: 'Running',
    ready: true,
    mirror: false,
    hostNetwork: false,
    emptyDir: false,
    hostPath: false,
    claims: [],
    labels: ownerKind === 'ReplicaSet' ? { 'pod-template-hash': '5d4f' } : {},
    deleting: false,
    finalizers: [],
    requests: { cpuMillis: 100, memoryBytes: 2 ** 26, pods: 1 },
    priority: 0,
    nodeSelector: {},
    tolerations: [],
    createdAtMs: NOW_MS,
    ...over,
  };
}
