/** What would lead nowhere once the node is gone: places in a proxy that nobody moves, and a node without the pod. */
import assert from 'node:assert/strict';
import { localServices } from '../../../cycle/cluster/kubernetes/services.ts';
import { createKubeApi } from '../../../cycle/cluster/kubernetes/api.ts';
import { mentionNotes } from '../../../cycle/plan/mentions.ts';
import { decide, type PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { clock } from '../../../ports/clock.ts';
import { kubeDouble } from '../cluster/kubernetes/kube-double.ts';
import { planInput } from '../journey.ts';
import { configOf, worldOf } from '../world.ts';

const config = configOf();
const NODE = { name: 'home-n1', address: '10.0.0.11' };
const FILE = '/etc/nginx/conf.d/extra.conf';
const withFile = (text: string): PlanWorld => {
  const world = worldOf(config);
  return {
    ...world,
    proxies: world.proxies.map((proxy) => ({ ...proxy, files: { ...proxy.files, [FILE]: text } })),
  };
};
const decision = (world: PlanWorld, of = config) => {
  const made = decide(of, planInput(), world);
  return made.kind === 'refusal' ? `${made.code} ${made.what} ${made.evidence.join(' | ')}` : made.kind;
};

describe('PlanCycle, of places in a proxy that nobody moves', () => {
  it('refuses where requests go to the old node, by its address or by its name', () => {
    for (const text of [
      'server { location / { proxy_pass http://10.0.0.11:9000; } }\n',
      'server { set $to home-n1.home.example; }\n',
      'map $host $to { default 10.0.0.11:9000; }\n',
      'upstream x { server home-n1.home.example:80 resolve; server 10.0.0.12:80; }\n',
    ])
      assert.match(decision(withFile(text)), /^NC1212 pi:\/etc\/nginx\/conf\.d\/extra\.conf .*:1 /, text);
    const text = 'server { location / { proxy_pass http://10.0.0.11:9000; } }\n';
    const allowed = configOf({ allow: { interruption: [`pi:${FILE}`] } });
    assert.equal(decision(withFile(text), allowed), 'cycle');
  });

  it('only notes where it is named', () => {
    const world = withFile('# 10.0.0.11\nallow 10.0.0.11;\ngeo $own { default 0; 10.0.0.11 1; }\n');
    assert.equal(decision(world), 'cycle');
    assert.deepEqual(mentionNotes(config, world, NODE), [
      `pi: ${FILE}:2 allow names home-n1, and nothing here changes that.`,
      `pi: ${FILE}:3 10.0.0.11 names home-n1, and nothing here changes that.`,
    ]);
    assert.deepEqual(mentionNotes(config, worldOf(config), NODE), []);
  });
});

describe('PlanCycle, of a Service that sends only to pods on the same node', () => {
  const service = { namespace: 'default', name: 'ingress', addresses: ['10.0.0.11'], nodePorts: [] };
  const having = (over: object, ownerKind = 'DaemonSet'): PlanWorld => {
    const world = worldOf(config);
    return {
      ...world,
      localServices: [{ ...service, ...over }],
      kube: {
        ...world.kube,
        pods: world.kube.pods.map((pod) => (pod.name.startsWith('ingress-') ? { ...pod, ownerKind } : pod)),
      },
    };
  };

  it('goes on when a DaemonSet brings the pod', () => {
    assert.equal(decision(having({})), 'cycle');
  });

  it('refuses when the successor is not sure to have one, unless that is allowed', () => {
    const world = having({}, 'ReplicaSet');
    assert.match(decision(world), /^NC1212 default\/ingress sends .*Local.*ingress-home-n1 of ReplicaSet/);
    assert.match(
      decision(having({ addresses: [], nodePorts: [80] }, 'ReplicaSet')),
      /^NC1212 default\/ingress/,
    );
    const allow = { interruption: ['default/ingress'] };
    assert.equal(decision(world, configOf({ allow })), 'cycle');
  });

  it('has nothing against a Service through which the old node takes no requests', () => {
    assert.equal(decision(having({ addresses: ['10.9.9.9'], nodePorts: [31_000] }, 'ReplicaSet')), 'cycle');
    const world = having({}, 'ReplicaSet');
    const elsewhere = {
      ...world,
      kube: {
        ...world.kube,
        endpointSlices: world.kube.endpointSlices.map((slice) => ({
          ...slice,
          endpoints: slice.endpoints.filter(({ nodeName }) => nodeName !== 'home-n1'),
        })),
      },
    };
    assert.equal(decision(elsewhere), 'cycle');
  });

  it('is read from the cluster: those with the policy, their addresses and node ports', async () => {
    const kube = kubeDouble();
    const put = (name: string, spec: object) =>
      kube.put(`/api/v1/namespaces/web/services/${name}`, {
        metadata: { name, namespace: 'web' },
        spec: { ...spec },
      });
    put('local', {
      externalTrafficPolicy: 'Local',
      externalIPs: ['10.0.0.11'],
      loadBalancerIP: '10.0.0.200',
      ports: [{ port: 80, nodePort: 30_080 }, { port: 443 }],
    });
    put('everywhere', { externalTrafficPolicy: 'Cluster', externalIPs: ['10.0.0.12'] });
    put('inside', { ports: [{ port: 80 }] });
    const api = createKubeApi({ http: kube.http, clock }, { servers: ['https://a:6443'] });
    assert.deepEqual(await localServices(api, { deadlineMs: 1_000 }), [
      { namespace: 'web', name: 'local', addresses: ['10.0.0.11', '10.0.0.200'], nodePorts: [30_080] },
    ]);
  });
});
