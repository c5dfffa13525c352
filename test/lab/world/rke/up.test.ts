import assert from 'node:assert/strict';
import { HOME, SMALL, shapeWithOldest } from '../../../../lab/example.ts';
import type { ExampleShape } from '../../../../lab/example.ts';
import { CWD, testCluster } from './cluster.ts';
import type { Outcome, TestCluster } from './cluster.ts';

const has = (outcome: Outcome, text: string) => outcome.messages.some((line) => line.includes(text));
const currentAddresses = (cluster: TestCluster) =>
  (cluster.state().currentState.rkeConfig?.nodes ?? []).map(({ address }) => address);

/** One server that stays, and one node of these roles. */
const pair = (roles: ExampleShape['nodes'][number]['roles']): ExampleShape => ({
  cluster: 'home',
  nodes: [
    { roles: ['controlplane', 'etcd', 'worker'], ageDays: 10 },
    { roles: ['etcd', 'worker'], ageDays: 10 },
    { roles, ageDays: 10 },
  ],
});

describe('rke up', function () {
  this.timeout(15_000);
  let cluster: TestCluster;
  afterEach(() => cluster.close());
  const make = async (...args: Parameters<typeof testCluster>) => (cluster = await testCluster(...args));
  const off = async (n: number) => {
    await cluster.world.hosts.powerOff(cluster.machine(n).vmId, 'cut');
  };
  const address = (n: number) => cluster.example.nodes[n]?.address ?? '';

  it('builds a cluster from nothing: state 0600, kubeconfig, Nodes, members', async () => {
    await make(SMALL, { established: false });
    const outcome = await cluster.up();
    assert.equal(outcome.naive, true, outcome.messages.at(-1));
    assert.ok(has(outcome, '[reconcile] This is newly generated cluster'));
    assert.deepEqual(cluster.nodes(), ['home-n1', 'home-n2', 'home-n3']);
    assert.deepEqual(await cluster.members(), [address(0)]);
    const state = cluster.files.get(`${CWD}/cluster.rkestate`);
    assert.equal(state?.kind === 'file' && state.mode, 0o600);
    assert.match(cluster.text('kube_config_cluster.yml'), new RegExp(`server: "https://${address(0)}:6443"`));
    assert.equal(cluster.machine(1).containers.has('nginx-proxy'), true);
    assert.equal(cluster.machine(0).containers.has('kube-apiserver'), true);
  });

  it('changes nothing on a second run but writes the state twice, and uncordons what a person had cordoned', async () => {
    await make(HOME);
    const { store } = cluster.world.kube;
    store.change('nodes', 'home-n4', undefined, (node) => {
      node.spec.unschedulable = true;
    });
    const outcome = await cluster.up();
    assert.equal(outcome.naive, true, outcome.messages.at(-1));
    assert.equal(
      outcome.messages.filter((line) => line.includes('Successfully Deployed state file')).length,
      2,
    );
    assert.ok(has(outcome, '[network] No hosts added existing cluster, skipping port check'));
    assert.equal(outcome.messages.filter((line) => line.includes('Upgrade not required')).length, 5);
    assert.ok(!has(outcome, 'Renaming container'));
    assert.equal(store.get('nodes', 'home-n4')?.spec.unschedulable, undefined);
  });

  it('keeps the labels and taints of cluster.yml on its nodes, and takes off those that left it', async () => {
    await make(HOME);
    const node = () => cluster.world.kube.store.get('nodes', 'home-n5');
    assert.equal(node()?.metadata.labels?.['home.example/disk'], 'ssd');
    cluster.put(
      'cluster.yml',
      cluster.example.clusterYml
        .replace('home.example/disk: ssd', 'home.example/disk: nvme')
        .replace(/ {6}taints:[\s\S]*?PreferNoSchedule\n/, ''),
    );
    assert.equal((await cluster.up()).naive, true);
    assert.equal(node()?.metadata.labels?.['home.example/disk'], 'nvme');
    assert.ok(!node()?.spec.taints?.some(({ key }) => key === 'home.example/media'));
  });

  it('joins a server: member, port checks, every etcd and apiserver of the others made new', async () => {
    await make(HOME);
    const joined = cluster.example.clusterYml;
    cluster.put('cluster.yml', cluster.without(2));
    const left = await cluster.up();
    assert.equal(left.naive, true, left.messages.at(-1));
    assert.deepEqual(await cluster.members(), [address(0), address(1)]);
    cluster.put('cluster.yml', joined);
    const outcome = await cluster.up();
    assert.equal(outcome.naive, true, outcome.messages.at(-1));
    assert.ok(has(outcome, '[add/etcd] Successfully Added member [etcd-home-n3] to etcd cluster'));
    assert.ok(has(outcome, '[network] Running etcd <-> etcd port checks'));
    for (const n of [0, 1]) {
      assert.ok(has(outcome, `Renaming container [etcd] to [old-etcd] on host [${address(n)}]`));
      assert.ok(
        has(outcome, `[restart/kube-apiserver] Successfully restarted container on host [${address(n)}]`),
      );
    }
    assert.deepEqual(await cluster.members(), [address(0), address(1), address(2)]);
    const next = await cluster.up();
    assert.ok(
      has(next, `Renaming container [etcd] to [old-etcd] on host [${address(2)}]`),
      'existing becomes new',
    );
  });

  it('removes a reachable node without draining it: cordoned, deleted, cleaned up, its pods not asked', async () => {
    await make(HOME);
    cluster.put('cluster.yml', cluster.without(0));
    const outcome = await cluster.up();
    assert.equal(outcome.naive, true, outcome.messages.at(-1));
    const said = (text: string) => outcome.messages.findIndex((line) => line.includes(text));
    assert.ok(said('Successfully removed member [etcd-home-n1]') < said(`Cordoning host [${address(0)}]`));
    assert.ok(has(outcome, `[hosts] Successfully cleaned up host [${address(0)}]`));
    assert.ok(!has(outcome, 'drain'));
    assert.deepEqual(cluster.nodes(), ['home-n2', 'home-n3', 'home-n4', 'home-n5']);
    assert.deepEqual(await cluster.members(), [address(1), address(2)]);
    assert.deepEqual([...cluster.machine(0).containers.keys()], []);
    assert.match(cluster.text('kube_config_cluster.yml'), new RegExp(`https://${address(1)}:`));
    assert.ok(!currentAddresses(cluster).includes(address(0)));
  });

  it('drops roles one at a time and keeps the Node until the last has gone', async () => {
    await make(shapeWithOldest(['controlplane', 'etcd', 'worker']));
    const all = 'role: [controlplane, etcd, worker]';
    const entry = (roles: string) => cluster.example.clusterYml.replace(all, `role: [${roles}]`);
    cluster.put('cluster.yml', entry('etcd, worker'));
    const first = await cluster.up();
    assert.ok(has(first, `[hosts] host [${address(0)}] has another role, skipping delete`));
    assert.equal(cluster.machine(0).containers.has('kube-apiserver'), false);
    assert.equal(cluster.machine(0).containers.has('nginx-proxy'), true);
    cluster.put('cluster.yml', entry('worker'));
    assert.equal((await cluster.up()).naive, true);
    assert.deepEqual(await cluster.members(), [address(1), address(2)]);
    assert.ok(cluster.nodes().includes('home-n1'));
    const labels = cluster.world.kube.store.get('nodes', 'home-n1')?.metadata.labels ?? {};
    assert.deepEqual(
      Object.keys(labels).filter((key) => key.startsWith('node-role')),
      ['node-role.kubernetes.io/worker'],
    );
  });

  it('puts a NoExecute taint on a node that loses worker first', async () => {
    await make(HOME);
    cluster.put(
      'cluster.yml',
      cluster.example.clusterYml.replace('role: [controlplane, etcd, worker]', 'role: [controlplane, etcd]'),
    );
    assert.equal((await cluster.up()).naive, true);
    const taints = cluster.world.kube.store.get('nodes', 'home-n1')?.spec.taints ?? [];
    assert.ok(
      taints.some(({ key, effect }) => key === 'node-role.kubernetes.io/etcd' && effect === 'NoExecute'),
    );
  });

  it('applies whatever else differs in cluster.yml, on every apiserver one after the other', async () => {
    await make(HOME);
    cluster.put('cluster.yml', cluster.example.clusterYml.replace('10.43.0.0/16', '10.44.0.0/16'));
    const outcome = await cluster.up();
    assert.equal(
      outcome.messages.filter((line) => line.includes('Renaming container [kube-apiserver]')).length,
      3,
    );
  });

  it('upgrades Kubernetes by itself when a newer rke finds no kubernetes_version', async () => {
    await make(SMALL);
    cluster.put('cluster.yml', cluster.example.clusterYml.replace(/^kubernetes_version.*\n/m, ''));
    cluster.around.program = {
      version: 'v1.3.0',
      defaultKubernetes: 'v1.21.5-rancher1-1',
      knownVersions: ['v1.20.15-rancher2-1', 'v1.21.5-rancher1-1'],
    };
    const outcome = await cluster.up();
    assert.equal(outcome.naive, true);
    assert.ok(has(outcome, 'Pulling image [rancher/hyperkube:v1.21.5-rancher1]'));
    assert.equal(cluster.machine(1).kubelet?.version, 'v1.21.5');
  });

  describe('lies and traps', () => {
    it('succeeds although a removed dead node was never cleaned up: its containers run on', async () => {
      await make(pair(['etcd', 'worker']));
      await off(2);
      cluster.put('cluster.yml', cluster.without(2));
      const outcome = await cluster.up();
      assert.equal(outcome.naive, true);
      assert.ok(
        has(
          outcome,
          `warning [reconcile] Couldn't clean up etcd node [${address(2)}]: Not able to reach the host:`,
        ),
      );
      assert.ok(has(outcome, `warning [reconcile] Couldn't clean up worker node [${address(2)}]`));
      assert.deepEqual(await cluster.members(), [address(0), address(1)]);
      assert.ok(cluster.machine(2).containers.has('kubelet'));
      assert.ok(!cluster.nodes().includes('home-n3'));
    });

    it('fails with a dead worker in the file, after it has written a currentState without it', async () => {
      await make(pair(['etcd', 'worker']));
      await off(2);
      const outcome = await cluster.up();
      assert.equal(outcome.code, 1);
      assert.equal(
        outcome.messages.at(-1),
        'fatal cannot proceed with upgrade of worker since 1 host(s) cannot be reached prior to upgrade',
      );
      assert.deepEqual(currentAddresses(cluster), [address(0), address(1)]);
    });

    it('then removes nothing when the dead node is taken out: exit 0, member and Node for ever', async () => {
      await make(pair(['etcd', 'worker']));
      await off(2);
      await cluster.up();
      cluster.put('cluster.yml', cluster.without(2));
      const outcome = await cluster.up();
      assert.equal(outcome.naive, true);
      assert.ok(!has(outcome, '[remove/etcd] Removing member'));
      assert.ok(!outcome.messages.some((line) => line.startsWith('warning')));
      assert.ok((await cluster.members()).includes(address(2)), 'the member stays');
      assert.ok(cluster.nodes().includes('home-n3'), 'the Node stays');
    });

    it('fails with a dead control-plane host in the file, and leaves currentState as it was', async () => {
      await make(HOME);
      await off(2);
      const outcome = await cluster.up();
      assert.equal(
        outcome.messages.at(-1),
        'fatal cannot proceed with upgrade of controlplane since 1 host(s) cannot be reached prior to upgrade',
      );
      assert.equal(currentAddresses(cluster).length, 5);
    });

    it('goes to its end and fails there when max_unavailable_worker allows the dead worker', async () => {
      await make(SMALL);
      await off(2);
      cluster.put(
        'cluster.yml',
        cluster.example.clusterYml.replace('max_unavailable_worker: "10%"', 'max_unavailable_worker: "2"'),
      );
      const outcome = await cluster.up();
      assert.equal(
        outcome.messages.at(-1),
        `fatal Provisioning incomplete, host(s) [${address(2)}] skipped because they could not be contacted`,
      );
      assert.deepEqual(currentAddresses(cluster), [address(0), address(1)]);
    });

    it('succeeds on its first run ever although a worker of the file is dead', async () => {
      await make(SMALL, { established: false });
      await cluster.world.hosts.powerOff(cluster.machine(2).vmId, 'cut');
      const outcome = await cluster.up();
      assert.equal(outcome.naive, true);
      assert.equal(outcome.messages.filter((line) => line.startsWith('warning Removing host')).length, 1);
      assert.deepEqual(cluster.nodes(), ['home-n1', 'home-n2']);
      assert.ok(!cluster.text('cluster.rkestate').includes(`"address": "${address(2)}"`));
    });

    it('says that a member was removed when etcd did not remove it', async () => {
      await make(HOME);
      cluster.around.faults = { etcdRemovalFails: new Set(['etcd-home-n1']) };
      cluster.put('cluster.yml', cluster.without(0));
      const outcome = await cluster.up();
      assert.equal(outcome.naive, true);
      assert.ok(has(outcome, '[remove/etcd] Successfully removed member [etcd-home-n1] from etcd cluster'));
      assert.ok((await cluster.members()).includes(address(0)));
    });

    it('leaves the old Node behind when a name changes', async () => {
      await make(SMALL);
      cluster.put(
        'cluster.yml',
        cluster.example.clusterYml.replace('hostname_override: home-n2', 'hostname_override: home-x'),
      );
      assert.equal((await cluster.up()).naive, true);
      assert.deepEqual(cluster.nodes(), ['home-n1', 'home-n2', 'home-n3', 'home-x']);
    });

    it('checks no host key', async () => {
      await make(SMALL);
      cluster.machine(1).sshHostKey = { private: '', public: 'ssh-ed25519 AAAA' };
      assert.equal((await cluster.up()).naive, true);
    });

    it('tears the control plane down when the file has none left, and then fails', async () => {
      await make(pair(['worker']));
      cluster.put(
        'cluster.yml',
        cluster.example.clusterYml.replace('role: [controlplane, etcd, worker]', 'role: [etcd, worker]'),
      );
      const outcome = await cluster.up();
      assert.equal(outcome.code, 1);
      assert.ok(
        has(
          outcome,
          '[reconcile] Deleting all current controlplane nodes, skipping deleting from k8s cluster',
        ),
      );
      assert.match(
        outcome.messages.at(-1) ?? '',
        /^fatal Failed to delete controlplane node .* connect: connection refused$/,
      );
      assert.equal(cluster.machine(0).containers.has('kube-apiserver'), false);
      assert.ok(!JSON.stringify(cluster.state().currentState.rkeConfig?.nodes).includes('controlplane'));
    });

    it('stops when every etcd host is another, with the new ones in desiredState only', async () => {
      await make(pair(['worker']));
      const yml = cluster.example.clusterYml
        .replace('role: [controlplane, etcd, worker]', 'role: [controlplane, worker]')
        .replace('      - etcd\n', '');
      cluster.put('cluster.yml', yml.replace('role: [worker]', 'role: [etcd, worker]'));
      const outcome = await cluster.up();
      assert.match(outcome.messages.at(-1) ?? '', /Etcd plane nodes are replaced\. Stopping provisioning\./);
      assert.equal(currentAddresses(cluster).length, 3);
      cluster.put('cluster.yml', cluster.example.clusterYml);
      assert.equal((await cluster.up()).naive, true);
    });
  });

  it('saves a snapshot on every etcd host', async () => {
    await make(pair(['worker']));
    const outcome = await cluster.run(['etcd', 'snapshot-save', '--name', 's1', '--ssh-agent-auth']);
    assert.equal(outcome.messages.at(-1), 'info Finished saving/uploading snapshot [s1] on all etcd hosts');
    for (const n of [0, 1]) assert.ok(cluster.machine(n).files.has('/opt/rke/etcd-snapshots/s1.zip'));
  });

  it('dies without a word when it is killed, with the first state written; the next run repairs it', async () => {
    await make(SMALL, { pace: 0.2 });
    const killed = new AbortController();
    const outcome = await cluster.run(['up', '--ssh-agent-auth'], {
      signal: killed.signal,
      onLine: (line) => {
        if (line.includes('Deploying kubernetes certificates')) killed.abort();
      },
    });
    assert.equal(outcome.code, undefined);
    assert.equal(currentAddresses(cluster).length, 3);
    assert.equal((await cluster.up()).naive, true);
  });

  it('lets two run at once; one of them fails at the certificates', async () => {
    // Slow enough that a busy machine does not let the one end before the other begins.
    await make(SMALL, { pace: 0.1 });
    const both = await Promise.all([cluster.up(), cluster.up()]);
    assert.deepEqual(both.map(({ code }) => code).sort(), [0, 1]);
    const failed = both.find(({ code }) => code === 1);
    assert.match(
      failed?.messages.at(-1) ?? '',
      /^fatal \[Failed to delete Certificates deployer container on host \[.*\]: Error: No such container: cert-deployer/,
    );
    assert.equal(
      failed?.messages.filter((line) => line.startsWith("warning Can't remove Docker container")).length,
      9,
    );
  });

  it('removes the whole cluster only with --force', async () => {
    await make(SMALL);
    assert.equal((await cluster.run(['remove', '--ssh-agent-auth'])).code, 1);
    assert.ok(cluster.machine(0).containers.has('etcd'));
    const outcome = await cluster.run(['remove', '--force', '--ssh-agent-auth']);
    assert.equal(outcome.messages.at(-1), 'info Cluster removed successfully');
    assert.equal(cluster.text('cluster.rkestate'), '');
    assert.equal(cluster.machine(0).containers.has('etcd'), false);
  });
});
