import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'mocha';
import { manualClock } from '../../../../lab/world/clock.ts';
import type { LabWorld } from '../../../../lab/world/create.ts';
import { testCluster } from '../cluster.ts';

const clock = manualClock(Date.parse('2026-05-01T00:00:00Z'));
let world: LabWorld;

interface Answer {
  status: number;
  body: {
    kind?: string;
    reason?: string;
    metadata: {
      resourceVersion: string;
      continue?: string;
      remainingItemCount?: number;
      generation?: number;
    };
    items: { metadata: { name: string } }[];
    spec: Record<string, unknown>;
    status: Record<string, unknown>;
    groups: { name: string }[];
  };
}

function call(method: string, url: string, body?: unknown, type = 'application/json'): Answer {
  const answer = world.kube.handle({
    method,
    url,
    headers: { 'content-type': type, accept: 'application/json' },
    body: body === undefined ? '' : JSON.stringify(body),
  });
  return { status: answer.status, body: JSON.parse(answer.body) as Answer['body'] };
}

const MERGE = 'application/merge-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const lease = (spec: unknown, resourceVersion?: string) => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: {
    name: 'lock',
    namespace: 'kube-system',
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  },
  spec,
});

describe('the Kubernetes API of the lab', () => {
  beforeEach(() => {
    world = testCluster({ clock, workloads: false }).world;
    clock.advance(3_000);
  });

  it('serves policy/v1beta1 and discovery.k8s.io/v1beta1 and not their later versions', () => {
    const names = call('GET', '/apis').body.groups.map(({ name }) => name);
    assert.ok(names.includes('policy') && names.includes('argoproj.io'));
    assert.equal(call('GET', '/apis/policy/v1/poddisruptionbudgets').status, 404);
    assert.equal(call('GET', '/apis/policy/v1beta1/poddisruptionbudgets').status, 200);
    assert.equal(call('GET', '/apis/discovery.k8s.io/v1/endpointslices').status, 404);
  });

  it('refuses a write over a version that somebody else has changed', () => {
    const made = call('POST', LEASES, lease({ holderIdentity: 'a' }));
    assert.equal(made.status, 201);
    const version = made.body.metadata.resourceVersion;
    assert.equal(call('PUT', `${LEASES}/lock`, lease({ holderIdentity: 'b' }, version)).status, 200);
    const stale = call('PUT', `${LEASES}/lock`, lease({ holderIdentity: 'c' }, version));
    assert.deepEqual([stale.status, stale.body.reason], [409, 'Conflict']);
    assert.equal(call('GET', `${LEASES}/lock`).body.spec['holderIdentity'], 'b');
  });

  it('takes no unconditional replacement of a lease', () => {
    call('POST', LEASES, lease({}));
    assert.equal(call('PUT', `${LEASES}/lock`, lease({})).status, 422);
  });

  it('refuses a second object of the same name, and one in a namespace that is not there', () => {
    call('POST', LEASES, lease({}));
    assert.equal(call('POST', LEASES, lease({})).body.reason, 'AlreadyExists');
    const elsewhere = { ...lease({}), metadata: { name: 'lock' } };
    assert.equal(call('POST', LEASES.replace('kube-system', 'nowhere'), elsewhere).status, 404);
  });

  it('gives no new version to a write that changes nothing', () => {
    const path = '/api/v1/nodes/test-w1';
    const first = call('PATCH', path, { spec: { unschedulable: true } }, STRATEGIC).body;
    clock.advance(100);
    const before = call('GET', path).body.metadata.resourceVersion;
    const again = call('PATCH', path, { spec: { unschedulable: true } }, STRATEGIC).body;
    assert.equal(again.metadata.resourceVersion, before);
    assert.equal(first.spec['unschedulable'], true);
  });

  it('merges conditions by their type and replaces taints whole in a strategic patch', () => {
    const path = '/api/v1/nodes/test-w1';
    const taint = (key: string) => ({ spec: { taints: [{ key, effect: 'NoSchedule' }] } });
    call('PATCH', path, taint('a'), STRATEGIC);
    const tainted = call('PATCH', path, taint('b'), STRATEGIC).body.spec['taints'] as { key: string }[];
    assert.deepEqual(
      tainted.map(({ key }) => key),
      ['b'],
    );
    const condition = { type: 'Ready', status: 'False' };
    const before = world.kube.store.get('nodes', 'test-w1')?.status.conditions?.length;
    call('PATCH', `${path}/status`, { status: { conditions: [condition] } }, STRATEGIC);
    const after = world.kube.store.get('nodes', 'test-w1')?.status.conditions ?? [];
    assert.equal(after.length, before);
    assert.equal(after.find(({ type }) => type === 'Ready')?.status, 'False');
  });

  it('writes status only through the status subresource', () => {
    const path = '/api/v1/nodes/test-w1';
    call('PATCH', path, { status: { conditions: null } }, MERGE);
    assert.notEqual(world.kube.store.get('nodes', 'test-w1')?.status.conditions, undefined);
  });

  it('fails a JSON patch whose test does not hold, and changes nothing', () => {
    const path = '/api/v1/nodes/test-w1';
    const patch = [
      { op: 'test', path: '/metadata/labels/kubernetes.io~1hostname', value: 'other' },
      { op: 'add', path: '/metadata/labels/x', value: 'y' },
    ];
    assert.equal(call('PATCH', path, patch, 'application/json-patch+json').status, 422);
    assert.equal(world.kube.store.get('nodes', 'test-w1')?.metadata.labels?.['x'], undefined);
    assert.equal(call('PATCH', path, {}, 'text/plain').status, 415);
  });

  it('lists in pages that together are the whole', () => {
    const names: string[] = [];
    let next: string | undefined = '';
    while (next !== undefined) {
      const page: Answer = call('GET', `/api/v1/nodes?limit=3&continue=${next}`);
      names.push(...page.body.items.map(({ metadata }) => metadata.name));
      next = page.body.metadata.continue;
    }
    assert.deepEqual(names, ['test-c1', 'test-w1', 'test-w2', 'test-w3']);
  });

  it('selects by label and by field, and refuses a field that is not indexed', () => {
    const found = call(
      'GET',
      '/api/v1/nodes?labelSelector=node-role.kubernetes.io/worker,kubernetes.io/hostname!=test-w2',
    );
    assert.deepEqual(
      found.body.items.map(({ metadata }) => metadata.name),
      ['test-w1', 'test-w3'],
    );
    assert.equal(call('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Dx').body.items.length, 0);
    assert.equal(call('GET', '/api/v1/pods?fieldSelector=spec.hostNetwork%3Dtrue').status, 400);
  });

  it('watches from a version on, and tells who is too late that his version has expired', () => {
    const from = world.kube.store.version();
    const lines: { type: string; object: { metadata?: { name: string }; code?: number } }[] = [];
    const watchFrom = (version: string) => {
      const { stream } = world.kube.handle({
        method: 'GET',
        url: `/api/v1/nodes?watch=1&resourceVersion=${version}`,
      });
      return stream?.({
        write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]),
        end: () => undefined,
      });
    };
    world.kube.store.change('nodes', 'test-w1', undefined, (node) => (node.spec.unschedulable = true));
    const stop = watchFrom(String(from));
    world.kube.store.remove('nodes', 'test-w2');
    stop?.();
    world.kube.store.remove('nodes', 'test-w3');
    assert.deepEqual(
      lines.map(({ type, object }) => [type, object.metadata?.name]),
      [
        ['MODIFIED', 'test-w1'],
        ['DELETED', 'test-w2'],
      ],
    );
    lines.length = 0;
    watchFrom('1');
    assert.deepEqual([lines[0]?.type, lines[0]?.object.code], ['ERROR', 410]);
  });

  it('answers nothing but its health while etcd takes no writes', () => {
    world.kube.setStorage(() => false);
    assert.equal(world.kube.handle({ method: 'GET', url: '/readyz' }).status, 500);
    assert.equal(call('GET', '/api/v1/nodes').status, 500);
    world.kube.setStorage(() => true);
    assert.equal(world.kube.handle({ method: 'GET', url: '/readyz' }).body, 'ok');
  });

  it('keeps an object with a finalizer until the finalizer is taken away', () => {
    const path = '/apis/argoproj.io/v1alpha1/namespaces/default/applications';
    call('POST', path, {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Application',
      metadata: { name: 'ingress', finalizers: ['resources-finalizer.argocd.argoproj.io'] },
      spec: {},
    });
    call('DELETE', `${path}/ingress`);
    assert.equal(call('GET', `${path}/ingress`).status, 200);
    call('PATCH', `${path}/ingress`, { metadata: { finalizers: null } }, MERGE);
    assert.equal(call('GET', `${path}/ingress`).status, 404);
  });
});
