/**
 * The engine: a step looks at the world, computes what is still missing, does the first missing thing and
 * looks again, until nothing is missing. It keeps no position between runs, so a killed task, a re-queued run
 * and a retry are the normal path.
 */
import { CodedError, ERRORS, type ErrorCode } from '../ports/errors.ts';
import { PortError, type Clock } from '../ports/ports.ts';
import type { Recorder } from './record.ts';

/** What is wrong, how one can see it, and what a person can do. A refusal changes nothing further. */
export interface Refusal {
  kind: 'refusal';
  code: ErrorCode;
  what: string;
  evidence: readonly string[];
  remedy: string;
}

export function refuse(code: ErrorCode, what: string, evidence: readonly string[] = []): Refusal {
  return { kind: 'refusal', code, what, evidence, remedy: ERRORS[code].remedy };
}

/** One thing that is missing, as data plus functions over the step's observation. */
export interface Action<O> {
  /** Stable name such as `dns.add cp-home`; the same missing thing has the same id in every plan. */
  id: string;
  /** Why it is needed, with the values that decided. */
  reason: string;
  /** Cannot be taken back: observed afresh, planned again, preflight and lock checked before it. */
  irreversible?: boolean | undefined;
  /** Absent for a wait. */
  apply?: ((signal: AbortSignal) => Promise<void>) | undefined;
  done(observed: O): boolean;
  /** Longest time from the end of `apply` (or from the start of a wait) until `done` holds. */
  settleMs: number;
  /** The observation that the action would bring about. */
  predict(observed: O): O;
}

export type Plan<O> = readonly Action<O>[] | Refusal;

export interface Step<O> {
  /** As a task is called, for example `RkeRemoveRole controlplane home-n1`. */
  name: string;
  /** Reads only. `fresh`: nothing that was read before may be used again. */
  observe(signal: AbortSignal, fresh: boolean): Promise<O>;
  /** Pure. Empty when nothing is missing; the last action of a plan is a proof. */
  plan(observed: O): Plan<O>;
}

/** Thrown by `apply` when what it found forbids going on; ends the step as refused. */
export class Refused extends Error {
  constructor(readonly refusal: Refusal) {
    super(`${refusal.code} ${refusal.what}`);
    this.name = 'Refused';
  }
}

export interface Engine<O = never> {
  clock: Clock;
  record: Recorder;
  signal: AbortSignal;
  /** Between two observations while something is awaited. */
  pollMs: number;
  /** How long observing may fail before the step gives up. */
  observeMs: number;
  /** The preflight list and the lock, checked on a fresh observation right before an irreversible action. */
  guard?: ((observed: O, action: Action<O>) => Promise<Refusal | undefined>) | undefined;
}

export interface Done<O> {
  kind: 'done';
  observed: O;
  /** Ids of the actions that were taken, in order. */
  actions: string[];
}

/** A refusal, with what had been done before it. */
export interface Stopped {
  kind: 'refused';
  refusal: Refusal;
  actions: string[];
}

export type Outcome<O> = Done<O> | Stopped;

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'refusal';
}

/** An applied action is tried again once; a plan that never ends is a defect and stops here. */
const TRIES = 2;
const MAX_ACTIONS = 200;

/**
 * Runs a step until nothing is missing.
 *
 * @throws CodedError NC1010 no progress, NC1011 observing failed for too long, NC1012 cancelled, NC1014 endless plan.
 */
export async function converge<O>(step: Step<O>, engine: Engine<O>): Promise<Outcome<O>> {
  const taken: string[] = [];
  const tries = new Map<string, number>();
  let observed: O = await observePatiently(step, engine);
  for (let turn = 0; turn < MAX_ACTIONS; turn += 1) {
    throwIfAborted(engine.signal, step.name);
    const plan = step.plan(observed);
    if (isRefusal(plan)) return { kind: 'refused', refusal: plan, actions: taken };
    let [action] = plan;
    if (action === undefined) return { kind: 'done', observed, actions: taken };
    if (turn === 0) recordPlan(step, plan, engine);

    if (action.irreversible === true) {
      observed = await observePatiently(step, engine, true);
      const again = step.plan(observed);
      if (isRefusal(again)) return { kind: 'refused', refusal: again, actions: taken };
      if (again[0]?.id !== action.id) continue;
      // The same id may carry other values now (another VM's id, another text).
      action = again[0];
      const objection = await engine.guard?.(observed, action);
      if (objection !== undefined) return { kind: 'refused', refusal: objection, actions: taken };
    }

    const before = observed;
    const result = await take(step, action, engine);
    if (isRefusal(result)) return { kind: 'refused', refusal: result, actions: taken };
    observed = result.observed;
    if (result.settled) {
      taken.push(action.id);
      tries.delete(action.id);
      continue;
    }
    const tried = (tries.get(action.id) ?? 0) + 1;
    tries.set(action.id, tried);
    if (tried >= TRIES || action.apply === undefined)
      throw noProgress(step, action, before, observed, result.failure);
  }
  throw new CodedError('NC1014', `${step.name} planned more than ${MAX_ACTIONS} actions.`, taken.slice(-5));
}

interface Taken<O> {
  observed: O;
  settled: boolean;
  failure?: unknown;
}

async function take<O>(step: Step<O>, action: Action<O>, engine: Engine<O>): Promise<Taken<O> | Refusal> {
  const startedMs = engine.clock.now();
  engine.record({
    kind: 'action.started',
    id: action.id,
    reason: action.reason,
    irreversible: action.irreversible === true,
    wait: action.apply === undefined,
  });
  let failure: unknown;
  try {
    await action.apply?.(engine.signal);
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throwIfAborted(engine.signal, step.name);
    // The far side may have done it all the same: only a new observation can tell.
    failure = error;
    engine.record({ kind: 'action.failed', id: action.id, error: describe(error) });
  }
  const settled = await settle(step, action, engine, failure === undefined ? action.settleMs : 0);
  if (settled.settled) {
    engine.record({ kind: 'action.done', id: action.id, durationMs: engine.clock.now() - startedMs });
  }
  return { ...settled, failure };
}

async function settle<O>(
  step: Step<O>,
  action: Action<O>,
  engine: Engine<O>,
  settleMs: number,
): Promise<Taken<O>> {
  let lastMs = engine.clock.now();
  let deadlineMs = lastMs + settleMs;
  for (;;) {
    const observed = await observePatiently(step, engine);
    if (action.done(observed)) return { observed, settled: true };
    const nowMs = engine.clock.now();
    // A clock that is put back takes the deadline with it: hours must not be added to a wait.
    if (nowMs < lastMs) deadlineMs -= lastMs - nowMs;
    lastMs = nowMs;
    if (nowMs >= deadlineMs) return { observed, settled: false };
    await engine.clock.sleep(engine.pollMs, engine.signal).catch(() => undefined);
    throwIfAborted(engine.signal, step.name);
  }
}

/** An observation that fails is asked again: a node that reboots must not fail a whole cycle. */
async function observePatiently<O>(step: Step<O>, engine: Engine<O>, fresh = false): Promise<O> {
  const deadlineMs = engine.clock.now() + engine.observeMs;
  let told = '';
  for (;;) {
    throwIfAborted(engine.signal, step.name);
    try {
      return await step.observe(engine.signal, fresh);
    } catch (error) {
      throwIfAborted(engine.signal, step.name);
      if (!isPassing(error)) throw error;
      if (engine.clock.now() >= deadlineMs) {
        throw new CodedError(
          'NC1011',
          `${step.name} could not observe for ${engine.observeMs} ms.`,
          [describe(error)],
          {
            cause: error,
          },
        );
      }
      if (describe(error) !== told) engine.record({ kind: 'wait', what: describe(error), deadlineMs });
      told = describe(error);
      await engine.clock.sleep(engine.pollMs, engine.signal).catch(() => undefined);
    }
  }
}

/** Far sides that do not answer, as their clients say it: worth asking again. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['NC2005', 'NC2007', 'NC3010', 'NC3101', 'NC4040', 'NC4080']);

function isPassing(error: unknown): boolean {
  return error instanceof PortError || (error instanceof CodedError && PASSING.has(error.code));
}

/** The actions that a step would take from `observed`, and the world after them. Pure: the dry run. */
export function foresee<O>(
  step: Pick<Step<O>, 'plan'>,
  observed: O,
): { actions: Action<O>[]; after: O; refusal?: Refusal } {
  const actions: Action<O>[] = [];
  let after = observed;
  for (let turn = 0; turn < MAX_ACTIONS; turn += 1) {
    try {
      const plan = step.plan(after);
      if (isRefusal(plan)) return { actions, after, refusal: plan };
      const [action] = plan;
      if (action === undefined) return { actions, after };
      actions.push(action);
      after = action.predict(after);
    } catch (error) {
      // What could not be edited when its turn comes is known now, before anything is touched.
      if (!(error instanceof CodedError)) throw error;
      return { actions, after, refusal: refuse(error.code, error.detail, error.evidence) };
    }
  }
  const last = actions.at(-1)?.id ?? '';
  return { actions, after, refusal: refuse('NC1014', `The plan does not become shorter after ${last}.`) };
}

function recordPlan<O>(step: Step<O>, plan: readonly Action<O>[], engine: Engine<O>): void {
  engine.record({
    kind: 'plan',
    step: step.name,
    actions: plan.map(({ id, reason, irreversible }) => ({
      id,
      reason,
      irreversible: irreversible === true,
    })),
  });
}

function noProgress<O>(step: Step<O>, action: Action<O>, before: O, after: O, failure: unknown): CodedError {
  const planned = step.plan(after);
  const same = isRefusal(planned) ? undefined : planned.find(({ id }) => id === action.id);
  const evidence = [
    ...(failure === undefined ? [] : [describe(failure)]),
    ...partsOf(before, action.predict(before)).flatMap((part) => [
      `${part} before: ${shortJson(partOf(before, part))}`.trimStart(),
      `${part} after: ${shortJson(partOf(after, part))}`.trimStart(),
    ]),
  ];
  return new CodedError('NC1010', `${step.name}: ${action.id} (${(same ?? action).reason})`, evidence, {
    cause: failure,
  });
}

/** The parts of an observation that an action should have changed: those that a person compares. */
function partsOf(before: unknown, expected: unknown): string[] {
  const differs = (part: string): boolean =>
    JSON.stringify(partOf(before, part)) !== JSON.stringify(partOf(expected, part));
  const parts = typeof before === 'object' && before !== null ? Object.keys(before).filter(differs) : [];
  return parts.length === 0 ? [''] : parts;
}

function partOf(observed: unknown, part: string): unknown {
  return part === '' ? observed : (observed as Record<string, unknown>)[part];
}

function throwIfAborted(signal: AbortSignal, where: string): void {
  if (signal.aborted) throw new CodedError('NC1012', `Cancelled in ${where}.`);
}

export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Long enough to compare, short enough for a log line that the agent does not cut. */
function shortJson(value: unknown): string {
  const text = JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'string' && item.length > 120 ? `${item.slice(0, 117)}...` : item,
  );
  return text.length > 900 ? `${text.slice(0, 897)}...` : text;
}
