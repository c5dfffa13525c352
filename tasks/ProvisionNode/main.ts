/** The task ProvisionNode: see cycle/steps/provision-node.ts. */
import { runTask } from '../run.ts';

void runTask('ProvisionNode', async (task) => {
  const [{ runStep }, { planProvision }] = await Promise.all([
    import('../step-task.ts'),
    import('../../cycle/steps/provision-node.ts'),
  ]);
  const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
  return runStep(task, {
    name: `ProvisionNode ${pair.staying}`,
    parts: ['nowMs', 'facts', 'lock', 'host', 'vms', 'jobs', 'intent', 'knownHosts', 'ssh'],
    focus: { ...pair, logins: 'staying' },
    plan: (world, acts) => planProvision(task.config, pair, acts, world),
  });
});
