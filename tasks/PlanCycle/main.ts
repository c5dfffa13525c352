/** The task PlanCycle: see work.ts. */
import { runTask } from '../run.ts';

void runTask('PlanCycle', () => import('./work.ts'));
