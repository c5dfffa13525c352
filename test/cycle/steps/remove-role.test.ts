/** One role at a time, in one order, with everything that must hold before and after. */
import assert from 'node:assert/strict';
import type { Role } from '../../../cycle/config/schema.ts';
import { planRemoveRole } from '../../../cycle/steps/rke-remove-role.ts';
import { parseClusterYml } from '../../../cycle/cluster/rke/cluster-yml.ts';
import type { PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { foresee, isRefusal, type Plan } from '../../../cycle/step.ts';
import { begun, noActs, travel } from '../journey.ts';
import { ALL_ROLES, configOf, nodesWith, podOf, worldOf } from '../world.ts';

const config = configOf();
const PAIR = { leaving: 'home-n1', staying: 'home-n5' };

/** The successor has joined and has the traffic; nothing has been taken from `home-n1`. */
function joined(roles: readonly Role[] = ALL_ROLES): PlanWorld {
  const whole = travel(config, { ...PAIR, dead: false }, begun(config, worldOf(config, nodesWith(roles))));
  const first = whole.actions.findIndex(({ step }) => step.startsWith('RkeRemoveRole'));
  return whole.worlds[first] ?? assert.fail();
}

const plan = (role: 'controlplane' | 'etcd' | 'node', world: PlanWorld) =>
  planRemoveRole(config, { ...PAIR, role }, noActs(), world);
const ids = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? assert.fail(JSON.stringify(planned)) : planned.map(({ id }) => id);
const code = <O>(planned: Plan<O>) => (isRefusal(planned) ? planned.code : 'a plan');

function withEntry(world: PlanWorld, change: (text: string) => string): PlanWorld {
  const text = change(world.intent.text);
  assert.notEqual(text, world.intent.text);
  return { ...world, intent: { commit: 'c9', text, yml: parseClusterYml(text) } };
}

describe('RkeRemoveRole', () => {
  const full = joined();

  it('takes roles in the order controlplane, etcd, node, and refuses another', () => {
    assert.equal(code(plan('etcd', full)), 'NC1221');
    assert.equal(code(plan('node', full)), 'NC1221');
    assert.equal(code(plan('controlplane', full)), 'a plan');
  });

  it('with strict gates begins a removal only in the window, and finishes what has begun', () => {
    const closed = {
      timeZone: 'UTC',
      days: ['sun' as const],
      from: '01:00',
      to: '02:00',
      atGates: 'strict' as const,
    };
    const strict = { ...config, window: closed };
    const input = { ...PAIR, role: 'controlplane' as const };
    assert.equal(code(planRemoveRole(strict, input, noActs(), full)), 'NC1225');
    const approval = { ...config, window: { ...closed, atGates: 'approval' as const } };
    assert.equal(code(planRemoveRole(approval, input, noActs(), full)), 'a plan');
    const begunRemoval = withEntry(full, (text) =>
      text.replace('role: [controlplane, etcd, worker]', 'role: [etcd, worker]'),
    );
    assert.equal(code(planRemoveRole(strict, input, noActs(), begunRemoval)), 'a plan');
  });

  it('does not take the node while rke has not completed the role before it', () => {
    const edited = withEntry(full, (text) =>
      text.replace(
        'hostname_override: home-n1\n    user: rke\n    role: [controlplane, etcd, worker]',
        'hostname_override: home-n1\n    user: rke\n    role: [worker]',
      ),
    );
    assert.equal(code(plan('node', edited)), 'NC1221');
    assert.equal(code(plan('etcd', edited)), 'NC1221');
    assert.deepEqual(ids(plan('controlplane', edited)), [
      'fact.roleRemoved home-n1',
      'rke up without controlplane home-n1',
      'controlplane.gone home-n1',
    ]);
  });

  it('leaves the last role of a node to the node step, which takes its precautions', () => {
    for (const role of ['controlplane', 'etcd'] as const) {
      const world = joined([role]);
      assert.deepEqual(ids(plan(role, world)), []);
      assert.ok(ids(plan('node', world)).includes('cluster.yml remove home-n1'));
    }
    assert.deepEqual(ids(plan('node', joined(['etcd']))), [
      'cordon home-n1',
      'fact.roleRemoved home-n1',
      'etcd.snapshot home-n1',
      'etcd.moveLeader home-n1',
      'cluster.yml remove home-n1',
      'rke up without home-n1',
      'node.gone home-n1',
    ]);
  });

  it('does nothing for a role that the node never had', () => {
    assert.deepEqual(ids(plan('controlplane', joined(['worker']))), []);
    assert.deepEqual(ids(plan('etcd', joined(['controlplane', 'worker']))), []);
  });

  it('takes no etcd member when the others would lose quorum', () => {
    const world = foresee({ plan: (o: PlanWorld) => plan('controlplane', o) }, full).after;
    const sick = (names: string[], leaving = world) => ({
      ...leaving,
      etcd: {
        ...leaving.etcd,
        members: leaving.etcd.members.map((member) => ({ ...member, healthy: !names.includes(member.name) })),
      },
    });
    assert.equal(code(plan('etcd', world)), 'a plan');
    assert.equal(code(plan('etcd', sick(['etcd-home-n2']))), 'NC1236');
    assert.equal(code(plan('etcd', { ...world, etcd: { ...world.etcd, disagree: true } })), 'NC1236');
    const two = {
      ...world,
      etcd: { ...world.etcd, members: world.etcd.members.filter(({ name }) => name !== 'etcd-home-n2') },
    };
    assert.equal(code(plan('etcd', two)), 'NC3104');
  });

  it('takes no control plane when no other serves', () => {
    const silent = Object.fromEntries(
      Object.keys(full.apiservers).map((address) => [address, address === '10.0.0.11' ? 'ok' : '503']),
    );
    const refused = plan('controlplane', { ...full, apiservers: silent });
    assert.equal(code(refused), 'NC1212');
    assert.ok(isRefusal(refused) && refused.evidence.includes('10.0.0.12: 503'));
  });

  it('takes the snapshot once in a cycle, and again when it is of an earlier one', () => {
    const world = foresee({ plan: (o: PlanWorld) => plan('controlplane', o) }, full).after;
    const taken = { ...world, facts: { ...world.facts, snapshotAtMs: (world.facts.startedAtMs ?? 0) + 1 } };
    assert.ok(!ids(plan('etcd', taken)).includes('etcd.snapshot home-n1'));
    const old = { ...world, facts: { ...world.facts, snapshotAtMs: (world.facts.startedAtMs ?? 0) - 1 } };
    assert.ok(ids(plan('etcd', old)).includes('etcd.snapshot home-n1'));
  });

  it('moves the leadership only off a member that leads', () => {
    const world = foresee({ plan: (o: PlanWorld) => plan('controlplane', o) }, full).after;
    const members = world.etcd.members.map((member) => ({
      ...member,
      leader: member.name === 'etcd-home-n2',
    }));
    const planned = ids(plan('etcd', { ...world, etcd: { ...world.etcd, members } }));
    assert.ok(!planned.includes('etcd.moveLeader home-n1'));
  });

  it('runs rke again when the file is right and rke, etcd or the node is not', () => {
    const world = foresee({ plan: (o: PlanWorld) => plan('controlplane', o) }, full).after;
    const edited = withEntry(world, (text) => text.replace(/role: \[etcd, worker\]/, 'role: [worker]'));
    assert.ok(ids(plan('etcd', edited)).includes('rke up without etcd home-n1'));
    assert.ok(!ids(plan('etcd', edited)).some((id) => id.startsWith('cluster.yml')));
  });

  it('empties the node before rke: cordon, drain, taint, no endpoint left, every pod ended', () => {
    const world = joined(['worker']);
    assert.deepEqual(ids(plan('node', world)).slice(0, 5), [
      'cordon home-n1',
      'drain home-n1',
      'taint home-n1',
      'endpoints.gone home-n1',
      'pods.ended home-n1',
    ]);
  });

  it('waits for pods that end although no endpoint names them any more', () => {
    const world = joined(['worker']);
    const ending = {
      ...world,
      kube: {
        ...world.kube,
        pods: [
          podOf('home-n1', 'ingress', 'DaemonSet', { deleting: true }),
          podOf('home-n2', 'other', 'DaemonSet', { deleting: true }),
        ],
        endpointSlices: [],
      },
    };
    const actions = plan('node', ending);
    assert.ok(!isRefusal(actions));
    const wait = actions.find(({ id }) => id === 'pods.ended home-n1');
    assert.ok(wait && wait.apply === undefined && !wait.done(ending) && wait.done(wait.predict(ending)));
    const own = { ...ending, kube: { ...ending.kube, pods: ending.kube.pods.slice(1) } };
    assert.ok(!ids(plan('node', own)).includes('pods.ended home-n1'));
  });

  it('does not wait for pods that tolerate everything: network and proxy serve to the end', () => {
    const world = joined(['worker']);
    const emptied = {
      ...world,
      kube: {
        ...world.kube,
        pods: [podOf('home-n1', 'canal', 'DaemonSet', { tolerations: [{ operator: 'Exists' }] })],
        endpointSlices: [
          {
            namespace: 'default',
            name: 'canal-abc',
            service: 'canal',
            endpoints: [
              {
                address: '10.0.0.11',
                nodeName: 'home-n1',
                ready: true,
                terminating: false,
                pod: { namespace: 'default', name: 'canal-home-n1' },
              },
            ],
          },
        ],
      },
    };
    assert.ok(!ids(plan('node', emptied)).some((id) => /taint|endpoints/.test(id)));
  });

  it('removes by itself what rke has lost sight of', () => {
    const world = joined(['etcd']);
    const lost = {
      ...withEntry(world, (text) => text.replace(/ {2}- address: 10\.0\.0\.11[^]*?(?= {2}- address)/, '')),
      state: {
        ...world.state,
        current: {
          ...world.state.current,
          nodes: world.state.current.nodes.filter(({ hostnameOverride }) => hostnameOverride !== 'home-n1'),
        },
      },
    };
    const members = lost.etcd.members.map((member) => ({
      ...member,
      leader: member.name === 'etcd-home-n2',
    }));
    const planned = ids(plan('node', { ...lost, etcd: { ...lost.etcd, members } }));
    assert.ok(planned.includes('orphan.remove home-n1'), planned.join());
    assert.ok(!planned.some((id) => id.startsWith('rke up')));
  });

  it('removes by itself a member that rke has lost and only said to have removed, and leaves the node', () => {
    const file = withEntry(full, (text) =>
      text.replace('role: [controlplane, etcd, worker]', 'role: [worker]'),
    );
    const nodes = file.state.current.nodes.map((one) =>
      one.hostnameOverride === 'home-n1' ? { ...one, roles: ['worker' as const] } : one,
    );
    const lied = { ...file, state: { ...file.state, current: { ...file.state.current, nodes } } };
    const planned = ids(plan('etcd', lied));
    assert.ok(planned.includes('member.remove home-n1'), planned.join());
    assert.ok(!planned.some((id) => id.startsWith('rke up') || id.startsWith('orphan')), planned.join());
    const step = { plan: (o: PlanWorld) => plan('etcd', o) };
    const { after, refusal } = foresee(step, lied);
    assert.equal(refusal, undefined);
    assert.ok(!after.etcd.members.some(({ name }) => name === 'etcd-home-n1'));
    assert.ok(after.kube.nodes.some(({ name }) => name === 'home-n1'));

    // Each member answers the list from its own memory: the dry run clears those as well.
    const names = lied.etcd.members.map(({ name }) => name);
    const memberIds = lied.etcd.members.map(({ id }) => id);
    const lists = [{ endpoint: 'https://10.0.0.12:2379', ids: memberIds, names }];
    const listed = { ...lied, etcd: { ...lied.etcd, lists } };
    assert.equal(foresee(step, listed).refusal, undefined);
    const stale = { ...after, etcd: { ...after.etcd, lists } };
    assert.deepEqual(ids(plan('etcd', stale)), ['etcd.gone home-n1']);
    assert.equal(foresee(step, stale).refusal, undefined);

    const sick = lied.etcd.members.map((one) =>
      one.name === 'etcd-home-n2' ? { ...one, healthy: false } : one,
    );
    assert.equal(code(plan('etcd', { ...lied, etcd: { ...lied.etcd, members: sick } })), 'NC1236');
  });

  it('runs rke again for an apiserver that a killed run has left stopped, and not for a node that is down', () => {
    const file = withEntry(full, (text) =>
      text.replace('role: [controlplane, etcd, worker]', 'role: [etcd, worker]'),
    );
    const nodes = file.state.current.nodes.map((one) =>
      one.hostnameOverride === 'home-n1' ? { ...one, roles: ['etcd' as const, 'worker' as const] } : one,
    );
    const stopped = {
      ...file,
      state: { ...file.state, current: { ...file.state.current, nodes } },
      apiservers: { ...file.apiservers, '10.0.0.12': 'connection refused' },
    };
    assert.ok(ids(plan('controlplane', stopped)).includes('rke up for the apiserver 10.0.0.12'));
    // The kill came after rke's state was written and before the labels were.
    assert.deepEqual(ids(plan('controlplane', { ...stopped, apiservers: file.apiservers })), [
      'unlabel home-n1',
      'controlplane.gone home-n1',
    ]);
    const down = stopped.kube.nodes.map((one) => (one.name === 'home-n2' ? { ...one, ready: false } : one));
    const unlabelled = down.map((one) => (one.name === 'home-n1' ? { ...one, labels: {} } : one));
    const rebooting = { ...stopped, kube: { ...stopped.kube, nodes: unlabelled } };
    assert.deepEqual(ids(plan('controlplane', rebooting)), ['controlplane.gone home-n1']);
  });

  it('refuses when rke would touch anything else', () => {
    const other = withEntry(full, (text) => text.replace('strategy: x509', 'strategy: x509|webhook'));
    assert.equal(code(plan('controlplane', other)), 'NC1234');
  });

  it('is done when nothing of the cluster knows the node', () => {
    let world = full;
    for (const role of ['controlplane', 'etcd', 'node'] as const)
      world = foresee({ plan: (o: PlanWorld) => plan(role, o) }, world).after;
    for (const role of ['controlplane', 'etcd', 'node'] as const)
      assert.deepEqual(ids(plan(role, world)), []);
  });
});

describe('RkeRemoveRole on the way back', () => {
  it('takes the successor out whole when rke never completed its join, and what is left of it', () => {
    const start = begun(config, worldOf(config));
    const whole = travel(config, { ...PAIR, dead: false }, start);
    const edited = whole.actions.findIndex(({ id }) => id === 'cluster.yml add home-n5') + 1;
    const world = whole.worlds[edited] ?? assert.fail();
    const member = world.etcd.members[1] ?? assert.fail();
    const half: PlanWorld = {
      ...world,
      facts: { ...world.facts, direction: 'back' },
      etcd: {
        ...world.etcd,
        members: [
          ...world.etcd.members,
          { ...member, id: '999', name: 'etcd-home-n5', address: '10.0.0.60' },
        ],
      },
    };
    const back = travel(config, { leaving: 'home-n5', staying: 'home-n1', dead: false }, half);
    assert.equal(back.refusal, undefined, JSON.stringify(back.refusal));
    const removed = back.actions.filter(({ step, wait }) => step.startsWith('RkeRemoveRole') && !wait);
    assert.deepEqual(
      removed.map(({ step, id }) => `${step}: ${id}`),
      [
        'RkeRemoveRole node home-n5: etcd.snapshot home-n5',
        'RkeRemoveRole node home-n5: cluster.yml remove home-n5',
        'RkeRemoveRole node home-n5: orphan.remove home-n5',
      ],
    );
    assert.equal(back.worlds.at(-1)?.intent.text, start.intent.text);
  });
});
