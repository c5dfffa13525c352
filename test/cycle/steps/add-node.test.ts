/** The successor is in cluster.yml, in the cluster, and serves. */
import assert from 'node:assert/strict';
import { planAddNode, whyNotServing } from '../../../cycle/steps/rke-add-node.ts';
import type { PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { isRefusal, type Plan } from '../../../cycle/step.ts';
import { begun, noActs, travel } from '../journey.ts';
import { ALL_ROLES, configOf, podOf, worldOf } from '../world.ts';

const config = configOf();
const whole = travel(
  config,
  { leaving: 'home-n1', staying: 'home-n5', dead: false },
  begun(config, worldOf(config)),
);
const after = (id: string) =>
  whole.worlds[whole.actions.findIndex((action) => action.id === id) + 1] ?? assert.fail(id);
const provisioned = after('ssh.login home-n5');
const joined = after('node.serves home-n5');
const plan = (world: PlanWorld) =>
  planAddNode(config, { leaving: 'home-n1', staying: 'home-n5' }, noActs(), world);
const ids = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? assert.fail(JSON.stringify(planned)) : planned.map(({ id }) => id);
const code = <O>(planned: Plan<O>) => (isRefusal(planned) ? planned.code : 'a plan');

describe('RkeAddNode', () => {
  it('writes an entry like the old one, with its roles, and touches no other line', () => {
    const added = after('cluster.yml add home-n5').intent.text;
    const lines = added.split('\n');
    const before = provisioned.intent.text.split('\n');
    assert.deepEqual(lines.filter((line) => before.includes(line)).length >= before.length, true);
    assert.match(
      added,
      /address: 10\.0\.0\.60\n {4}hostname_override: home-n5\n {4}user: rke\n {4}role: \[controlplane, etcd, worker\]/,
    );
  });

  it('does not start rke before a login to the new node is proven', () => {
    assert.equal(
      code(plan({ ...provisioned, ssh: { ...provisioned.ssh, '10.0.0.60': 'refused' } })),
      'NC1224',
    );
    const { '10.0.0.60': _gone, ...ssh } = provisioned.ssh;
    assert.equal(code(plan({ ...provisioned, ssh })), 'NC1224');
  });

  it('does not add a voter to an etcd that is not whole', () => {
    const members = provisioned.etcd.members.map((member, index) => ({ ...member, healthy: index !== 2 }));
    assert.match(code(plan({ ...provisioned, etcd: { ...provisioned.etcd, members } })), /^NC310/);
  });

  it('needs the address that ProvisionNode found', () => {
    const dhcp = { ...provisioned, vms: provisioned.vms.filter(({ name }) => name !== 'home-n5') };
    const facts = { ...dhcp.facts, successor: { name: 'home-n5' } };
    assert.equal(code(plan({ ...dhcp, facts })), 'NC1217');
  });

  it('refuses to guess roles that nothing tells any more', () => {
    const old = { ...(provisioned.facts.old ?? assert.fail()), roles: [] };
    assert.equal(code(plan({ ...provisioned, facts: { ...provisioned.facts, old } })), 'NC1219');
  });

  it('runs rke when the entry is there and the cluster does not have the node yet', () => {
    assert.deepEqual(ids(plan(after('cluster.yml add home-n5'))), [
      'rke up add home-n5',
      'label home-n5',
      'node.serves home-n5',
    ]);
  });

  it('is done when the node serves, and stays done', () => {
    assert.deepEqual(ids(plan(joined)), []);
  });

  it('does not label again what was cleared when the old VM was set aside', () => {
    assert.deepEqual(ids(plan(after('label.clear home-n5'))), []);
  });

  const address = '10.0.0.60';
  const node = (change: object): PlanWorld => ({
    ...joined,
    kube: {
      ...joined.kube,
      nodes: joined.kube.nodes.map((one) => (one.name === 'home-n5' ? { ...one, ...change } : one)),
    },
  });
  const member = (change: object): PlanWorld => ({
    ...joined,
    etcd: {
      ...joined.etcd,
      members: joined.etcd.members.map((one) => (one.name === 'etcd-home-n5' ? { ...one, ...change } : one)),
    },
  });
  const unserved: [string, PlanWorld, RegExp][] = [
    ['has no Node', { ...joined, kube: { ...joined.kube, nodes: [] } }, /no Node home-n5/],
    ['is NotReady', node({ ready: false, readyReason: 'KubeletNotReady' }), /not Ready \(KubeletNotReady\)/],
    [
      'was Ready too seldom in a row',
      { ...joined, readyInARow: { 'home-n5': 2 } },
      /2 times in a row, not 3/,
    ],
    [
      'waits for its network',
      node({ taints: [{ key: 'node.kubernetes.io/network-unavailable', value: '', effect: 'NoSchedule' }] }),
      /network-unavailable/,
    ],
    ['shows another address', node({ internalIp: '172.17.0.1' }), /172\.17\.0\.1, not 10\.0\.0\.60/],
    [
      'lacks the label of a role',
      node({ labels: { 'node-role.kubernetes.io/worker': 'true' } }),
      /role controlplane/,
    ],
    [
      'has a DaemonSet pod that is not Ready',
      {
        ...joined,
        kube: { ...joined.kube, pods: [podOf('home-n5', 'canal', 'DaemonSet', { ready: false })] },
      },
      /default\/canal-home-n5/,
    ],
    [
      'waits for a DaemonSet',
      {
        ...joined,
        kube: {
          ...joined.kube,
          daemonSets: [
            { namespace: 'kube-system', name: 'canal', uid: '', desired: 5, ready: 4, tolerations: [] },
          ],
        },
      },
      /4 of 5 pods/,
    ],
    ['has a member that still learns', member({ isLearner: true }), /learner/],
    ['has a member that is not healthy', member({ healthy: false, trouble: 'no leader' }), /no leader/],
    ['has a silent apiserver', { ...joined, apiservers: { ...joined.apiservers, [address]: '503' } }, /503/],
  ];
  for (const [what, world, why] of unserved) {
    it(`waits for a node that ${what}, and says so`, () => {
      assert.match(whyNotServing(config, world, 'home-n5', address, ALL_ROLES) ?? '', why);
      assert.ok(ids(plan(world)).includes('node.serves home-n5'));
    });
  }
});
