/** The other commands of rke that Node Cycle or a person beside it uses: snapshot, state from the cluster, config, remove. */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { hasRole, memberName, tools } from './cluster.ts';
import type { RkeHost } from './cluster.ts';
import type { NodeEntry, RkeConfig } from './config.ts';
import { removeContainer, task } from './containers.ts';
import { dial } from './dial.ts';
import { systemImages } from './defaults.ts';
import { cleanHost, tearDownControlplane } from './reconcile.ts';
import { has } from './request.ts';
import { Ended } from './run.ts';
import type { Run } from './run.ts';
import { STATE_MAP, loadConfig } from './up.ts';

async function reached(run: Run, config: RkeConfig, nodes: NodeEntry[]): Promise<RkeHost[]> {
  const hosts: RkeHost[] = [];
  for (const node of nodes) {
    const result = await dial(run, node, config);
    if ('machine' in result) hosts.push({ node, machine: result.machine });
    else {
      run.warn(`Failed to set up SSH tunneling for host [${node.address}]: ${result.reason}`);
      run.warn(`Removing host [${node.address}] from node lists`);
    }
  }
  return hosts;
}

/** Fails only when every etcd host fails. */
export async function snapshotSave(run: Run): Promise<void> {
  run.info(`Running RKE version: ${run.program.version}`);
  const config = loadConfig(run, 'failed', false);
  const given = run.invocation.flags.get('name');
  const name = typeof given === 'string' ? given : `rke_etcd_snapshot_${new Date(run.nowMs()).toISOString()}`;
  if (typeof given !== 'string') run.warn(`Name of the snapshot is not specified, using [${name}]`);
  run.info('Starting saving snapshot on etcd hosts');
  const hosts = (await reached(run, config, config.nodes)).filter(({ node }) => hasRole(node, 'etcd'));
  const deployer = 'cluster-state-deployer';
  const once = 'etcd-snapshot-once';
  let saved = 0;
  for (const host of hosts) {
    const { address } = host.node;
    run.info(`[state] Deploying state file to [/etc/kubernetes/${name}.rkestate] on host [${address}]`);
    task(run, host, deployer, { said: '[state] ', tools: tools({ config }), wait: true, remove: 'said' });
    run.info(`[etcd] Running snapshot save once on host [${address}]`);
    task(run, host, once, { said: '[etcd] ', tools: tools({ config }) });
    run.info(`Waiting for [${once}] container to exit on host [${address}]`);
    await run.pause(60);
    if (run.around.faults?.snapshotHangs === true) {
      await run.pause(1_500);
      run.fatal(`Container [${once}] did not exit in time on host [${address}]: stderr: [], stdout: []`);
    }
    run.info(`Removing container [${once}] on host [${address}], try #1`);
    if (!(await run.around.etcd.healthy(address))) {
      run.warn(`Failed to save snapshot [${name}] on host [${address}]: etcd is not healthy`);
      continue;
    }
    host.machine.files.set(`/opt/rke/etcd-snapshots/${name}.zip`, snapshotBytes(name, run.nowMs()));
    saved += 1;
  }
  if (saved === 0) run.fatal(`Failed to take snapshot [${name}] on any etcd host`);
  run.info(`Finished saving/uploading snapshot [${name}] on all etcd hosts`);
}

/** Of a size and with a hash that a copy can be held against; the content means nothing. */
function snapshotBytes(name: string, nowMs: number): Uint8Array {
  const seed = createHash('sha256')
    .update(`${name} ${String(nowMs)}`)
    .digest();
  return Buffer.concat([Buffer.from('PK\u0003\u0004'), ...Array.from({ length: 256 }, () => seed)]);
}

/** The cluster's own copy, by the kubeconfig, or through a control-plane host. An existing file is moved aside. */
export async function getStateFile(run: Run): Promise<void> {
  run.info('Retrieving state file from cluster');
  const config = loadConfig(run, 'failed', false);
  const { kube } = run.around.world;
  const stored = () => {
    const map = kube.store.get('configmaps', STATE_MAP, 'kube-system') as
      { data?: Record<string, string> } | undefined;
    return map?.data?.[STATE_MAP];
  };
  let text: string | undefined;
  if (run.file(run.paths.kubeconfig).kind === 'file' && kube.serving().length > 0) {
    const version = kube.version;
    const [, major = '1', minor = '20'] = /v(\d+)\.(\d+)/.exec(version) ?? [];
    run.info(
      `Successfully connected to server using kubeconfig, retrieved server version [version.Info{Major:"${major}", Minor:"${minor}", GitVersion:"${version}", GitTreeState:"clean", Platform:"linux/amd64"}]`,
    );
    text = stored();
  } else {
    const hosts = await reached(
      run,
      config,
      config.nodes.filter((node) => hasRole(node, 'controlplane')),
    );
    if (hosts.some(({ machine }) => kube.serves(machine))) text = stored();
    if (text === undefined)
      run.fatal('Unable to get ConfigMap with cluster state from any Control Plane host');
  }
  if (text === undefined) run.fatal(`Failed to get ConfigMap [${STATE_MAP}]`);
  if (run.file(run.paths.state).kind === 'file') {
    const aside = `${posix.dirname(run.paths.shown.state)}/rkestate${String(Math.floor(run.around.world.random() * 1e10))}`;
    run.send({ kind: 'move', from: run.paths.state, to: posix.resolve(run.request.cwd, aside) });
    run.info(`Moved file [${run.paths.shown.state}] to new location [${aside}] as back-up`);
  }
  run.write(run.paths.state, text, 0o600);
  run.info(`Successfully Deployed state file at [${run.paths.shown.state}]`);
}

export function configCommand(run: Run): void {
  const { program } = run;
  if (has(run.invocation, 'list-version')) {
    const versions = has(run.invocation, 'all') ? program.knownVersions : [program.defaultKubernetes];
    for (const version of versions) run.plain(version);
  } else if (has(run.invocation, 'system-images')) {
    run.info(`Generating images list for version [${program.defaultKubernetes}]:`);
    for (const image of new Set(Object.values(systemImages(program.defaultKubernetes)))) run.plain(image);
  } else if (has(run.invocation, 'empty')) {
    const name = run.invocation.flags.get('name');
    const path = posix.resolve(run.request.cwd, typeof name === 'string' ? name : 'cluster.yml');
    run.write(path, 'nodes: []\n', 0o640);
  } else {
    run.send({
      kind: 'text',
      stream: 'stdout',
      text: '[+] Cluster Level SSH Private Key Path [~/.ssh/id_rsa]: ',
    });
    run.fatal('EOF');
  }
}

/** Tears everything down; without --force it asks, and nobody answers. */
export async function removeCommand(run: Run): Promise<void> {
  run.info(`Running RKE version: ${run.program.version}`);
  if (!has(run.invocation, 'force')) {
    run.send({
      kind: 'text',
      stream: 'stdout',
      text: 'Are you sure you want to remove Kubernetes cluster [y/n]: ',
    });
    run.fatal('EOF');
  }
  const config = loadConfig(run, 'Failed', false);
  run.info('Tearing down Kubernetes cluster');
  const hosts = await reached(run, config, config.nodes);
  for (const host of hosts) tearDownControlplane(run, host, new Set());
  for (const host of hosts.filter(({ node }) => hasRole(node, 'etcd'))) {
    for (const name of ['etcd', 'etcd-rolling-snapshots', 'nginx-proxy']) removeContainer(run, host, name);
    await run.around.etcd.stop(memberName(host.node), 'term');
  }
  for (const host of hosts) await cleanHost(run, { config }, host);
  run.info(`Removing local admin Kubeconfig: ${run.paths.shown.kubeconfig}`);
  run.send({ kind: 'remove', path: run.paths.kubeconfig });
  run.info('Local admin Kubeconfig removed successfully');
  run.info(`Removing state file: ${run.paths.shown.state}`);
  run.send({ kind: 'remove', path: run.paths.state });
  run.info('State file removed successfully');
  run.info('Cluster removed successfully');
}

export function versionCommand(run: Run): void {
  if (run.file(run.paths.kubeconfig).kind !== 'file')
    run.fatal(
      `Failed to create Kubernetes Client: stat ${run.paths.shown.kubeconfig}: no such file or directory`,
    );
  run.plain(`Server Version: ${run.around.world.kube.version}`);
  throw new Ended(0);
}
