/** What etcd's own program says of a snapshot. */
import { execFileSync } from 'node:child_process';

/** The revision as text: the program writes it as a JSON number. */
export function statusOf(path: string): string | undefined {
  const text = execFileSync('etcdctl', ['snapshot', 'status', path, '--write-out', 'json'], {
    env: { PATH: process.env['PATH'] ?? '', ETCDCTL_API: '3' },
    encoding: 'utf8',
  });
  return /"revision":(\d+)/.exec(text)?.[1];
}
