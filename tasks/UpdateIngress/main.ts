/** The task UpdateIngress: see work.ts. */
import { runTask } from '../run.ts';

void runTask('UpdateIngress', () => import('./work.ts'));
