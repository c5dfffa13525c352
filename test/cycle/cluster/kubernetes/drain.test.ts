import assert from 'node:assert/strict';
import { createKubeApi } from '../../../../cycle/cluster/kubernetes/api.ts';
import { drain, planDrain } from '../../../../cycle/cluster/kubernetes/drain.ts';
import type { DrainOptions } from '../../../../cycle/cluster/kubernetes/drain.ts';
import {
  endpointsOnNode,
  serviceDaemonPods,
  setTaint,
  removeTaint,
  LEAVING_TAINT,
} from '../../../../cycle/cluster/kubernetes/endpoints.ts';
import type {
  KubeBudget,
  KubeNode,
  KubeObservation,
  KubePod,
} from '../../../../cycle/cluster/kubernetes/observe.ts';
import { clock } from '../../../../ports/clock.ts';
import { kubeDouble } from './kube-double.ts';
import type { KubeDouble } from './kube-double.ts';

const ROOM = { cpuMillis: 4000, memoryBytes: 2 ** 33, pods: 110 };

function node(name: string, more: Partial<KubeNode> = {}): KubeNode {
  return {
    name,
    uid: name,
    addresses: [],
    ready: true,
    readyReason: 'KubeletReady',
    trouble: [],
    unschedulable: false,
    labels: { 'kubernetes.io/hostname': name },
    annotations: {},
    taints: [],
    createdAtMs: 0,
    kubeletVersion: '',
    osImage: '',
    containerRuntime: '',
    bootId: '',
    resourceVersion: '1',
    allocatable: ROOM,
    ...more,
  };
}

function pod(name: string, more: Partial<KubePod> = {}): KubePod {
  return {
    namespace: 'd',
    name,
    uid: name,
    node: 'n1',
    ownerKind: 'ReplicaSet',
    phase: 'Running',
    ready: true,
    mirror: false,
    hostNetwork: false,
    emptyDir: false,
    hostPath: false,
    claims: [],
    labels: { app: name },
    deleting: false,
    finalizers: [],
    requests: { cpuMillis: 100, memoryBytes: 2 ** 20, pods: 1 },
    priority: 0,
    nodeSelector: {},
    tolerations: [],
    createdAtMs: 0,
    ...more,
  };
}

function budget(app: string, more: Partial<KubeBudget> = {}): KubeBudget {
  return {
    namespace: 'd',
    name: `${app}-pdb`,
    selector: { matchLabels: { app }, matchExpressions: [] },
    emptySelects: 'none',
    disruptionsAllowed: 0,
    currentHealthy: 1,
    desiredHealthy: 1,
    expectedPods: 1,
    minAvailable: '1',
    current: true,
    ...more,
  };
}

function world(more: Partial<KubeObservation> = {}): KubeObservation {
  return {
    nodes: [node('n1'), node('n2')],
    pods: [pod('web')],
    budgets: [],
    daemonSets: [],
    endpointSlices: [],
    volumeAttachments: [],
    persistentVolumes: [],
    observedAtMs: 0,
    ...more,
  };
}

const codes = (more: Partial<KubeObservation>, options: Partial<DrainOptions> = {}) =>
  planDrain(world(more), 'n1', options).blockers.map((one) => one.code);

describe('planning a drain', () => {
  it('evicts what has a controller and skips DaemonSet, static and leaving pods', () => {
    const plan = planDrain(
      world({
        pods: [
          pod('high', { priority: 1000 }),
          pod('web'),
          pod('ds', { ownerKind: 'DaemonSet' }),
          pod('static', { mirror: true }),
          pod('going', { deleting: true }),
          pod('other', { node: 'n2' }),
          pod('done', { phase: 'Succeeded', ownerKind: undefined }),
        ],
      }),
      'n1',
    );
    assert.deepEqual(
      plan.evict.map((one) => one.name),
      ['done', 'web', 'high'],
    );
    assert.deepEqual(
      plan.skip.map(({ pod: one, why }) => [one.name, why]),
      [
        ['ds', 'daemonSet'],
        ['static', 'mirror'],
        ['going', 'deleting'],
      ],
    );
    assert.deepEqual(plan.blockers, []);
  });

  const cases: [string, Partial<KubeObservation>, Partial<DrainOptions>, string[]][] = [
    ['a budget that can never allow one', { budgets: [budget('web')] }, {}, ['NC3020']],
    [
      'a budget of more than there are pods',
      { budgets: [budget('web', { desiredHealthy: 2 })] },
      {},
      ['NC3020'],
    ],
    [
      'a budget whose pods are only unhealthy now',
      { budgets: [budget('web', { currentHealthy: 1, desiredHealthy: 1, expectedPods: 2 })] },
      {},
      [],
    ],
    ['a budget whose status is old', { budgets: [budget('web', { current: false })] }, {}, []],
    ['a budget that allows one', { budgets: [budget('web', { disruptionsAllowed: 1 })] }, {}, []],
    ['a budget of another namespace', { budgets: [budget('web', { namespace: 'x' })] }, {}, []],
    [
      'two budgets on one pod',
      {
        budgets: [
          budget('web', { disruptionsAllowed: 1 }),
          budget('web', { name: 'two', disruptionsAllowed: 1 }),
        ],
      },
      {},
      ['NC3021'],
    ],
    [
      'an empty selector in v1',
      {
        budgets: [budget('x', { selector: { matchLabels: {}, matchExpressions: [] }, emptySelects: 'all' })],
      },
      {},
      ['NC3020'],
    ],
    [
      'an empty selector in v1beta1',
      { budgets: [budget('x', { selector: { matchLabels: {}, matchExpressions: [] } })] },
      {},
      [],
    ],
    ['a pod without a controller', { pods: [pod('lone', { ownerKind: undefined })] }, {}, ['NC3022']],
    [
      'a pod without a controller that may be lost',
      { pods: [pod('lone', { ownerKind: undefined })] },
      { allowUnmanaged: true },
      [],
    ],
    [
      'emptyDir data that must stay',
      { pods: [pod('web', { emptyDir: true })] },
      { deleteEmptyDir: false },
      ['NC3026'],
    ],
    ['emptyDir data', { pods: [pod('web', { emptyDir: true })] }, {}, []],
    ['a local volume', { persistentVolumes: [{ name: 'pv', nodes: ['n1'] }] }, {}, ['NC3023']],
    [
      'a local volume that is allowed',
      { persistentVolumes: [{ name: 'pv', nodes: ['n1'] }] },
      { allowLocalVolumes: true },
      [],
    ],
    ['a volume of another node', { persistentVolumes: [{ name: 'pv', nodes: ['n2'] }] }, {}, []],
    [
      'a cordoned other node',
      { nodes: [node('n1'), node('n2'), node('n3', { unschedulable: true })] },
      {},
      ['NC3025'],
    ],
    [
      'a dead other node that is known',
      { nodes: [node('n1'), node('n2'), node('n3', { ready: false })] },
      { ignoreNodes: ['n3'] },
      [],
    ],
    ['no other node', { nodes: [node('n1')] }, {}, ['NC3024']],
    [
      'a pod that fits nowhere',
      { pods: [pod('web', { requests: { cpuMillis: 5000, memoryBytes: 0, pods: 1 } })] },
      {},
      ['NC3024'],
    ],
    [
      'pods that fit one by one and not together',
      { pods: [1, 2].map((i) => pod(`w${i}`, { requests: { cpuMillis: 2500, memoryBytes: 0, pods: 1 } })) },
      {},
      ['NC3024'],
    ],
    [
      'a taint that only the old node lacks',
      { nodes: [node('n1'), node('n2', { taints: [{ key: 'k', value: '', effect: 'NoSchedule' }] })] },
      {},
      ['NC3024'],
    ],
    ['no pods and no other node', { nodes: [node('n1')], pods: [] }, {}, []],
  ];
  for (const [what, more, options, expected] of cases) {
    it(`${expected.length === 0 ? 'allows' : 'refuses'} ${what}`, () =>
      assert.deepEqual(codes(more, options), expected));
  }

  it('names the budget, its numbers and the pods', () => {
    const [blocker] = planDrain(world({ budgets: [budget('web')] }), 'n1').blockers;
    assert.match(blocker?.message ?? '', /d\/web-pdb can never let d\/web go/);
    assert.match(blocker?.evidence[0] ?? '', /minAvailable 1, healthy 1 of 1, wanted 1/);
  });

  it('says that there is no such node', () => {
    assert.deepEqual(
      planDrain(world(), 'n9').blockers.map((one) => one.code),
      ['NC3027'],
    );
  });
});

describe('endpoints of a node', () => {
  const slice = {
    namespace: 'd',
    name: 's',
    service: 'web',
    endpoints: [
      { address: '1', nodeName: 'n1', ready: true, terminating: false, pod: { namespace: 'd', name: 'ds' } },
      { address: '2', nodeName: 'n2', ready: true, terminating: false },
      { address: '3', ready: true, terminating: false, pod: { namespace: 'd', name: 'ds' } },
    ],
  };
  const seen = world({
    pods: [pod('ds', { ownerKind: 'DaemonSet' }), pod('net', { ownerKind: 'DaemonSet' })],
    endpointSlices: [slice],
  });

  it('are found by node and by pod', () => {
    assert.deepEqual(
      endpointsOnNode(seen, 'n1').map((one) => one.address),
      ['1', '3'],
    );
  });

  it('tell which DaemonSet pods back a Service', () => {
    assert.deepEqual(
      serviceDaemonPods(seen, 'n1').map(({ pod: one, services, tolerates }) => [
        one.name,
        services,
        tolerates,
      ]),
      [['ds', ['d/web'], false]],
    );
  });
});

const WAIT = { deadlineMs: 5_000 };

function cluster(pods: string[]): { double: KubeDouble; api: ReturnType<typeof createKubeApi> } {
  const double = kubeDouble();
  const status = {
    conditions: [{ type: 'Ready', status: 'True' }],
    allocatable: { cpu: '4', memory: '8Gi', pods: '300' },
  };
  for (const name of ['n1', 'n2'])
    double.put(`/api/v1/nodes/${name}`, { metadata: { name }, spec: {}, status });
  for (const name of pods) put(double, name);
  return { double, api: createKubeApi({ http: double.http, clock }, { servers: ['https://a'] }) };
}

function put(double: KubeDouble, name: string, more: Record<string, unknown> = {}): void {
  const ownerReferences = [{ kind: 'ReplicaSet', name: 'rs', uid: 'u', controller: true }];
  double.put(`/api/v1/namespaces/d/pods/${name}`, {
    metadata: { name, namespace: 'd', uid: `uid-${name}`, ownerReferences, ...more },
    spec: { nodeName: 'n1' },
    status: { phase: 'Running' },
  });
}

const FAST = { pollMs: 5, retryMs: 20 };

describe('a drain', () => {
  it('cordons, evicts all, and ends when the node is empty', async () => {
    const { double, api } = cluster(Array.from({ length: 40 }, (_, i) => `p${i}`));
    const result = await drain({ api, clock }, 'n1', FAST, WAIT);
    assert.equal(result.outcome, 'drained', result.message);
    assert.equal(result.pods.length, 40);
    assert.equal(double.objects.get('/api/v1/nodes/n1')?.spec?.['unschedulable'], true);
    assert.equal(double.seen.filter((one) => one.url.endsWith('/eviction')).length, 40);
  });

  it('touches nothing when it can never succeed', async () => {
    const { double, api } = cluster([]);
    put(double, 'lone', { ownerReferences: [] });
    const result = await drain({ api, clock }, 'n1', FAST, WAIT);
    assert.equal(result.outcome, 'refused');
    assert.ok(double.seen.every((one) => one.method === 'GET'));
  });

  it('tries again what a budget refuses, with a pause', async () => {
    const { double, api } = cluster(['web']);
    let refused = 0;
    double.before = (request) =>
      request.url.endsWith('/eviction') && (refused += 1) <= 3
        ? { status: 429, body: { kind: 'Status', reason: 'TooManyRequests', message: 'budget', details: {} } }
        : undefined;
    const result = await drain({ api, clock }, 'n1', FAST, WAIT);
    assert.deepEqual([result.outcome, result.pods[0]?.tries], ['drained', 4]);
  });

  it('takes a pod that is not there for gone', async () => {
    const { double, api } = cluster(['web']);
    double.before = (_request, path) => {
      if (!path.endsWith('/eviction')) return undefined;
      double.objects.delete(path.replace(/\/eviction$/, ''));
      return { status: 404, body: { kind: 'Status', reason: 'NotFound' } };
    };
    assert.equal((await drain({ api, clock }, 'n1', FAST, WAIT)).outcome, 'drained');
  });

  it('is final for a pod when the API says 500, and still empties the rest', async () => {
    const { double, api } = cluster(['a', 'b']);
    double.before = (_request, path) =>
      path.endsWith('/a/eviction')
        ? { status: 500, body: { kind: 'Status', message: 'more than one budget' } }
        : undefined;
    const result = await drain({ api, clock }, 'n1', FAST, WAIT);
    assert.equal(result.outcome, 'failed');
    assert.deepEqual(
      result.pods.map((one) => one.outcome),
      ['failed', 'gone'],
    );
  });

  it('names a pod that a finalizer keeps, at its deadline', async () => {
    const { double, api } = cluster([]);
    put(double, 'web', { finalizers: ['example.org/hold'] });
    double.evicted = () => false;
    const result = await drain({ api, clock }, 'n1', FAST, { deadlineMs: 100 });
    assert.equal(result.outcome, 'timeout');
    assert.match(result.pods[0]?.message ?? '', /example\.org\/hold/);
    assert.equal(result.pods[0]?.outcome, 'stuckTerminating');
  });

  it('evicts pods that appear while it runs, and waits an API server out', async () => {
    const { double, api } = cluster(['a']);
    let lists = 0;
    double.before = (request) => {
      if (!request.url.includes('fieldSelector')) return undefined;
      lists += 1;
      if (lists === 2) put(double, 'late');
      return lists === 3 || lists === 4 ? 'reset' : undefined;
    };
    const result = await drain({ api, clock }, 'n1', FAST, WAIT);
    assert.deepEqual([result.outcome, result.pods.map((one) => one.pod)], ['drained', ['d/a', 'd/late']]);
  });

  it('ends at once when it is aborted', async () => {
    const { double, api } = cluster(['a']);
    double.evicted = () => false;
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 30);
    const result = await drain(
      { api, clock },
      'n1',
      { ...FAST, pollMs: 60_000 },
      { ...WAIT, signal: abort.signal },
    );
    assert.equal(result.outcome, 'aborted');
  });

  it('sets and takes away our taint, over the version that was read', async () => {
    const { double, api } = cluster([]);
    await setTaint(api, 'n1', { key: 'theirs', value: 'x', effect: 'NoSchedule' }, WAIT);
    let raced = false;
    double.before = (request) => {
      if (request.method === 'PATCH' && !raced) {
        raced = true;
        return { status: 409, body: { kind: 'Status', reason: 'Conflict' } };
      }
      return undefined;
    };
    await setTaint(api, 'n1', LEAVING_TAINT, WAIT);
    const taints = () =>
      (double.objects.get('/api/v1/nodes/n1')?.spec?.['taints'] as { key: string }[]).map((one) => one.key);
    assert.deepEqual(taints(), ['theirs', 'node-cycle/leaving']);
    await removeTaint(api, 'n1', LEAVING_TAINT, WAIT);
    assert.deepEqual(taints(), ['theirs']);
  });
});
