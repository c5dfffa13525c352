/** The task RkeRemoveRole: see cycle/steps/rke-remove-role.ts. */
import { runTask } from '../run.ts';
import { oneOf } from '../inputs.ts';

void runTask('RkeRemoveRole', async (task) => {
  const [{ runStep }, { planRemoveRole }] = await Promise.all([
    import('../step-task.ts'),
    import('../../cycle/steps/rke-remove-role.ts'),
  ]);
  const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
  const role = oneOf('role', task.agent.required('role'), ['controlplane', 'etcd', 'node']);
  return runStep(task, {
    name: `RkeRemoveRole ${role} ${pair.leaving}`,
    parts: ['nowMs', 'facts', 'lock', 'vms', 'intent', 'state', 'kube', 'etcd', 'apiservers', 'ssh'],
    focus: { ...pair, logins: 'all' },
    plan: (world, acts) => planRemoveRole(task.config, { ...pair, role }, acts, world),
  });
});
