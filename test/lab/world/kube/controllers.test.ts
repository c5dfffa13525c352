import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'mocha';
import sinon from 'sinon';
import { manualClock } from '../../../../lab/world/clock.ts';
import type { ManualClock } from '../../../../lab/world/clock.ts';
import { evict } from '../../../../lab/world/kube/evict.ts';
import type { PodObject } from '../../../../lab/world/kube/objects.ts';
import { isReady } from '../../../../lab/world/kube/objects.ts';
import { REAL_KIND_MS } from '../../../../lab/world/timing.ts';
import { testCluster, until } from '../cluster.ts';
import type { TestCluster } from '../cluster.ts';

let clock: ManualClock;
let cluster: TestCluster;

const store = () => cluster.world.kube.store;
const pods = (app: string): PodObject[] =>
  store()
    .list('pods')
    .filter(({ metadata }) => metadata.labels?.['app'] === app);
const onNode = (name: string): PodObject[] =>
  store()
    .list('pods')
    .filter(({ spec }) => spec.nodeName === name);
const allReady = (): boolean => {
  const list = store().list('pods');
  return list.length === 18 && list.every(isReady);
};
const endpointUids = (): string[] =>
  store()
    .get('endpointslices', 'shop-lab', 'shop')
    ?.endpoints.map(({ targetRef }) => targetRef?.uid ?? '') ?? [];
const worker = (at: number) => {
  const machine = cluster.workers[at];
  assert.ok(machine);
  return machine;
};

describe('the controllers of the lab', () => {
  beforeEach(() => {
    clock = manualClock(Date.parse('2026-05-01T00:00:00Z'));
    cluster = testCluster({ clock });
    assert.ok(until(clock, allReady));
  });

  it('bring up a cluster whose nodes are Ready only after their network runs', () => {
    assert.ok(store().list('nodes').every(isReady));
    assert.equal(pods('shop').length, 4);
    assert.deepEqual(store().get('daemonsets', 'canal', 'kube-system')?.status['numberReady'], 4);
    assert.deepEqual(store().get('daemonsets', 'node-cache', 'shop')?.status['desiredNumberScheduled'], 3);
  });

  it('write little while nothing happens', () => {
    const before = store().version();
    clock.advance(10_000);
    const perBeat = cluster.workers.length + cluster.controlPlane.length;
    assert.ok(store().version() - before <= (perBeat * 10_000) / REAL_KIND_MS.heartbeat + perBeat);
  });

  it('take an ending pod out of the endpoints late, and enter its successor at once', () => {
    const [victim] = pods('shop');
    assert.ok(victim);
    const { name, uid } = victim.metadata;
    evict(store(), clock.nowMs(), { namespace: 'shop', name, dryRun: false });
    clock.advance(REAL_KIND_MS.endpointLagMin - 10);
    assert.ok(endpointUids().includes(uid), 'gone too early');
    clock.advance(REAL_KIND_MS.endpointLagMax - REAL_KIND_MS.endpointLagMin + 40);
    assert.ok(!endpointUids().includes(uid), 'still there');
    assert.ok(until(clock, () => endpointUids().length === 4, 1_000));
  });

  it('take out a pod that ends before it was ready', () => {
    const [victim] = pods('shop');
    assert.ok(victim);
    const { name, uid } = victim.metadata;
    store().change('pods', name, 'shop', (draft) => {
      draft.status = {
        ...draft.status,
        conditions: (draft.status.conditions ?? []).map((one) => ({ ...one, status: 'False' as const })),
      };
    });
    clock.advance(REAL_KIND_MS.endpointLagMax + 40);
    assert.ok(endpointUids().includes(uid), 'not ready, but there');
    store().remove('pods', name, 'shop', { graceSeconds: 0 });
    // Before its successor is ready: that one's entry would take it out as well.
    clock.advance(REAL_KIND_MS.controller + 5);
    assert.ok(!endpointUids().includes(uid), 'still there');
  });

  it('take out every one of several pods that end while another is still late', () => {
    const uids: string[] = [];
    sinon.stub(cluster.world, 'random').returns(0.5);
    for (const pod of pods('shop')) {
      uids.push(pod.metadata.uid);
      store().remove('pods', pod.metadata.name, 'shop');
      clock.advance(3);
    }
    clock.advance(REAL_KIND_MS.endpointLagMax + 40);
    assert.deepEqual(
      endpointUids().filter((uid) => uids.includes(uid)),
      [],
    );
  });

  it('let a pod with a preStop go on after its deletion and end it within its grace', () => {
    const [victim] = pods('shop');
    assert.ok(victim);
    const process = cluster.world.kube.processes.all.get(victim.metadata.uid);
    store().remove('pods', victim.metadata.name, 'shop');
    clock.advance(REAL_KIND_MS.preStop - 50);
    assert.equal(process?.state, 'running');
    clock.advance(100);
    assert.equal(process.state, 'stopping');
    clock.advance(200);
    assert.equal(store().get('pods', victim.metadata.name, 'shop'), undefined);
  });

  it('call a node Unknown after its kubelet has been silent, and its pods not ready', () => {
    void cluster.world.hosts.powerOff(worker(0).vmId, 'cut');
    clock.advance(REAL_KIND_MS.notReadyAfter - 600);
    assert.ok(isReady(store().get('nodes', 'test-w1') ?? {}));
    clock.advance(1_700);
    const node = store().get('nodes', 'test-w1');
    assert.equal(node?.status.conditions?.find(({ type }) => type === 'Ready')?.status, 'Unknown');
    assert.ok(
      node.spec.taints?.some(
        ({ key, effect }) => key === 'node.kubernetes.io/unreachable' && effect === 'NoExecute',
      ),
    );
    assert.ok(onNode('test-w1').every((pod) => !isReady(pod)));
  });

  it('leave the pods of a dead node ending until its Node is deleted', () => {
    void cluster.world.hosts.powerOff(worker(0).vmId, 'cut');
    clock.advance(12_000);
    const ending = onNode('test-w1').filter(({ metadata }) => metadata.labels?.['app'] === 'shop');
    assert.ok(ending.length > 0 && ending.every(({ metadata }) => metadata.deletionTimestamp !== undefined));
    store().remove('nodes', 'test-w1');
    assert.ok(until(clock, () => onNode('test-w1').length === 0, 3_000));
    assert.equal(pods('shop').filter(isReady).length, 4);
  });

  it('do not bring a deleted Node back while its kubelet runs on, only when it starts again', () => {
    store().remove('nodes', 'test-w1');
    clock.advance(3_000);
    assert.equal(store().get('nodes', 'test-w1'), undefined);
    cluster.world.startContainer(worker(0), 'kubelet', 'x');
    clock.advance(1_000);
    assert.notEqual(store().get('nodes', 'test-w1'), undefined);
  });

  it('let the containers of a removed node run on when its kubelet is gone', () => {
    cluster.world.stopContainer(worker(0), 'kubelet');
    store().remove('nodes', 'test-w1');
    clock.advance(5_000);
    assert.equal(onNode('test-w1').length, 0);
    const left = [...cluster.world.kube.processes.all.values()].filter(
      ({ machine }) => machine === worker(0),
    );
    assert.ok(left.length >= 4);
    void cluster.world.hosts.powerOff(worker(0).vmId, 'cut');
    assert.ok([...cluster.world.kube.processes.all.values()].every(({ machine }) => machine !== worker(0)));
  });

  it('end what does not tolerate a NoExecute taint, asking no budget, and leave network and proxy', () => {
    store().change('nodes', 'test-w1', undefined, (node) => {
      node.spec.taints = [{ key: 'node-cycle/leaving', effect: 'NoExecute' }];
    });
    assert.ok(until(clock, () => onNode('test-w1').length === 2, 5_000));
    assert.deepEqual(
      onNode('test-w1').map(({ metadata }) => metadata.labels?.['k8s-app']),
      ['canal', 'proxy-metrics'],
    );
    clock.advance(2_000);
    assert.equal(onNode('test-w1').length, 2);
    assert.equal(store().get('daemonsets', 'node-cache', 'shop')?.status['desiredNumberScheduled'], 2);
  });

  it('place nothing new on a cordoned node but DaemonSet pods', () => {
    cluster.world.faults.apply({ fault: 'cordon', node: 'test-w1' });
    clock.advance(200);
    for (const pod of onNode('test-w1')) store().remove('pods', pod.metadata.name, pod.metadata.namespace);
    clock.advance(5_000);
    assert.equal(onNode('test-w1').filter(({ metadata }) => metadata.labels?.['app'] === 'shop').length, 0);
    assert.equal(onNode('test-w1').length, 4);
  });

  it('stand still without a controller manager and catch up when it is back', () => {
    const [plane] = cluster.controlPlane;
    assert.ok(plane);
    cluster.world.stopContainer(plane, 'kube-controller-manager');
    const [victim] = pods('shop');
    assert.ok(victim);
    store().remove('pods', victim.metadata.name, 'shop');
    clock.advance(4_000);
    assert.equal(pods('shop').length, 3);
    cluster.world.startContainer(plane, 'kube-controller-manager', 'x');
    assert.ok(until(clock, () => pods('shop').filter(isReady).length === 4, 3_000));
  });

  it('roll a changed deployment out without ever falling below its number', () => {
    store().change('deployments', 'shop', 'shop', (draft) => {
      draft.spec.template.metadata = { ...draft.spec.template.metadata, annotations: { restarted: 'now' } };
    });
    let least = 4;
    const isNew = (pod: PodObject) => pod.metadata.annotations?.['restarted'] === 'now';
    assert.ok(
      until(clock, () => {
        least = Math.min(
          least,
          pods('shop').filter((p) => isReady(p) && p.metadata.deletionTimestamp === undefined).length,
        );
        return pods('shop').length === 4 && pods('shop').every((pod) => isNew(pod) && isReady(pod));
      }),
    );
    assert.equal(least, 4);
  });

  it('keep a stuck pod until it is deleted by force', () => {
    const [victim] = pods('shop');
    assert.ok(victim);
    const { name } = victim.metadata;
    cluster.world.faults.apply({ fault: 'stuckPod', namespace: 'shop', name });
    store().remove('pods', name, 'shop');
    clock.advance(30_000);
    assert.notEqual(store().get('pods', name, 'shop')?.metadata.deletionTimestamp, undefined);
    store().remove('pods', name, 'shop', { graceSeconds: 0 });
    assert.equal(store().get('pods', name, 'shop'), undefined);
  });

  it('tell the same story twice for the same seed', () => {
    const story = (): string => {
      const own = manualClock(0);
      const { world } = testCluster({ clock: own });
      own.advance(3_000);
      const [pod] = world.kube.store.list('pods', 'shop');
      world.kube.store.remove('pods', pod?.metadata.name ?? '', 'shop');
      own.advance(3_000);
      return JSON.stringify([world.kube.store.version(), world.kube.store.list('pods')]);
    };
    assert.equal(story(), story());
  });
});
