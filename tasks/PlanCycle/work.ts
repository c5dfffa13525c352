/** The work of PlanCycle: see cycle/steps/plan-cycle.ts; with `mode: release` it gives the lock back. */
import { oneOf } from '../inputs.ts';
import { nodes } from '../links/nodes.ts';
import { proxies } from '../links/proxies.ts';
import { reservations } from '../links/reservations.ts';
import { zone } from '../links/zone.ts';
import { planCycle, releaseLock } from '../plan-task.ts';
import type { Work } from '../run.ts';

export const work: Work = {
  links: [nodes, proxies, zone, reservations],
  run(task) {
    const mode = oneOf('mode', task.agent.required('mode'), ['plan', 'release']);
    return mode === 'release' ? releaseLock(task) : planCycle(task);
  },
};
