/**
 * The part of `rke up` that takes away: etcd members, Nodes and containers of what left cluster.yml, plane by plane
 * in the order etcd out, etcd in, worker, controlplane. It cordons and deletes, it never drains.
 */
import { hasRole, joining, leaving, tools, withRole } from './cluster.ts';
import type { Cluster, RkeHost, Role } from './cluster.ts';
import type { NodeEntry } from './config.ts';
import { removeContainer, restart, task } from './containers.ts';
import { dial } from './dial.ts';
import { addMember, etcdProcess, etcdReplaced, removeMember, tearDownEtcd } from './etcd.ts';
import { rebuildKubeconfig } from './kubeconfig.ts';
import type { Run } from './run.ts';

const PLANE_ORDER: readonly Role[] = ['etcd', 'worker', 'controlplane'];
const DIAL_TRIES = 3;

export async function reconcile(run: Run, cluster: Cluster): Promise<void> {
  run.info('[reconcile] Reconciling cluster state');
  if (cluster.fresh) {
    run.info('[reconcile] This is newly generated cluster');
    return;
  }
  if (etcdReplaced(cluster))
    run.fatal(
      'Failed to reconcile etcd plane: Etcd plane nodes are replaced. Stopping provisioning. Please restore your cluster from backup.',
    );
  // The roles that a leaving host still has, taken away one by one.
  const rest = new Map(cluster.before.map((node) => [node.address, new Set(node.role)]));
  run.info('[reconcile] Check etcd hosts to be deleted');
  for (const node of leaving(cluster, 'etcd')) {
    rest.get(node.address)?.delete('etcd');
    await removeMember(run, cluster, node);
    deleteNode(run, node, rest.get(node.address));
    await cleanUp(run, cluster, node, 'etcd', rest.get(node.address) ?? new Set());
  }
  run.info('[reconcile] Check etcd hosts to be added');
  for (const host of joining(cluster, 'etcd')) await addMember(run, cluster, host);
  for (const role of PLANE_ORDER.slice(1)) {
    for (const node of leaving(cluster, role)) {
      rest.get(node.address)?.delete(role);
      deleteNode(run, node, rest.get(node.address));
      await cleanUp(run, cluster, node, role, rest.get(node.address) ?? new Set());
    }
  }
  rebuildKubeconfig(run, cluster);
  await restartForCertificates(run, cluster);
  run.info('[reconcile] Reconciled cluster state successfully');
}

/** All apiservers one after the other, and no look at their health between them (facts/rke.md, 6). */
async function restartForCertificates(run: Run, cluster: Cluster): Promise<void> {
  if (!cluster.apiserverCertChanged) return;
  for (const host of withRole(cluster, 'controlplane'))
    for (const name of ['kube-apiserver', 'kube-controller-manager']) await restart(run, host, name);
  if (!cluster.etcdCertsChanged) return;
  for (const host of withRole(cluster, 'etcd')) {
    const process = etcdProcess(run, host);
    await restart(run, host, 'etcd', {
      stop: process.stop,
      start: () => process.start().catch(() => undefined),
    });
  }
}

/** Cordons and deletes the Node once no role is left; nothing that runs there is asked. */
function deleteNode(run: Run, node: NodeEntry, rest: ReadonlySet<string> | undefined): void {
  const { store } = run.around.world.kube;
  const name = node.hostnameOverride;
  if (rest !== undefined && rest.size > 0) {
    run.info(`[hosts] host [${node.address}] has another role, skipping delete from kubernetes cluster`);
    return;
  }
  run.info(`[hosts] Cordoning host [${node.address}]`);
  store.change('nodes', name, undefined, (draft) => {
    draft.spec.unschedulable = true;
  });
  run.info(`[hosts] Deleting host [${node.address}] from the cluster`);
  if (store.get('nodes', name) !== undefined) store.remove('nodes', name);
  run.info(`[hosts] Successfully deleted host [${node.address}] from the cluster`);
}

const PLANE_NAME: Record<Role, string> = { etcd: 'etcd', worker: 'worker', controlplane: 'controlplane' };
const OTHERS: Record<Role, string> = {
  etcd: 'worker or control',
  worker: 'controlplane or etcd',
  controlplane: 'worker or etcd',
};

/** On the host itself, when it can be reached; otherwise a warning, and everything on it runs on. */
async function cleanUp(
  run: Run,
  cluster: Cluster,
  node: NodeEntry,
  role: Role,
  rest: ReadonlySet<string>,
): Promise<void> {
  let host: RkeHost | undefined;
  let reason = '';
  for (let tries = 0; tries < DIAL_TRIES && host === undefined; tries++) {
    const dialed = await dial(run, node, cluster.config);
    if ('machine' in dialed) host = { node, machine: dialed.machine };
    else reason = dialed.reason;
  }
  if (host === undefined) {
    run.warn(
      `[reconcile] Couldn't clean up ${PLANE_NAME[role]} node [${node.address}]: Not able to reach the host: ${reason}`,
    );
    return;
  }
  if (role === 'etcd') await tearDownEtcd(run, host, [...rest]);
  else if (role === 'worker') tearDownWorker(run, host, rest);
  else tearDownControlplane(run, host, rest);
  if (rest.size > 0) {
    run.info(`[hosts] Host [${node.address}] is already a ${OTHERS[role]} host, skipping cleanup.`);
    return;
  }
  await cleanHost(run, cluster, host);
}

function tearDownWorker(run: Run, host: RkeHost, rest: ReadonlySet<string>): void {
  run.info('[worker] Tearing down Worker Plane..');
  if (rest.has('controlplane')) {
    run.info(`[worker] Host [${host.node.address}] is already a controlplane host, nothing to do.`);
  } else if (rest.has('etcd')) {
    run.info(`[worker] Host [${host.node.address}] is already a etcd host, nothing to do.`);
  } else {
    for (const name of ['kubelet', 'kube-proxy', 'nginx-proxy', 'service-sidekick'])
      removeContainer(run, host, name);
  }
  run.info('[worker] Successfully tore down Worker Plane..');
}

export function tearDownControlplane(run: Run, host: RkeHost, rest: ReadonlySet<string>): void {
  run.info('[controlplane] Tearing down the Controller Plane..');
  for (const name of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'])
    removeContainer(run, host, name);
  if (rest.has('worker'))
    run.info(
      `[controlplane] Host [${host.node.address}] is already a worker host, skipping delete kubelet and kubeproxy.`,
    );
  else if (!rest.has('etcd'))
    for (const name of ['kubelet', 'kube-proxy', 'service-sidekick']) removeContainer(run, host, name);
  run.info('[controlplane] Successfully tore down Controller Plane..');
}

export async function cleanHost(
  run: Run,
  cluster: { config: Cluster['config'] },
  host: RkeHost,
): Promise<void> {
  const { address } = host.node;
  const image = tools(cluster);
  run.info(`[hosts] Cleaning up host [${address}]`);
  run.info(`[hosts] Running cleaner container on host [${address}]`);
  task(run, host, 'kube-cleaner', { said: '[kube-cleaner] ', tools: image, wait: true });
  await run.pause(60);
  for (const path of [...host.machine.files.keys()])
    if (path.startsWith('/etc/kubernetes/')) host.machine.files.delete(path);
  run.info(`[hosts] Removing cleaner container on host [${address}]`);
  run.info(`Removing container [kube-cleaner] on host [${address}], try #1`);
  run.info(`[hosts] Removing dead container logs on host [${address}]`);
  task(run, host, 'rke-log-cleaner', { said: '[cleanup] ', tools: image, remove: 'said' });
  run.info(`[hosts] Successfully cleaned up host [${address}]`);
}

/** With no control plane left in cluster.yml the old one is torn down, then the run fails (facts/rke-ran.md, section 4). */
export async function dropControlPlane(run: Run, cluster: Cluster, saveState: () => void): Promise<void> {
  const old = cluster.before.filter((node) => hasRole(node, 'controlplane'));
  if (cluster.fresh || old.length === 0 || withRole(cluster, 'controlplane').length > 0) return;
  if (cluster.inactive.some((node) => hasRole(node, 'controlplane'))) return;
  run.info('[reconcile] Deleting all current controlplane nodes, skipping deleting from k8s cluster');
  saveState();
  let last: NodeEntry | undefined;
  for (const node of old) {
    last = node;
    const dialed = await dial(run, node, cluster.config);
    if ('machine' in dialed)
      tearDownControlplane(
        run,
        { node, machine: dialed.machine },
        new Set(node.role.filter((role) => role !== 'controlplane')),
      );
  }
  const api = `${old[0]?.address ?? ''}:${String(run.around.ports.api)}`;
  run.fatal(
    `Failed to delete controlplane node [${last?.address ?? ''}] from cluster: Get "https://${api}/api/v1/nodes": dial tcp ${api}: connect: connection refused`,
  );
}
