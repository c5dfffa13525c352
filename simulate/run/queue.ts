/** Queues the pipeline once: plan, the stages with their gates and tries, and the release whatever happened. */
import { pass } from '../../lab/world/clock.ts';
import type { RunEvent } from '../../cycle/record.ts';
import type { Chance } from '../chance.ts';
import type { Script } from '../faults/script.ts';
import { life, type Life, type VirtualTime } from '../time.ts';
import type { Trace } from '../trace.ts';
import { RETRIES, RETRY_PAUSE_MS, STAGES } from './pipeline.ts';
import { runTaskOnce, type TaskEnd, type TaskName, type TaskSurroundings } from './task.ts';

export interface RunEnd {
  kind: 'done' | 'nothing due' | 'refused' | 'failed' | 'cancelled' | 'rejected';
  code: string;
  message: string;
  direction: 'forward' | 'back';
  /** The plan's, when it made one. */
  pair?: { oldNode: string; newNode: string } | undefined;
}

export interface QueuedRun {
  run: string;
  direction: 'forward' | 'back';
  draw: Chance;
  time: VirtualTime;
  told: Trace;
  script: Script;
  elapsedMs(): number;
  cancel: AbortSignal;
  /** Processes of this run that live. */
  processes: Set<Life>;
  around: Omit<TaskSurroundings, 'onEvent' | 'onLine'> & {
    onEvent(process: string, event: RunEvent): void;
    onLine(process: string, text: string): void;
  };
}

const LATE_MS = { least: 60_000, most: 900_000 };
const AGENT_START_MS = 200;

export async function queueRun(queued: QueuedRun): Promise<RunEnd> {
  const end = await stages(queued);
  await tries(queued, 'PlanCycle', { mode: 'release' }, new AbortController().signal);
  return end;
}

async function stages(queued: QueuedRun): Promise<RunEnd> {
  const { direction, cancel, script, draw, told, time } = queued;
  const plan = await tries(queued, 'PlanCycle', { mode: 'plan', direction }, cancel);
  if (plan.result !== 'done') return { ...ended(plan), direction };
  if (plan.outputs['due'] !== 'true')
    return { kind: 'nothing due', code: '', message: plan.message, direction };
  const pair = { oldNode: plan.outputs['oldNode'] ?? '', newNode: plan.outputs['newNode'] ?? '' };
  for (const stage of STAGES.filter((one) => one.when(plan.outputs))) {
    if (stage.gate && queued.elapsedMs() < script.horizonMs) {
      if (draw.happens(script.rejectGate)) {
        told.count('fault', 'a person rejects');
        return { kind: 'rejected', code: '', message: `the gate before ${stage.name}`, direction, pair };
      }
      if (draw.happens(script.lateGate)) {
        told.count('fault', 'a person approves late');
        await pass(time, draw.between(LATE_MS.least, LATE_MS.most));
      }
    }
    for (const { task, inputs } of stage.tasks) {
      const end = await tries(queued, task, { ...inputs, ...pair }, cancel);
      if (end.result !== 'done') return { ...ended(end), direction, pair };
    }
  }
  return { kind: 'done', code: '', message: '', direction, pair };
}

async function tries(
  queued: QueuedRun,
  task: TaskName,
  inputs: Record<string, string>,
  cancel: AbortSignal,
): Promise<TaskEnd> {
  const { run, time, told, around, processes } = queued;
  for (let attempt = 1; ; attempt += 1) {
    await pass(time, AGENT_START_MS);
    const who = life(`${run}/${task}${inputs['side'] ?? inputs['role'] ?? ''}/${attempt}`);
    told.tell(`  ${who.name} starts`);
    told.count('task', task);
    processes.add(who);
    const end = await runTaskOnce(
      { task, inputs, run, scheduled: false, who, signal: cancel },
      {
        ...around,
        onEvent: (event) => around.onEvent(who.name, event),
        onLine: (text) => around.onLine(who.name, text),
      },
    );
    // Whatever of it is still under way dies with its process.
    who.kill();
    processes.delete(who);
    told.tell(`  ${who.name} ${end.result} ${end.code} ${end.message}`.trimEnd());
    if (end.result === 'done' || attempt > RETRIES || cancel.aborted) return end;
    await pass(time, RETRY_PAUSE_MS[attempt - 1] ?? 0);
  }
}

function ended(end: TaskEnd): Pick<RunEnd, 'kind' | 'code' | 'message'> {
  const kind = end.result === 'refused' || end.result === 'cancelled' ? end.result : 'failed';
  const code = end.result === 'killed' ? 'killed' : end.code;
  return { kind, code, message: end.message };
}
