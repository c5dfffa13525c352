/**
 * A far side that only some tasks talk to. The bridges, the repositories and the cluster are in every context; the
 * rest is linked by the task that needs it, so that no bundle holds a client which its task does not use.
 */
import type { Context } from '../../cycle/context.ts';
import type { Ports } from '../../ports/ports.ts';
import type { PipelineAgent } from '../agent.ts';

export interface Link {
  /** The adapters it brings. */
  ports: Partial<Pick<Ports, 'ssh' | 'dns'>>;
  /**
   * Puts its clients into the context, from the configuration and the task's service connections. Gives what takes
   * back anything that it left outside the process.
   */
  open?(agent: PipelineAgent, ctx: Context): Promise<(() => Promise<void>) | undefined>;
}
