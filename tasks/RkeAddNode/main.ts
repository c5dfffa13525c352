/** The task RkeAddNode: see cycle/steps/rke-add-node.ts. */
import { runTask } from '../run.ts';

void runTask('RkeAddNode', async (task) => {
  const [{ runStep }, { planAddNode }] = await Promise.all([
    import('../step-task.ts'),
    import('../../cycle/steps/rke-add-node.ts'),
  ]);
  const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
  return runStep(task, {
    name: `RkeAddNode ${pair.staying}`,
    parts: [
      'nowMs',
      'facts',
      'lock',
      'vms',
      'intent',
      'state',
      'kube',
      'readyInARow',
      'etcd',
      'apiservers',
      'ssh',
    ],
    focus: { ...pair, logins: 'staying' },
    plan: (world, acts) => planAddNode(task.config, pair, acts, world),
  });
});
