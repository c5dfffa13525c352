/** A script that did not succeed, with its code and the last it said; the words stay on the host. */
import type { JobError } from '../protocol/wire.ts';

export class ScriptError extends Error {
  constructor(
    readonly script: string,
    readonly code: JobError,
    readonly log: string,
  ) {
    super(`${script}: ${code}`);
    this.name = 'ScriptError';
  }
}
