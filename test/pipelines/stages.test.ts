import assert from 'node:assert/strict';
import { expand } from './files.ts';
import { createToyTasks, due, type ToyTasks } from './toy-tasks.ts';

describe('the stages of a cycle', () => {
  let toys: ToyTasks;
  before(() => {
    toys = createToyTasks();
  });
  after(() => toys.end());

  it('replace a node without a question when there are no gates', async () => {
    const { result, worked } = await toys.run(
      { 1: due('controlplane etcd worker') },
      { parameters: { gates: 'none' }, approve: () => Promise.reject(new Error('nobody is to be asked')) },
    );
    assert.equal(result.outcome, 'succeeded');
    assert.equal(worked.at(-2), 'delete_1');
  });

  it('cannot be skipped by hand', async () => {
    const { pipeline } = await expand({ maxNodes: 2 });
    for (const { name } of pipeline.stages) {
      const skipped = toys.run({}, { parameters: { maxNodes: 2 }, skipStages: [name] });
      await assert.rejects(skipped, /NC9109.*isSkippable: false/);
    }
  });

  it('run the tasks for the pair, in the order of the design', async () => {
    const { did } = await toys.run({ 1: due('controlplane etcd worker') }, { checkOut: true });
    assert.deepEqual(did, [
      'plan_1 PlanCycle plan (>)',
      'provision_1 ProvisionNode  (old-1>new-1)',
      'join_1 RkeAddNode  (old-1>new-1)',
      'traffic_1 UpdateIngress in (old-1>new-1)',
      'traffic_1 SwapDns swap (old-1>new-1)',
      'traffic_1 UpdateIngress out (old-1>new-1)',
      'controlplane_1 RkeRemoveRole controlplane (old-1>new-1)',
      'etcd_1 RkeRemoveRole etcd (old-1>new-1)',
      'node_1 RkeRemoveRole node (old-1>new-1)',
      'delete_1 DeleteVm delete (old-1>new-1)',
      'release PlanCycle release (>)',
    ]);
  });

  it('take a dead node out before its successor joins', async () => {
    const { did } = await toys.run({ 1: due('etcd worker', 'dead') }, {});
    assert.deepEqual(
      did.map((line) => line.split(' (')[0]),
      [
        'plan_1 PlanCycle plan',
        'provision_1 ProvisionNode ',
        'remove_dead_1 DeleteVm stop',
        'remove_dead_1 SwapDns out',
        'remove_dead_1 UpdateIngress out',
        'remove_dead_1 RkeRemoveRole node',
        'join_1 RkeAddNode ',
        'traffic_1 UpdateIngress in',
        'traffic_1 SwapDns swap',
        'traffic_1 UpdateIngress out',
        'node_1 RkeRemoveRole node',
        'delete_1 DeleteVm delete',
        'release PlanCycle release',
      ],
    );
  });
});
