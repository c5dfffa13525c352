/** The control plane, the workers, and what `rke up` does to the Kubernetes objects at its end. */
import { hasRole, hyperkube, plainVersion, tools, wantedLabels, wantedTaints, withRole } from './cluster.ts';
import type { Cluster, RkeHost } from './cluster.ts';
import type { NodeEntry } from './config.ts';
import {
  differs,
  ensure,
  healthcheck,
  linkLog,
  pull,
  removeContainer,
  startContainer,
  task,
} from './containers.ts';
import type { Wanted } from './containers.ts';
import type { Run } from './run.ts';

/** Everything of the three services that shows in their arguments. */
export function controlplaneWanted(cluster: Cluster): Wanted[] {
  const { services } = cluster.config;
  const etcdServers = withRole(cluster, 'etcd').map(({ node }) => node.internalAddress);
  const base = { plane: 'controlplane', image: hyperkube(cluster) };
  const args = (value: unknown) => JSON.stringify(value);
  return [
    {
      ...base,
      name: 'kube-apiserver',
      args: args([
        etcdServers,
        services['kubeApi'],
        cluster.config.authentication,
        cluster.config['authorization'],
      ]),
    },
    {
      ...base,
      name: 'kube-controller-manager',
      args: args([services['kubeController'], cluster.config['cloudProvider']]),
    },
    { ...base, name: 'kube-scheduler', args: args(services['scheduler']) },
  ];
}

export function workerWanted(cluster: Cluster, host: RkeHost): Wanted[] {
  const { services } = cluster.config;
  const { node } = host;
  const base = { plane: 'worker', image: hyperkube(cluster) };
  const planes = withRole(cluster, 'controlplane').map((plane) => plane.node.internalAddress);
  const roleTaints = wantedTaints({ ...node, taints: [] });
  const wanted: Wanted[] = [
    {
      ...base,
      name: 'kubelet',
      args: JSON.stringify([
        node.hostnameOverride,
        roleTaints,
        services['kubelet'],
        cluster.config['network'],
      ]),
    },
    { ...base, name: 'kube-proxy', args: JSON.stringify([node.hostnameOverride, services['kubeproxy']]) },
  ];
  if (!hasRole(node, 'controlplane'))
    wanted.unshift({ ...base, name: 'nginx-proxy', image: tools(cluster), args: JSON.stringify(planes) });
  return wanted;
}

async function startWorker(run: Run, cluster: Cluster, host: RkeHost): Promise<void> {
  const { address } = host.node;
  if (!host.machine.containers.has('service-sidekick')) {
    run.info(`Checking if container [service-sidekick] is running on host [${address}], try #1`);
    startContainer(run.around, host.machine, 'service-sidekick', tools(cluster), '');
  } else run.info(`[sidekick] Sidekick container already created on host [${address}]`);
  for (const wanted of workerWanted(cluster, host)) {
    await ensure(run, host, wanted, {
      before: () => {
        if (wanted.name === 'kubelet') host.machine.kubelet = settings(cluster, host);
      },
    });
    if (wanted.name !== 'nginx-proxy') await healthcheck(run, host, wanted.name);
    linkLog(run, host, 'worker', tools(cluster));
  }
}

function settings(cluster: Cluster, host: RkeHost): NonNullable<RkeHost['machine']['kubelet']> {
  const before = host.machine.kubelet;
  return {
    ...(before?.nodeName === host.node.hostnameOverride && before.registeredAtMs !== undefined
      ? { registeredAtMs: before.registeredAtMs }
      : {}),
    nodeName: host.node.hostnameOverride,
    labels: wantedLabels(host.node),
    taints: wantedTaints(host.node),
    version: plainVersion(cluster.config),
  };
}

async function startControlplane(run: Run, cluster: Cluster, host: RkeHost): Promise<void> {
  run.info(`Checking if container [service-sidekick] is running on host [${host.node.address}], try #1`);
  // Both want port 6443.
  if (host.machine.containers.has('nginx-proxy')) removeContainer(run, host, 'nginx-proxy');
  for (const wanted of controlplaneWanted(cluster)) {
    await ensure(run, host, wanted);
    await healthcheck(run, host, wanted.name);
    linkLog(run, host, 'controlplane', tools(cluster));
  }
}

function nodeOf(run: Run, host: RkeHost) {
  return run.around.world.kube.store.get('nodes', host.node.hostnameOverride);
}

/** `max_unavailable_*`: a number, or a share of the plane that is rounded down, and then at least 1. */
function maxUnavailable(run: Run, cluster: Cluster, key: string, hosts: number, plane: string): number {
  const given = String(cluster.config.upgradeStrategy[key] ?? 1);
  let allowed = Number.parseInt(given, 10);
  if (given.endsWith('%')) allowed = Math.floor((hosts * allowed) / 100);
  if (!(allowed >= 1)) {
    run.info(`max_unavailable_${plane} got rounded down to 0, resetting to 1`);
    allowed = 1;
  }
  return allowed;
}

export interface Allowed {
  worker: number;
  controlplane: number;
}

export function upgradeStrategy(run: Run, cluster: Cluster): Allowed {
  const workers = cluster.hosts.filter(({ node }) => !hasRole(node, 'controlplane')).length;
  const planes = withRole(cluster, 'controlplane').length;
  const worker = maxUnavailable(run, cluster, 'maxUnavailableWorker', workers, 'worker');
  const controlplane = maxUnavailable(run, cluster, 'maxUnavailableControlplane', planes, 'controlplane');
  run.info(`Setting maxUnavailable for worker nodes to: ${String(worker)}`);
  run.info(`Setting maxUnavailable for controlplane nodes to: ${String(controlplane)}`);
  return { worker, controlplane };
}

export async function prePull(run: Run, cluster: Cluster): Promise<void> {
  run.info('Pre-pulling kubernetes images');
  for (const host of cluster.hosts) await pull(run, hyperkube(cluster), host);
  run.info('Kubernetes images pulled successfully');
}

function unreachable(cluster: Cluster, plane: 'controlplane' | 'worker'): NodeEntry[] {
  return cluster.inactive.filter((node) => hasRole(node, 'controlplane') === (plane === 'controlplane'));
}

/** A host in cluster.yml that was not reached ends the run here, after everything before has been done. */
function refuseUnreachable(
  run: Run,
  cluster: Cluster,
  plane: 'controlplane' | 'worker',
  allowed: number,
): void {
  const count = unreachable(cluster, plane).length;
  if (count >= allowed)
    run.fatal(
      `cannot proceed with upgrade of ${plane} since ${String(count)} host(s) cannot be reached prior to upgrade`,
    );
}

export async function controlPlane(run: Run, cluster: Cluster, allowed: Allowed | undefined): Promise<void> {
  const hosts = withRole(cluster, 'controlplane');
  if (allowed === undefined) {
    run.info('[controlplane] Building up Controller Plane..');
    for (const host of hosts) await startControlplane(run, cluster, host);
    run.info('[controlplane] Successfully started Controller Plane..');
    return;
  }
  refuseUnreachable(run, cluster, 'controlplane', allowed.controlplane);
  const known = hosts.filter(
    (host) => host.machine.containers.has('kube-apiserver') && nodeOf(run, host) !== undefined,
  );
  for (const host of known)
    run.info(`[controlplane] Now checking status of node ${host.node.address}, try #1`);
  run.info(
    `[controlplane] Processing controlplane hosts for upgrade ${String(allowed.controlplane)} at a time`,
  );
  const added = hosts.filter((host) => !known.includes(host));
  if (added.length > 0)
    run.info(
      `[controlplane] Adding controlplane nodes ${added.map(({ node }) => node.address).join(',')} to the cluster`,
    );
  for (const host of hosts) {
    run.info(`Processing controlplane host ${host.node.address}`);
    if (added.includes(host)) {
      await startControlplane(run, cluster, host);
      await startWorker(run, cluster, host);
      continue;
    }
    run.info(`[controlplane] Now checking status of node ${host.node.address}, try #1`);
    run.info('[controlplane] Getting list of nodes for upgrade');
    const plane = controlplaneWanted(cluster).some((wanted) => differs(host, wanted));
    const worker = workerWanted(cluster, host).some((wanted) => differs(host, wanted));
    if (!plane && !worker) {
      run.info(`Upgrade not required for controlplane and worker components of host ${host.node.address}`);
      continue;
    }
    if (plane) {
      run.info(`Upgrading controlplane components for control host ${host.node.address}`);
      await startControlplane(run, cluster, host);
    }
    if (worker) {
      run.info(`Upgrading workerplane components for control host ${host.node.address}`);
      await startWorker(run, cluster, host);
    }
    run.info(`[controlplane] Now checking status of node ${host.node.address}, try #1`);
  }
  run.info('[controlplane] Successfully upgraded Controller Plane..');
}

export function authorize(run: Run): void {
  run.info('[authz] Creating rke-job-deployer ServiceAccount');
  run.info('[authz] rke-job-deployer ServiceAccount created successfully');
  run.info('[authz] Creating system:node ClusterRoleBinding');
  run.info('[authz] system:node ClusterRoleBinding created successfully');
  run.info('[authz] Creating kube-apiserver proxy ClusterRole and ClusterRoleBinding');
  run.info('[authz] kube-apiserver proxy ClusterRole and ClusterRoleBinding created successfully');
}

export async function workerPlane(run: Run, cluster: Cluster, allowed: Allowed | undefined): Promise<void> {
  if (allowed === undefined) {
    run.info('[worker] Building up Worker Plane..');
    for (const host of cluster.hosts) await startWorker(run, cluster, host);
    run.info('[worker] Successfully started Worker Plane..');
    return;
  }
  const hosts = cluster.hosts.filter(({ node }) => !hasRole(node, 'controlplane'));
  refuseUnreachable(run, cluster, 'worker', allowed.worker);
  for (const host of hosts)
    if (nodeOf(run, host) !== undefined)
      run.info(`[worker] Now checking status of node ${host.node.address}, try #1`);
  run.info('[worker] Upgrading Worker Plane..');
  const withEtcd = hosts.filter(({ node }) => hasRole(node, 'etcd'));
  const only = hosts.filter(({ node }) => !hasRole(node, 'etcd'));
  if (withEtcd.length > 0)
    run.info(
      'First checking and processing worker components for upgrades on nodes with etcd role one at a time',
    );
  for (const host of withEtcd) await upgradeWorker(run, cluster, host);
  if (only.length > 0)
    run.info(
      `Now checking and upgrading worker components on nodes with only worker role ${String(allowed.worker)} at a time`,
    );
  for (const host of only) await upgradeWorker(run, cluster, host);
  run.info('[worker] Successfully upgraded Worker Plane..');
}

async function upgradeWorker(run: Run, cluster: Cluster, host: RkeHost): Promise<void> {
  const { address } = host.node;
  run.info(`[workerplane] Processing host ${address}`);
  if (nodeOf(run, host) !== undefined) {
    run.info(`[worker] Now checking status of node ${address}, try #1`);
    run.info('[worker] Getting list of nodes for upgrade');
    if (!workerWanted(cluster, host).some((wanted) => differs(host, wanted))) {
      run.info(`[workerplane] Upgrade not required for worker components of host ${address}`);
      return;
    }
  }
  await startWorker(run, cluster, host);
  run.info(`[worker] Now checking status of node ${address}, try #1`);
}

export function cleanLogs(run: Run, cluster: Cluster): void {
  for (const host of cluster.hosts)
    task(run, host, 'rke-log-cleaner', { said: '[cleanup] ', tools: tools(cluster), remove: 'said' });
}

/** Labels and taints as in cluster.yml, and every node of it uncordoned, whoever had cordoned it (facts/rke.md, 2). */
export function syncNodes(run: Run, cluster: Cluster): void {
  run.info('[sync] Syncing nodes Labels and Taints');
  for (const { node } of cluster.hosts) {
    const before = cluster.before.find(({ address }) => address === node.address);
    const oldLabels = before === undefined ? {} : wantedLabels(before);
    const oldTaints = before === undefined ? [] : wantedTaints(before);
    const taints = wantedTaints(node);
    run.around.world.kube.store.change('nodes', node.hostnameOverride, undefined, (draft) => {
      const labels = { ...draft.metadata.labels };
      for (const key of Object.keys(oldLabels)) delete labels[key];
      draft.metadata.labels = { ...labels, ...wantedLabels(node) };
      const ours = [...oldTaints, ...taints];
      draft.spec.taints = [
        ...(draft.spec.taints ?? []).filter(
          (taint) => !ours.some((other) => other.key === taint.key && other.effect === taint.effect),
        ),
        ...taints,
      ].filter(({ key, effect }) => !(key === 'node.kubernetes.io/unschedulable' && effect === 'NoSchedule'));
      delete draft.spec.unschedulable;
    });
  }
  run.info('[sync] Successfully synced nodes Labels and Taints');
}

export async function addons(run: Run, cluster: Cluster): Promise<void> {
  const network = cluster.config['network'] as { plugin: string };
  const ingress = cluster.config['ingress'] as { provider: string };
  const deploy = async (name: string, done?: string[]) => {
    run.info(`[addons] Saving ConfigMap for addon ${name} to Kubernetes`);
    run.info(`[addons] Successfully saved ConfigMap for addon ${name} to Kubernetes`);
    run.info(`[addons] Executing deploy job ${name}`);
    await run.pause(20);
    for (const line of done ?? []) run.info(line);
  };
  run.info(`[network] Setting up network plugin: ${network.plugin}`);
  await deploy('rke-network-plugin');
  run.info('[addons] Setting up coredns');
  await deploy('rke-coredns-addon', [
    '[addons] CoreDNS deployed successfully',
    '[dns] DNS provider coredns deployed successfully',
  ]);
  run.info('[addons] Setting up Metrics Server');
  await deploy('rke-metrics-addon', ['[addons] Metrics Server deployed successfully']);
  if (ingress.provider !== 'none') {
    run.info(`[ingress] Setting up ${ingress.provider} ingress controller`);
    run.info('[ingress] removing admission batch jobs if they exist');
    await deploy('rke-ingress-controller', [
      `[ingress] ingress controller ${ingress.provider} deployed successfully`,
    ]);
  }
  run.info('[addons] Setting up user addons');
  run.info('[addons] no user addons defined');
}
