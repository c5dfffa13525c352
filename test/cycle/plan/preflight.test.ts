/** Each thing that must hold before anything is touched: broken one at a time. */
import assert from 'node:assert/strict';
import { parseClusterYml } from '../../../cycle/cluster/rke/cluster-yml.ts';
import { CHECKS, preflight } from '../../../cycle/plan/preflight.ts';
import { decide, type PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import type { KubeNode } from '../../../cycle/cluster/kubernetes/observe.ts';
import type { EtcdMember } from '../../../cycle/cluster/etcd/members.ts';
import { killed, planInput } from '../journey.ts';
import { configOf, worldOf } from '../world.ts';

const config = configOf();
const healthy = worldOf(config);
const node = (change: Partial<KubeNode>, name = 'home-n2'): PlanWorld => ({
  ...healthy,
  kube: {
    ...healthy.kube,
    nodes: healthy.kube.nodes.map((one) => (one.name === name ? { ...one, ...change } : one)),
  },
});
const member = (change: Partial<EtcdMember>): PlanWorld => ({
  ...healthy,
  etcd: {
    ...healthy.etcd,
    members: healthy.etcd.members.map((one, index) => (index === 1 ? { ...one, ...change } : one)),
  },
});
const yml = (change: (text: string) => string): PlanWorld => {
  const text = change(healthy.intent.text);
  assert.notEqual(text, healthy.intent.text);
  return { ...healthy, intent: { commit: 'c1', text, yml: parseClusterYml(text) } };
};

/** 80 % of etcd's default quota of 2 GiB. */
const FULL_BYTES = Math.ceil(2 * 1024 ** 3 * 0.8);
const behind = (entries: number): PlanWorld => ({
  ...healthy,
  etcd: {
    ...healthy.etcd,
    members: healthy.etcd.members.map((one, index) => ({
      ...one,
      raftIndex: String(index === 1 ? 50_000 - entries : 50_000),
    })),
  },
});

const BROKEN: [string, PlanWorld, string, RegExp][] = [
  ['another node is NotReady', node({ ready: false, readyReason: 'KubeletStopped' }), 'NC1230', /home-n2/],
  ['another node is cordoned', node({ unschedulable: true }), 'NC1231', /home-n2/],
  [
    'a node refuses SSH',
    { ...healthy, ssh: { ...healthy.ssh, '10.0.0.13': 'refused' } },
    'NC1232',
    /home-n3/,
  ],
  [
    'the old node refuses SSH',
    { ...healthy, ssh: { ...healthy.ssh, '10.0.0.11': 'refused' } },
    'NC1232',
    /home-n1/,
  ],
  [
    'rke would refuse cluster.yml',
    yml((text) => text.replace('role: [worker]', 'role: [agent]')),
    'NC3202',
    /agent/,
  ],
  [
    'rke would drain by its own rules',
    yml((text) => `${text}upgrade_strategy:\n  drain: true\n`),
    'NC1233',
    /drain/,
  ],
  [
    'no version is pinned',
    yml((text) => text.replace(/kubernetes_version.*\n/, '')),
    'NC1233',
    /kubernetes_version/,
  ],
  [
    'rke would change an argument',
    yml((text) => `${text}services:\n  kubelet:\n    extra_args: {max-pods: 250}\n`),
    'NC1234',
    /max-pods/,
  ],
  [
    'rke would add a stranger',
    yml((text) => text.replace('nodes:\n', 'nodes:\n  - {address: 10.0.0.40, user: rke, role: [worker]}\n')),
    'NC1235',
    /add 10\.0\.0\.40/,
  ],
  [
    'rke would remove a stranger',
    yml((text) => text.replace(/ {2}- address: 10\.0\.0\.13[^]*?(?= {2}- address)/, '')),
    'NC1235',
    /remove 10\.0\.0\.13/,
  ],
  [
    'rke would change roles of a stranger',
    yml((text) =>
      text.replace(
        'home-n4\n    user: rke\n    role: [worker]',
        'home-n4\n    user: rke\n    role: [worker, etcd]',
      ),
    ),
    'NC1235',
    /change the roles of 10\.0\.0\.14/,
  ],
  [
    'the members of etcd disagree',
    { ...healthy, etcd: { ...healthy.etcd, disagree: true } },
    'NC1236',
    /disagree/,
  ],
  [
    'a member is sick',
    member({ healthy: false, trouble: 'no leader' }),
    'NC1236',
    /etcd-home-n2 is not healthy/,
  ],
  ['a member learns', member({ isLearner: true }), 'NC1236', /learner/],
  ['a member raises an alarm', member({ alarms: ['CORRUPT'] }), 'NC1236', /CORRUPT/],
  ['etcd is full', member({ alarms: ['NOSPACE'] }), 'NC3106', /NOSPACE/],
  ['etcd is nearly full', member({ dbSizeBytes: FULL_BYTES }), 'NC3106', /80% of its quota/],
  ['a voter is far behind', behind(1_001), 'NC3103', /1001 raft entries behind/],
  ['etcd has a stranger', member({ name: 'etcd-old' }), 'NC1236', /does not know: etcd-old/],
  [
    'the certificates lack an alias',
    {
      ...healthy,
      intent: { ...healthy.intent, yml: { ...healthy.intent.yml, sans: ['cp-other'] } },
    },
    'NC1237',
    /cp-home\.home\.example/,
  ],
];

describe('The preflight list', () => {
  it('finds nothing in a healthy cluster', () => {
    assert.equal(preflight(config, healthy, { leaving: 'home-n1', dead: false }), undefined);
    assert.equal(CHECKS.length, new Set(CHECKS.map(({ name }) => name)).size);
  });

  for (const [what, world, expected, why] of BROKEN) {
    it(`refuses when ${what}`, () => {
      const refusal = preflight(config, world, { leaving: 'home-n1', dead: false });
      assert.ok(refusal !== undefined);
      assert.equal(refusal.code, expected);
      assert.match(`${refusal.what} ${refusal.evidence.join(' ')}`, why);
      assert.equal(decide(config, planInput({ node: 'home-n1' }), world).kind, 'refusal');
    });
  }

  it('passes a voter that is just near enough, and a database that is just small enough', () => {
    for (const world of [behind(1_000), member({ dbSizeBytes: FULL_BYTES - 1 })])
      assert.equal(preflight(config, world, { leaving: 'home-n1', dead: false }), undefined);
  });

  it('names everything at once, so that it can be mended in one go', () => {
    const both = {
      ...node({ ready: false, unschedulable: true }),
      ssh: { ...healthy.ssh, '10.0.0.13': 'refused' },
    };
    const refusal = preflight(config, both, { leaving: 'home-n1', dead: false });
    assert.equal(refusal?.code, 'NC1230');
    assert.match(refusal.evidence.join('\n'), /NC1231[^]*NC1232/);
  });

  it('does not ask health of the node that leaves, nor a login when it is dead', () => {
    const sick = node({ ready: false, unschedulable: true }, 'home-n1');
    assert.equal(preflight(config, sick, { leaving: 'home-n1', dead: false }), undefined);
    assert.equal(
      preflight(config, killed(healthy, 'home-n1'), { leaving: 'home-n1', dead: true }),
      undefined,
    );
    assert.equal(
      preflight(config, killed(healthy, 'home-n1'), { leaving: 'home-n1', dead: false })?.code,
      'NC1232',
    );
  });
});
