/** rke's dealings with etcd: members removed and added, containers made new one after the other, a health check that one host is enough for. */
import { hasRole, memberName, tools, withRole } from './cluster.ts';
import type { Cluster, RkeHost } from './cluster.ts';
import type { NodeEntry } from './config.ts';
import { ensure, linkLog, removeContainer, startContainer, task, trustsPresentCa } from './containers.ts';
import type { Wanted } from './containers.ts';
import type { Run } from './run.ts';

/** `--initial-cluster` and its state: what makes an etcd container differ from the last run's. */
export function etcdArgs(cluster: Cluster, host: RkeHost): string {
  const peers = withRole(cluster, 'etcd').map(
    ({ node }) => `${memberName(node)}=https://${node.internalAddress}:2380`,
  );
  const state = cluster.etcdAdded.has(host.node.address) ? 'existing' : 'new';
  return JSON.stringify({ peers, state, service: cluster.config.services['etcd'] });
}

function wanted(cluster: Cluster, host: RkeHost): Wanted {
  return {
    name: 'etcd',
    plane: 'etcd',
    image: cluster.config.systemImages['etcd'] ?? '',
    args: etcdArgs(cluster, host),
  };
}

export function etcdProcess(run: Run, host: RkeHost) {
  const name = memberName(host.node);
  return {
    stop: () => run.around.etcd.stop(name, 'term'),
    start: () => run.around.etcd.start(name, host.node.address),
  };
}

/** Speaks to the first host that answers with this run's certificates. */
export async function healthyHost(run: Run, cluster: Cluster): Promise<RkeHost | undefined> {
  for (const host of withRole(cluster, 'etcd')) {
    if (!trustsPresentCa(host.machine, 'etcd')) continue;
    if (await run.around.etcd.healthy(host.node.address)) return host;
  }
  return undefined;
}

/** An election does not go faster with the run's pace, so a part of the wait does not either. */
const ELECTION_MS = 500;
const HEALTH_MS = 1_500;

async function awaitHealth(run: Run, cluster: Cluster): Promise<boolean> {
  const pace = run.around.pace ?? 1;
  const endMs = run.nowMs() + ELECTION_MS + HEALTH_MS * pace;
  for (;;) {
    const host = await healthyHost(run, cluster);
    if (host !== undefined) {
      run.info(`[etcd] etcd host [${host.node.address}] reported healthy=true`);
      return true;
    }
    if (run.nowMs() > endMs) return false;
    await run.pause(30 / pace);
  }
}

/** Removes the member; a failure is masked when a surviving host is healthy (facts/rke.md, 4). */
export async function removeMember(run: Run, cluster: Cluster, leaving: NodeEntry): Promise<void> {
  const name = memberName(leaving);
  run.info(`[remove/etcd] Removing member [${name}] from etcd cluster`);
  const fails = run.around.faults?.etcdRemovalFails?.has(name) === true;
  // rke asks etcd once and then looks at health only: what the call answered is lost.
  if (!fails) await run.around.etcd.memberRemove(name).catch(() => undefined);
  run.around.world.emit({ kind: 'etcd.changed' });
  const survivors = withRole(cluster, 'etcd').filter(({ node }) => node.address !== leaving.address);
  const survivor = survivors[0];
  const after = `after removing [${name}]`;
  if (survivor === undefined) return;
  run.info(`[remove/etcd] Checking etcd cluster health on [${memberName(survivor.node)}] ${after}`);
  if (!(await awaitHealth(run, cluster)))
    run.fatal(`Failed to reconcile etcd plane: Failed to delete etcd member [${name}] from etcd cluster`);
  run.info(`[remove/etcd] etcd cluster health is healthy on [${memberName(survivor.node)}] ${after}`);
  run.info(`[remove/etcd] Successfully removed member [${name}] from etcd cluster`);
}

/** A voter at once: no learner, no look at quorum. */
export async function addMember(run: Run, cluster: Cluster, host: RkeHost): Promise<void> {
  const { node, machine } = host;
  const name = memberName(node);
  const listed = await run.around.etcd.members().catch(() => []);
  if (listed.some((member) => member.address === node.address)) {
    run.info(`[etcd] member [${node.address}] is already part of the etcd cluster`);
  } else {
    run.info(`[add/etcd] Adding member [${name}] to etcd cluster`);
    try {
      await run.around.etcd.memberAdd(name, node.address);
    } catch (error) {
      run.fatal(
        `Failed to reconcile etcd plane: Failed to add etcd member [${name}] to etcd cluster: ${(error as Error).message}`,
      );
    }
    run.around.world.emit({ kind: 'etcd.changed' });
    run.info(`[add/etcd] Successfully Added member [${name}] to etcd cluster`);
    cluster.etcdAdded.add(node.address);
    task(run, host, 'etcd-fix-perm', { said: '', tools: tools(cluster), wait: true, remove: 'said' });
  }
  if (!machine.containers.has('etcd')) {
    await ensure(run, host, wanted(cluster, host), {
      start: () => run.around.etcd.start(name, node.address).catch(() => undefined),
    });
    run.around.world.emit({ kind: 'etcd.changed' });
  }
  await awaitHealth(run, cluster);
}

/** Serially, each host's container made new when the list of members or the certificates' hosts changed. */
export async function etcdPlane(run: Run, cluster: Cluster): Promise<void> {
  const hosts = withRole(cluster, 'etcd');
  run.info('[etcd] Building up etcd plane..');
  const bootstrap = cluster.fresh && (await run.around.etcd.members().catch(() => [])).length === 0;
  if (bootstrap) {
    for (const host of hosts)
      startContainer(run.around, host.machine, 'etcd', wanted(cluster, host).image, etcdArgs(cluster, host));
    await run.around.etcd.bootstrap(
      hosts.map(({ node }) => ({ name: memberName(node), address: node.address })),
    );
    run.around.world.emit({ kind: 'etcd.changed' });
  }
  for (const host of hosts) {
    task(run, host, 'etcd-fix-perm', { said: '', tools: tools(cluster), wait: true, remove: 'said' });
    if (bootstrap) {
      run.info(`Image [${wanted(cluster, host).image}] exists on host [${host.node.address}]`);
      run.info(`Starting container [etcd] on host [${host.node.address}], try #1`);
      run.info(`[etcd] Successfully started [etcd] container on host [${host.node.address}]`);
    } else {
      const process = etcdProcess(run, host);
      await ensure(run, host, wanted(cluster, host), {
        stop: process.stop,
        start: () => process.start().catch(() => undefined),
      });
      run.around.world.emit({ kind: 'etcd.changed' });
    }
    await snapshots(run, cluster, host);
  }
  run.info('[etcd] Successfully started etcd plane.. Checking etcd cluster health');
  if (!(await awaitHealth(run, cluster))) {
    const names = hosts.map(({ node }) => node.address).join(' ');
    run.fatal(
      `[etcd] Failed to bring up Etcd Plane: etcd cluster is unhealthy: hosts [${names}] failed to report healthy. Check etcd container logs on each host for more information`,
    );
  }
}

async function snapshots(run: Run, cluster: Cluster, host: RkeHost): Promise<void> {
  const { address } = host.node;
  const image = tools(cluster);
  run.info(`[etcd] Running rolling snapshot container [etcd-snapshot-once] on host [${address}]`);
  if (host.machine.containers.has('etcd-rolling-snapshots'))
    removeContainer(run, host, 'etcd-rolling-snapshots');
  task(run, host, 'etcd-rolling-snapshots', { said: '[etcd] ', tools: image });
  startContainer(run.around, host.machine, 'etcd-rolling-snapshots', image, '');
  task(run, host, 'rke-bundle-cert', { said: '[certificates] ', tools: image });
  run.info(`Waiting for [rke-bundle-cert] container to exit on host [${address}]`);
  await run.pause(25);
  run.info(
    `[certificates] successfully saved certificate bundle [/opt/rke/etcd-snapshots//pki.bundle.tar.gz] on host [${address}]`,
  );
  run.info(`Removing container [rke-bundle-cert] on host [${address}], try #1`);
  linkLog(run, host, 'etcd', image);
  linkLog(run, host, 'etcd', image);
}

/** Takes etcd off a host; with no other role left on it the node's own containers go too. */
export async function tearDownEtcd(run: Run, host: RkeHost, rest: readonly string[]): Promise<void> {
  run.info('[etcd] Tearing down etcd plane..');
  removeContainer(run, host, 'etcd');
  await run.around.etcd.stop(memberName(host.node), 'term');
  removeContainer(run, host, 'etcd-rolling-snapshots');
  if (rest.length === 0)
    for (const name of ['kubelet', 'kube-proxy', 'nginx-proxy', 'service-sidekick'])
      removeContainer(run, host, name);
  run.info('[etcd] Successfully tore down etcd plane..');
}

/** Every etcd host of currentState has gone from cluster.yml, and others have come. */
export function etcdReplaced(cluster: Cluster): boolean {
  const old = cluster.before.filter((node) => hasRole(node, 'etcd'));
  if (old.length === 0) return false;
  const wantedHosts = [...cluster.hosts.map((host) => host.node), ...cluster.inactive].filter((node) =>
    hasRole(node, 'etcd'),
  );
  return !old.some((node) => wantedHosts.some((other) => other.address === node.address));
}
