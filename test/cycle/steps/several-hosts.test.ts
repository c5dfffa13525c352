/** A cycle over several hosts: which one is planned, what goes to which, and what no host may say twice. */
import assert from 'node:assert/strict';
import type { HostSeen } from '../../../cycle/hosts.ts';
import { decide, type PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { planDeleteVm } from '../../../cycle/steps/delete-vm.ts';
import { planProvision } from '../../../cycle/steps/provision-node.ts';
import { isRefusal, type Plan } from '../../../cycle/step.ts';
import { begun, mustCycle, noActs, planInput, travel } from '../journey.ts';
import { configOf, hostOf, nodesWith, ALL_ROLES, worldOf } from '../world.ts';

const sameHost = configOf();
const spread = configOf({ vm: { ...sameHost.vm, placement: 'spread' } });
const PAIR = { leaving: 'home-n1', staying: 'home-n5' };

/** n1 and n3 on hv1, n2 and n4 on hv2; hv3 is empty. */
function worldOn(over: Partial<Record<'hv1' | 'hv2' | 'hv3', Partial<HostSeen>>> = {}): PlanWorld {
  const specs = nodesWith(ALL_ROLES).map((node, index) => ({
    ...node,
    vm: { host: index % 2 ? 'hv2' : 'hv1' },
  }));
  const hosts = (['hv1', 'hv2', 'hv3'] as const).map((host) => hostOf(host, over[host]));
  return { ...worldOf(sameHost, specs), hosts };
}
const stale = (builtAt: string) => ({
  images: [{ id: 'ubuntu-node', builtAt, version: '1', sourceHash: 'b'.repeat(64), stale: true }],
});
const must = <O>(plan: Plan<O>) => (isRefusal(plan) ? assert.fail(JSON.stringify(plan)) : plan);

/** The calls of the acts of a plan, each with its arguments but the signal. */
async function called(plan: (acts: never) => Plan<PlanWorld>): Promise<unknown[][]> {
  const calls: unknown[][] = [];
  const acts = new Proxy(
    {},
    {
      get:
        (_of, name) =>
        (...given: unknown[]) => {
          calls.push([String(name), ...given.slice(0, -1)]);
          return Promise.resolve();
        },
    },
  );
  for (const action of must(plan(acts as never))) await action.apply?.(new AbortController().signal);
  return calls;
}
const hostOfCall = (calls: unknown[][], act: string) => calls.find(([name]) => name === act)?.[1];

describe('PlanCycle over several hosts', () => {
  it('writes down the host of the old node, and the one where its successor will be', () => {
    const same = mustCycle(decide(sameHost, planInput(), worldOn())).facts;
    assert.deepEqual([same.old?.host, same.successor?.host], ['hv1', 'hv1']);
    const apart = mustCycle(decide(spread, planInput(), worldOn())).facts;
    assert.deepEqual([apart.old?.host, apart.successor?.host], ['hv1', 'hv3']);
  });

  it('says in its table that on another host nothing is inherited', () => {
    const reason = (config: typeof spread) =>
      mustCycle(decide(config, planInput(), worldOn()))
        .path.legs.flatMap(({ actions }) => actions)
        .find(({ id }) => id === 'vm.create home-n5')?.reason ?? '';
    assert.match(reason(spread), /made on hv3, without the notes, the start order and the VLAN .* on hv1$/);
    assert.match(reason(sameHost), /made on hv1$/);
  });

  it('foresees the whole way with the new VM on one host and the old one set aside on the other', () => {
    const start = begun(spread, worldOn());
    const { worlds, refusal } = travel(spread, { ...PAIR, dead: false }, start);
    assert.equal(refusal, undefined);
    const vms = worlds.at(-1)?.vms ?? [];
    assert.deepEqual(
      ['home-n1', 'home-n5'].map((name) => {
        const vm = vms.find((one) => one.name === name);
        return `${name} ${vm?.host ?? ''} ${vm?.setAside === true ? 'aside' : 'there'}`;
      }),
      ['home-n1 hv1 aside', 'home-n5 hv3 there'],
    );
  });

  it('compares a node with the image of its own host', () => {
    const world = worldOn({ hv1: stale('2026-01-01T00:00:00.000Z') });
    const decision = mustCycle(decide(sameHost, planInput({ because: 'image' }), world));
    // n1 and n3 are older, and the image of their host is older still.
    assert.equal(decision.leaving, 'home-n2');
  });

  it('judges the budget of deletions where the old VM is', () => {
    const { clientPolicy } = hostOf('hv');
    const spent = {
      clientPolicy: { ...clientPolicy, budgetsLeft: { ...clientPolicy.budgetsLeft, deletions: 0 } },
    };
    assert.equal(decide(spread, planInput(), worldOn({ hv3: spent })).kind, 'cycle');
    const refusal = decide(spread, planInput(), worldOn({ hv1: spent }));
    assert.ok(isRefusal(refusal));
    assert.equal(refusal.code, 'NC1218');
    assert.match(refusal.what, /bridge on hv1/);
  });

  it('names the host in the command that adopts a VM', () => {
    const world = worldOn();
    const vms = world.vms.map((vm) => (vm.name === 'home-n1' ? { ...vm, adopted: false } : vm));
    const refusal = decide(sameHost, planInput(), { ...world, vms });
    assert.ok(isRefusal(refusal));
    assert.match(refusal.evidence.join(), /^on hv1: adopt --cluster home --node home-n1/);
  });

  it('refuses a VM that is known on two hosts, also one that is not due, and names both', () => {
    const world = worldOn();
    const moved = world.vms.find(({ name }) => name === 'home-n2') ?? assert.fail();
    const left = { ...moved, host: 'hv3', state: 'off' as const };
    const refusal = decide(sameHost, planInput(), { ...world, vms: [...world.vms, left] });
    assert.ok(isRefusal(refusal));
    assert.equal(refusal.code, 'NC1228');
    assert.equal(refusal.what, 'The VM of home-n2 is known on hv2 and on hv3.');
    assert.equal(refusal.evidence.length, 2);
  });
});

describe('ProvisionNode over several hosts', () => {
  it('makes the VM where PlanCycle placed it, also when another host has more room by now', async () => {
    const start = begun(spread, worldOn());
    const world = { ...start, hosts: [...start.hosts, hostOf('hv4', { memoryFreeMb: 900_000 })] };
    const calls = await called((acts) => planProvision(spread, PAIR, acts, world));
    assert.equal(hostOfCall(calls, 'createVm'), 'hv3');
    assert.ok(!('inheritFrom' in (calls.find(([name]) => name === 'createVm')?.[2] as object)));
  });

  it('places it anew when the Lease does not say where', async () => {
    const start = begun(spread, worldOn());
    const { host: _lost, ...successor } = start.facts.successor ?? assert.fail();
    const world = { ...start, facts: { ...start.facts, successor } };
    const calls = await called((acts) => planProvision(spread, PAIR, acts, world));
    assert.equal(hostOfCall(calls, 'createVm'), 'hv3');
  });

  it('refuses when the host where it was placed has no bridge in the input any more', () => {
    const start = begun(spread, worldOn());
    const world = { ...start, hosts: start.hosts.filter(({ host }) => host !== 'hv3') };
    const refusal = planProvision(spread, PAIR, noActs(), world);
    assert.ok(isRefusal(refusal));
    assert.equal(refusal.code, 'NC1229');
    assert.match(refusal.what, /hv3/);
  });

  it('inherits on the same host', async () => {
    const calls = await called((acts) => planProvision(sameHost, PAIR, acts, begun(sameHost, worldOn())));
    const [, host, order] = calls.find(([name]) => name === 'createVm') ?? [];
    assert.equal(host, 'hv1');
    assert.equal((order as { inheritFrom?: string }).inheritFrom, '00000000-0000-0000-0000-000000000001');
  });

  it('builds a stale image on the host where the VM will be, and on no other', async () => {
    const old = '2026-06-13T00:00:00.000Z';
    const there = begun(spread, worldOn({ hv3: stale(old) }));
    const calls = await called((acts) => planProvision(spread, PAIR, acts, there));
    assert.deepEqual(calls[0], ['buildImage', 'hv3', 'ubuntu-node']);
    const [build] = must(planProvision(spread, PAIR, noActs(), there));
    assert.ok(build);
    assert.deepEqual(
      build.predict(there).hosts.map(({ images }) => images[0]?.stale),
      [false, false, false],
    );
    assert.equal(build.done(there), false);
    const elsewhere = begun(spread, worldOn({ hv1: stale(old), hv2: stale(old) }));
    assert.ok(
      must(planProvision(spread, PAIR, noActs(), elsewhere)).every(({ id }) => !id.startsWith('image')),
    );
  });
});

describe('DeleteVm over several hosts', () => {
  const start = begun(sameHost, worldOn());
  const twice = {
    ...start,
    vms: start.vms.flatMap((vm) => (vm.name === 'home-n1' ? [vm, { ...vm, host: 'hv2' }] : [vm])),
  };

  it('goes to the host that has the VM', async () => {
    const stop = await called((acts) => planDeleteVm(sameHost, { ...PAIR, mode: 'stop' }, acts, start));
    assert.deepEqual(
      stop.map(([act, vm]) => [act, (vm as { host: string }).host]),
      [['stopVm', 'hv1']],
    );
  });

  it('refuses a VM that is known on two, and so does ProvisionNode', () => {
    for (const mode of ['stop', 'delete'] as const) {
      const refusal = planDeleteVm(sameHost, { ...PAIR, mode }, noActs(), twice);
      assert.ok(isRefusal(refusal));
      assert.equal(refusal.code, 'NC1228');
    }
    const back = planProvision(sameHost, { leaving: 'home-n5', staying: 'home-n1' }, noActs(), twice);
    assert.ok(isRefusal(back));
    assert.equal(back.code, 'NC1228');
  });
});
