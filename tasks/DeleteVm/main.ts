/** The task DeleteVm: see work.ts. */
import { runTask } from '../run.ts';

void runTask('DeleteVm', () => import('./work.ts'));
