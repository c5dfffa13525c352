/** Reserved addresses through a whole cycle: reserved before the VM, given back when it is purged, never lost between. */
import assert from 'node:assert/strict';
import type { Config } from '../../../cycle/config/schema.ts';
import { factsFromAnnotations, factsToAnnotations, NO_FACTS } from '../../../cycle/facts.ts';
import { planPlanCycle, decide, type PlanActs, type PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { planDeleteVm } from '../../../cycle/steps/delete-vm.ts';
import { planProvision } from '../../../cycle/steps/provision-node.ts';
import { isRefusal, type Plan } from '../../../cycle/step.ts';
import { applied, begun, killed, mustCycle, noActs, planInput, travel, withFacts } from '../journey.ts';
import { ALL_ROLES, configOf, nodesWith, vmFor, worldOf } from '../world.ts';

const RANGES = ['10.0.0.60-10.0.0.79'];
const config = configOf({
  addresses: {
    source: 'reservation',
    ranges: RANGES,
    service: { kind: 'webhook', url: 'https://dhcp.example' },
  },
});
const PAIR = { leaving: 'home-n1', staying: 'home-n5' };
const RESERVED = { mac: '00:15:5d:aa:00:05', address: '10.0.0.61' };
const ids = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? assert.fail(JSON.stringify(planned)) : planned.map(({ id }) => id);
const start = begun(config, worldOf(config));
const provision = (world: PlanWorld, of: Config = config) => planProvision(of, PAIR, noActs(), world);
const reserved = (world: PlanWorld, over: object = { 'home-n5': RESERVED }): PlanWorld =>
  withFacts(world, { ...world.facts, reservations: { ...world.facts.reservations, ...over } });
const made = (over: object = {}) => ({
  ...vmFor({ name: 'home-n5', address: '10.0.0.61', roles: [], ageDays: 0 }),
  mac: RESERVED.mac,
  marker: { cluster: 'home', node: 'home-n5', replaces: 'home-n1', createdAt: '2026-06-15T00:00:00.000Z' },
  imageBuiltAt: '2026-06-14T00:00:00.000Z',
  sshHostKeys: ['ssh-ed25519 BBBB'],
  ...over,
});
const whole = travel(config, { ...PAIR, dead: false }, start);
const worldAt = (id: string, after = 0) =>
  whole.worlds[whole.actions.findIndex((action) => action.id === id) + after] ?? assert.fail(id);

describe('ProvisionNode with reserved addresses', () => {
  it('reserves before it makes the VM, and only once', () => {
    assert.deepEqual(ids(provision(start)).slice(0, 2), ['address.reserve home-n5', 'vm.create home-n5']);
    assert.equal(ids(provision(reserved(start)))[0], 'vm.create home-n5');
  });

  it('makes the VM with the MAC that was reserved, and lets the guest ask for its address', async () => {
    const orders: { mac?: string; address?: string }[] = [];
    const acts = { ...noActs(), createVm: async (_host: string, order: object) => void orders.push(order) };
    const planned = planProvision(config, PAIR, acts as never, reserved(start));
    assert.ok(!isRefusal(planned));
    await planned[0]?.apply?.(new AbortController().signal);
    assert.deepEqual(
      orders.map(({ mac, address }) => [mac, address]),
      [[RESERVED.mac, undefined]],
    );
  });

  it('reserves again when the answer was lost, or when the service holds something else', () => {
    assert.equal(ids(provision(reserved(start, { 'home-n5': {} })))[0], 'address.reserve home-n5');
    for (const held of ['none', { ...RESERVED, mac: '00:15:5d:aa:00:06' }] as const) {
      const world = { ...reserved(start), reservations: { 'home-n5': held } };
      assert.equal(ids(provision(world))[0], 'address.reserve home-n5');
    }
    const same = { ...reserved(start), reservations: { 'home-n5': RESERVED } };
    assert.equal(ids(provision(same))[0], 'vm.create home-n5');
  });

  it('waits until the VM shows the very address that was reserved, whatever it shows before', () => {
    const booting = reserved({ ...start, vms: [...start.vms, made({ addresses: ['10.0.0.99'] })] });
    const planned = provision(booting);
    assert.equal(ids(planned)[0], 'vm.address home-n5');
    assert.match(
      isRefusal(planned) ? '' : (planned[0]?.reason ?? ''),
      /shows 10\.0\.0\.99; 10\.0\.0\.61 is reserved for its MAC/,
    );
    const there = { ...booting, vms: [...start.vms, made({ addresses: ['10.0.0.99', '10.0.0.61'] })] };
    assert.ok(!isRefusal(planned) && planned[0]?.done(there) === true);
    assert.equal(ids(provision(there))[0], 'hostkey.pin home-n5');
  });

  it('believes an address without a reservation only inside the ranges', () => {
    const world = { ...start, vms: [...start.vms, made({ addresses: ['10.0.9.9'] })] };
    const refused = provision(world);
    assert.equal(isRefusal(refused) && refused.code, 'NC1218');
  });
});

describe('A cycle with reserved addresses', () => {
  it('reserves for the successor, keeps the MAC of the old node, and still holds both when it ends', () => {
    assert.equal(whole.refusal, undefined);
    const changes = applied(whole);
    assert.equal(changes[0], 'address.reserve home-n5');
    assert.deepEqual(changes.slice(changes.indexOf('dns.forget home-n1')).slice(0, 3), [
      'dns.forget home-n1',
      'address.keep home-n1',
      'vm.delete home-n1',
    ]);
    assert.ok(!changes.some((id) => id.startsWith('address.release')));
    const end = whole.worlds.at(-1) ?? assert.fail();
    assert.equal(end.facts.old, undefined);
    assert.deepEqual(Object.keys(end.facts.reservations ?? {}).sort(), ['home-n1', 'home-n5']);
    const lease = factsToAnnotations(end.facts);
    assert.deepEqual(
      Object.entries(lease)
        .filter(([, value]) => value !== null)
        .map(([key]) => key),
      ['node-cycle/reservations'],
    );
  });

  it('goes on from every point with exactly what is left', () => {
    whole.worlds.slice(0, -1).forEach((world, k) => {
      const cycle = mustCycle(decide(config, planInput(), world));
      const rest = cycle.path.legs.flatMap(({ actions }) => actions.map(({ id }) => id));
      const expected = whole.actions.slice(k).map(({ id }) => id);
      assert.deepEqual(
        rest.filter((id) => expected.includes(id)),
        expected,
        `after ${whole.actions[k - 1]?.id ?? 'the plan'}`,
      );
    });
  });

  it('gives the address of a dead node back like any other', () => {
    const dead = travel(
      config,
      { ...PAIR, dead: true },
      begun(config, killed(worldOf(config), 'home-n1'), { node: 'home-n1' }),
    );
    assert.equal(dead.refusal, undefined);
    assert.equal(dead.worlds.at(-1)?.facts.reservations?.['home-n1']?.mac, '00:15:5d:00:00:01');
  });

  it('takes it back when no VM was made: the reservation goes, the facts are cleared', () => {
    const back = withFacts(start, { ...reserved(start).facts, direction: 'back' });
    const planned = planDeleteVm(
      config,
      { leaving: 'home-n5', staying: 'home-n1', mode: 'delete' },
      noActs(),
      back,
    );
    assert.deepEqual(ids(planned), ['address.release home-n5', 'facts.clear']);
    assert.equal(!isRefusal(planned) && planned[0]?.irreversible, true);
  });

  it('takes it back with the VM set aside: the reservation stays until the purge', () => {
    const { facts } = worldAt('cluster.yml add home-n5');
    const back = withFacts(worldAt('cluster.yml add home-n5'), { ...facts, direction: 'back' });
    const returned = travel(config, { leaving: 'home-n5', staying: 'home-n1', dead: false }, back);
    assert.equal(returned.refusal, undefined);
    assert.ok(!applied(returned).some((id) => id.startsWith('address.release')));
    assert.ok(returned.worlds.at(-1)?.facts.reservations?.['home-n5']?.mac !== undefined);
  });

  it('does nothing of all this with another source of addresses', () => {
    const plain = configOf();
    const ordinary = travel(plain, { ...PAIR, dead: false }, begun(plain, worldOf(plain)));
    assert.ok(!ordinary.actions.some(({ id }) => id.startsWith('address.')));
  });
});

describe('PlanCycle with reserved addresses', () => {
  const young = worldOf(
    config,
    nodesWith(ALL_ROLES).map((node) => ({
      ...node,
      ageDays: 1,
      vm: { imageBuiltAt: '2026-06-14T00:00:00.000Z' },
    })),
  );
  const acts: PlanActs = {
    takeLock: () => Promise.resolve(),
    writeAllFacts: () => Promise.resolve(),
    releaseAddress: () => Promise.resolve(),
    withdrawProposals: () => Promise.resolve(),
  };
  const left = { 'old-n0': { mac: '00:15:5d:aa:00:01', address: '10.0.0.60' } };
  const withLeft = (world: PlanWorld): PlanWorld => ({
    ...world,
    facts: { ...world.facts, reservations: { ...world.facts.reservations, ...left } },
  });
  const plan = (world: PlanWorld, over: object = {}) =>
    ids(planPlanCycle(config, planInput(over), acts, world));
  const RELEASE = 'address.release old-n0';

  it('gives back what a purged VM had, also when nothing is due', () => {
    assert.deepEqual(plan(withLeft(young)), ['lock.take', RELEASE]);
  });

  it('keeps it while the VM is set aside, has another name, lost its marker, or is just being made', () => {
    const vm = vmFor({ name: 'old-n0', address: '10.0.0.60', roles: [], ageDays: 9 });
    const { marker: _none, ...unmarked } = vm;
    const kept = [
      { ...vm, setAside: true, state: 'off' as const, addresses: [] },
      { ...vm, name: 'old-n0 set aside 2026' },
      { ...unmarked, name: 'old-n0' },
      { ...unmarked, name: 'renamed', mac: '00:15:5d:aa:00:01' },
    ];
    for (const one of kept) {
      const world = withLeft(young);
      assert.deepEqual(plan({ ...world, vms: [...world.vms, one] }), []);
    }
    const job = {
      id: '00000000-0000-0000-0000-000000000009',
      op: 'vm.create',
      target: 'vm:home/old-n0',
      state: 'running' as const,
      paramsHash: 'a'.repeat(64),
      acceptedAt: '2026-06-15T00:00:00.000Z',
    };
    assert.deepEqual(plan({ ...withLeft(young), jobs: [job] }), []);
    const ended = { ...job, state: 'failed' as const, endedAt: '2026-06-15T00:01:00.000Z' };
    assert.deepEqual(plan({ ...withLeft(young), jobs: [ended] }), ['lock.take', RELEASE]);
  });

  it('touches nothing while another run is at work', () => {
    const lock = {
      name: 'node-cycle-home',
      holder: 'org/project/7/99',
      fence: 1,
      acquiredAtMs: young.nowMs,
      annotations: {},
      resourceVersion: '1',
    };
    assert.deepEqual(plan({ ...withLeft(young), lock }), []);
  });

  it('gives back before the next cycle begins, and spares the pair of it', () => {
    const planned = plan(withLeft(worldOf(config)));
    assert.deepEqual(planned, ['lock.take', 'facts.write', RELEASE]);
    const resumed = reserved(start, left);
    assert.deepEqual(plan(resumed), [RELEASE]);
  });

  it('never gives a name or an address out that is still reserved', () => {
    const used = withLeft({ ...worldOf(config) });
    const world = {
      ...used,
      facts: {
        ...used.facts,
        reservations: { 'home-n5': { mac: '00:15:5d:aa:00:09', address: '10.0.0.60' } },
      },
    };
    const facts = mustCycle(decide(config, planInput(), world)).facts;
    assert.equal(facts.successor?.name, 'home-n6');
    assert.deepEqual(facts.reservations, world.facts.reservations);
    const fixed = mustCycle(decide(configOf(), planInput(), world)).facts;
    assert.deepEqual(fixed.successor, { name: 'home-n6', address: '10.0.0.61', host: 'hv1' });
  });

  it('with a static range takes no address that a VM which is set aside holds', () => {
    const aside = {
      ...vmFor({ name: 'home-n0', address: '10.0.0.60', roles: [], ageDays: 70 }),
      setAside: true,
    };
    const plain = configOf();
    for (const vm of [aside, { ...aside, addresses: [] }]) {
      const world = worldOf(plain);
      const { facts } = mustCycle(decide(plain, planInput(), { ...world, vms: [...world.vms, vm] }));
      assert.equal(facts.successor?.address, '10.0.0.61');
    }
  });

  it('keeps reservations on the Lease when the facts of a cycle are found by the marker alone', () => {
    const created = worldAt('vm.create home-n5', 1);
    const lost = {
      ...created,
      facts: { ...NO_FACTS, reservations: created.facts.reservations },
      lock: undefined,
    };
    const { facts } = mustCycle(decide(config, planInput(), lost));
    assert.deepEqual(facts.reservations, created.facts.reservations);
    assert.deepEqual(
      factsFromAnnotations(
        Object.fromEntries(
          Object.entries(factsToAnnotations(facts)).filter((e): e is [string, string] => e[1] !== null),
        ),
      ).reservations,
      facts.reservations,
    );
  });
});
