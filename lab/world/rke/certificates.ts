/** Which certificates a run makes: all of them without a state, otherwise those whose hosts have changed. */
import { newBundle, renewAdmin, renewApiserver, renewEtcd } from '../certs/bundle.ts';
import type { Bundle, BundleRequest } from '../certs/bundle.ts';
import type { NodeEntry, RkeConfig } from './config.ts';
import type { Run } from './run.ts';
import type { RkeState } from './state.ts';

export interface Certificates {
  bundle: Bundle;
  apiserverChanged: boolean;
  etcdChanged: boolean;
}

export function bundleRequest(config: RkeConfig, apiPort: number, nowMs: number): BundleRequest {
  const range = (config.services['kubeApi']?.['serviceClusterIpRange'] ?? '10.43.0.0/16') as string;
  return {
    hosts: config.nodes.map((node) => ({
      address: node.address,
      internalAddress: node.internalAddress,
      hostname: node.hostnameOverride,
      role: node.role,
    })),
    sans: config.authentication.sans ?? [],
    clusterName: config.clusterName,
    serviceAddress: range.replace(/\.\d+\/\d+$/, '.1'),
    domain: (config.services['kubelet']?.['clusterDomain'] ?? 'cluster.local') as string,
    apiPort,
    nowMs,
  };
}

const GENERATED_FIRST = [
  'Generating CA kubernetes certificates',
  'Generating Kubernetes API server aggregation layer requestheader client CA certificates',
  'GenerateServingCertificate is disabled, checking if there are unused kubelet certificates',
  'Generating Kubernetes API server certificates',
  'Generating Service account token key',
  'Generating Kube Controller certificates',
  'Generating Kube Scheduler certificates',
  'Generating Kube Proxy certificates',
  'Generating Node certificate',
  'Generating admin certificates and kubeconfig',
  'Generating Kubernetes API server proxy client certificates',
];

const key = (nodes: readonly NodeEntry[], role: string) =>
  nodes
    .filter((node) => node.role.includes(role))
    .map((node) => `${node.address}/${node.hostnameOverride}`)
    .sort()
    .join(' ');

export async function certificates(
  run: Run,
  config: RkeConfig,
  state: RkeState | undefined,
): Promise<Certificates> {
  const request = bundleRequest(config, run.around.ports.api, run.nowMs());
  const say = (text: string) => {
    run.info(`[certificates] ${text}`);
  };
  const etcdNames = (bundle: Bundle) => Object.keys(bundle).filter((name) => name.startsWith('kube-etcd-'));
  if (state === undefined) {
    for (const line of GENERATED_FIRST) say(line);
    const bundle = await newBundle(request);
    for (const name of etcdNames(bundle)) say(`Generating ${name} certificate and key`);
    return { bundle, apiserverChanged: false, etcdChanged: false };
  }
  let bundle = state.desiredState.certificatesBundle ?? {};
  const ca = bundle['kube-ca'];
  if (ca === undefined || ca.certificatePEM === '' || ca.keyPEM === '')
    run.fatal('CA Certificate or Key is empty');
  const old = state.desiredState.rkeConfig;
  say('GenerateServingCertificate is disabled, checking if there are unused kubelet certificates');
  const apiserverChanged =
    key(old?.nodes ?? [], 'controlplane') !== key(config.nodes, 'controlplane') ||
    JSON.stringify(old?.authentication.sans ?? []) !== JSON.stringify(config.authentication.sans ?? []);
  if (apiserverChanged) {
    say('Generating Kubernetes API server certificates');
    bundle = await renewApiserver(bundle, request);
  }
  say('Generating admin certificates and kubeconfig');
  bundle = await renewAdmin(bundle, request);
  const etcdChanged = key(old?.nodes ?? [], 'etcd') !== key(config.nodes, 'etcd');
  if (etcdChanged) {
    const before = etcdNames(bundle);
    bundle = await renewEtcd(bundle, request);
    for (const name of etcdNames(bundle)) say(`Generating ${name} certificate and key`);
    for (const name of before) if (bundle[name] === undefined) say(`Deleting unused certificate: ${name}`);
  }
  return { bundle, apiserverChanged, etcdChanged };
}
