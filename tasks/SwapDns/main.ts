/** The task SwapDns: see cycle/steps/swap-dns.ts. */
import { runTask } from '../run.ts';
import { oneOf } from '../inputs.ts';

void runTask('SwapDns', async (task) => {
  const [{ runStep }, { planSwapDns }] = await Promise.all([
    import('../step-task.ts'),
    import('../../cycle/steps/swap-dns.ts'),
  ]);
  const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
  const change = oneOf('change', task.agent.required('change'), ['swap', 'out']);
  return runStep(task, {
    name: `SwapDns ${change} ${pair.leaving}`,
    parts: ['nowMs', 'facts', 'lock', 'vms', 'intent', 'dns'],
    focus: { ...pair, logins: 'none' },
    plan: (world, acts) => planSwapDns(task.config, { ...pair, change }, acts, world),
  });
});
