/**
 * How a supervisor's exit file reads: a success is exit 0 and a result of the script's shape, and nothing less.
 */
import * as z from 'zod/mini';
import { FAILURE_EXIT, SCRIPTS, ScriptFailure } from '../host/scripts.ts';
import type { ScriptName } from '../host/scripts.ts';
import type { JobError } from '../protocol/wire.ts';

export interface ChildEnd {
  exitCode: number | null;
  timedOut?: boolean;
  cancelled?: boolean;
  frame?: string;
}

export type Outcome = { ok: true; result: unknown } | { ok: false; error: JobError };

export function outcomeOf(script: ScriptName, end: ChildEnd): Outcome {
  const value = parsed(end.frame);
  if (end.exitCode === 0) {
    if (end.frame === undefined) return { ok: false, error: 'noResult' };
    const result = z.safeParse(SCRIPTS[script].result, value);
    return result.success ? { ok: true, result: result.data } : { ok: false, error: 'badResult' };
  }
  if (end.cancelled) return { ok: false, error: 'cancelled' };
  if (end.timedOut) return { ok: false, error: 'timedOut' };
  const failure = end.exitCode === FAILURE_EXIT ? ScriptFailure.safeParse(value) : undefined;
  return { ok: false, error: failure?.success ? failure.data.error : 'scriptFailed' };
}

function parsed(frame: string | undefined): unknown {
  if (frame === undefined) return undefined;
  try {
    return JSON.parse(frame);
  } catch {
    return undefined;
  }
}
