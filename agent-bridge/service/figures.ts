/** What a monitor on the host may know: counts, and no name. */
import type { AuditLog } from '../log/log.ts';
import type { JobState } from '../protocol/wire.ts';
import type { Metric } from '../server/health-adapter.ts';

const STATES: readonly JobState[] = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];
const SECOND_MS = 1_000;

export function figures(log: AuditLog, connections: number, certificateExpiresAt: string): Metric[] {
  const jobs = [...log.state.jobs.values()];
  const one = (name: string, help: string, value: number): Metric => ({
    name: `node_cycle_bridge_${name}`,
    help,
    values: [{ value }],
  });
  return [
    {
      name: 'node_cycle_bridge_jobs',
      help: 'Jobs in the log, by state.',
      values: STATES.map((state) => ({
        labels: { state },
        value: jobs.filter((job) => job.state === state).length,
      })),
    },
    one('connections', 'Open connections of listed clients.', connections),
    one('log_entries', 'Entries of the log.', log.head().seq),
    one(
      'log_writable',
      '1 while the log can be written; without it the bridge does not act.',
      log.writable() ? 1 : 0,
    ),
    one(
      'certificate_expires_timestamp_seconds',
      'End of the certificate, seconds since 1970.',
      Date.parse(certificateExpiresAt) / SECOND_MS,
    ),
  ];
}
