import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { observeEtcd, removeMember } from '../../../../cycle/cluster/etcd/members.ts';
import { takeSnapshot } from '../../../../cycle/cluster/etcd/snapshot.ts';
import { rkeClusterDriver } from '../../../../cycle/cluster/rke/cluster-driver.ts';
import { parseClusterYml } from '../../../../cycle/cluster/rke/cluster-yml.ts';
import { judgeRun } from '../../../../cycle/cluster/rke/log.ts';
import { etcdTarget, mustReadState } from '../../../../cycle/cluster/rke/state.ts';
import { HOME } from '../../../../lab/example.ts';
import { files } from '../../../../ports/files.ts';
import { openHttp } from '../../../../ports/http.ts';
import { testCluster } from '../../../lab/world/rke/cluster.ts';
import { driverContract } from '../driver-contract.ts';
import type { DriverWorld } from '../driver-contract.ts';

/** rke and its cluster as the lab simulates them; a fourth server waits beside it. */
async function rkeWorld(): Promise<DriverWorld> {
  const shape = {
    ...HOME,
    nodes: [...HOME.nodes, { roles: ['controlplane', 'etcd', 'worker'] as const, ageDays: 0 }],
  };
  const cluster = await testCluster({
    ...shape,
    nodes: shape.nodes.map((node) => ({ ...node, roles: [...node.roles] })),
  });
  const waiting = cluster.example.nodes.at(-1);
  const like = cluster.example.nodes[0];
  assert.ok(waiting !== undefined && like !== undefined);
  cluster.put('cluster.yml', cluster.without(cluster.example.nodes.length - 1));
  assert.equal((await cluster.up()).naive, true);

  const dir = mkdtempSync(join(tmpdir(), 'nc-driver-'));
  const adapter = openHttp();
  const state = () => mustReadState(cluster.text('cluster.rkestate'), 'cluster.rkestate');
  const target = () => etcdTarget(state(), { port: cluster.example.ports.etcdClient });
  const etcd = () =>
    observeEtcd(adapter.http, target(), { wait: { deadlineMs: 3_000 }, nowMs: 0, memberMs: 800 });
  const entries = () => parseClusterYml(cluster.text('cluster.yml')).nodes;
  let cut = new AbortController();

  const driver = rkeClusterDriver({
    read: async () => cluster.text('cluster.yml'),
    write: async (text) => cluster.put('cluster.yml', text),
    async up(expectation, signal) {
      const outcome = await cluster.run(['up', '--ssh-agent-auth'], {
        signal,
        onLine: (line) => {
          if (line.includes('[reconcile] Reconciling cluster state')) cut.abort();
        },
      });
      const killed = outcome.code === undefined;
      return judgeRun(
        { lines: outcome.stdout, exitCode: outcome.code ?? null, signal: killed ? 'SIGKILL' : null },
        expectation,
      );
    },
    state: async () => state(),
    etcd,
    nodes: async () => cluster.nodes().map((name) => ({ name })),
    async snapshot() {
      const endpoint = target().endpoints[0] ?? '';
      const path = join(dir, 'snapshot.db');
      return takeSnapshot({ http: adapter.http, files }, target(), endpoint, path, { deadlineMs: 5_000 });
    },
    async removeOrphan(node) {
      const seen = await etcd();
      const member = seen.members.find(({ name }) => name === `etcd-${node.name}`);
      const asked = target().endpoints[0] ?? '';
      if (member !== undefined)
        await removeMember(adapter.http, target(), asked, member.id, { deadlineMs: 5_000 });
      cluster.world.kube.store.remove('nodes', node.name);
    },
    allowSingleMember: false,
  });
  const present = entries().map(({ address, hostnameOverride = address, roles }) => ({
    name: hostnameOverride,
    address,
    roles,
  }));
  const leaving = present[0];
  assert.ok(leaving !== undefined && leaving.roles.length === 3);
  const machineOf = (node: { name: string }) => {
    const machine = cluster.world.machineNamed(node.name);
    assert.ok(machine !== undefined);
    return machine;
  };
  return {
    driver,
    present,
    leaving,
    newcomer: {
      name: waiting.name,
      address: waiting.address,
      roles: ['controlplane', 'etcd', 'worker'],
      like: like.address,
    },
    nodes: async () => cluster.nodes(),
    members: () => cluster.members(),
    fingerprint: async () =>
      JSON.stringify([
        cluster.text('cluster.yml'),
        state().current.nodes,
        cluster.nodes(),
        await cluster.members(),
      ]),
    fallIll: () => cluster.etcd.stop(`etcd-${present[1]?.name ?? ''}`, 'kill'),
    lie: (node) => void (cluster.around.faults = { etcdRemovalFails: new Set([`etcd-${node.name}`]) }),
    kill: async (node) => {
      await cluster.world.hosts.powerOff(machineOf(node).vmId, 'cut');
      await cluster.etcd.stop(`etcd-${node.name}`, 'kill');
      // The others elect one of them to lead.
      for (let tries = 0; tries < 100; tries += 1) {
        const { members } = await etcd();
        if (members.every(({ name, healthy }) => healthy || name === `etcd-${node.name}`)) return;
        await sleep(50);
      }
    },
    cutOff: () => (cut = new AbortController()).signal,
    async close() {
      adapter.close();
      await cluster.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

driverContract('rke', rkeWorld);
