/** Reads a kubeconfig: which servers, how to trust them, and how to say who we are. */
import { parse } from 'yaml';
import { CodedError } from '../../../ports/errors.ts';
import type { Files, Run, Wait } from '../../../ports/ports.ts';
import { Secret } from '../../../ports/secret.ts';

export interface ExecPlugin {
  command: string;
  args: readonly string[];
  env: Record<string, string>;
  apiVersion: string;
}

export interface KubeTarget {
  /** `https://host:port`, tried in this order. A name that resolves to many is one entry; list addresses to have them all. */
  servers: readonly string[];
  /** PEM. */
  ca?: string | undefined;
  /** Name to verify in the server's certificate instead of the URL's host. */
  serverName?: string | undefined;
  clientCert?: string | undefined;
  clientKey?: Secret | undefined;
  token?: Secret | undefined;
  exec?: ExecPlugin | undefined;
}

export interface KubeCredential {
  token?: Secret | undefined;
  clientCert?: string | undefined;
  clientKey?: Secret | undefined;
  /** Milliseconds since 1970; undefined when it does not expire. */
  expiresAtMs?: number | undefined;
}

export interface KubeconfigOptions {
  /** The current context unless given. */
  context?: string | undefined;
  /** Text of the files that the kubeconfig names (see `namedFiles`), by the path as written. */
  fileTexts?: Record<string, string> | undefined;
}

/** @throws CodedError NC3001 */
export function parseKubeconfig(text: string, options: KubeconfigOptions = {}): KubeTarget {
  const { cluster, user, name } = chosen(text, options.context);
  const server = stringOf(cluster['server']);
  if (server === undefined || !/^https?:\/\/[^/\s]+/.test(server)) {
    throw unusable(
      `Context ${name}: expected the cluster's server to be a URL, found ${JSON.stringify(server)}.`,
    );
  }
  if (cluster['insecure-skip-tls-verify'] === true) {
    throw unusable(
      `Context ${name}: insecure-skip-tls-verify is set; give certificate-authority-data instead.`,
    );
  }
  const pem = (from: Named, key: string) => embedded(from, key, options.fileTexts ?? {});
  const clientKey = pem(user, 'client-key');
  const token = stringOf(user['token']) ?? pem(user, 'tokenFile')?.trim();
  return {
    servers: [server.replace(/\/+$/, '')],
    ca: pem(cluster, 'certificate-authority'),
    serverName: stringOf(cluster['tls-server-name']),
    clientCert: pem(user, 'client-certificate'),
    clientKey: clientKey === undefined ? undefined : new Secret(clientKey),
    token: token === undefined ? undefined : new Secret(token),
    exec: execOf(user['exec'], name),
  };
}

/** Paths of the certificate, key and token files that the chosen context names. */
export function namedFiles(text: string, context?: string): string[] {
  const { cluster, user } = chosen(text, context);
  const wanted: [Named, string][] = [
    [cluster, 'certificate-authority'],
    [user, 'client-certificate'],
    [user, 'client-key'],
    [user, 'tokenFile'],
  ];
  return wanted.flatMap(([from, key]) =>
    from[`${key}-data`] === undefined && typeof from[key] === 'string' ? [from[key]] : [],
  );
}

/** Reads `path` and the files it names; relative ones lie beside it. */
export async function loadKubeconfig(files: Files, path: string, context?: string): Promise<KubeTarget> {
  const read = async (from: string) => Buffer.from(await files.read(from)).toString('utf8');
  const text = await read(path);
  const fileTexts: Record<string, string> = {};
  for (const named of namedFiles(text, context)) fileTexts[named] = await read(beside(path, named));
  return parseKubeconfig(text, { context, fileTexts });
}

/**
 * Runs the exec plugin of a target. `env` is the plugin's whole environment besides its own.
 *
 * @throws CodedError NC3001
 */
export async function execCredential(
  run: Run,
  plugin: ExecPlugin,
  env: Record<string, string>,
  wait: Wait,
): Promise<KubeCredential> {
  const info = { apiVersion: plugin.apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  const result = await run({
    file: plugin.command,
    args: plugin.args,
    env: { ...env, ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) },
    ...wait,
  });
  const failed = (what: string) =>
    unusable(`The exec plugin ${plugin.command} ${what}.`, lastLines(result.stderr));
  if (result.exitCode !== 0) throw failed(`ended with ${result.exitCode ?? result.signal ?? 'no code'}`);
  const status = namedOf(namedOf(parsed(result.stdout))['status']);
  const token = stringOf(status['token']);
  const key = stringOf(status['clientKeyData']);
  const clientCert = stringOf(status['clientCertificateData']);
  if (token === undefined && (key === undefined || clientCert === undefined)) {
    throw failed('gave neither a token nor a client certificate with its key');
  }
  const expires = Date.parse(stringOf(status['expirationTimestamp']) ?? '');
  return {
    token: token === undefined ? undefined : new Secret(token),
    clientCert,
    clientKey: key === undefined ? undefined : new Secret(key),
    expiresAtMs: Number.isNaN(expires) ? undefined : expires,
  };
}

/** The same target reached at these servers, verified by the name that the original URL has. */
export function withServers(target: KubeTarget, servers: readonly string[]): KubeTarget {
  const first = target.servers[0];
  const serverName = target.serverName ?? (first === undefined ? undefined : new URL(first).hostname);
  return { ...target, servers: [...servers], serverName };
}

type Named = Record<string, unknown>;

function chosen(text: string, context: string | undefined): { cluster: Named; user: Named; name: string } {
  const config = namedOf(parsed(text));
  const name = context ?? stringOf(config['current-context']) ?? '';
  const contexts = listOf(config['contexts']);
  const entry = contexts.find((one) => one['name'] === name);
  if (entry === undefined) {
    const known = contexts.map((one) => String(one['name'])).join(', ') || 'none';
    throw unusable(`Expected the context ${JSON.stringify(name)}; the file has: ${known}.`);
  }
  const { cluster: clusterName, user: userName } = namedOf(entry['context']);
  const cluster = listOf(config['clusters']).find((one) => one['name'] === clusterName);
  const user = listOf(config['users']).find((one) => one['name'] === userName);
  if (cluster === undefined)
    throw unusable(`Context ${name} names the cluster ${String(clusterName)}, which is missing.`);
  if (user === undefined)
    throw unusable(`Context ${name} names the user ${String(userName)}, which is missing.`);
  return { cluster: namedOf(cluster['cluster']), user: namedOf(user['user']), name };
}

/** `<key>-data` (base64) goes before the file, as in kubectl. */
function embedded(from: Named, key: string, fileTexts: Record<string, string>): string | undefined {
  const data = stringOf(from[`${key}-data`]);
  if (data !== undefined) {
    if (!/^[A-Za-z0-9+/\s]+=*\s*$/.test(data)) throw unusable(`${key}-data is not base64.`);
    return Buffer.from(data, 'base64').toString('utf8');
  }
  const path = stringOf(from[key]);
  if (path === undefined) return undefined;
  const text = fileTexts[path];
  if (text === undefined) throw unusable(`${key} names the file ${path}, which was not given.`);
  return text;
}

function execOf(value: unknown, context: string): ExecPlugin | undefined {
  if (value === undefined || value === null) return undefined;
  const exec = namedOf(value);
  const command = stringOf(exec['command']);
  if (command === undefined) throw unusable(`Context ${context}: the user's exec has no command.`);
  const env = Object.fromEntries(
    listOf(exec['env']).map((one) => [String(one['name']), String(one['value'])]),
  );
  const args = Array.isArray(exec['args']) ? exec['args'].map(String) : [];
  return {
    command,
    args,
    env,
    apiVersion: stringOf(exec['apiVersion']) ?? 'client.authentication.k8s.io/v1',
  };
}

function parsed(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw unusable(`It is not YAML: ${(error as Error).message.split('\n')[0] ?? ''}`);
  }
}

function beside(path: string, named: string): string {
  if (/^([A-Za-z]:)?[\\/]/.test(named)) return named;
  return path.replace(/[^\\/]*$/, '') + named;
}

function lastLines(text: string): string[] {
  return text.trim().split('\n').filter(Boolean).slice(-3);
}

function unusable(detail: string, evidence: readonly string[] = []): CodedError {
  return new CodedError('NC3001', detail, evidence);
}

function namedOf(value: unknown): Named {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Named) : {};
}

function listOf(value: unknown): Named[] {
  return Array.isArray(value) ? value.map(namedOf) : [];
}

function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
