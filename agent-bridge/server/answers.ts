/** What goes back to a caller, before it is put on the wire. */
import { canonicalJson } from '../protocol/canonical.ts';
import type { Refusal, RefusalCode } from '../protocol/wire.ts';

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array | string;
}

/** A queue moves when its running job ends: asking more often is of no use. */
const RETRY_AFTER_SECONDS = 10;

const STATUS: Record<RefusalCode, number> = {
  badRequest: 400,
  tooLarge: 413,
  notCanonical: 400,
  unknownOperation: 404,
  badParams: 400,
  notGranted: 403,
  budgetSpent: 403,
  fenceTooLow: 409,
  fenceTooHigh: 409,
  keyReused: 422,
  queueFull: 429,
  busy: 429,
  notFound: 404,
  hostFailed: 502,
  logUnwritable: 503,
};

export const jsonAnswer = (status: number, value: unknown): Answer => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: canonicalJson(value),
});

export function refused(refusal: Refusal): Answer {
  const answer = jsonAnswer(STATUS[refusal.code], refusal);
  if (answer.status === 429) answer.headers['retry-after'] = String(RETRY_AFTER_SECONDS);
  return answer;
}
