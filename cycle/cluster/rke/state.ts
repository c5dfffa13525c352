/** RKE's state file, read with suspicion: rke itself takes a broken one for "no cluster yet". */
import { X509Certificate } from 'node:crypto';
import { CodedError } from '../../../ports/errors.ts';
import type { Wait } from '../../../ports/ports.ts';
import { Secret } from '../../../ports/secret.ts';
import type { EtcdTarget } from '../etcd/members.ts';
import { finding } from '../finding.ts';
import type { Finding } from '../finding.ts';
import { maybe } from '../kubernetes/api.ts';
import type { KubeApi } from '../kubernetes/api.ts';
import { parseKubeconfig, withServers } from '../kubernetes/kubeconfig.ts';
import type { KubeTarget } from '../kubernetes/kubeconfig.ts';
import { recordOf, RKE_ROLES, textOf } from './cluster-yml.ts';
import type { RkeRole } from './cluster-yml.ts';

export interface StateNode {
  address: string;
  internalAddress: string;
  hostnameOverride: string;
  roles: RkeRole[];
  user: string;
  port: string;
}

export interface StateCertificate {
  name: string;
  certificatePem: string;
  keyPem: Secret;
  /** A kubeconfig, for those that have one. */
  config: Secret;
}

export interface RkeState {
  desired: { nodes: StateNode[]; config: Record<string, unknown> };
  /** Empty nodes and config: no `rke up` ever got that far. `config` is rkeConfig less nodes. */
  current: { nodes: StateNode[]; config: Record<string, unknown> };
  /** Those of currentState, or of desiredState before the first run was finished. */
  certificates: ReadonlyMap<string, StateCertificate>;
  /** Of the CA certificate, lower-case hex. */
  caSha256: string;
  caSerial: string;
  /** The certificate that ends first; milliseconds since 1970. */
  firstExpiry?: { name: string; atMs: number } | undefined;
}

export type StateProblem = 'empty' | 'notJson' | 'truncated' | 'emptyObject' | 'shape' | 'noCa';

export type StateReading =
  | { ok: true; state: RkeState; neverFinished: boolean }
  | { ok: false; problem: StateProblem; message: string };

export function readState(text: string): StateReading {
  const bad = (problem: StateProblem, message: string): StateReading => ({ ok: false, problem, message });
  const trimmed = text.trim();
  if (trimmed === '') return bad('empty', 'The file is empty.');
  let json: unknown;
  try {
    json = JSON.parse(trimmed);
  } catch {
    const open = trimmed.startsWith('{') && !trimmed.endsWith('}');
    if (open) return bad('truncated', `The file ends in the middle, after ${text.length} characters.`);
    return bad('notJson', `Expected JSON, found ${JSON.stringify(trimmed.slice(0, 40))}.`);
  }
  const { desiredState, currentState } = recordOf(json);
  if (Object.keys(recordOf(json)).length === 0)
    return bad('emptyObject', 'The file holds an object without keys.');
  const desired = recordOf(desiredState);
  const current = recordOf(currentState);
  const desiredNodes = nodesOf(desired);
  const currentNodes = nodesOf(current);
  if (desiredNodes === undefined)
    return bad('shape', 'Expected desiredState.rkeConfig.nodes to be a list of nodes.');
  const neverFinished = Object.keys(current).length === 0;
  if (!neverFinished && currentNodes === undefined) {
    return bad('shape', 'Expected currentState.rkeConfig.nodes to be a list of nodes.');
  }
  const certificates = certificatesOf(neverFinished ? desired : current);
  const ca = certificateOf(certificates.get('kube-ca')?.certificatePem);
  if (ca === undefined)
    return bad('noCa', 'Expected the certificate kube-ca; it is missing or cannot be read.');
  const state: RkeState = {
    desired: { nodes: desiredNodes, config: configOf(desired) },
    current: { nodes: currentNodes ?? [], config: configOf(current) },
    certificates,
    caSha256: ca.fingerprint256.replaceAll(':', '').toLowerCase(),
    caSerial: ca.serialNumber.toLowerCase(),
    firstExpiry: firstExpiryOf(certificates),
  };
  return { ok: true, state, neverFinished };
}

/** @throws CodedError NC3210 with what `readState` found. */
export function mustReadState(text: string, where: string): RkeState {
  const reading = readState(text);
  if (reading.ok) return reading.state;
  throw new CodedError('NC3210', `${where}: ${reading.message}`, [reading.problem]);
}

/** All etcd nodes of currentState, with the certificate that the nodes themselves use. */
export function etcdTarget(state: RkeState, options: { port?: number | undefined } = {}): EtcdTarget {
  const port = options.port ?? 2379;
  const own = state.certificates.get('kube-node');
  const any = [...state.certificates.values()].find(({ name }) => name.startsWith('kube-etcd-'));
  const client = certificateOf(own?.certificatePem) === undefined ? any : own;
  return {
    endpoints: state.current.nodes
      .filter((node) => node.roles.includes('etcd'))
      .map((node) => `https://${node.internalAddress}:${port}`),
    ca: state.certificates.get('kube-ca')?.certificatePem,
    cert: client?.certificatePem,
    key: client?.keyPem,
  };
}

/** The admin's kubeconfig, pointed at `servers`, or at every control-plane node of currentState. */
export function kubeTarget(
  state: RkeState,
  options: { servers?: readonly string[] | undefined; port?: number | undefined } = {},
): KubeTarget {
  const config = state.certificates.get('kube-admin')?.config.reveal() ?? '';
  if (config === '') throw new CodedError('NC3210', 'The state file has no kubeconfig of kube-admin.');
  const nodes = state.current.nodes.filter((node) => node.roles.includes('controlplane'));
  const servers = options.servers ?? nodes.map((node) => `https://${node.address}:${options.port ?? 6443}`);
  const target = parseKubeconfig(config);
  // Every node's own address is in the certificate, so each server is verified by the name that it is asked at.
  return servers.length === 0 ? target : { ...withServers(target, servers), serverName: target.serverName };
}

/** The cluster's own copy: a ConfigMap up to 1.2, a Secret later; undefined when there is none. */
export async function readClusterCopy(api: KubeApi, wait: Wait): Promise<string | undefined> {
  interface Held {
    data?: Record<string, string>;
  }
  const at = (kind: string) => `/api/v1/namespaces/kube-system/${kind}/full-cluster-state`;
  const secret = maybe(await api.get<Held>(at('secrets'), wait), 'read the state copy (Secret)');
  const held = secret?.data?.['full-cluster-state'];
  if (held !== undefined) return Buffer.from(held, 'base64').toString('utf8');
  const map = maybe(await api.get<Held>(at('configmaps'), wait), 'read the state copy (ConfigMap)');
  return map?.data?.['full-cluster-state'];
}

/** CA, serial, node list and roles of the local file against the cluster's own copy; empty when equal. */
export function compareStates(local: RkeState, copy: RkeState): Finding[] {
  const found: Finding[] = [];
  if (local.caSha256 !== copy.caSha256) {
    const evidence = [`local CA ${local.caSha256}`, `cluster's CA ${copy.caSha256}`];
    found.push(finding('NC3211', 'The certificate authorities differ.', evidence));
  }
  const mine = rolesByAddress(local);
  const theirs = rolesByAddress(copy);
  for (const address of new Set([...mine.keys(), ...theirs.keys()])) {
    const one = mine.get(address) ?? 'not there';
    const other = theirs.get(address) ?? 'not there';
    if (one === other) continue;
    found.push(finding('NC3211', `Node ${address} differs.`, [`local: ${one}`, `cluster: ${other}`]));
  }
  return found;
}

export interface StillThere {
  /** Names of etcd's members. */
  etcdMembers: readonly string[];
  nodes: readonly { name: string; address?: string | undefined }[];
}

/** A member or Node that the cluster still has and currentState lacks: rke would leave it behind for ever (ran). */
export function missingFromState(state: RkeState, have: StillThere): Finding[] {
  const { nodes } = state.current;
  const members = new Set(
    nodes.filter((node) => node.roles.includes('etcd')).map((node) => `etcd-${node.hostnameOverride}`),
  );
  const names = new Set(nodes.map((node) => node.hostnameOverride));
  const addresses = new Set(nodes.flatMap((node) => [node.address, node.internalAddress]));
  const orphans = have.etcdMembers.filter((name) => name !== '' && !members.has(name));
  const strangers = have.nodes.filter(
    (node) => !names.has(node.name) && (node.address === undefined || !addresses.has(node.address)),
  );
  return [
    ...orphans.map((name) =>
      finding('NC3212', `etcd has the member ${name}, the state file does not.`, [name]),
    ),
    ...strangers.map(({ name }) =>
      finding('NC3212', `Kubernetes has the node ${name}, the state file does not.`, [name]),
    ),
  ];
}

function rolesByAddress(state: RkeState): Map<string, string> {
  return new Map(state.current.nodes.map((node) => [node.address, [...node.roles].sort().join(', ')]));
}

function nodesOf(part: Record<string, unknown>): StateNode[] | undefined {
  const nodes = recordOf(part['rkeConfig'])['nodes'];
  if (!Array.isArray(nodes)) return undefined;
  return nodes.map(recordOf).map((node) => {
    const address = textOf(node['address']) ?? '';
    const roles = Array.isArray(node['role']) ? node['role'] : [];
    return {
      address,
      internalAddress: textOf(node['internalAddress']) ?? address,
      hostnameOverride: textOf(node['hostnameOverride']) ?? address,
      roles: RKE_ROLES.filter((role) => roles.includes(role)),
      user: textOf(node['user']) ?? '',
      port: textOf(node['port']) ?? '22',
    };
  });
}

function configOf(part: Record<string, unknown>): Record<string, unknown> {
  const config = { ...recordOf(part['rkeConfig']) };
  delete config['nodes'];
  return config;
}

function certificatesOf(part: Record<string, unknown>): Map<string, StateCertificate> {
  const bundle = Object.entries(recordOf(part['certificatesBundle']));
  return new Map(
    bundle.map(([name, value]) => {
      const held = recordOf(value);
      const secret = (key: string) => new Secret(textOf(held[key]) ?? '');
      return [
        name,
        {
          name,
          certificatePem: textOf(held['certificatePEM']) ?? '',
          keyPem: secret('keyPEM'),
          config: secret('config'),
        },
      ];
    }),
  );
}

function certificateOf(pem: string | undefined): X509Certificate | undefined {
  try {
    return pem === undefined || pem === '' ? undefined : new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function firstExpiryOf(
  certificates: ReadonlyMap<string, StateCertificate>,
): { name: string; atMs: number } | undefined {
  const ends = [...certificates.values()].flatMap(({ name, certificatePem }) => {
    const atMs = Date.parse(certificateOf(certificatePem)?.validTo ?? '');
    return Number.isNaN(atMs) ? [] : [{ name, atMs }];
  });
  return ends.sort((a, b) => a.atMs - b.atMs)[0];
}
