/**
 * What the job engine needs from an operation's host part. `prepare` looks and resolves, the supervised script acts,
 * `finish` takes its result over into records, `cleanUp` removes what an unsuccessful script left. All but the script
 * run inside the bridge and may run again after a crash, so each can be repeated.
 */
import type { ScriptInput, ScriptName } from '../host/scripts.ts';
import type { JobError } from '../protocol/wire.ts';

export interface PrepareInput {
  jobId: string;
  client: string;
  params: unknown;
}

export type Prepared =
  | {
      ok: true;
      script: ScriptName;
      input: ScriptInput<ScriptName>;
      /** Values that the stored log must not hold. */
      secrets: string[];
      /** Kept for `finish` and `cleanUp`; JSON, no secrets. */
      context: unknown;
      /** For this job; by default, and at most, the operation's own. */
      deadlineMs?: number;
    }
  /** Nothing to run: the world is already so. */
  | { ok: 'already'; result: unknown }
  | { ok: false; error: JobError };

export type Finished = { ok: true; result: unknown } | { ok: false; error: JobError };

export interface HostOperation {
  deadlineMs: number;
  prepare(input: PrepareInput): Promise<Prepared>;
  finish(params: unknown, context: unknown, scriptResult: unknown): Promise<Finished>;
  /** false when something is left over. */
  cleanUp(params: unknown, context: unknown): Promise<boolean>;
}
