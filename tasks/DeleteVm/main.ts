/** The task DeleteVm: see cycle/steps/delete-vm.ts. */
import { runTask } from '../run.ts';
import { oneOf } from '../inputs.ts';

void runTask('DeleteVm', async (task) => {
  const [{ runStep }, { planDeleteVm }] = await Promise.all([
    import('../step-task.ts'),
    import('../../cycle/steps/delete-vm.ts'),
  ]);
  const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
  const mode = oneOf('mode', task.agent.required('mode'), ['delete', 'stop']);
  return runStep(task, {
    name: `DeleteVm ${mode} ${pair.leaving}`,
    parts: [
      'nowMs',
      'facts',
      'lock',
      'vms',
      'jobs',
      'intent',
      'state',
      'kube',
      'etcd',
      'proxies',
      'ingress',
      'dns',
    ],
    focus: { ...pair, logins: 'none' },
    plan: (world, acts) => planDeleteVm(task.config, { ...pair, mode }, acts, world),
  });
});
