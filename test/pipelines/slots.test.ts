import assert from 'node:assert/strict';
import { STAGES } from './files.ts';
import { createToyTasks, due, NOTHING_DUE, wayOf, type Plans, type ToyTasks } from './toy-tasks.ts';

describe('the slots of a run', () => {
  let toys: ToyTasks;
  before(() => {
    toys = createToyTasks();
  });
  after(() => toys.end());

  const ran = async (plans: Plans): Promise<string> => {
    const { worked } = await toys.run(plans, { parameters: { gates: 'none', maxNodes: 5 } });
    return worked.filter((name) => /plan|delete|release/.test(name)).join(' ');
  };

  it('replace five nodes, one after the other, and release the lock at the end', async () => {
    const plans = Object.fromEntries([1, 2, 3, 4, 5].map((slot) => [slot, due('worker', 'alive', slot)]));
    assert.equal(
      await ran(plans),
      'plan_1 delete_1 plan_2 delete_2 plan_3 delete_3 plan_4 delete_4 plan_5 delete_5 release',
    );
  });

  it('look again after a slot that had nothing to do', async () => {
    const rest = { 3: NOTHING_DUE, 4: NOTHING_DUE, 5: NOTHING_DUE };
    const all = await ran({ 1: NOTHING_DUE, 2: due('worker', 'alive', 2), ...rest });
    assert.equal(all, 'plan_1 plan_2 delete_2 plan_3 plan_4 plan_5 release');
    const { result } = await toys.run({ 1: NOTHING_DUE }, {});
    assert.equal(result.outcome, 'succeeded');
  });

  for (const failing of STAGES) {
    it(`do not begin after ${failing} of the first failed`, async () => {
      const state = failing === 'remove_dead' ? 'dead' : 'alive';
      const plans = { 1: due('controlplane etcd worker', state), 2: due('worker', 'alive', 2) };
      const { did, worked, result } = await toys.run(plans, {
        parameters: { gates: 'none', maxNodes: 2 },
        failing: `${failing}_1`,
        minuteMs: 20,
      });
      const way = wayOf('controlplane etcd worker', state);
      const reached = way.slice(0, way.indexOf(failing) + 1);
      assert.deepEqual(worked, [...reached.map((name) => `${name}_1`), 'release']);
      assert.equal(result.outcome, 'failed');
      // The first task of the stage is tried three times.
      assert.equal(did.filter((line) => line.startsWith(`${failing}_1 `)).length, 3);
    });
  }
});
