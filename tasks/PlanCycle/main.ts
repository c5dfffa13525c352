/** The task PlanCycle: see cycle/steps/plan-cycle.ts; with `mode: release` it gives the lock back. */
import { runTask } from '../run.ts';
import { oneOf } from '../inputs.ts';

void runTask('PlanCycle', async (task) => {
  const mode = oneOf('mode', task.agent.required('mode'), ['plan', 'release']);
  const { planCycle, releaseLock } = await import('../plan-task.ts');
  return mode === 'release' ? releaseLock(task) : planCycle(task);
});
