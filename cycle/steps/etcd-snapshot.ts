/** The copy of etcd that a cycle takes once, before its first change of the members that may need it. */
import type { Facts } from '../facts.ts';
import type { Slice } from '../observed.ts';
import type { Action } from '../step.ts';

export interface SnapshotActs {
  writeFacts(change: Partial<Facts>, signal: AbortSignal): Promise<void>;
  /** A checked snapshot of etcd, in the state directory; tells where. */
  snapshot(signal: AbortSignal): Promise<string>;
}

/** Whether this cycle has its snapshot; one of an earlier cycle does not count. */
export function snapshotTaken(world: Slice<'facts'>): boolean {
  return (world.facts.snapshotAtMs ?? -1) >= (world.facts.startedAtMs ?? 0);
}

export function snapshotAction<W extends Slice<'nowMs' | 'facts'>>(
  acts: SnapshotActs,
  world: W,
  node: string,
  reason: string,
  settleMs: number,
): Action<W> {
  return {
    id: `etcd.snapshot ${node}`,
    reason,
    apply: async (signal) => {
      const path = await acts.snapshot(signal);
      await acts.writeFacts({ snapshotAtMs: world.nowMs, snapshotPath: path }, signal);
    },
    done: snapshotTaken,
    settleMs,
    predict: (o) => ({ ...o, facts: { ...o.facts, snapshotAtMs: o.nowMs } }),
  };
}
