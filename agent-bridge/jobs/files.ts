/**
 * The files of a job. The bridge and a supervisor share nothing else.
 *
 *   jobs/<id>/params.json     written and fsynced before the job is accepted
 *   jobs/<id>/log             what the child printed, masked and capped
 *   jobs/<id>/a<n>/spec.json  what the supervisor of attempt n shall do
 *   jobs/<id>/a<n>/stdin      the child's input; removed before the child starts (it may hold a secret)
 *   jobs/<id>/a<n>/claim      created exclusively: by the supervisor (it runs) or by the bridge (it never will)
 *   jobs/<id>/a<n>/child      the child's pid and start time
 *   jobs/<id>/a<n>/cancel     the bridge asks for the end
 *   jobs/<id>/a<n>/room       holds room on the disk for exit.json; its last act takes it away
 *   jobs/<id>/a<n>/exit.json  how it ended; the supervisor's last act
 */
import { join } from 'node:path';
import type { Disk } from '../log/disk.ts';
import type { ProcessId } from './processes.ts';

export interface Spec {
  jobId: string;
  attempt: number;
  file: string;
  args: string[];
  env: Record<string, string>;
  deadlineMs: number;
  logLimitBytes: number;
  /** The bridge's own notes for finishing: what `prepare` resolved. No secrets. */
  context: unknown;
  script: string;
}

/** The input and what must not be seen in the log; both are gone from the disk before the child starts. */
export interface Stdin {
  text: string;
  nonce: string;
  secrets: string[];
}

export type Claim = { by: 'supervisor'; process: ProcessId } | { by: 'bridge' };

export interface Exit {
  exitCode: number | null;
  signal: string | null;
  /** The child could not be started. */
  failed?: string;
  timedOut: boolean;
  cancelled: boolean;
  /** Processes that could not be ended. */
  survivors: number;
  /** JSON text of the framed result. */
  frame?: string;
}

/** A result is a few hundred bytes; with hundreds of records of one DNS name it is some 30 KB. */
export const EXIT_ROOM_BYTES = 64 * 1024;

export const jobDir = (jobsDir: string, id: string): string => join(jobsDir, id);
export const attemptDir = (jobsDir: string, id: string, attempt: number): string =>
  join(jobsDir, id, `a${attempt}`);
export const logPath = (jobsDir: string, id: string): string => join(jobsDir, id, 'log');
/** From an attempt's folder. */
export const logOfAttempt = (dir: string): string => join(dir, '..', 'log');

export const inAttempt = (dir: string) => ({
  spec: join(dir, 'spec.json'),
  stdin: join(dir, 'stdin'),
  claim: join(dir, 'claim'),
  child: join(dir, 'child'),
  cancel: join(dir, 'cancel'),
  room: join(dir, 'room'),
  exit: join(dir, 'exit.json'),
});

/** These files are written whole by us, so they parse, have the caller's type, or are not there. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
export function readJson<T>(disk: Disk, path: string): T | undefined {
  const bytes = disk.read(path);
  return bytes === undefined ? undefined : (JSON.parse(new TextDecoder().decode(bytes)) as T);
}

/** Every process of one attempt carries this; it is no secret, unlike the nonce. */
export const markOf = (jobId: string, attempt: number): string => `${jobId}.${attempt}`;
