/** The task RkeRemoveRole: see work.ts. */
import { runTask } from '../run.ts';

void runTask('RkeRemoveRole', () => import('./work.ts'));
