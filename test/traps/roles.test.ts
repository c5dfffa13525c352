/** What rke does to nodes, roles and members, and says that it did. */
import assert from 'node:assert/strict';
import { addNode, parseClusterYml, removeNode } from '../../cycle/cluster/rke/cluster-yml.ts';
import { whyNodeStays, whyRoleStays } from '../../cycle/plan/leaving.ts';
import { judgeLeave } from '../../cycle/plan/etcd-path.ts';
import { HOME, SMALL } from '../../lab/example.ts';
import { eventually } from '../lab/world/cluster.ts';
import { EXISTING, judged, trapCluster, type TrapCluster } from './cluster.ts';
import { prove } from './table.ts';

const ALL = 'role: [controlplane, etcd, worker]';
describe('rke and what it does to nodes and roles', function () {
  this.timeout(20_000);
  let cluster: TrapCluster;
  afterEach(() => cluster.close());
  const make = async (...args: Parameters<typeof trapCluster>) => (cluster = await trapCluster(...args));
  const change = (from: string | RegExp, to: string) => {
    const text = cluster.example.clusterYml.replace(from, to);
    assert.notEqual(text, cluster.example.clusterYml);
    cluster.put('cluster.yml', text);
  };
  const taints = (name: string) => cluster.world.kube.store.get('nodes', name)?.spec.taints ?? [];
  const cordoned = (name: string) => cluster.world.kube.store.get('nodes', name)?.spec.unschedulable === true;
  const podsOn = (name: string) =>
    cluster.world.kube.store
      .list('pods')
      .filter(({ spec, metadata }) => spec.nodeName === name && metadata.deletionTimestamp === undefined);

  prove('maskedMember', async () => {
    await make(HOME);
    cluster.around.faults = { etcdRemovalFails: new Set(['etcd-home-n1']) };
    cluster.put('cluster.yml', cluster.without(0));
    const run = await cluster.up();
    assert.match(run.stdout.join('\n'), /Successfully removed member \[etcd-home-n1\]/);
    const expected = { ...EXISTING, removed: [cluster.address(0)], membersRemoved: ['etcd-home-n1'] };
    // rke's text cannot tell it, so no text is the proof: the members are.
    assert.equal(judged(run, expected)[0], 'judgeRun: succeeded');
    const seen = await cluster.look();
    return {
      naive: run,
      ours: [
        whyNodeStays(seen, 'home-n1', cluster.address(0)) ?? 'gone',
        ...(await cluster.preflight('home-n4')),
      ],
    };
  });

  prove('maskedRole', async () => {
    await make(HOME);
    cluster.around.faults = { etcdRemovalFails: new Set(['etcd-home-n1']) };
    change(ALL, 'role: [worker]');
    const run = await cluster.up();
    const seen = await cluster.look();
    return { naive: run, ours: [whyRoleStays(seen, 'home-n1', cluster.address(0), 'etcd') ?? 'gone'] };
  });

  prove('quorum', async () => {
    await make(HOME);
    await cluster.around.etcd.stop('etcd-home-n3', 'kill');
    const { etcd } = cluster;
    await eventually(() => etcd.healthy(cluster.address(1)), 'a leader among the two');
    // etcd's rule (strict-reconfig-check), told at once: the lab's client would ask again for nine seconds.
    cluster.around.etcd = {
      ...etcd,
      async memberRemove(name) {
        const well = (await etcd.members()).filter((member) => member.name !== name && member.healthy);
        if (well.length < 2) throw new Error('etcdserver: unhealthy cluster');
        await etcd.memberRemove(name);
      },
    };
    const found = await cluster.preflight();
    const seen = await cluster.look();
    const refused = judgeLeave(seen, cluster.config, 'home-n1', { snapshotTaken: true, dead: false });
    cluster.put('cluster.yml', cluster.without(0));
    const run = await cluster.up();
    assert.match(run.stdout.join('\n'), /Successfully removed member \[etcd-home-n1\]/);
    const stays = whyNodeStays(await cluster.look(), 'home-n1', cluster.address(0)) ?? 'gone';
    return { naive: run, ours: [...found, refused?.code ?? '', ...(refused?.evidence ?? []), stays] };
  });

  prove('etcdReplaced', async () => {
    await make(SMALL);
    change(ALL, 'role: [controlplane, worker]');
    cluster.put('cluster.yml', cluster.text('cluster.yml').replace('role: [worker]', 'role: [etcd, worker]'));
    const ours = await cluster.preflight();
    return { naive: await cluster.up(), ours };
  });

  prove('workerFirst', async () => {
    await make(HOME, { workloads: true });
    const ours = cluster.planLeave('node', await cluster.look());
    change(ALL, 'role: [controlplane, etcd]');
    const run = await cluster.up();
    assert.ok(taints('home-n1').some(({ effect }) => effect === 'NoExecute'));
    return { naive: run, ours };
  });

  prove('uncordoned', async () => {
    await make(SMALL);
    cluster.cordon('home-n2');
    const ours = await cluster.preflight();
    const run = await cluster.up();
    assert.equal(cordoned('home-n2'), false);
    return { naive: run, ours };
  });

  prove('ownCordon', async () => {
    await make(HOME, { workloads: true });
    cluster.cordon('home-n1');
    change(ALL, 'role: [worker]');
    const run = await cluster.up();
    assert.equal(cordoned('home-n1'), false, 'it takes pods again');
    await eventually(async () => (await cluster.preflight()).length === 0, 'a cluster at rest');
    const ours = cluster.planLeave('node', await cluster.look());
    const [first] = ours.filter((id) => id.startsWith('rke up'));
    assert.ok(first !== undefined && ours.indexOf('drain home-n1') < ours.indexOf(first));
    return { naive: run, ours };
  });

  prove('notDrained', async () => {
    await make(HOME, { workloads: true });
    const ours = cluster.planLeave(
      'node',
      await cluster.look({ leaving: 'home-n4', staying: 'home-n9' }),
      'home-n4',
    );
    assert.ok(ours.indexOf('drain home-n4') < ours.indexOf('rke up without home-n4'), ours.join());
    const before = podsOn('home-n4').map(({ metadata }) => metadata.name);
    cluster.put('cluster.yml', cluster.without(3));
    const run = await cluster.up();
    assert.ok(!cluster.nodes().includes('home-n4'));
    const left = podsOn('home-n4').filter(({ metadata }) => before.includes(metadata.name));
    assert.ok(left.length > 0, 'nobody has asked these pods to end');
    return { naive: run, ours };
  });

  prove('noControlplane', async () => {
    await make(SMALL, { workloads: true });
    const planned = cluster.planLeave('controlplane', await cluster.look());
    change(ALL, 'role: [etcd, worker]');
    const ours = parseClusterYml(cluster.text('cluster.yml')).problems.map(
      ({ code, message }) => `${code} ${message}`,
    );
    const run = await cluster.up();
    assert.equal(cluster.machine(0).containers.has('kube-apiserver'), false);
    return { naive: run, ours: [...planned, ...ours] };
  });

  prove('renamed', async () => {
    await make(SMALL, { workloads: true });
    change('hostname_override: home-n2', 'hostname_override: home-x');
    const ours = await cluster.preflight();
    const run = await cluster.up();
    assert.deepEqual(cluster.nodes(), ['home-n1', 'home-n2', 'home-n3', 'home-x']);
    return { naive: run, ours };
  });

  prove('reordered', async () => {
    await make(HOME);
    const text = cluster.example.clusterYml;
    const order = (yml: string) => parseClusterYml(yml).nodes.map(({ address }) => address);
    const added = addNode(text, 'home-n1', { address: '10.0.0.99', hostnameOverride: 'home-n9' });
    const removed = added.ok ? removeNode(added.text, 'home-n2') : assert.fail(added.message);
    assert.ok(removed.ok);
    const kept = order(text).filter((address) => address !== cluster.address(1));
    assert.deepEqual(order(removed.text), [...kept, '10.0.0.99']);
    const [head = '', first = '', second = '', ...rest] = text.split(/(?=^ {4}- address: )/m);
    cluster.put('cluster.yml', [head, second, first, ...rest].join(''));
    const ours = await cluster.preflight();
    const run = await cluster.up();
    const anew = (name: string) =>
      run.stdout.filter((line) => line.includes(`Renaming container [${name}]`)).length;
    assert.deepEqual([anew('etcd'), anew('kube-apiserver')], [3, 3]);
    return { naive: run, ours };
  });

  prove('addressTwice', async () => {
    await make(SMALL);
    const address = `    - address: ${cluster.address(2)}`;
    change(
      new RegExp(`^ {4}- address: ${cluster.address(2).replaceAll('.', '\\.')}.*$`, 'm'),
      `${address}\n      internal_address: ${cluster.address(1)}`,
    );
    const ours = await cluster.preflight();
    return { naive: await cluster.up(), ours };
  });

  prove('roleTwice', async () => {
    await make(SMALL);
    change('role: [worker]', 'role: [worker, worker]');
    const ours = await cluster.preflight();
    return { naive: await cluster.up(), ours };
  });
});
