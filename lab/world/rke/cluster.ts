/** The cluster of one `rke up`: which hosts it wants, which of them it reached, and what was there before. */
import type { Bundle } from '../certs/bundle.ts';
import type { NodeEntry, RkeConfig } from './config.ts';
import type { Host } from './containers.ts';
import type { RkeState } from './state.ts';

export type Role = 'controlplane' | 'etcd' | 'worker';

export interface RkeHost extends Host {
  node: NodeEntry;
}

export interface Cluster {
  config: RkeConfig;
  /** Undefined when no state could be read. */
  state: RkeState | undefined;
  bundle: Bundle;
  /** Reached, in the order of cluster.yml. */
  hosts: RkeHost[];
  /** In cluster.yml, not reached. */
  inactive: NodeEntry[];
  /** Of currentState. */
  before: NodeEntry[];
  /** No currentState: rke calls the cluster newly generated, whatever runs on the hosts. */
  fresh: boolean;
  apiserverCertChanged: boolean;
  etcdCertsChanged: boolean;
  /** Addresses whose etcd was added in this run: it starts with `existing`. */
  etcdAdded: Set<string>;
}

export const hasRole = (node: { role: readonly string[] }, role: Role): boolean => node.role.includes(role);

export function withRole(cluster: Cluster, role: Role): RkeHost[] {
  return cluster.hosts.filter((host) => hasRole(host.node, role));
}

/** Nodes of currentState with this role that cluster.yml no longer gives it; a host that was not reached stays. */
export function leaving(cluster: Cluster, role: Role): NodeEntry[] {
  const kept = new Set(
    [...cluster.hosts.map((host) => host.node), ...cluster.inactive]
      .filter((node) => hasRole(node, role))
      .map((node) => node.address),
  );
  const absent = new Set(cluster.inactive.map((node) => node.address));
  return cluster.before.filter(
    (node) => hasRole(node, role) && !kept.has(node.address) && !absent.has(node.address),
  );
}

/** Hosts that get this role now. */
export function joining(cluster: Cluster, role: Role): RkeHost[] {
  return withRole(cluster, role).filter(
    (host) => !cluster.before.some((node) => node.address === host.node.address && hasRole(node, role)),
  );
}

export const memberName = (node: { hostnameOverride: string }): string => `etcd-${node.hostnameOverride}`;

export function tools(cluster: { config: RkeConfig }): string {
  return cluster.config.systemImages['alpine'] ?? '';
}

export function hyperkube(cluster: { config: RkeConfig }): string {
  return cluster.config.systemImages['kubernetes'] ?? '';
}

/** `v1.20.15` of `v1.20.15-rancher2-1`. */
export function plainVersion(config: RkeConfig): string {
  return config.kubernetesVersion.replace(/-.*$/, '');
}

const ROLE_LABEL = 'node-role.kubernetes.io/';

export function wantedLabels(node: NodeEntry): Record<string, string> {
  return {
    ...Object.fromEntries(node.role.map((role) => [`${ROLE_LABEL}${role}`, 'true'])),
    ...node.labels,
  };
}

type NodeTaint = NonNullable<NodeEntry['taints']>[number];

/** Its own taints, and those of a node without the worker role: NoExecute for etcd, past every budget (facts/rke.md, 3). */
export function wantedTaints(node: NodeEntry): NodeTaint[] {
  const roles: NodeTaint[] = [];
  if (!hasRole(node, 'worker')) {
    if (hasRole(node, 'etcd')) roles.push({ key: `${ROLE_LABEL}etcd`, value: 'true', effect: 'NoExecute' });
    if (hasRole(node, 'controlplane'))
      roles.push({ key: `${ROLE_LABEL}controlplane`, value: 'true', effect: 'NoSchedule' });
  }
  return [...roles, ...(node.taints ?? [])];
}
