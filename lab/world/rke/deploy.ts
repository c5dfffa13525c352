/** The part of `rke up` before it changes anything: port checks, certificates and files onto the hosts. */
import { joining, tools, withRole } from './cluster.ts';
import type { Cluster, RkeHost, Role } from './cluster.ts';
import { image, removeContainer, startContainer, task } from './containers.ts';
import { rebuildKubeconfig } from './kubeconfig.ts';
import type { Run } from './run.ts';

const LISTENERS: { role: Role; name: string }[] = [
  { role: 'etcd', name: 'rke-etcd-port-listener' },
  { role: 'controlplane', name: 'rke-cp-port-listener' },
  { role: 'worker', name: 'rke-worker-port-listener' },
];

export async function checkPorts(run: Run, cluster: Cluster): Promise<void> {
  if (!LISTENERS.some(({ role }) => joining(cluster, role).length > 0)) {
    run.info('[network] No hosts added existing cluster, skipping port check');
    return;
  }
  const image = tools(cluster);
  run.info('[network] Deploying port listener containers');
  for (const { role, name } of LISTENERS)
    for (const host of withRole(cluster, role)) {
      task(run, host, name, { said: '[network] ', tools: image });
      startContainer(run.around, host.machine, name, image, '');
    }
  run.info('[network] Port listener containers deployed successfully');
  await run.pause(60);
  const etcd = withRole(cluster, 'etcd');
  const planes = withRole(cluster, 'controlplane');
  const workers = withRole(cluster, 'worker');
  const newcomers = etcd.some(({ node }) => !cluster.before.some(({ address }) => address === node.address));
  if (etcd.length > 1 && newcomers) checks(run, cluster, 'etcd <-> etcd', etcd, etcd, 2379);
  checks(run, cluster, 'control plane -> etcd', planes, etcd, 2379);
  checks(run, cluster, 'control plane -> worker', planes, workers, 10_250);
  checks(run, cluster, 'workers -> control plane', workers, planes, 6443);
  run.info('[network] Checking KubeAPI port Control Plane hosts');
  run.info('[network] Removing port listener containers');
  for (const { role, name } of LISTENERS)
    for (const host of withRole(cluster, role)) removeContainer(run, host, name);
  run.info('[network] Port listener containers removed successfully');
  await run.pause(60);
}

function checks(
  run: Run,
  cluster: Cluster,
  what: string,
  from: RkeHost[],
  to: RkeHost[],
  port: number,
): void {
  run.info(`[network] Running ${what} port checks`);
  const targets = to.map(({ node }) => node.address).join(' ');
  for (const host of from) {
    run.info(
      `[network] Checking if host [${host.node.address}] can connect to host(s) [${targets}] on port(s) [${String(port)}], try #1`,
    );
    task(run, host, 'rke-port-checker', { said: '[network] ', tools: tools(cluster), remove: 'silent' });
  }
}

/** Every certificate of the bundle onto every host, and the local kubeconfig. */
export async function deployCertificates(run: Run, cluster: Cluster): Promise<void> {
  if (cluster.apiserverCertChanged && !cluster.fresh)
    run.info('[certificates] kube-apiserver certificate changed, force deploying certs');
  run.info('[certificates] Deploying kubernetes certificates to Cluster nodes');
  const name = 'cert-deployer';
  for (const host of cluster.hosts) {
    const { address } = host.node;
    run.info(`Checking if container [${name}] is running on host [${address}], try #1`);
    image(run, tools(cluster), host);
    run.info(`Starting container [${name}] on host [${address}], try #1`);
    // Nothing keeps two runs apart: the second uses the first one's container, and misses it at the end.
    if (!host.machine.containers.has(name))
      startContainer(run.around, host.machine, name, tools(cluster), '');
    run.info(`Checking if container [${name}] is running on host [${address}], try #1`);
  }
  await run.pause(100);
  const gone: string[] = [];
  for (const host of cluster.hosts) {
    const { address } = host.node;
    for (const entry of Object.values(cluster.bundle)) {
      host.machine.files.set(entry.path, Buffer.from(entry.certificatePEM));
      host.machine.files.set(entry.keyPath, Buffer.from(entry.keyPEM));
    }
    run.info(`Checking if container [${name}] is running on host [${address}], try #1`);
    run.info(`Removing container [${name}] on host [${address}], try #1`);
    if (!host.machine.containers.has(name)) {
      const why = `Error: No such container: ${name}`;
      for (let tries = 0; tries < 3; tries++)
        run.warn(`Can't remove Docker container [${name}] for host [${address}]: ${why}`);
      gone.push(`Failed to delete Certificates deployer container on host [${address}]: ${why}`);
    }
    run.around.world.stopContainer(host.machine, name);
  }
  if (gone.length > 0) run.fatal(`[${gone.join(', ')}]`);
  rebuildKubeconfig(run, cluster);
  run.info('[certificates] Successfully deployed kubernetes certificates to Cluster nodes');
  const policy = '/etc/kubernetes/audit-policy.yaml';
  for (const host of withRole(cluster, 'controlplane')) {
    run.info(`[file-deploy] Deploying file [${policy}] to node [${host.node.address}]`);
    host.machine.files.set(policy, Buffer.from('kind: Policy\n'));
    task(run, host, 'file-deployer', { said: '', tools: tools(cluster), wait: true, remove: 'said' });
    await run.pause(15);
  }
  run.info(`[${policy}] Successfully deployed audit policy file to Cluster control nodes`);
}
