/** One cycle whose tasks are killed or cancelled in their middle, one run after the other, on a new agent each time. */
import { rmSync } from 'node:fs';
import type { TrafficResult } from '../../../lab/traffic/statistics.ts';
import { labSession, leftOvers, pairOf, type LabSession } from './harness.ts';

export interface Interruption {
  task: string;
  how: 'killed' | 'cancelled';
}

/** Those whose first act takes a while: a VM, rke, records, rke again. */
const SLOW_TO_ACT = ['ProvisionNode', 'RkeAddNode', 'SwapDns', 'RkeRemoveRole'];
const TASKS = [
  ...['PlanCycle', 'ProvisionNode', 'RkeAddNode', 'UpdateIngress', 'SwapDns', 'RkeRemoveRole', 'DeleteVm'],
];

/** Each task killed, and those cancelled before whose middle lasts long enough. */
export const ALL: readonly Interruption[] = TASKS.flatMap((task): Interruption[] => [
  ...(SLOW_TO_ACT.includes(task) ? [{ task, how: 'cancelled' as const }] : []),
  { task, how: 'killed' },
]);

export interface Interrupted extends Interruption {
  outcome: string;
  pair: string;
  /** From the cancellation to the end of the task. */
  endedAfterMs?: number | undefined;
  /** Codes that its log names. */
  codes: string[];
}

export interface InterruptedCycle {
  runs: Interrupted[];
  last: { outcome: string; pair: string; leftOvers: string[] };
  /** What the run after the last one says about the need of another. */
  dueAfterwards: string | undefined;
  traffic: TrafficResult;
  mostVms: number;
  steadyVms: number;
  /** What `audit verify` says on each host. */
  audits: string[];
}

export async function interruptedCycle(interruptions: readonly Interruption[]): Promise<InterruptedCycle> {
  const session = await labSession();
  try {
    const runs: Interrupted[] = [];
    for (const one of interruptions) {
      runs.push({ ...one, ...(await interrupt(session, one)) });
      // The next run is another agent's: its state directory is empty.
      rmSync(session.lab.stateDir, { recursive: true, force: true });
    }
    const { lab } = session;
    const last = await session.queue();
    const left = await leftOvers(lab, 'home-n1', `${lab.example.base}.11`);
    const after = await session.queue();
    return {
      runs,
      last: { outcome: last.result.outcome, pair: pairOf(last), leftOvers: left },
      dueAfterwards: after.outputs['plan_1.due'],
      traffic: await session.traffic(),
      mostVms: lab.world.hosts.peak(),
      steadyVms: lab.example.nodes.length,
      audits: await Promise.all(lab.bridges.map((bridge) => bridge.command('audit', 'verify'))),
    };
  } finally {
    await session.close();
  }
}

async function interrupt(
  session: LabSession,
  { task, how }: Interruption,
): Promise<Omit<Interrupted, keyof Interruption>> {
  const run = await session.queue(how === 'killed' ? { kill: task } : { cancel: task });
  const step = run.steps.find((each) => each.task === task && each.result === 'canceled');
  return {
    outcome: run.result.outcome,
    pair: pairOf(run),
    ...(step === undefined || run.cancelledAtMs === undefined
      ? {}
      : { endedAfterMs: step.atMs - run.cancelledAtMs }),
    codes: [...new Set(run.log.flatMap((line) => line.match(/NC\d{4}/g) ?? []))],
  };
}
