/** A person queues the pipeline until there is nothing more to wait for; what came of it. */
import { pass } from '../lab/world/clock.ts';
import { judgeEnd } from './judge/end.ts';
import { isTrue } from './judge/reasons.ts';
import type { RunEnd } from './run/queue.ts';
import type { Stage } from './stage.ts';

/** How a seed ended for those who wait for the cycle. */
export interface Ending {
  verdict: 'finished' | 'went back' | 'nothing to do' | 'refused' | 'stuck';
  /** Why, for all but a finished one. */
  reason: string;
}

const RUNS = 14;
/** Once nothing goes wrong any more, a cycle that can end has ended after so many runs. */
const RUNS_AFTER = 5;
/** Between a run that ended badly and the next: a person reads the log. */
const PAUSE_MS = { least: 1_000, most: 10_000 };
/** Late in the bad weather nobody tries again before it is over and everything is back. */
const LATE_SHARE = 0.6;
const RECOVERY_MS = 20_000;
/** Controllers, a transfer of the zone, connections. */
const SETTLE_MS = 5_000;
/** There is no way back, or nothing to take back. */
const NO_WAY_BACK = ['NC1220', 'NC1226'];

export async function untilVerdict(stage: Stage): Promise<Ending> {
  const { script, time, told, draw, elapsedMs, violate } = stage;
  let before: RunEnd | undefined;
  let calmRuns = 0;
  let back = false;
  let mayGoBack = script.goBack;
  for (let count = 0; count < RUNS; count += 1) {
    if (elapsedMs() >= script.horizonMs) calmRuns += 1;
    if (mayGoBack && before?.pair !== undefined && draw.happens(0.5)) {
      back = true;
      mayGoBack = false;
      told.count('fault', 'a person goes back');
    }
    const end = await stage.queue(back ? 'back' : 'forward');
    if (end.kind === 'refused') told.count('refusal', end.code);
    if (end.kind === 'failed') told.count('failure', end.code);
    if (end.kind === 'done') {
      await pass(time, SETTLE_MS);
      judgeEnd(stage.setting, end.pair, stage.excused, violate);
      return { verdict: back ? 'went back' : 'finished', reason: '' };
    }
    if (end.kind === 'nothing due')
      return { verdict: before?.pair === undefined ? 'nothing to do' : 'finished', reason: end.message };
    if (NO_WAY_BACK.includes(end.code)) back = false;
    const same = before?.kind === end.kind && before.code === end.code;
    if (calmRuns > 1 && same && end.kind === 'refused') {
      const truth = isTrue(end.code, stage.setting, stage.excused);
      told.count('truth', `${end.code} ${truth}`);
      if (truth === 'false') violate('a refusal gives a true reason', `${end.code} ${end.message}`);
      return { verdict: 'refused', reason: end.code };
    }
    if (calmRuns >= RUNS_AFTER) return { verdict: 'stuck', reason: `${end.kind} ${end.code} ${end.message}` };
    before = { ...end, pair: end.pair ?? before?.pair };
    await pass(time, pauseMs(stage));
  }
  return { verdict: 'stuck', reason: 'it was queued again and again' };
}

function pauseMs({ draw, elapsedMs, script: { horizonMs } }: Stage): number {
  const shortMs = draw.between(PAUSE_MS.least, PAUSE_MS.most);
  const leftMs = horizonMs - elapsedMs();
  return leftMs > 0 && leftMs - shortMs < horizonMs * (1 - LATE_SHARE) ? leftMs + RECOVERY_MS : shortMs;
}
