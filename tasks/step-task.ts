/** Runs one step under the engine: its observation, its plan, the guard before what cannot be taken back. */
import { requireLock, whyNotMine } from '../cycle/acts/facts.ts';
import type { Context } from '../cycle/context.ts';
import type { Focus } from '../cycle/observe.ts';
import { observe } from '../cycle/observe.ts';
import type { World } from '../cycle/observed.ts';
import { converge, Refused, type Plan } from '../cycle/step.ts';
import type { Task, TaskOutcome } from './run.ts';

export interface StepTask<K extends keyof World, A> {
  name: string;
  /** The parts of the world that the step looks at. */
  parts: readonly K[];
  focus: Focus;
  acts(ctx: Context): A;
  plan(world: Pick<World, K>, acts: A): Plan<Pick<World, K>>;
}

/** How long the world may be unreadable before the task gives up; a node that reboots takes minutes. */
const OBSERVE_SETTLES = 5;

export async function runStep<K extends keyof World, A>(
  task: Task,
  step: StepTask<K, A>,
): Promise<TaskOutcome> {
  const { ctx, config, signal } = task;
  task.begin(step.name);
  const acts = step.acts(ctx);
  try {
    await requireLock(ctx, signal);
  } catch (error) {
    if (error instanceof Refused) return { kind: 'refused', refusal: error.refusal, actions: [] };
    throw error;
  }
  const outcome = await converge<Pick<World, K>>(
    {
      name: step.name,
      observe: (stop, fresh) => observe(ctx, step.parts, step.focus, stop, fresh),
      plan: (world) => step.plan(world, acts),
    },
    {
      clock: ctx.ports.clock,
      record: ctx.record,
      signal,
      pollMs: config.pace.pollMs,
      observeMs: config.pace.settleSeconds * 1000 * OBSERVE_SETTLES,
      // The plan itself holds the preflight list and was made anew on the fresh observation; here it is the lock.
      guard: () => whyNotMine(ctx, signal),
    },
  );
  if (outcome.kind === 'refused') return outcome;
  const did = outcome.actions.length === 0 ? 'nothing was missing' : outcome.actions.join(', ');
  return { kind: 'done', message: `${step.name}: ${did}` };
}
