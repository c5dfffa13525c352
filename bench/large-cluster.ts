/** A healthy cluster of any size as PlanCycle observes it, its first worker just past the age limit. */
import { parse } from 'yaml';
import { parseClusterYml, recordOf } from '../cycle/cluster/rke/cluster-yml.ts';
import type { RkeRole } from '../cycle/cluster/rke/cluster-yml.ts';
import type { KubeNode } from '../cycle/cluster/kubernetes/observation.ts';
import type { StateNode } from '../cycle/cluster/rke/state.ts';
import { loadConfig } from '../cycle/config.ts';
import type { Config } from '../cycle/config.ts';
import { NO_FACTS } from '../cycle/facts.ts';
import type { PlanWorld } from '../cycle/steps/plan-cycle.ts';
import type { VmView } from '../agent-bridge/protocol/operations.ts';

const NOW_MS = Date.UTC(2026, 4, 4, 1, 30);
const DAY_MS = 86_400_000;
const CONTROL_PLANES = 3;

const CONFIGURATION = `cluster: big
rke: { config: cluster.yml, branch: main }
addresses: { source: static, ranges: [10.200.0.10-10.200.0.99] }
vm: { image: ubuntu-node, sizes: { controlplane: server, etcd: server, worker: agent } }
`;

interface Place {
  name: string;
  address: string;
  roles: RkeRole[];
  bornMs: number;
  id: string;
  mac: string;
}

export function largeCluster(nodes: number): { config: Config; world: PlanWorld } {
  const loaded = loadConfig(CONFIGURATION, 'node-cycle.yml');
  if (!('config' in loaded))
    throw new Error(loaded.errors.map(({ path, expected }) => `${path}: ${expected}`).join('; '));
  const places = Array.from({ length: nodes }, (_, index) => place(index));
  const text = clusterYml(places);
  const state = places.map(stateNode);
  const rest = recordOf(parse(text));
  delete rest['nodes'];
  const ok = Object.fromEntries(places.map(({ address }) => [address, 'ok' as const]));
  const world: PlanWorld = {
    ...{ nowMs: NOW_MS, lock: undefined, facts: NO_FACTS, jobs: [], knownHosts: '', ssh: ok, apiservers: ok },
    hosts: [
      {
        ...{
          host: 'hyperv',
          memoryFreeMb: 1e6,
          memoryTotalMb: 1e8,
          diskFreeBytes: 1e13,
          vmsRunning: nodes,
        },
        images: [
          {
            id: 'ubuntu-node',
            builtAt: instant(NOW_MS - 80 * DAY_MS),
            version: '1',
            sourceHash: '0'.repeat(64),
            stale: false,
          },
        ],
        ...{ bridgeVersion: '0.1.0', certificateExpiresAt: instant(NOW_MS + 300 * DAY_MS) },
        clientPolicy: {
          ...{
            addressRanges: ['10.200.0.10-10.200.0.99'],
            switches: ['lan'],
            sizes: ['server', 'agent'],
            images: ['ubuntu-node'],
          },
          maxRunningVms: nodes + 1,
          budgetsLeft: { creations: 5, deletions: 5, imageBuilds: 1, dnsSwaps: 9, stops: 9 },
        },
      },
    ],
    vms: places.map(vmView),
    kube: {
      nodes: places.map(kubeNode),
      ...{
        pods: [],
        budgets: [],
        daemonSets: [],
        endpointSlices: [],
        volumeAttachments: [],
        persistentVolumes: [],
      },
      observedAtMs: NOW_MS,
    },
    readyInARow: Object.fromEntries(places.map(({ name }) => [name, 3])),
    etcd: {
      ...{ clusterId: 'c1', unreachable: [], disagree: false, observedAtMs: NOW_MS },
      reachable: places.slice(0, CONTROL_PLANES).map(({ address }) => `https://${address}:2379`),
      members: places.slice(0, CONTROL_PLANES).map(({ name, address }, index) => ({
        ...{ id: `${index + 1}`, name: `etcd-${name}`, address, isLearner: false, healthy: true, alarms: [] },
        ...{ leader: index === 0, peerUrls: [`https://${address}:2380`] },
        clientUrls: [`https://${address}:2379`],
      })),
    },
    intent: { commit: '1'.repeat(40), text, yml: parseClusterYml(text) },
    state: {
      ...{
        desired: { nodes: state, config: rest },
        current: { nodes: state, config: rest },
        certificates: new Map(),
      },
      ...{ caSha256: '0'.repeat(64), caSerial: '01' },
    },
    ...{
      proxies: [],
      ingress: undefined,
      dns: [],
      probes: {},
      reservations: {},
      evidence: {},
      holderEnded: false,
      proposals: [],
      localServices: [],
    },
    history: { names: new Set(), addresses: new Set() },
  };
  return { config: loaded.config, world };
}

/** All but the first worker are younger than the limit, each by a little. */
function place(index: number): Place {
  const controlPlane = index < CONTROL_PLANES;
  const ageDays = index === CONTROL_PLANES ? 61 : 1 + ((index * 7_919) % 5_800) / 100;
  const hex = index.toString(16).padStart(6, '0');
  return {
    name: `big-n${index + 1}`,
    address: `10.${100 + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${(index % 250) + 1}`,
    roles: controlPlane ? ['controlplane', 'etcd'] : ['worker'],
    bornMs: NOW_MS - ageDays * DAY_MS,
    id: `00000000-0000-4000-8000-000000${hex}`,
    mac: `00:15:5d:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`,
  };
}

const instant = (atMs: number): string => new Date(atMs).toISOString();

function clusterYml(places: readonly Place[]): string {
  const entries = places.map(
    ({ name, address, roles }) =>
      `  - address: ${address}\n    hostname_override: ${name}\n    user: ubuntu\n    role: [${roles.join(', ')}]\n`,
  );
  return `cluster_name: big\nkubernetes_version: v1.26.15-rancher1-1\nnodes:\n${entries.join('')}`;
}

function stateNode({ name, address, roles }: Place): StateNode {
  return { address, internalAddress: address, hostnameOverride: name, roles, user: 'ubuntu', port: '22' };
}

function kubeNode({ name, address, roles, bornMs, id }: Place): KubeNode {
  const resources = { cpuMillis: 2_000, memoryBytes: 4e9, pods: 110 };
  return {
    ...{ name, uid: id, addresses: [{ type: 'InternalIP', address }], internalIp: address, ready: true },
    ...{ readyReason: 'KubeletReady', trouble: [], unschedulable: false, annotations: {}, taints: [] },
    labels: Object.fromEntries(roles.map((role) => [`node-role.kubernetes.io/${role}`, 'true'])),
    ...{ createdAtMs: bornMs, lastHeartbeatMs: NOW_MS, kubeletVersion: 'v1.26.15', osImage: 'Ubuntu 24.04' },
    ...{ containerRuntime: 'docker://26.1.4', bootId: id, resourceVersion: '1', allocatable: resources },
  };
}

function vmView({ name, address, bornMs, id, mac }: Place): VmView {
  return {
    ...{
      id,
      host: 'hyperv',
      name,
      state: 'running',
      setAside: false,
      adopted: true,
      createdAt: instant(bornMs),
    },
    marker: { cluster: 'big', node: name, address, createdAt: instant(bornMs) },
    ...{
      addresses: [address],
      mac,
      cpuCount: 2,
      memoryMb: 4_096,
      startAction: 'startIfRunning',
      startDelaySeconds: 0,
    },
    ...{ notesOwner: 'none', sshHostKeys: [] },
  };
}
