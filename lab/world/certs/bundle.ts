/**
 * The `certificatesBundle` of an rkestate: what each component is called in it, what its certificate says,
 * and which of them a changed list of hosts makes anew (facts/rke-ran.md, section 6; rkestate-redacted.json).
 */
import { createAuthority, loadAuthority, privateKeyPem } from './issue.ts';
import type { Authority, Issued, LeafRequest } from './issue.ts';
import { kubeconfig } from './kubeconfig.ts';

/** One entry of the bundle, with the state file's own field names. */
export interface BundleEntry {
  certificatePEM: string;
  keyPEM: string;
  config: string;
  name: string;
  commonName: string;
  ouName: string;
  envName: string;
  path: string;
  keyEnvName: string;
  keyPath: string;
  configEnvName: string;
  configPath: string;
}

export type Bundle = Record<string, BundleEntry>;

export interface BundleHost {
  address: string;
  internalAddress: string;
  hostname: string;
  role: readonly string[];
}

export interface BundleRequest {
  hosts: readonly BundleHost[];
  /** `authentication.sans` of cluster.yml. */
  sans: readonly string[];
  clusterName: string;
  /** First address of the service range: the `kubernetes` service. */
  serviceAddress: string;
  domain: string;
  apiPort: number;
  nowMs: number;
}

const SSL = '/etc/kubernetes/ssl';

export function etcdCertName(address: string): string {
  return `kube-etcd-${address.replaceAll('.', '-')}`;
}

function entry(
  name: string,
  commonName: string,
  ouName: string,
  issued: Issued,
  config: string,
): BundleEntry {
  const env = name.toUpperCase().replaceAll('-', '_');
  const hasConfig = config !== '';
  return {
    certificatePEM: issued.certPem,
    keyPEM: issued.keyPem,
    config,
    name,
    commonName,
    ouName,
    envName: env,
    path: `${SSL}/${name}.pem`,
    keyEnvName: `${env}_KEY`,
    keyPath: `${SSL}/${name}-key.pem`,
    configEnvName: hasConfig ? `KUBECFG_${env}` : '',
    configPath: hasConfig ? `${SSL}/kubecfg-${name}.yaml` : '',
  };
}

/** What the apiserver answers to: its hosts, the service, and what the user added. */
export function apiserverNames(request: BundleRequest): string[] {
  const hosts = request.hosts.filter((host) => host.role.includes('controlplane'));
  return [
    ...hosts.flatMap((host) => [host.address, host.internalAddress, host.hostname]),
    ...request.sans,
    'localhost',
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    `kubernetes.default.svc.${request.domain}`,
    '127.0.0.1',
    request.serviceAddress,
  ];
}

function etcdNames(request: BundleRequest): string[] {
  const hosts = request.hosts.filter((host) => host.role.includes('etcd'));
  return [
    ...hosts.flatMap((host) => [host.address, host.internalAddress, host.hostname]),
    'localhost',
    '127.0.0.1',
  ];
}

async function leaf(
  ca: Authority,
  name: string,
  request: LeafRequest,
  config: (issued: Issued) => string = () => '',
): Promise<BundleEntry> {
  const issued = await ca.issue(request);
  return entry(name, request.commonName, request.organization ?? '', issued, config(issued));
}

/** Everything, from a new CA on: a cluster's first run, or a run that found no state it could read. */
export async function newBundle(request: BundleRequest): Promise<Bundle> {
  const ca = await createAuthority('kube-ca', request.nowMs);
  const front = await createAuthority('system:kube-apiserver-requestheader-ca', request.nowMs);
  const local = (issued: Issued) => clientConfig(ca.certPem, issued, '127.0.0.1', request);
  const [apiserver, proxyClient, controller, scheduler, proxy, node, tokenKey] = await Promise.all([
    apiserverEntry(ca, request),
    leaf(
      front,
      'kube-apiserver-proxy-client',
      { commonName: 'system:kube-apiserver-proxy-client', usage: 'client' },
      local,
    ),
    leaf(
      ca,
      'kube-controller-manager',
      { commonName: 'system:kube-controller-manager', usage: 'client' },
      local,
    ),
    leaf(ca, 'kube-scheduler', { commonName: 'system:kube-scheduler', usage: 'client' }, local),
    leaf(ca, 'kube-proxy', { commonName: 'system:kube-proxy', usage: 'client' }, local),
    leaf(
      ca,
      'kube-node',
      { commonName: 'system:node', organization: 'system:nodes', usage: 'client' },
      local,
    ),
    privateKeyPem(),
  ]);
  const bundle: Bundle = {
    'kube-ca': entry('kube-ca', 'system:kube-ca', '', ca, ''),
    'kube-apiserver-requestheader-ca': entry(
      'kube-apiserver-requestheader-ca',
      'system:kube-apiserver-requestheader-ca',
      '',
      front,
      '',
    ),
    'kube-apiserver': apiserver,
    'kube-apiserver-proxy-client': proxyClient,
    'kube-controller-manager': controller,
    'kube-scheduler': scheduler,
    'kube-proxy': proxy,
    'kube-node': node,
    'kube-service-account-token': entry(
      'kube-service-account-token',
      'kube-service-account-token',
      '',
      { certPem: apiserver.certificatePEM, keyPem: tokenKey },
      '',
    ),
  };
  return renewAdmin(await renewEtcd(bundle, request), request);
}

function authorityOf(bundle: Bundle, nowMs: number): Promise<Authority> {
  const ca = bundle['kube-ca'];
  return loadAuthority(ca?.certificatePEM ?? '', ca?.keyPEM ?? '', nowMs);
}

function apiserverEntry(ca: Authority, request: BundleRequest): Promise<BundleEntry> {
  return leaf(ca, 'kube-apiserver', {
    commonName: 'system:kube-apiserver',
    sans: apiserverNames(request),
    usage: 'both',
  });
}

export async function renewApiserver(bundle: Bundle, request: BundleRequest): Promise<Bundle> {
  const ca = await authorityOf(bundle, request.nowMs);
  return { ...bundle, 'kube-apiserver': await apiserverEntry(ca, request) };
}

/** A certificate for each etcd host, all with the names of all; entries of hosts that left are dropped. */
export async function renewEtcd(bundle: Bundle, request: BundleRequest): Promise<Bundle> {
  const ca = await authorityOf(bundle, request.nowMs);
  const kept = Object.entries(bundle).filter(([name]) => !name.startsWith('kube-etcd-'));
  const sans = etcdNames(request);
  const made = await Promise.all(
    request.hosts
      .filter((host) => host.role.includes('etcd'))
      .map(async (host) => {
        const name = etcdCertName(host.internalAddress);
        return [name, await leaf(ca, name, { commonName: `system:${name}`, sans, usage: 'both' })] as const;
      }),
  );
  return Object.fromEntries([...kept, ...made]);
}

/** rke makes the administrator's certificate anew on each run. */
export async function renewAdmin(bundle: Bundle, request: BundleRequest): Promise<Bundle> {
  const ca = await authorityOf(bundle, request.nowMs);
  const first = request.hosts.find((host) => host.role.includes('controlplane'));
  const made = await leaf(
    ca,
    'kube-admin',
    { commonName: 'kube-admin', organization: 'system:masters', usage: 'client' },
    (issued) => (first === undefined ? '' : clientConfig(ca.certPem, issued, first.address, request)),
  );
  return { ...bundle, 'kube-admin': { ...made, configEnvName: 'KUBECFG_KUBE_ADMIN' } };
}

function clientConfig(caPem: string, client: Issued, address: string, request: BundleRequest): string {
  return kubeconfig({
    clusterName: request.clusterName,
    server: `https://${address}:${String(request.apiPort)}`,
    caPem,
    client,
  });
}
