/** What `rke up` would do: cluster.yml against the state of the last run that completed. */
import { readYml } from './cluster-yml-read.ts';
import type { ClusterYml, RkeRole } from './cluster-yml.ts';
import type { RkeState } from './state.ts';

export interface Difference {
  /** As in cluster.yml: `services.kubelet.extra_args.max-pods`. */
  path: string;
  /** undefined: not in the file. */
  file: unknown;
  /** undefined: not in currentState. */
  state: unknown;
}

export interface NodeChanges {
  /** Addresses. */
  added: string[];
  removed: string[];
  changed: { address: string; adds: RkeRole[]; drops: RkeRole[] }[];
  /** Another name or inner address: rke would leave the old Node or member behind. */
  renamed: { address: string; key: 'hostname_override' | 'internal_address'; file: string; state: string }[];
  /** Roles whose hosts stand in another order: rke would make all of their containers anew. */
  reordered: RkeRole[];
}

/**
 * What rke would apply besides nodes. A key of the file must have the value that currentState has; a key that
 * only currentState has counts where no default of rke's would put it (arguments, SANs, add-ons …).
 */
export function differsFromState(text: string, state: RkeState): Difference[] {
  const file = { ...readYml(text).plain };
  delete file['nodes'];
  const found: Difference[] = [];
  compare(file, state.current.config, [], found);
  return found;
}

/** What rke would do to nodes; an entry is known by its address. */
export function nodeChanges(yml: Pick<ClusterYml, 'nodes'>, state: RkeState): NodeChanges {
  const before = new Map(state.current.nodes.map((node) => [node.address, node]));
  const changes: NodeChanges = { added: [], removed: [], changed: [], renamed: [], reordered: [] };
  for (const node of yml.nodes) {
    const was = before.get(node.address);
    before.delete(node.address);
    if (was === undefined) {
      changes.added.push(node.address);
      continue;
    }
    const adds = node.roles.filter((role) => !was.roles.includes(role));
    const drops = was.roles.filter((role) => !node.roles.includes(role));
    if (adds.length > 0 || drops.length > 0) changes.changed.push({ address: node.address, adds, drops });
    const { address } = node;
    for (const [key, file, stated] of [
      ['hostname_override', node.hostnameOverride, was.hostnameOverride.toLowerCase()],
      ['internal_address', node.internalAddress, was.internalAddress],
    ] as const)
      if ((file || address) !== (stated || address))
        changes.renamed.push({ address, key, file: file || address, state: stated || address });
  }
  changes.removed.push(...before.keys());
  // Their addresses are arguments of each other: of etcd's members, and of the proxies to the apiservers.
  for (const role of ['etcd', 'controlplane'] as const) {
    const [now, then] = [hosts(yml.nodes, role), hosts(state.current.nodes, role)];
    const both = (list: string[]) =>
      list.filter((address) => now.includes(address) && then.includes(address));
    if (both(now).join() !== both(then).join()) changes.reordered.push(role);
  }
  return changes;
}

function hosts(nodes: readonly { address: string; roles: readonly RkeRole[] }[], role: RkeRole): string[] {
  return nodes.filter((node) => node.roles.includes(role)).map((node) => node.address);
}

/** Where a person's own values live: what currentState has there and the file lacks was taken out of the file. */
const OWN_VALUES =
  /(^|\.)(extraargs|extraargsarray|extrabinds|extraenv|sans|addons|addonsinclude|privateregistries)(\.|$)/;

/** Put there by rke 1.2 itself (data: a real state file). */
const SET_BY_RKE: readonly RegExp[] = [
  /^services\.etcd\.extraargs\.(electiontimeout|heartbeatinterval)$/,
  /^services\.[a-z]+\.extraenv$/,
];

function compare(file: unknown, state: unknown, path: string[], found: Difference[]): void {
  if (isRecord(file) && (isRecord(state) || state === undefined)) {
    const stated = new Map(Object.entries(state ?? {}).map(([key, value]) => [folded(key), { key, value }]));
    for (const [key, value] of Object.entries(file)) {
      compare(value, stated.get(folded(key))?.value, [...path, key], found);
      stated.delete(folded(key));
    }
    for (const { key, value } of stated.values()) missing(value, [...path, key], found);
    return;
  }
  if (plain(file) !== plain(state)) found.push({ path: path.join('.'), file, state });
}

function missing(state: unknown, path: string[], found: Difference[]): void {
  if (isRecord(state)) {
    for (const [key, value] of Object.entries(state)) missing(value, [...path, key], found);
    return;
  }
  const name = path.map(folded).join('.');
  if (plain(state) === '' || !OWN_VALUES.test(name) || SET_BY_RKE.some((rule) => rule.test(name))) return;
  found.push({ path: path.join('.'), file: undefined, state });
}

/** `kube-api`, `extra_args` and `extraArgs` name the same key in the file and in the state. */
function folded(key: string): string {
  return key.replace(/[-_]/g, '').toLowerCase();
}

/** Numbers and texts are alike (`22` and `"22"`), and so are nothing, false, zero and what is empty. */
function plain(value: unknown): string {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return '';
  if (Array.isArray(value)) return value.length === 0 ? '' : JSON.stringify(value.map(plain));
  if (isRecord(value)) {
    const entries = Object.entries(value).map(([key, one]) => [folded(key), plain(one)] as const);
    const kept = entries.filter(([, one]) => one !== '').sort(([a], [b]) => (a < b ? -1 : 1));
    return kept.length === 0 ? '' : JSON.stringify(kept);
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
