/** The task RkeAddNode: see work.ts. */
import { runTask } from '../run.ts';

void runTask('RkeAddNode', () => import('./work.ts'));
