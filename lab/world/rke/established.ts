/** A cluster that rke built some time ago: what a finished `rke up` leaves behind, without the run. */
import { newBundle } from '../certs/bundle.ts';
import { bundleRequest } from './certificates.ts';
import {
  hyperkube,
  memberName,
  plainVersion,
  tools,
  wantedLabels,
  wantedTaints,
  withRole,
} from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { readConfig } from './config.ts';
import { startContainer } from './containers.ts';
import { PROGRAM } from './defaults.ts';
import { etcdArgs } from './etcd.ts';
import { controlplaneWanted, workerWanted } from './planes.ts';
import type { RkeSurroundings } from './run.ts';
import { printState } from './state.ts';
import { storeInCluster } from './up.ts';

export interface Established {
  /** cluster.rkestate. */
  state: string;
  /** kube_config_cluster.yml. */
  kubeconfig: string;
  caPem: string;
  /** The administrator's client certificate. */
  admin: { certPem: string; keyPem: string };
}

/**
 * Puts certificates, containers, etcd members and the state ConfigMap where they belong for this cluster.yml. The
 * machines must be there, by address. `registeredAtMs`: when each Node was made, by address.
 */
export async function establish(
  around: RkeSurroundings,
  clusterYml: string,
  registeredAtMs: (address: string) => number | undefined,
): Promise<Established> {
  const program = around.program ?? PROGRAM;
  const read = readConfig(clusterYml, program);
  if ('fatal' in read) throw new Error(`the example's cluster.yml is not one that rke takes: ${read.fatal}`);
  const { config } = read;
  const { world } = around;
  const bundle = await newBundle(bundleRequest(config, around.ports.api, world.clock.nowMs()));
  const hosts = config.nodes.map((node) => {
    const machine = world.machineAt(node.address);
    if (machine === undefined) throw new Error(`no machine at ${node.address}, which cluster.yml names`);
    return { node, machine };
  });
  const cluster: Cluster = {
    config,
    state: undefined,
    bundle,
    hosts,
    inactive: [],
    before: config.nodes,
    fresh: false,
    apiserverCertChanged: false,
    etcdCertsChanged: false,
    etcdAdded: new Set(),
  };
  for (const { machine } of hosts) {
    for (const entry of Object.values(bundle)) {
      machine.files.set(entry.path, Buffer.from(entry.certificatePEM));
      machine.files.set(entry.keyPath, Buffer.from(entry.keyPEM));
    }
    for (const image of [tools(cluster), hyperkube(cluster), config.systemImages['etcd'] ?? ''])
      machine.images.add(image);
  }
  const etcdHosts = withRole(cluster, 'etcd');
  for (const host of etcdHosts) {
    startContainer(around, host.machine, 'etcd', config.systemImages['etcd'] ?? '', etcdArgs(cluster, host));
    startContainer(around, host.machine, 'etcd-rolling-snapshots', tools(cluster), '');
  }
  await around.etcd.bootstrap(
    etcdHosts.map(({ node }) => ({ name: memberName(node), address: node.address })),
  );
  const state = printState({
    desiredState: { rkeConfig: config, certificatesBundle: bundle },
    currentState: { rkeConfig: config, certificatesBundle: bundle },
  });
  storeInCluster({ around }, state);
  for (const host of withRole(cluster, 'controlplane'))
    for (const wanted of controlplaneWanted(cluster))
      startContainer(around, host.machine, wanted.name, wanted.image, wanted.args);
  for (const host of hosts) {
    host.machine.kubelet = {
      nodeName: host.node.hostnameOverride,
      labels: wantedLabels(host.node),
      taints: wantedTaints(host.node),
      version: plainVersion(config),
      registeredAtMs: registeredAtMs(host.node.address),
    };
    startContainer(around, host.machine, 'service-sidekick', tools(cluster), '');
    for (const wanted of workerWanted(cluster, host))
      startContainer(around, host.machine, wanted.name, wanted.image, wanted.args);
  }
  const admin = bundle['kube-admin'];
  return {
    state,
    kubeconfig: admin?.config ?? '',
    caPem: bundle['kube-ca']?.certificatePEM ?? '',
    admin: { certPem: admin?.certificatePEM ?? '', keyPem: admin?.keyPEM ?? '' },
  };
}
