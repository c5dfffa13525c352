/** The local kubeconfig: written on each run, pointed at the first control-plane host whose API answers. */
import { kubeconfig } from '../certs/kubeconfig.ts';
import { withRole } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import type { Run } from './run.ts';

export function rebuildKubeconfig(run: Run, cluster: Cluster): void {
  const planes = withRole(cluster, 'controlplane');
  const first = planes[0];
  if (first === undefined) return;
  run.info('[reconcile] Rebuilding and updating local kube config');
  const { kube } = run.around.world;
  for (const host of planes) {
    write(run, cluster, host.node.address);
    if (kube.serves(host.machine)) {
      run.info(
        `[reconcile] host [${host.node.address}] is a control plane node with reachable Kubernetes API endpoint in the cluster`,
      );
      return;
    }
    run.warn(
      `[reconcile] host [${host.node.address}] is a control plane node without reachable Kubernetes API endpoint in the cluster`,
    );
  }
  run.warn('[reconcile] no control plane node with reachable Kubernetes API endpoint in the cluster found');
}

function write(run: Run, cluster: Cluster, address: string): void {
  const admin = cluster.bundle['kube-admin'];
  const ca = cluster.bundle['kube-ca'];
  if (admin === undefined || ca === undefined) return;
  const text = kubeconfig({
    clusterName: cluster.config.clusterName,
    server: `https://${address}:${String(run.around.ports.api)}`,
    caPem: ca.certificatePEM,
    client: { certPem: admin.certificatePEM, keyPem: admin.keyPEM },
  });
  run.write(run.paths.kubeconfig, text, 0o600);
  run.info(`Successfully Deployed local admin kubeconfig at [${run.paths.shown.kubeconfig}]`);
}
