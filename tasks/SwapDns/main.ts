/** The task SwapDns: see work.ts. */
import { runTask } from '../run.ts';

void runTask('SwapDns', () => import('./work.ts'));
