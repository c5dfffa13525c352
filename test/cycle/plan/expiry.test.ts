import assert from 'node:assert/strict';
import { endingSoon } from '../../../cycle/plan/expiry.ts';

const DAY_MS = 86_400_000;
const nowMs = Date.parse('2026-06-01T12:00:00Z');
const certificate = (days: number) => ({
  what: 'The certificate of the bridge',
  endsMs: nowMs + days * DAY_MS,
  remedy: 'Renew it.',
});

describe('a certificate that ends', () => {
  it('in more than a month is nothing to speak of', () => {
    assert.deepEqual(endingSoon([certificate(30), certificate(300)], nowMs), []);
  });
  it('within a month is said with its day and what to do', () => {
    assert.deepEqual(endingSoon([certificate(29.5)], nowMs), [
      'The certificate of the bridge ends in 29 days, on 2026-07-01. Renew it.',
    ]);
  });
  it('or has ended is said too', () => {
    assert.deepEqual(endingSoon([certificate(-1)], nowMs), [
      'The certificate of the bridge ended on 2026-05-31. Renew it.',
    ]);
  });
});
