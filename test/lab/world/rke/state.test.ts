import assert from 'node:assert/strict';
import { SMALL } from '../../../../lab/example.ts';
import { CWD, testCluster } from './cluster.ts';
import type { Outcome, TestCluster } from './cluster.ts';

const has = (outcome: Outcome, text: string) => outcome.messages.some((line) => line.includes(text));

describe("rke's state files", function () {
  this.timeout(15_000);
  let cluster: TestCluster;
  afterEach(() => cluster.close());
  const make = async (...args: Parameters<typeof testCluster>) => (cluster = await testCluster(...args));

  for (const [name, text] of [
    ['empty', ''],
    ['junk', 'not json at all'],
    ['truncated', '{"desiredState": {"rkeConfig": {"nodes": [{"addr'],
  ] as const)
    it(`takes an ${name} one for none, and puts a new CA on the live cluster`, async () => {
      await make(SMALL);
      const ca = () =>
        Buffer.from(cluster.machine(0).files.get('/etc/kubernetes/ssl/kube-ca.pem') ?? '').toString();
      const before = ca();
      cluster.put('cluster.rkestate', text);
      const outcome = await cluster.up();
      assert.equal(outcome.code, 1);
      assert.ok(!has(outcome, 'warning [state]'));
      assert.ok(has(outcome, '[reconcile] This is newly generated cluster'));
      assert.match(outcome.messages.at(-1) ?? '', /Failed to bring up Etcd Plane: etcd cluster is unhealthy/);
      assert.notEqual(ca(), before);
    });

  it('ends on {} and leaves it as it was', async () => {
    await make(SMALL);
    cluster.put('cluster.rkestate', '{}');
    const outcome = await cluster.up();
    assert.equal(outcome.messages.at(-1), 'fatal CA Certificate or Key is empty');
    assert.equal(cluster.text('cluster.rkestate'), '{}');
  });

  it('cannot write over a folder', async () => {
    await make(SMALL);
    cluster.files.set(`${CWD}/cluster.rkestate`, { kind: 'directory' });
    assert.equal(
      (await cluster.up()).messages.at(-1),
      'fatal Failed to write state file: open ./cluster.rkestate: is a directory',
    );
  });

  it('takes a missing one with a kubeconfig beside it for an old cluster, and gives up', async () => {
    await make(SMALL);
    cluster.files.delete(`${CWD}/cluster.rkestate`);
    const outcome = await cluster.up();
    assert.ok(has(outcome, '[state] Possible legacy cluster detected, trying to upgrade'));
    assert.equal(outcome.code, 1);
    assert.equal(cluster.text('cluster.rkestate'), '');
  });

  it('gets the cluster’s own copy back, and moves what was there aside', async () => {
    await make(SMALL);
    const state = cluster.text('cluster.rkestate');
    cluster.put('cluster.rkestate', 'junk');
    const outcome = await cluster.run(['util', 'get-state-file', '--ssh-agent-auth']);
    assert.equal(outcome.code, 0);
    assert.equal(outcome.messages[0], 'info Retrieving state file from cluster');
    assert.equal(cluster.text('cluster.rkestate'), state);
    assert.ok([...cluster.files.keys()].some((path) => /\/rkestate\d+$/.test(path)));
    cluster.files.delete(`${CWD}/cluster.rkestate`);
    cluster.files.delete(`${CWD}/kube_config_cluster.yml`);
    assert.equal((await cluster.run(['util', 'get-state-file', '--ssh-agent-auth'])).code, 0);
    assert.equal(cluster.text('cluster.rkestate'), state);
  });
});
