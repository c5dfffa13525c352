import assert from 'node:assert/strict';
import { JOBS_LIMIT, KEPT_AT_LEAST_MS, toForget } from '../../../agent-bridge/jobs/retention.ts';
import type { Job } from '../../../agent-bridge/log/state.ts';

const NOW = Date.parse('2026-05-01T12:00:00Z');
const HOUR = 3_600_000;

function job(id: string, endedHoursAgo?: number): Job {
  const at = (hours: number) => new Date(NOW - hours * HOUR).toISOString();
  return {
    ...{ id, client: 'a', op: 'vm.stop', key: id, paramsHash: 'h', target: 't', lane: 'vm' },
    ...{ attempt: 1, cancelAsked: false, acceptedAt: at((endedHoursAgo ?? 0) + 1) },
    ...(endedHoursAgo === undefined ? { state: 'running' } : { state: 'failed', endedAt: at(endedHoursAgo) }),
  };
}
const forget = (
  jobs: Job[],
  limits: { days?: number; bytes?: number },
  bytesOf: (one: Job) => number = () => 10,
) => toForget(jobs, NOW, bytesOf, { days: 30, bytes: 1e9, ...limits });

describe('finished jobs', () => {
  it('are forgotten past their days, the oldest first; who runs is not', () => {
    const jobs = [job('old', 24 * 31), job('older', 24 * 40), job('young', 24 * 29), job('runs')];
    assert.deepEqual(forget(jobs, {}), ['older', 'old']);
  });

  it('are forgotten while their logs take too much, but none before a day is over', () => {
    const jobs = [job('a', 50), job('b', 40), job('c', 30), job('d', 23), job('e', 1)];
    assert.deepEqual(forget(jobs, { bytes: 35 }), ['a', 'b']);
    assert.deepEqual(forget(jobs, { bytes: 0 }), ['a', 'b', 'c']);
    const edge = [job('f', KEPT_AT_LEAST_MS / HOUR)];
    assert.deepEqual(forget(edge, { bytes: 0 }), ['f']);
  });

  it('are no more than the bridge has memory for', () => {
    const jobs = Array.from({ length: JOBS_LIMIT + 3 }, (_, n) => job(`j${n}`, 100 - n / 1_000));
    assert.deepEqual(forget(jobs, {}), ['j0', 'j1', 'j2']);
  });
});
