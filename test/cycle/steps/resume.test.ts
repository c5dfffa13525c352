/** A cycle that ends anywhere goes on from there: the next run takes exactly the actions that are left. */
import assert from 'node:assert/strict';
import { decide, type PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { NO_FACTS, type Facts } from '../../../cycle/facts.ts';
import { applied, asItWas, begun, killed, mustCycle, planInput, travel, withFacts } from '../journey.ts';
import { configOf, nodesWith, ROLE_SETS, worldOf } from '../world.ts';

const config = configOf();

/** What a new run would do from here, as PlanCycle decides it: the ids of what changes something, and the end. */
function restFrom(world: PlanWorld, direction: 'forward' | 'back' = 'forward') {
  const cycle = mustCycle(decide(config, planInput({ direction }), world));
  const changes = cycle.path.legs
    .flatMap(({ actions }) => actions.map(({ id }) => id))
    .filter((id) => !isWait(id));
  return { cycle, changes, end: cycle.path.after };
}

function isWait(id: string): boolean {
  return /^(vm\.address|ssh\.login|node\.serves|probe\.[a-z]+|dns\.(ttl|everywhere)|[a-z]+\.gone) /.test(id);
}

describe('A cycle that was interrupted', () => {
  for (const roles of ROLE_SETS) {
    it(`goes on with exactly the remaining actions from every point (${roles.join(', ')})`, () => {
      const start = begun(config, worldOf(config, nodesWith(roles)));
      const whole = travel(config, { leaving: 'home-n1', staying: 'home-n5', dead: false }, start);
      assert.equal(whole.refusal, undefined);
      whole.worlds.slice(0, -1).forEach((world, k) => {
        const { cycle, changes } = restFrom(world);
        assert.deepEqual([cycle.leaving, cycle.staying, cycle.resumed], ['home-n1', 'home-n5', true]);
        assert.deepEqual(changes, applied(whole, k), `after ${whole.actions[k - 1]?.id ?? 'the plan'}`);
      });
    });
  }

  it('that replaces a dead node goes on with exactly the remaining actions from every point', () => {
    const start = begun(config, killed(worldOf(config), 'home-n1'), { node: 'home-n1' });
    const whole = travel(config, { leaving: 'home-n1', staying: 'home-n5', dead: true }, start);
    assert.equal(whole.refusal, undefined);
    whole.worlds.slice(0, -1).forEach((world, k) => {
      const { changes } = restFrom(world);
      assert.deepEqual(changes, applied(whole, k), `after ${whole.actions[k - 1]?.id ?? 'the plan'}`);
    });
  });

  it('is finished and leaves nothing due when its last action was taken', () => {
    const whole = travel(
      config,
      { leaving: 'home-n1', staying: 'home-n5', dead: false },
      begun(config, worldOf(config)),
    );
    const after = decide(config, planInput({ because: 'age' }), whole.worlds.at(-1) ?? assert.fail());
    assert.equal(after.kind, 'nothing');
  });

  it('is found by the marker of the new VM when the Lease has lost its facts', () => {
    const whole = travel(
      config,
      { leaving: 'home-n1', staying: 'home-n5', dead: false },
      begun(config, worldOf(config)),
    );
    const created = whole.actions.findIndex(({ id }) => id === 'vm.create home-n5') + 1;
    const gone = whole.actions.findIndex(({ id }) => id === 'vm.delete home-n1') + 1;
    for (let k = created; k < gone; k += 1) {
      const lost: PlanWorld = { ...(whole.worlds[k] ?? assert.fail()), facts: NO_FACTS, lock: undefined };
      const { cycle, end } = restFrom(lost);
      assert.deepEqual([cycle.leaving, cycle.staying], ['home-n1', 'home-n5']);
      const { ingress: _order, ...expected } = asItWas(whole.worlds.at(-1) ?? assert.fail(), []);
      const { ingress: _also, ...found } = asItWas(end, []);
      assert.deepEqual(found, expected, `after ${whole.actions[k - 1]?.id ?? ''}`);
    }
  });

  it('is gone on with by a scheduled run in the direction that a person gave it', () => {
    const start = begun(config, worldOf(config));
    const back = withFacts(start, { ...start.facts, direction: 'back' });
    const decision = mustCycle(decide(config, planInput({ scheduled: true }), back));
    assert.deepEqual([decision.facts.direction, decision.leaving], ['back', 'home-n5']);
    assert.equal(mustCycle(decide(config, planInput(), back)).leaving, 'home-n1');
  });

  it('keeps another node waiting that is named meanwhile', () => {
    const decision = decide(config, planInput({ node: 'home-n2' }), begun(config, worldOf(config)));
    assert.equal(decision.kind === 'refusal' && decision.code, 'NC1213');
  });
});

describe('Going back', () => {
  for (const roles of ROLE_SETS) {
    it(`leaves everything as it was, from every point before the first removal (${roles.join(', ')})`, () => {
      const before = worldOf(config, nodesWith(roles));
      const names = before.kube.nodes.map(({ name }) => name);
      const whole = travel(
        config,
        { leaving: 'home-n1', staying: 'home-n5', dead: false },
        begun(config, before),
      );
      const points = whole.worlds.filter(
        ({ facts }) => facts.old !== undefined && facts.roleRemoved !== true,
      );
      assert.ok(points.length > 5);
      points.forEach((world, k) => {
        const { cycle, end } = restFrom(world, 'back');
        assert.deepEqual([cycle.leaving, cycle.staying], ['home-n5', 'home-n1']);
        const where = `after ${whole.actions[k - 1]?.id ?? 'the plan'}`;
        assert.deepEqual(asItWas(end, names), asItWas(before, names), where);
        assert.equal(end.facts.old, undefined, where);
      });
    });
  }

  it('is refused from the fact that the first role goes, with the roles at the start', () => {
    const whole = travel(
      config,
      { leaving: 'home-n1', staying: 'home-n5', dead: false },
      begun(config, worldOf(config)),
    );
    const late = whole.worlds.filter(({ facts }) => facts.roleRemoved === true);
    assert.ok(late.length > 5);
    for (const world of late) {
      const decision = decide(config, planInput({ direction: 'back' }), world);
      assert.equal(decision.kind === 'refusal' && decision.code, 'NC1220');
    }
  });

  it('goes on from every point of the way back, and never takes its own way back away', () => {
    const start = begun(config, worldOf(config));
    const forward = travel(config, { leaving: 'home-n1', staying: 'home-n5', dead: false }, start);
    const out = forward.actions.findIndex(({ id }) => id === 'ingress.sync out') + 1;
    const facts: Facts = { ...(forward.worlds[out] ?? assert.fail()).facts, direction: 'back' };
    const whole = travel(
      config,
      { leaving: 'home-n5', staying: 'home-n1', dead: false },
      withFacts(forward.worlds[out] ?? assert.fail(), facts),
    );
    assert.equal(whole.refusal, undefined);
    whole.worlds.slice(0, -1).forEach((world, k) => {
      const { changes } = restFrom(world, 'back');
      assert.deepEqual(changes, applied(whole, k), `after ${whole.actions[k - 1]?.id ?? 'the turn'}`);
    });
  });

  it('can be turned forward again by a person, from every point, to the same end', () => {
    const start = begun(config, worldOf(config));
    const forward = travel(config, { leaving: 'home-n1', staying: 'home-n5', dead: false }, start);
    const out = forward.actions.findIndex(({ id }) => id === 'ingress.sync out') + 1;
    const turned = forward.worlds[out] ?? assert.fail();
    const back = travel(
      config,
      { leaving: 'home-n5', staying: 'home-n1', dead: false },
      withFacts(turned, { ...turned.facts, direction: 'back' }),
    );
    const deleted = back.actions.findIndex(({ id }) => id === 'vm.delete home-n5');
    const expected = asItWas(forward.worlds.at(-1) ?? assert.fail(), []);
    back.worlds.slice(0, deleted + 1).forEach((world, k) => {
      const { end } = restFrom(world);
      const found = asItWas(end, []);
      assert.deepEqual(found.members, expected.members, `after ${back.actions[k - 1]?.id ?? 'the turn'}`);
      assert.deepEqual(found.vms, expected.vms);
      assert.deepEqual(found.dns, expected.dns);
      assert.deepEqual(found.state, expected.state);
    });
  });

  it('has nothing to take back when no cycle is unfinished', () => {
    const decision = decide(config, planInput({ direction: 'back' }), worldOf(config));
    assert.equal(decision.kind === 'refusal' && decision.code, 'NC1226');
  });

  it('keeps the cordon that somebody else had set before the cycle', () => {
    const nodes = nodesWith(['worker']).map((node) =>
      node.name === 'home-n1' ? { ...node, kube: { unschedulable: true } } : node,
    );
    const before = worldOf(config, nodes);
    const names = before.kube.nodes.map(({ name }) => name);
    const whole = travel(
      config,
      { leaving: 'home-n1', staying: 'home-n5', dead: false },
      begun(config, before),
    );
    const drained = whole.actions.findIndex(({ id }) => id === 'taint home-n1') + 1;
    const { end } = restFrom(whole.worlds[drained] ?? assert.fail(), 'back');
    assert.deepEqual(asItWas(end, names).nodes, asItWas(before, names).nodes);
  });
});
