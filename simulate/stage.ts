/** What a seed's story is played on: the world, the agent's machine, the weather, those who watch, and a queue. */
import { setMaxListeners } from 'node:events';
import { chance, type Chance } from './chance.ts';
import { strike, type Struck } from './faults/disturb.ts';
import type { Disturbance, Script } from './faults/script.ts';
import { weather } from './faults/weather.ts';
import { callJudge, isChange } from './judge/calls.ts';
import { holderOf } from './judge/seen.ts';
import { watchInvariants } from './judge/watch.ts';
import type { Input } from './outside/input.ts';
import { makeSetting, type Setting } from './outside/setting.ts';
import { agentMachine } from './run/agent-ports.ts';
import { queueRun, type RunEnd } from './run/queue.ts';
import type { Life, VirtualTime } from './time.ts';
import type { Trace } from './trace.ts';
import { wire } from './wire.ts';

export interface StageOptions {
  root: string;
  input: Input;
  script: Script;
  time: VirtualTime;
  told: Trace;
  draw: Chance;
  /** What the tasks print, too. */
  all: boolean;
  violate(name: string, what: string): void;
  happened(kind: string, id: string, what: string): void;
}

export interface Stage extends StageOptions {
  setting: Setting;
  /** Since the story began. */
  elapsedMs(): number;
  /** Address → since when its machine is in trouble that is not the product's doing. */
  excused: ReadonlyMap<string, number>;
  /** Queues the pipeline and gives its end; a run that somebody queued beside it has ended then, too. */
  queue(direction: 'forward' | 'back'): Promise<RunEnd>;
  /** Judges what was written in all that time, and ends the world. */
  close(): void;
}

/** The agent ends a task that was cancelled after this. */
const CANCEL_MS = 7_500;
/** What finds nothing to strike waits for its occasion. */
const OCCASION_MS = 200;
const NO_SECRET = 'no secret is in any record';
const CHECKED = 'what cannot be taken back is preceded by its checks';
const ONE_HOLDER = 'only the holder of the lock acts';

export async function openStage(options: StageOptions): Promise<Stage> {
  const { root, input, script, time, told, draw, all, violate, happened } = options;
  const setting = await makeSetting(script.seed, input, time);
  const beginMs = time.nowMs();
  const elapsedMs = () => time.nowMs() - beginMs;
  const excused = new Map<string, number>();
  const sky = weather(script, elapsedMs, (kind, id, call) =>
    happened(kind, id, `${call.far} ${call.at} ${call.what}`),
  );
  const judge = callJudge(input);
  const struck: Struck = {
    ...{ setting, time, away: sky.away, excused },
    clocks: { agentMs: 0 },
    rke: { endsInMs: undefined },
    queueTwice: () => secondRun(),
    cancel: () => cancelNow(),
  };
  const line = wire(time, chance(script.seed, 'wire'), told, {
    judge: sky.judge,
    beforeEffect(who, call) {
      if (isChange(call)) told.count('change', `${call.far} ${call.what.replace(/\/[^ ]*\//, '/…/')}`);
      const objection = judge.beforeEffect(who.name, runOf(who.name), call, holderOf(setting));
      if (objection !== undefined) violate(ONE_HOLDER, objection);
    },
    answered: (who, call) => judge.answered(who.name, call),
  });
  const machine = agentMachine({
    ...{ setting, time, wire: line, chance: chance(script.seed, 'agent') },
    skewMs: () => struck.clocks.agentMs,
    rkeEndsInMs: () => struck.rke.endsInMs,
  });
  watchInvariants(setting, time, told, excused, violate);

  const strikeAt = (disturbance: Disturbance, delayMs: number): void =>
    void time.after(delayMs, () => {
      if (elapsedMs() >= script.horizonMs) return;
      const hit = strike(struck, disturbance);
      if (hit === undefined) {
        strikeAt(disturbance, OCCASION_MS);
        return;
      }
      happened(disturbance.kind, disturbance.id, hit.what);
      time.after(Math.min(disturbance.forMs, script.horizonMs - elapsedMs()), () => {
        hit.end();
        told.tell(`      over: ${disturbance.kind}: ${hit.what}`);
      });
    });
  for (const disturbance of script.disturbances)
    if (!script.without.has(disturbance.id)) strikeAt(disturbance, disturbance.atMs);

  let lastRun = 1000;
  let current: { cancel: AbortController; processes: Set<Life> } | undefined;
  const others: Promise<RunEnd>[] = [];
  const queueOne = (direction: 'forward' | 'back'): Promise<RunEnd> => {
    lastRun += 1;
    const run = String(lastRun);
    const cancel = new AbortController();
    setMaxListeners(0, cancel.signal);
    const processes = new Set<Life>();
    current = { cancel, processes };
    setting.runs.set(run, false);
    told.tell(`RUN ${run} is queued${direction === 'back' ? ' to go back' : ''}`);
    return queueRun({
      ...{ run, direction, draw, time, told, script, elapsedMs, processes },
      cancel: cancel.signal,
      around: {
        ...{ root, input, machine, time },
        serviceUrl: setting.http.service.url,
        bridgeUrl: setting.bridge.url,
        onEvent(process, event) {
          if (
            event.kind === 'action.started' ||
            event.kind === 'action.done' ||
            event.kind === 'action.failed'
          ) {
            told.tell(
              `    ${event.kind} ${event.id}${event.kind === 'action.failed' ? `: ${event.error}` : ''}`,
            );
            if (event.kind === 'action.done') told.count('action', event.id.split(' ')[0] ?? '');
          }
          const objection = judge.recorded(process, event);
          if (objection !== undefined)
            violate(objection.includes(' shows ') ? NO_SECRET : CHECKED, objection);
          if (event.kind === 'action.started' && event.irreversible) told.count('precondition', CHECKED);
        },
        onLine(process, text) {
          if (all) told.tell(`      ${text}`);
          const objection = judge.said(`the log of ${process}`, text);
          if (objection !== undefined) violate(NO_SECRET, objection);
        },
      },
    }).then((end) => {
      setting.runs.set(run, true);
      told.tell(`RUN ${run} ended: ${end.kind} ${end.code} ${end.message}`);
      return end;
    });
  };
  const secondRun = (): boolean => {
    if (current === undefined || others.length > 0) return false;
    others.push(queueOne('forward'));
    return true;
  };
  const cancelNow = (): boolean => {
    const running = current;
    if (running === undefined || running.cancel.signal.aborted || running.processes.size === 0) return false;
    running.cancel.abort();
    const ends = [...running.processes];
    time.after(CANCEL_MS, () => ends.forEach((one) => one.kill()));
    return true;
  };

  return {
    ...options,
    ...{ setting, elapsedMs, excused },
    async queue(direction) {
      const end = await queueOne(direction);
      await Promise.all(others.splice(0));
      return end;
    },
    close() {
      for (const text of setting.trouble) {
        const objection = judge.said("the bridge's own output", text);
        if (objection !== undefined) violate(NO_SECRET, objection);
        told.count('trouble', text.replace(/[0-9a-f-]{36}/g, '…').slice(0, 80));
      }
      const audit = setting.bridge.store.text(`${input.policy.dataDir}/audit.log`) ?? '';
      const leak = judge.said("the bridge's log", audit);
      if (leak !== undefined) violate(NO_SECRET, leak);
      told.count('precondition', NO_SECRET);
      told.count('precondition', ONE_HOLDER);
      setting.close();
    },
  };
}

const runOf = (process: string): string => process.split('/')[0] ?? '';
