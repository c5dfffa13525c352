/** `rke up`, in its order: state, certificates, tunnels, ports, reconcile, etcd, control plane, state again, workers, sync, add-ons. */
import { certificates } from './certificates.ts';
import { hasRole, withRole } from './cluster.ts';
import type { Cluster, RkeHost } from './cluster.ts';
import { readConfig } from './config.ts';
import type { NodeEntry, RkeConfig } from './config.ts';
import { task } from './containers.ts';
import { checkPorts, deployCertificates } from './deploy.ts';
import { dial, unsupportedDocker } from './dial.ts';
import { etcdPlane } from './etcd.ts';
import {
  addons,
  authorize,
  cleanLogs,
  controlPlane,
  prePull,
  syncNodes,
  upgradeStrategy,
  workerPlane,
} from './planes.ts';
import { dropControlPlane, reconcile } from './reconcile.ts';
import type { Run } from './run.ts';
import { currentNodes, printState, readState } from './state.ts';
import type { RkeState } from './state.ts';

const NO_ETCD = 'Cluster must have at least one etcd plane host: ';
const NONE_GIVEN = `${NO_ETCD}please specify one or more etcd in cluster config`;

/** Reads and checks the configuration; a wrong one ends the run and touches nothing. */
export function loadConfig(run: Run, said: 'Failed' | 'failed', initiating: boolean): RkeConfig {
  const file = run.file(run.paths.config);
  if (file.kind !== 'file')
    run.fatal(
      `${said} to resolve cluster file: can not find cluster configuration file: open ${run.paths.config}: no such file or directory`,
    );
  const read = readConfig(file.text, run.program);
  if ('fatal' in read && read.whileParsing) run.fatal(read.fatal);
  if (initiating) run.info('Initiating Kubernetes cluster');
  if ('fatal' in read) run.fatal(read.fatal);
  for (const node of read.config.nodes)
    if (node.sshKeyPath?.length === 1) {
      run.plain('panic: runtime error: slice bounds out of range [:2] with length 1', 'stderr');
      throw new Panic();
    }
  return read.config;
}

export class Panic extends Error {}

export async function up(run: Run): Promise<void> {
  run.info(`Running RKE version: ${run.program.version}`);
  const config = loadConfig(run, 'Failed', true);
  const stateFile = run.file(run.paths.state);
  const state = stateFile.kind === 'file' ? readState(stateFile.text) : undefined;
  if (stateFile.kind === 'missing') await legacyCheck(run, config);

  const made = await certificates(run, config, state);
  saveState(run, {
    desiredState: { rkeConfig: config, certificatesBundle: made.bundle },
    currentState: state?.currentState ?? {},
  });
  await run.pause(20);

  run.info('Building Kubernetes cluster');
  const { hosts, inactive } = await tunnels(run, config);
  const before = currentNodes(state);
  const cluster: Cluster = {
    config,
    state,
    bundle: made.bundle,
    hosts,
    inactive,
    before,
    fresh: before.length === 0,
    apiserverCertChanged: made.apiserverChanged,
    etcdCertsChanged: made.etcdChanged,
    etcdAdded: new Set(),
  };
  await build(run, cluster);
}

async function build(run: Run, cluster: Cluster): Promise<void> {
  await checkPorts(run, cluster);
  await deployCertificates(run, cluster);
  await dropControlPlane(run, cluster, () => {
    saveCurrent(run, cluster);
  });
  await reconcile(run, cluster);
  const allowed = cluster.fresh ? undefined : upgradeStrategy(run, cluster);
  await prePull(run, cluster);
  if (cluster.fresh && withRole(cluster, 'controlplane').length === 0)
    run.fatal(
      `failed to initialize new kubernetes client: stat ${run.paths.shown.kubeconfig}: no such file or directory`,
    );
  await etcdPlane(run, cluster);
  await controlPlane(run, cluster, allowed);
  authorize(run);
  saveCurrent(run, cluster);
  await workerPlane(run, cluster, allowed);
  cleanLogs(run, cluster);
  if (cluster.fresh) await registered(run, cluster);
  syncNodes(run, cluster);
  await addons(run, cluster);
  if (cluster.inactive.length > 0)
    run.fatal(
      `Provisioning incomplete, host(s) [${cluster.inactive.map(({ address }) => address).join(',')}] skipped because they could not be contacted`,
    );
  run.info('Finished building Kubernetes cluster successfully');
}

/** Kubelets need a moment until their Nodes are there to be labelled. */
async function registered(run: Run, cluster: Cluster): Promise<void> {
  const { store } = run.around.world.kube;
  for (let tries = 0; tries < 50; tries++) {
    if (cluster.hosts.every(({ node }) => store.get('nodes', node.hostnameOverride) !== undefined)) return;
    await run.pause(20);
  }
}

/** Without a state file rke looks for an old kind of state on the hosts, and forgets for this run those that it cannot reach. */
async function legacyCheck(run: Run, config: RkeConfig): Promise<void> {
  if (run.file(run.paths.kubeconfig).kind === 'file') {
    run.info('[state] Possible legacy cluster detected, trying to upgrade');
    run.info('[reconcile] Rebuilding and updating local kube config');
    await run.pause(300);
    run.warn('Timed out waiting for kubernetes cluster to get state');
    run.fatal(
      'Failed to fetch cluster certs from nodes, aborting upgrade: Certificate /etc/kubernetes/.tmp/kube-apiserver.pem is not found',
    );
  }
  const { hosts, inactive, docker } = await reach(run, config);
  config.nodes = config.nodes.filter((node) => !inactive.includes(node));
  const cannot = (why: string) => {
    run.warn(`[state] can't fetch legacy cluster state from Kubernetes: ${why}`);
  };
  if (docker !== undefined) cannot(docker);
  else if (!hosts.some(({ node }) => hasRole(node, 'etcd')))
    cannot(noEtcd(inactive.filter((node) => hasRole(node, 'etcd'))));
  else {
    const host = hosts[0];
    if (host === undefined) return;
    const name = 'cluster-state-deployer';
    run.info(`Checking if container [${name}] is running on host [${host.node.address}], try #1`);
    task(run, host, name, { said: '[state] ', tools: config.systemImages['alpine'] ?? '' });
  }
}

function noEtcd(failed: NodeEntry[]): string {
  return failed.length === 0
    ? NONE_GIVEN
    : `${NO_ETCD}failed to connect to the following etcd host(s) [${failed.map(({ address }) => address).join(' ')}]`;
}

async function reach(
  run: Run,
  config: RkeConfig,
): Promise<{ hosts: RkeHost[]; inactive: NodeEntry[]; docker: string | undefined }> {
  const dialed = await Promise.all(
    config.nodes.map(async (node) => ({ node, result: await dial(run, node, config) })),
  );
  const hosts: RkeHost[] = [];
  const inactive: NodeEntry[] = [];
  let docker: string | undefined;
  for (const { node, result } of dialed) {
    if ('machine' in result) {
      hosts.push({ node, machine: result.machine });
      docker ??= unsupportedDocker(run, result.machine, node.address);
    } else {
      run.warn(`Failed to set up SSH tunneling for host [${node.address}]: ${result.reason}`);
      run.warn(`Removing host [${node.address}] from node lists`);
      inactive.push(node);
    }
  }
  return { hosts, inactive, docker };
}

async function tunnels(run: Run, config: RkeConfig): Promise<{ hosts: RkeHost[]; inactive: NodeEntry[] }> {
  const { hosts, inactive, docker } = await reach(run, config);
  if (docker !== undefined) run.fatal(docker);
  if (!hosts.some(({ node }) => hasRole(node, 'etcd')))
    run.fatal(noEtcd(inactive.filter((node) => hasRole(node, 'etcd'))));
  return { hosts, inactive };
}

function saveState(run: Run, state: RkeState): void {
  if (run.file(run.paths.state).kind === 'directory')
    run.fatal(`Failed to write state file: open ${run.paths.shown.state}: is a directory`);
  run.write(run.paths.state, printState(state), 0o600);
  run.info(`Successfully Deployed state file at [${run.paths.shown.state}]`);
}

/** After the control plane and before the workers; a host that was not reached is not in it. */
function saveCurrent(run: Run, cluster: Cluster): void {
  const gone = new Set(cluster.inactive.map(({ address }) => address));
  const config = {
    ...cluster.config,
    nodes: cluster.config.nodes.filter(({ address }) => !gone.has(address)),
  };
  const state: RkeState = {
    desiredState: { rkeConfig: cluster.config, certificatesBundle: cluster.bundle },
    currentState: { rkeConfig: config, certificatesBundle: cluster.bundle },
  };
  saveState(run, state);
  run.info('[state] Saving full cluster state to Kubernetes');
  storeInCluster(run, printState(state));
  run.info(`[state] Successfully Saved full cluster state to Kubernetes ConfigMap: ${STATE_MAP}`);
}

export const STATE_MAP = 'full-cluster-state';

export function storeInCluster(run: Pick<Run, 'around'>, text: string): void {
  const { store } = run.around.world.kube;
  const changed = store.change('configmaps', STATE_MAP, 'kube-system', (draft) => {
    draft['data'] = { [STATE_MAP]: text };
  });
  if (changed === undefined)
    store.create('configmaps', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: STATE_MAP, namespace: 'kube-system' },
      data: { [STATE_MAP]: text },
    });
}
