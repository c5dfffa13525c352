/**
 * Which finished jobs are forgotten: the oldest first, past their age, or while there are too many of them or their
 * logs take too much room. Their story stays in the log; their folders and keys go.
 */
import { isFinished } from '../log/fold.ts';
import type { Job } from '../log/state.ts';

export interface Retention {
  days: number;
  bytes: number;
}

/** A job is about 1 KB of the bridge's memory and of each new log file. */
export const JOBS_LIMIT = 2_000;
/** A request is sent again for minutes, and a run is queued again within hours: its key must still be known. */
export const KEPT_AT_LEAST_MS = 24 * 3_600_000;
const DAY_MS = 86_400_000;

/** Ids, oldest first. `bytesOf`: what a job's folder takes on the disk. */
export function toForget(
  jobs: Iterable<Job>,
  nowMs: number,
  bytesOf: (job: Job) => number,
  { days, bytes }: Retention,
): string[] {
  const finished = [...jobs]
    .filter(isFinished)
    .map((job) => ({ id: job.id, endedMs: Date.parse(job.endedAt ?? ''), bytes: bytesOf(job) }))
    .sort((a, b) => a.endedMs - b.endedMs);
  let count = finished.length;
  let total = finished.reduce((sum, job) => sum + job.bytes, 0);
  const gone: string[] = [];
  for (const job of finished) {
    if (nowMs - job.endedMs < KEPT_AT_LEAST_MS) break;
    if (nowMs - job.endedMs < days * DAY_MS && count <= JOBS_LIMIT && total <= bytes) break;
    gone.push(job.id);
    count -= 1;
    total -= job.bytes;
  }
  return gone;
}
