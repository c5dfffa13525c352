/** The task UpdateIngress: see cycle/steps/update-ingress.ts. */
import { runTask } from '../run.ts';
import { oneOf } from '../inputs.ts';

void runTask('UpdateIngress', async (task) => {
  const [{ runStep }, { planUpdateIngress }] = await Promise.all([
    import('../step-task.ts'),
    import('../../cycle/steps/update-ingress.ts'),
  ]);
  const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
  const side = oneOf('side', task.agent.required('side'), ['in', 'out']);
  return runStep(task, {
    name: `UpdateIngress ${side}`,
    parts: ['nowMs', 'facts', 'lock', 'vms', 'intent', 'proxies', 'ingress', 'probes'],
    focus: { ...pair, logins: 'none' },
    plan: (world, acts) => planUpdateIngress(task.config, { ...pair, side }, acts, world),
  });
});
