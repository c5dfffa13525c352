import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { promisify } from 'node:util';
import { spawnSync } from 'node:child_process';
import { serveKube } from '../../../../lab/servers/kube.ts';
import type { KubeServer } from '../../../../lab/servers/kube.ts';
import { createAuthority } from '../../../../lab/world/certs/issue.ts';
import type { Issued } from '../../../../lab/world/certs/issue.ts';
import { kubeconfig } from '../../../../lab/world/certs/kubeconfig.ts';
import { isReady } from '../../../../lab/world/kube/objects.ts';
import { eventually, testCluster } from '../cluster.ts';
import type { TestCluster } from '../cluster.ts';

const execute = promisify(execFile);
const installed = spawnSync('kubectl', ['version', '--client'], { timeout: 10_000 }).status === 0;
const ADDRESS = '127.33.0.11';

let cluster: TestCluster;
let server: KubeServer;
let folder: string;
let ca: Issued;
let admin: Issued;
let port: number | undefined;

function ask(path: string, options: https.RequestOptions): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = https.get(
      { host: ADDRESS, port, path, ca: ca.certPem, agent: false, ...options },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    request.on('error', reject);
  });
}

const kubectl = async (...args: string[]): Promise<string> => {
  const { stdout, stderr } = await execute('kubectl', ['--kubeconfig', join(folder, 'config'), ...args], {
    timeout: 15_000,
    env: { ...process.env, HOME: folder },
  });
  return `${stdout}\n${stderr}`;
};

describe('the apiserver of the lab on its socket', () => {
  before(async () => {
    cluster = testCluster({ subnet: '127.33.0.' });
    folder = await mkdtemp(join(tmpdir(), 'lab-kube-'));
    const authority = await createAuthority('kube-ca', Date.now());
    ca = authority;
    const leaf = await authority.issue({ commonName: 'kube-apiserver', sans: [ADDRESS], usage: 'server' });
    admin = await authority.issue({
      commonName: 'kube-admin',
      organization: 'system:masters',
      usage: 'client',
    });
    server = serveKube(cluster.world, {
      listen: ({ address }) => ({ host: address, port: port ?? 0 }),
      tls: () => ({ cert: leaf.certPem, key: leaf.keyPem, ca: authority.certPem }),
      tokens: new Set(['robot']),
    });
    await server.settle();
    port = Number([...server.listening.values()][0]?.split(':')[1]);
    const text = kubeconfig({
      server: `https://${ADDRESS}:${port}`,
      caPem: authority.certPem,
      client: admin,
      clusterName: 'test',
    });
    await writeFile(join(folder, 'config'), text, { mode: 0o600 });
    await eventually(
      () => cluster.world.kube.store.list('pods').filter(isReady).length === 18,
      'all pods Ready',
    );
  });

  after(async () => {
    await server.close();
    cluster.world.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('lets in a client certificate of its CA or a known token, and nobody else', async () => {
    assert.equal((await ask('/readyz', {})).status, 401);
    assert.equal((await ask('/readyz', { headers: { authorization: 'Bearer other' } })).status, 401);
    assert.equal((await ask('/readyz', { headers: { authorization: 'Bearer robot' } })).body, 'ok');
    assert.equal((await ask('/readyz', { cert: admin.certPem, key: admin.keyPem })).body, 'ok');
  });

  it('answers only while its container runs, and again on the same address afterwards', async () => {
    const [plane] = cluster.controlPlane;
    assert.ok(plane);
    const token = { headers: { authorization: 'Bearer robot' } };
    cluster.world.stopContainer(plane, 'kube-apiserver');
    await assert.rejects(ask('/livez', token), { code: 'ECONNREFUSED' });
    cluster.world.startContainer(plane, 'kube-apiserver', 'x');
    await eventually(
      async () => (await ask('/livez', token).catch(() => undefined))?.body === 'ok',
      'answers again',
    );
    cluster.world.faults.apply({ fault: 'apiserverAway', machine: plane.name });
    await assert.rejects(ask('/livez', token), { code: 'ECONNREFUSED' });
    cluster.world.faults.apply({ fault: 'apiserverAway', machine: plane.name, on: false });
    await eventually(
      async () => (await ask('/livez', token).catch(() => undefined))?.body === 'ok',
      'answers again',
    );
  });

  (installed ? it : it.skip)('shows kubectl its nodes as a cluster would', async () => {
    const lines = (await kubectl('get', 'nodes')).trim().split('\n');
    assert.match(lines[0] ?? '', /^NAME\s+STATUS\s+ROLES\s+AGE\s+VERSION/);
    assert.match(lines[1] ?? '', /^test-c1\s+Ready\s+controlplane,etcd\s+\d+s\s+v1\.20\.15/);
    assert.equal(lines.filter((line) => /^test-w\d\s+Ready\s+worker/.test(line)).length, 3);
  });

  (installed ? it : it.skip)('is drained by kubectl without breaking the budget', async () => {
    let fewest = 4;
    const stop = cluster.world.kube.store.on(() => {
      const budget = cluster.world.kube.store.get('poddisruptionbudgets', 'shop', 'shop');
      fewest = Math.min(fewest, budget?.status.currentHealthy ?? 4);
    });
    const output = await kubectl(
      'drain',
      'test-w3',
      '--ignore-daemonsets',
      '--delete-emptydir-data',
      '--timeout=14s',
    );
    stop();
    assert.match(output, /evicting pod shop\/shop-/);
    assert.ok(fewest >= 3);
    const left = cluster.world.kube.store.list('pods').filter(({ spec }) => spec.nodeName === 'test-w3');
    assert.ok(
      left.length === 4 && left.every(({ metadata }) => metadata.ownerReferences?.[0]?.kind === 'DaemonSet'),
    );
    assert.match(await kubectl('get', 'nodes', 'test-w3'), /Ready,SchedulingDisabled/);
    await kubectl('uncordon', 'test-w3');
    assert.doesNotMatch(await kubectl('get', 'nodes', 'test-w3'), /SchedulingDisabled/);
  });

  (installed ? it : it.skip)('is refused by a blocking budget until kubectl gives up', async () => {
    const labels = { app: 'shop' };
    cluster.world.kube.store.remove('poddisruptionbudgets', 'shop', 'shop');
    cluster.world.faults.apply({ fault: 'blockingBudget', namespace: 'shop', name: 'never', labels });
    await assert.rejects(
      kubectl('drain', 'test-w2', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=1s'),
      /violate the pod's disruption budget/,
    );
    assert.equal(
      cluster.world.kube.store.list('pods', 'shop').filter(({ metadata }) => metadata.deletionTimestamp)
        .length,
      0,
    );
  });
});
