/**
 * cluster.yml as rke v1.2.23 reads it: parse, fill in, classify, validate, in its order and with its words
 * (facts/rke-ran.md, section 3). What it accepts silently is accepted here too.
 */
import { LineCounter, parseDocument } from 'yaml';
import { defaultConfig } from './defaults.ts';
import type { Program } from './defaults.ts';

export interface NodeEntry {
  address: string;
  port: string;
  internalAddress: string;
  role: string[];
  hostnameOverride: string;
  user: string;
  sshKeyPath?: string;
  sshKey?: string;
  sshAgentAuth?: boolean;
  labels?: Record<string, string>;
  taints?: { key: string; value?: string; effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute' }[];
}

/** Camel case, as in the state file. */
export interface RkeConfig extends Record<string, unknown> {
  nodes: NodeEntry[];
  kubernetesVersion: string;
  sshKeyPath: string;
  sshAgentAuth: boolean;
  clusterName: string;
  services: Record<string, Record<string, unknown>>;
  authentication: { strategy: string; sans?: string[] };
  systemImages: Record<string, string>;
  upgradeStrategy: Record<string, string | number | boolean>;
}

export type ReadConfig = { config: RkeConfig } | { fatal: string; whileParsing: boolean };

/** Below these keys the names are a user's and stay as they are. */
const VERBATIM = new Set(['extra_args', 'options', 'labels', 'node_selector', 'policy', 'extraArgs']);
const ROLES = ['controlplane', 'etcd', 'worker'];
const PLUGINS = ['flannel', 'calico', 'canal', 'weave', 'aci', 'none'];
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

export function readConfig(text: string, program: Program): ReadConfig {
  const parsed = parseText(text);
  if ('fatal' in parsed)
    return { fatal: `Failed to parse cluster file: ${parsed.fatal}`, whileParsing: true };
  const config = fill(parsed.value, program);
  const fatal = invalid(config, program);
  return fatal === undefined ? { config } : { fatal, whileParsing: false };
}

type Raw = Record<string, unknown>;

function parseText(text: string): { value: Raw } | { fatal: string } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, logLevel: 'silent' });
  const error = document.errors[0];
  if (error !== undefined) {
    const line = String(Math.max(1, error.linePos?.[0].line ?? 1));
    const what = /flow/i.test(error.message)
      ? "did not find expected ',' or ']'"
      : 'could not find expected ' + "':'";
    return { fatal: `error unmarshalling: error converting YAML to JSON: yaml: line ${line}: ${what}` };
  }
  const value: unknown = document.toJS() ?? {};
  const wrong = (path: (string | number)[], found: unknown, type: string) => {
    const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined;
    const line = lines.linePos(node?.range?.[0] ?? 0).line;
    const tag = typeof found === 'number' ? '!!int' : typeof found === 'boolean' ? '!!bool' : '!!str';
    return {
      fatal: `yaml: unmarshal errors:\n  line ${String(line)}: cannot unmarshal ${tag} \`${String(found)}\` into ${type}`,
    };
  };
  if (typeof value !== 'object' || Array.isArray(value))
    return wrong([], value, 'types.RancherKubernetesEngineConfig');
  const nodes = (value as Raw)['nodes'];
  if (nodes !== undefined && nodes !== null && !Array.isArray(nodes))
    return wrong(['nodes'], nodes, '[]types.RKEConfigNode');
  for (const [n, node] of ((nodes ?? []) as unknown[]).entries()) {
    if (typeof node !== 'object' || node === null) return wrong(['nodes', n], node, 'types.RKEConfigNode');
    const role = (node as Raw)['role'];
    if (role !== undefined && role !== null && !Array.isArray(role))
      return wrong(['nodes', n, 'role'], role, '[]string');
  }
  return { value: value as Raw };
}

function camel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camel);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value as Raw).map(([key, inner]) => [
      key.replace(/[-_]([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      VERBATIM.has(key) ? inner : camel(inner),
    ]),
  );
}

/** `given` over `base`; null means absent. */
function merge(base: unknown, given: unknown): unknown {
  if (given === undefined || given === null || given === '') return base;
  const isMap = (value: unknown): value is Raw =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isMap(base) || !isMap(given)) return given;
  const merged: Raw = { ...base };
  for (const [key, value] of Object.entries(given)) merged[key] = merge(base[key], value);
  return merged;
}

const KNOWN_KEYS = new Set([
  ...Object.keys(defaultConfig('v1.20.15-rancher2-1')),
  'nodes',
  'addons',
  'addonsInclude',
  'privateRegistries',
  'sshCertPath',
  'winPrefixPath',
]);

function fill(raw: Raw, program: Program): RkeConfig {
  const { nodes, ...rest } = camel(raw) as Raw & { nodes?: Raw[] | null };
  const version = typeof rest['kubernetesVersion'] === 'string' ? rest['kubernetesVersion'] : '';
  // Unknown top-level keys are ignored without a word.
  const known = Object.fromEntries(Object.entries(rest).filter(([key]) => KNOWN_KEYS.has(key)));
  const base = defaultConfig(version === '' ? program.defaultKubernetes : version);
  const config = merge(base, known) as RkeConfig;
  config.nodes = (nodes ?? []).map((node) => fillNode(node, config));
  const { nodes: list, ...others } = config;
  return { nodes: list, ...others };
}

function fillNode(node: Raw, config: RkeConfig): NodeEntry {
  const text = (key: string, fallback: string) => {
    const value = node[key] as string | number | null | undefined;
    return value === undefined || value === null || value === '' ? fallback : String(value);
  };
  const address = text('address', '');
  const entry: NodeEntry = {
    address,
    port: text('port', '22'),
    internalAddress: text('internalAddress', address),
    role: ((node['role'] ?? []) as unknown[]).map(String),
    hostnameOverride: text('hostnameOverride', address).toLowerCase(),
    user: text('user', ''),
    sshKeyPath: text('sshKeyPath', config.sshKeyPath),
  };
  if (typeof node['sshKey'] === 'string') entry.sshKey = node['sshKey'];
  if (node['sshAgentAuth'] === true) entry.sshAgentAuth = true;
  if (node['labels'] !== undefined && node['labels'] !== null)
    entry.labels = Object.fromEntries(
      Object.entries(node['labels'] as Record<string, unknown>).map(([key, value]) => [
        key,
        `${value as string | number}`,
      ]),
    );
  if (Array.isArray(node['taints'])) entry.taints = node['taints'] as NonNullable<NodeEntry['taints']>;
  return entry;
}

/** The first thing that rke would end on, in its order. */
function invalid(config: RkeConfig, program: Program): string | undefined {
  const version = config.kubernetesVersion;
  if (!/^v?\d+\.\d+\.\d+/.test(version)) return `${version} is not in dotted-tri format`;
  for (const node of config.nodes)
    for (const role of node.role)
      if (!ROLES.includes(role))
        return `Failed to classify hosts from config file: Failed to recognize host [${node.address}] role ${role}`;
  const problem =
    unknownVersion(version, program) ?? duplicate(config) ?? badHost(config) ?? badNetwork(config);
  return problem === undefined ? undefined : `Failed to validate cluster: ${problem}`;
}

function unknownVersion(version: string, program: Program): string | undefined {
  return program.knownVersions.includes(version)
    ? undefined
    : `${version} is an unsupported Kubernetes version and system images are not populated: etcd image is not populated`;
}

function duplicate(config: RkeConfig): string | undefined {
  const seen = new Set<string>();
  for (const node of config.nodes) {
    if (node.address === '') continue;
    for (const name of new Set([node.address, node.hostnameOverride])) {
      if (seen.has(name)) return `Cluster can't have duplicate node: ${name}`;
      seen.add(name);
    }
  }
  return undefined;
}

function badHost(config: RkeConfig): string | undefined {
  for (const [index, node] of config.nodes.entries()) {
    const n = String(index + 1);
    if (node.address === '') return `Address for host (${n}) is not provided`;
    if (node.user === '') return `User for host (${n}) is not provided`;
    if (node.role.length === 0) return `Role for host (${n}) is not provided`;
    if (!SUBDOMAIN.test(node.hostnameOverride))
      return `Hostname_override [${node.hostnameOverride}] for host (${n}) is not valid: [${SUBDOMAIN_TEXT}]`;
  }
  return undefined;
}

function badNetwork(config: RkeConfig): string | undefined {
  const plugin = String((config['network'] as Raw)['plugin']);
  return PLUGINS.includes(plugin) ? undefined : `Network plugin [${plugin}] is not supported`;
}
