/**
 * The world as the steps see it. A step observes the parts that it needs; PlanCycle observes all of them and
 * follows the whole cycle through them in advance.
 */
import type { JobView } from '../agent-bridge/protocol/wire.ts';
import type { VmView } from '../agent-bridge/protocol/operations.ts';
import type { EtcdObservation } from './cluster/etcd/members.ts';
import type { KubeNode, KubeObservation } from './cluster/kubernetes/observe.ts';
import type { ObservedLock } from './cluster/kubernetes/lease.ts';
import type { ClusterYml, RkeNode } from './cluster/rke/cluster-yml.ts';
import { findNode } from './cluster/rke/cluster-yml.ts';
import type { RkeState, StateNode } from './cluster/rke/state.ts';
import type { Role } from './config/schema.ts';
import type { ServerView } from './edge/dns/zone.ts';
import type { Reservation } from './edge/reservation/service.ts';
import type { NodeEvidence } from './evidence/read.ts';
import type { Facts } from './facts.ts';
import type { HostSeen } from './hosts.ts';

/** cluster.yml at the tip of its branch. */
export interface Intent {
  commit: string;
  text: string;
  yml: ClusterYml;
}

export interface ProxySeen {
  name: string;
  files: Readonly<Record<string, string>>;
  /** Process ids of the workers that take new connections. */
  workers: readonly string[];
  /** Whether those workers are known to have read these very files. */
  loaded: 'yes' | 'unknown';
  /** Open connections by backend address. */
  connections: Readonly<Record<string, number>>;
}

export interface IngressSeen {
  commit: string;
  text: string;
  addresses: readonly string[];
  /** undefined when the cluster runs our commit or a later one, else why it does not. */
  notSynced?: string | undefined;
}

/** What a probe or a login answered: `ok`, or why not. */
export type Answer = 'ok' | (string & {});

export interface World {
  nowMs: number;
  lock: ObservedLock | undefined;
  facts: Facts;
  hosts: readonly HostSeen[];
  /** Of all hosts: an id is there once, unless a VM is known on two of them. */
  vms: readonly VmView[];
  jobs: readonly JobView[];
  kube: KubeObservation;
  /** By node: how often in a row it was seen Ready just now. */
  readyInARow: Readonly<Record<string, number>>;
  etcd: EtcdObservation;
  intent: Intent;
  state: RkeState;
  /** By address of a control-plane node: its own apiserver's /readyz. */
  apiservers: Readonly<Record<string, Answer>>;
  /** Text of known_hosts at the tip of its branch. */
  knownHosts: string;
  /** By address: an SSH login with the pinned host key and the node key. */
  ssh: Readonly<Record<string, Answer>>;
  proxies: readonly ProxySeen[];
  ingress: IngressSeen | undefined;
  /** The primary first. */
  dns: readonly ServerView[];
  /** By probe name. */
  probes: Readonly<Record<string, Answer>>;
  /** By name: what the reservation service holds. Only names that were looked up, where it can be asked by name. */
  reservations: Readonly<Record<string, Reservation | 'none'>>;
  /** By address: what a new node said of itself to this run. */
  evidence: Readonly<Record<string, NodeEvidence>>;
}

export type Slice<K extends keyof World> = Pick<World, K>;

export function kubeNode(world: Slice<'kube'>, name: string): KubeNode | undefined {
  return world.kube.nodes.find((node) => node.name === name);
}

/** The node's entry in cluster.yml, by name or address. */
export function entryOf(world: Slice<'intent'>, name: string, address?: string): RkeNode | undefined {
  return (
    findNode(world.intent.yml, name) ??
    (address === undefined ? undefined : findNode(world.intent.yml, address))
  );
}

/** The node in rke's currentState: what `rke up` last completed. */
export function stateNodeOf(world: Slice<'state'>, name: string, address?: string): StateNode | undefined {
  return world.state.current.nodes.find(
    (node) =>
      node.hostnameOverride === name ||
      node.address === name ||
      (address !== undefined && node.address === address),
  );
}

/** The cluster's VM of that node, by its marker; set-aside ones only when asked for. */
export function vmOf(
  world: Slice<'vms'>,
  cluster: string,
  node: string,
  options: { setAside?: boolean } = {},
): VmView | undefined {
  const found = world.vms.filter(
    (vm) =>
      vm.marker?.cluster === cluster &&
      vm.marker.node === node &&
      (options.setAside === true || !vm.setAside),
  );
  return found.length === 1 ? found[0] : undefined;
}

/** A node whose VM is off is dead for good: it is removed whole, and nothing on it is waited for. */
export function isOff(config: { cluster: string }, world: Slice<'vms'>, node: string): boolean {
  return vmOf(world, config.cluster, node)?.state === 'off';
}

export function vmAddress(vm: VmView | undefined): string | undefined {
  return vm?.marker?.address ?? vm?.addresses[0];
}

/** The address that was reserved for a node: where its VM will be, whatever else it shows on the way there. */
export function reservedAddress(world: Slice<'facts'>, name: string): string | undefined {
  return world.facts.reservations?.[name]?.address;
}

/** Where the VM of a node is: at the address that was reserved for it, once it shows that one, else where it shows. */
export function shownAddress(
  world: Slice<'facts'>,
  name: string,
  vm: VmView | undefined,
): string | undefined {
  const reserved = reservedAddress(world, name);
  if (vm === undefined || reserved === undefined) return vmAddress(vm);
  return vm.addresses.includes(reserved) ? reserved : undefined;
}

/** RKE names an etcd member after the node: `etcd-<hostname_override>`. */
export function memberName(node: string): string {
  return `etcd-${node}`;
}

export function memberOf(world: Slice<'etcd'>, node: string, address?: string) {
  return world.etcd.members.find(
    (member) => member.name === memberName(node) || (address !== undefined && member.address === address),
  );
}

/** The address of a node that takes part in a cycle, from wherever it is still known. */
export function addressOf(
  world: Slice<'facts' | 'vms' | 'intent'>,
  cluster: string,
  name: string,
): string | undefined {
  if (world.facts.old?.name === name) return world.facts.old.address;
  return (
    entryOf(world, name)?.address ??
    reservedAddress(world, name) ??
    vmAddress(vmOf(world, cluster, name)) ??
    (world.facts.successor?.name === name ? world.facts.successor.address : undefined)
  );
}

/** The roles that the cycle is about: those of the node that was due, as they were at its start. */
export function cycleRoles(world: Slice<'facts' | 'intent'>, leaving: string): readonly Role[] {
  return world.facts.old?.roles ?? entryOf(world, leaving)?.roles ?? [];
}

/** The world with one Node changed. */
export function withNode<W extends Slice<'kube'>>(
  world: W,
  name: string,
  change: (node: W['kube']['nodes'][number]) => W['kube']['nodes'][number],
): W {
  return {
    ...world,
    kube: {
      ...world.kube,
      nodes: world.kube.nodes.map((node) => (node.name === name ? change(node) : node)),
    },
  };
}
