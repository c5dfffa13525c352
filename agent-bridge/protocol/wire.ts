/**
 * The paths, headers and answers between client and bridge.
 *
 *   POST /v1/read/{operation}            body: canonical params           → 200 result
 *   POST /v1/jobs                        header idempotency-key; body: canonical {op, params}
 *                                        → 202 JobView (new) · 200 JobView (same key, same hash)
 *   GET  /v1/jobs/{id}?waitMs=N          → 200 JobView; waits until the state changes to an end
 *   GET  /v1/jobs/{id}/log?offset=N&waitMs=N   → 200 bytes from N; `x-log-end: 1` when no more will come
 *   POST /v1/jobs/{id}/cancel            → 200 JobView
 *
 * Every answer carries `x-log-head: seq:hash`, the head of the audit log. A refusal is `Refusal`.
 */
import * as z from 'zod/mini';
import * as s from './shapes.ts';

export const PROTOCOL_PATH = '/v1';
export const LOG_HEAD_HEADER = 'x-log-head';
export const LOG_END_HEADER = 'x-log-end';
export const KEY_HEADER = 'idempotency-key';
/** A job's log is what its child says; the line that begins so is its result, for the bridge, which judges it. */
export const RESULT_PREFIX = '##NC-RESULT ';

/** Longest time the bridge holds a request that waits for news: shorter than any idle limit on the way. */
export const WAIT_LIMIT_MS = 10_000;
/** Most bytes of a log in one answer: bounds the memory of a slow reader. */
export const LOG_CHUNK_BYTES = 1024 * 1024;

export const JobState = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']);
export type JobState = z.infer<typeof JobState>;

/** Why a job did not succeed. Codes, no free text: the log has the rest. */
export const JobError = z.enum([
  // found before anything was run
  'notFound',
  'notOurs',
  'nameTaken',
  'addressTaken',
  'noCapacity',
  'tooManyRunning',
  'imageMissing',
  'setChanged',
  'wouldBeEmpty',
  'setAside',
  'replicated',
  'notPinned',
  'secretMissing',
  'templateChanged',
  // found while running
  'scriptFailed',
  'noResult',
  'badResult',
  'timedOut',
  'supervisorLost',
  'cancelled',
  'cleanUpFailed',
  'diskFull',
  'scriptChanged',
  'denied',
  'unreachable',
  'templateInvalid',
  'baseChanged',
  'builderFailed',
  'provisionerFailed',
  'noDisk',
  'wrongExport',
]);
export type JobError = z.infer<typeof JobError>;

export const JobView = z.strictObject({
  id: s.Guid,
  op: s.HostText,
  target: s.HostText,
  state: JobState,
  paramsHash: s.Sha256,
  acceptedAt: s.Instant,
  endedAt: z.exactOptional(s.Instant),
  result: z.exactOptional(z.unknown()),
  error: z.exactOptional(JobError),
});
export type JobView = z.infer<typeof JobView>;

export const RefusalCode = z.enum([
  'badRequest',
  'tooLarge',
  'notCanonical',
  'unknownOperation',
  'badParams',
  'notGranted',
  'budgetSpent',
  'fenceTooLow',
  'fenceTooHigh',
  'keyReused',
  'queueFull',
  'busy',
  'notFound',
  'hostFailed',
  'logUnwritable',
]);
export type RefusalCode = z.infer<typeof RefusalCode>;

/** A request that was not accepted. Nothing was made, nothing was run. */
export const Refusal = z.strictObject({
  code: RefusalCode,
  /** The parameter at fault. */
  field: z.exactOptional(s.HostText),
  /** The rule that it was held against. */
  rule: z.exactOptional(s.HostText),
  /** The line of `bridge.yaml` where that rule stands for this client. */
  line: z.exactOptional(s.Count),
});
export type Refusal = z.infer<typeof Refusal>;
