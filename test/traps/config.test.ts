/** What rke takes from cluster.yml without a word, and applies. */
import assert from 'node:assert/strict';
import { readIntent } from '../../cycle/observe.ts';
import { SMALL } from '../../lab/example.ts';
import { eventually } from '../lab/world/cluster.ts';
import type { Outcome } from '../lab/world/rke/cluster.ts';
import { trapCluster, type TrapCluster } from './cluster.ts';
import { prove, type TrapName } from './table.ts';

describe('rke and what else stands in cluster.yml', function () {
  this.timeout(20_000);
  let cluster: TrapCluster;
  before(async () => {
    cluster = await trapCluster(SMALL, { workloads: true });
  });
  after(() => cluster.close());
  // Each begins with the file that the cluster was made from, applied.
  beforeEach(async () => {
    cluster.put('cluster.yml', cluster.example.clusterYml);
    delete cluster.around.program;
    assert.equal((await cluster.up()).code, 0);
    await eventually(async () => (await cluster.preflight()).length === 0, 'a cluster at rest');
  });

  const anew = (run: Outcome) =>
    run.stdout.some((line) => line.includes('Renaming container [kube-apiserver]'));
  const changed = (name: TrapName, change: (text: string) => string, applied: (run: Outcome) => boolean) =>
    prove(name, async () => {
      const text = change(cluster.example.clusterYml);
      assert.notEqual(text, cluster.example.clusterYml);
      cluster.put('cluster.yml', text);
      const ours = await cluster.preflight();
      const run = await cluster.up();
      assert.ok(applied(run), run.stdout.join('\n'));
      return { naive: run, ours };
    });

  changed(
    'unknownKey',
    (text) => `${text}frobnicate: true\n`,
    () => !cluster.text('cluster.rkestate').includes('frobnicate'),
  );
  changed(
    'keyTwice',
    (text) => `${text}cluster_name: other\n`,
    () => cluster.text('cluster.rkestate').includes('"clusterName": "other"'),
  );
  changed(
    'drainOnUpgrade',
    (text) => text.replace('drain: false', 'drain: true'),
    () => cluster.text('cluster.rkestate').includes('"drain": true'),
  );
  changed('otherChange', (text) => text.replace('10.43.0.0/16', '10.44.0.0/16'), anew);
  changed('sansLost', (text) => text.replace(/^.*cp-home\.home\.example.*\n/m, ''), anew);
  prove('noNodes', async () => {
    cluster.put('cluster.yml', '# nothing\n');
    const ours = await readIntent(cluster.ctx, new AbortController().signal).then(
      () => 'read',
      (error: unknown) => String(error),
    );
    const before = cluster.text('cluster.rkestate');
    const run = await cluster.up();
    assert.notEqual(cluster.text('cluster.rkestate'), before);
    return { naive: run, ours: [ours] };
  });

  changed(
    'foreignNode',
    () => cluster.without(2),
    () => !cluster.nodes().includes('home-n3'),
  );

  prove('noVersion', async () => {
    cluster.put('cluster.yml', cluster.example.clusterYml.replace(/^kubernetes_version.*\n/m, ''));
    cluster.around.program = {
      version: 'v1.3.0',
      defaultKubernetes: 'v1.21.5-rancher1-1',
      knownVersions: ['v1.20.15-rancher2-1', 'v1.21.5-rancher1-1'],
    };
    const ours = await cluster.preflight();
    const run = await cluster.up();
    assert.equal(cluster.machine(1).kubelet?.version, 'v1.21.5');
    return { naive: run, ours };
  });
});
