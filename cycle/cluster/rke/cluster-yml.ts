/** RKE's cluster.yml as a person wrote it: its nodes, and what rke would refuse or silently get wrong. */
import { finding } from '../finding.ts';
import type { Finding } from '../finding.ts';
import { duplicateKeys, readYml, recordOf } from './cluster-yml-read.ts';
import type { ParsedYml } from './cluster-yml-read.ts';

export { addNode, diffLines, dropRole, removeNode, restoreRole } from './cluster-yml-edit.ts';
export type { Edit, NewNode } from './cluster-yml-edit.ts';
export { differsFromState, nodeChanges } from './cluster-yml-state.ts';
export type { Difference, NodeChanges } from './cluster-yml-state.ts';
export { readYml, recordOf } from './cluster-yml-read.ts';
export type { ParsedYml } from './cluster-yml-read.ts';

export type RkeRole = 'controlplane' | 'etcd' | 'worker';
export const RKE_ROLES: readonly RkeRole[] = ['controlplane', 'etcd', 'worker'];

export interface RkeTaint {
  key: string;
  value: string;
  effect: string;
}

export interface RkeNode {
  address: string;
  internalAddress?: string | undefined;
  /** As rke reads it: lower case. */
  hostnameOverride?: string | undefined;
  roles: RkeRole[];
  user?: string | undefined;
  port?: string | undefined;
  labels: Record<string, string>;
  taints: RkeTaint[];
  sshKeyPath?: string | undefined;
  sshAgentAuth?: boolean | undefined;
  dockerSocket?: string | undefined;
  /** 1-based line of the entry. */
  line: number;
}

export interface ClusterYml {
  nodes: RkeNode[];
  kubernetesVersion?: string | undefined;
  clusterName?: string | undefined;
  /** `authentication.sans`. */
  sans: string[];
  /** `upgrade_strategy.drain`: rke drains each node that it upgrades, by its own rules. */
  drainOnUpgrade: boolean;
  /** What rke would refuse, and what it would silently accept and should not. */
  problems: Finding[];
}

const understood = new WeakMap<ParsedYml, ClusterYml>();

/** The result is shared with everybody who reads the same text. @throws CodedError NC3201 as `readYml` does. */
export function parseClusterYml(text: string): ClusterYml {
  const parsed = readYml(text);
  const known = understood.get(parsed) ?? understand(parsed);
  understood.set(parsed, known);
  return known;
}

function understand(parsed: ParsedYml): ClusterYml {
  const { seq, lines, plain } = parsed;
  const raw = Array.isArray(plain['nodes']) ? plain['nodes'].map(recordOf) : [];
  const nodes = raw.map((node, index) => {
    const at = (seq.items[index] as { range?: [number, number, number] | null } | undefined)?.range?.[0] ?? 0;
    return nodeOf(node, lines.linePos(at).line);
  });
  const sans = recordOf(plain['authentication'])['sans'];
  return {
    nodes,
    kubernetesVersion: textOf(plain['kubernetes_version']),
    clusterName: textOf(plain['cluster_name']),
    sans: Array.isArray(sans) ? sans.map(String) : [],
    drainOnUpgrade: recordOf(plain['upgrade_strategy'])['drain'] === true,
    problems: [...duplicateKeys(parsed), ...problemsOf(raw, nodes)],
  };
}

/** By address, hostname_override or internal_address, in this order; undefined when none or more than one fits. */
export function findNode(yml: Pick<ClusterYml, 'nodes'>, node: string): RkeNode | undefined {
  const wanted = node.toLowerCase();
  for (const key of ['address', 'hostnameOverride', 'internalAddress'] as const) {
    const found = yml.nodes.filter((one) => one[key]?.toLowerCase() === wanted);
    if (found.length > 0) return found.length === 1 ? found[0] : undefined;
  }
  return undefined;
}

function nodeOf(node: Record<string, unknown>, line: number): RkeNode {
  const roles = Array.isArray(node['role']) ? node['role'].map(String) : [];
  const taints = Array.isArray(node['taints']) ? node['taints'].map(recordOf) : [];
  return {
    address: textOf(node['address']) ?? '',
    internalAddress: textOf(node['internal_address']),
    hostnameOverride: textOf(node['hostname_override'])?.toLowerCase(),
    roles: RKE_ROLES.filter((role) => roles.includes(role)),
    user: textOf(node['user']),
    port: textOf(node['port']),
    labels: Object.fromEntries(
      Object.entries(recordOf(node['labels'])).map(([key, value]) => [key, String(value)]),
    ),
    taints: taints.map((taint) => ({
      key: String(taint['key']),
      value: textOf(taint['value']) ?? '',
      effect: String(taint['effect']),
    })),
    sshKeyPath: textOf(node['ssh_key_path']),
    sshAgentAuth: typeof node['ssh_agent_auth'] === 'boolean' ? node['ssh_agent_auth'] : undefined,
    dockerSocket: textOf(node['docker_socket']),
    line,
  };
}

function problemsOf(raw: readonly Record<string, unknown>[], nodes: readonly RkeNode[]): Finding[] {
  const found: Finding[] = [];
  const problem = (message: string, evidence: string[] = []) =>
    found.push(finding('NC3202', message, evidence));
  const names = new Map<string, string>();
  const claim = (name: string | undefined, what: string) => {
    if (name === undefined || name === '') return;
    const other = names.get(name);
    if (other === undefined) names.set(name, what);
    else problem(`${name} names two nodes: ${other} and ${what}.`, [name]);
  };
  raw.forEach((entry, index) => {
    const node = nodes[index];
    if (node === undefined) return;
    const where = `node ${index + 1} (line ${node.line})`;
    if (node.address === '') problem(`Expected an address for ${where}.`);
    if (node.user === undefined) problem(`Expected a user for ${where}.`);
    const roles = entry['role'];
    if (!Array.isArray(roles))
      problem(
        `Expected a list of roles for ${where}, found ${roles === undefined ? 'none' : JSON.stringify(roles)}.`,
      );
    else if (roles.length === 0) problem(`Expected at least one role for ${where}.`);
    else rolesOf(roles.map(String), where, problem);
    claim(node.address, where);
    if (node.hostnameOverride !== node.address) claim(node.hostnameOverride, where);
    if (node.internalAddress !== node.address) claim(node.internalAddress, where);
  });
  for (const role of ['controlplane', 'etcd'] as const) {
    if (!nodes.some((node) => node.roles.includes(role)))
      problem(`Expected at least one node with the role ${role}.`);
  }
  return found;
}

function rolesOf(roles: readonly string[], where: string, problem: (message: string) => void): void {
  for (const role of new Set(roles)) {
    if (!RKE_ROLES.some((known) => known === role)) {
      problem(`Expected controlplane, etcd or worker as a role of ${where}, found ${role}.`);
    }
    // rke lists the host twice then, which hides its own check for etcd (ran).
    if (roles.filter((one) => one === role).length > 1)
      problem(`The role ${role} is there twice for ${where}.`);
  }
}

export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}
