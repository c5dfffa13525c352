/** The task ProvisionNode: see work.ts. */
import { runTask } from '../run.ts';

void runTask('ProvisionNode', () => import('./work.ts'));
