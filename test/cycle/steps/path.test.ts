/** The whole way of a cycle, for each set of roles that a node can have. */
import assert from 'node:assert/strict';
import { decide } from '../../../cycle/steps/plan-cycle.ts';
import { renderPath } from '../../../cycle/plan/path.ts';
import type { Role } from '../../../cycle/config/schema.ts';
import { applied, begun, killed, mustCycle, planInput, travel } from '../journey.ts';
import { configOf, nodesWith, ROLE_SETS, worldOf } from '../world.ts';

const config = configOf();
const forward = (roles: readonly Role[]) =>
  travel(
    config,
    { leaving: 'home-n1', staying: 'home-n5', dead: false },
    begun(config, worldOf(config, nodesWith(roles))),
  );

const PROVISION = ['vm.create home-n5', 'hostkey.pin home-n5', 'node.evidence home-n5'];
const JOIN = ['cluster.yml add home-n5', 'rke up add home-n5', 'label home-n5'];
const INGRESS_IN = ['ingress.in 10.0.0.60', 'ingress.sync', 'proxy.in pi 10.0.0.60'];
const INGRESS_OUT = [
  'proxy.down pi 10.0.0.11',
  'proxy.out pi 10.0.0.11',
  'fact.ingress 10.0.0.11',
  'ingress.out 10.0.0.11',
  'ingress.sync',
];
const ALIAS = ['dns.add cp-home 10.0.0.60', 'dns.swap cp-home 10.0.0.11'];
const CNAME = ['dns.swap apps home-n1.home.example'];
const NO_WAY_BACK = 'fact.roleRemoved home-n1';
const PRECAUTIONS = ['etcd.snapshot home-n1', 'etcd.moveLeader home-n1'];
const drop = (role: string) => [`cluster.yml drop ${role} home-n1`, `rke up without ${role} home-n1`];
const EMPTY = ['cordon home-n1', 'drain home-n1', 'taint home-n1'];
const REMOVE = ['cluster.yml remove home-n1', 'rke up without home-n1'];
const DELETE = [
  'dns.forget home-n1',
  'vm.delete home-n1',
  'hostkey.forget home-n1',
  'label.clear home-n5',
  'facts.clear',
];

/** Between the join and the deletion. */
const MIDDLE: Record<string, string[]> = {
  'controlplane,etcd,worker': [
    ...[...INGRESS_IN, 'dns.record home-n5', ...ALIAS, ...CNAME, ...INGRESS_OUT, NO_WAY_BACK],
    ...[...drop('controlplane'), ...PRECAUTIONS, ...drop('etcd'), ...EMPTY, ...REMOVE],
  ],
  'controlplane,etcd': [
    ...['dns.record home-n5', ...ALIAS, NO_WAY_BACK, ...drop('controlplane')],
    ...['cordon home-n1', ...PRECAUTIONS, ...REMOVE],
  ],
  'controlplane,worker': [
    ...[...INGRESS_IN, 'dns.record home-n5', ...ALIAS, ...CNAME, ...INGRESS_OUT, NO_WAY_BACK],
    ...[...drop('controlplane'), ...EMPTY, ...REMOVE],
  ],
  'etcd,worker': [
    ...[...INGRESS_IN, 'dns.record home-n5', ...CNAME, ...INGRESS_OUT, NO_WAY_BACK],
    ...[...PRECAUTIONS, ...drop('etcd'), ...EMPTY, ...REMOVE],
  ],
  controlplane: ['dns.record home-n5', ...ALIAS, 'cordon home-n1', NO_WAY_BACK, ...REMOVE],
  etcd: ['dns.record home-n5', 'cordon home-n1', NO_WAY_BACK, ...PRECAUTIONS, ...REMOVE],
  worker: [
    ...[...INGRESS_IN, 'dns.record home-n5', ...CNAME, ...INGRESS_OUT],
    ...[...EMPTY, NO_WAY_BACK, ...REMOVE],
  ],
};

describe('A whole cycle', () => {
  for (const roles of ROLE_SETS) {
    it(`of a node with ${roles.join(', ')} takes its actions in this order`, () => {
      const whole = forward(roles);
      assert.equal(whole.refusal, undefined);
      assert.deepEqual(applied(whole), [...PROVISION, ...JOIN, ...(MIDDLE[roles.join()] ?? []), ...DELETE]);
    });

    it(`of a node with ${roles.join(', ')} ends with nothing that knows the old node, and one VM more or less`, () => {
      const whole = forward(roles);
      const end = whole.worlds.at(-1) ?? assert.fail();
      const text = JSON.stringify([
        end.kube,
        end.etcd,
        end.intent,
        end.state,
        end.proxies,
        end.ingress,
        end.dns,
      ]);
      assert.ok(!text.includes('home-n1"') && !text.includes('10.0.0.11"') && !text.includes('10.0.0.11:'));
      assert.deepEqual(
        end.kube.nodes.find(({ name }) => name === 'home-n5')?.labels['node-cycle/replaces'],
        undefined,
      );
      for (const world of whole.worlds)
        assert.ok(
          world.vms.filter(({ setAside }) => !setAside).length <= 5,
          'at most one VM more than before',
        );
    });

    it(`of a node with ${roles.join(', ')} does in the role stages that do not apply nothing at all`, () => {
      const whole = forward(roles);
      for (const role of ['controlplane', 'etcd'] as const) {
        const took = whole.actions.some(({ step }) => step === `RkeRemoveRole ${role} home-n1`);
        // The last role of a node leaves with its entry: controlplane leaves before etcd, both before worker.
        const rest = roles.slice(roles.indexOf(role) + 1);
        assert.equal(took, roles.includes(role) && rest.length > 0, role);
      }
    });
  }

  it('takes traffic off the old node before anything is taken from it', () => {
    const ids = applied(forward(['controlplane', 'etcd', 'worker']));
    assert.ok(ids.indexOf('ingress.out 10.0.0.11') < ids.indexOf(NO_WAY_BACK));
  });

  it('waits for the TTL that the alias had, from the moment that its old data went', () => {
    const whole = forward(['controlplane', 'etcd', 'worker']);
    const swapped = whole.worlds.at(-4)?.facts.swapped['cp-home 10.0.0.11'];
    const out = whole.actions.findIndex(({ id }) => id === 'proxy.down pi 10.0.0.11');
    assert.ok(swapped !== undefined);
    assert.equal(swapped.ttlSeconds, 120);
    assert.ok((whole.worlds[out]?.nowMs ?? 0) >= swapped.atMs + 120_000);
  });

  it('marks as irreversible the removals and the deletion, and nothing else', () => {
    const marked = forward(['controlplane', 'etcd', 'worker'])
      .actions.filter(({ irreversible }) => irreversible)
      .map(({ id }) => id);
    assert.deepEqual(marked, [...drop('controlplane'), ...drop('etcd'), ...REMOVE, 'vm.delete home-n1']);
  });

  it('of a dead node goes off, out of the edges and out of the cluster before its successor joins', () => {
    const world = begun(config, killed(worldOf(config), 'home-n1'), { node: 'home-n1' });
    const whole = travel(config, { leaving: 'home-n1', staying: 'home-n5', dead: true }, world);
    assert.equal(whole.refusal, undefined);
    assert.deepEqual(applied(whole), [
      ...PROVISION,
      'vm.stop home-n1',
      'dns.swap cp-home 10.0.0.11',
      ...INGRESS_OUT,
      NO_WAY_BACK,
      'etcd.snapshot home-n1',
      ...REMOVE,
      ...JOIN,
      ...INGRESS_IN,
      ...['dns.record home-n5', 'dns.add cp-home 10.0.0.60', ...CNAME],
      ...DELETE,
    ]);
  });

  it('of a dead node is refused without a majority of healthy members', () => {
    const world = killed(killed(worldOf(config), 'home-n1'), 'home-n2');
    const decision = decide(config, planInput({ node: 'home-n1' }), world);
    assert.equal(decision.kind, 'refusal');
  });

  it('is printed as a table with every action, its reason, and a mark for what cannot be taken back', () => {
    const { path } = mustCycle(decide(config, planInput(), worldOf(config)));
    const lines = renderPath(path);
    assert.ok(lines.some((line) => /^ {2}! vm\.delete home-n1: nothing refers to home-n1/.test(line)));
    assert.ok(lines.some((line) => line.startsWith('  - vm.create home-n5: ')));
    assert.ok(lines.includes('DeleteVm delete home-n1'));
    const worker = mustCycle(decide(config, planInput(), worldOf(config, nodesWith(['worker'])))).path;
    assert.ok(renderPath(worker).includes('RkeRemoveRole etcd home-n1: nothing is missing'));
  });
});
