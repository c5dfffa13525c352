/** Which nodes a run replaced: the pairs whose VM was set aside. */
import type { QueuedRun } from './queue.ts';

export function replacedBy(run: QueuedRun): { old: string; new: string }[] {
  return run.result.stages
    .filter(
      ({ name, result }) =>
        name.startsWith('delete_') && (result === 'succeeded' || result === 'succeededWithIssues'),
    )
    .map(({ name }) => {
      const plan = name.replace('delete', 'plan');
      return { old: run.outputs[`${plan}.oldNode`] ?? '', new: run.outputs[`${plan}.newNode`] ?? '' };
    });
}
