/** A lab for tests: several runs of the pipeline in one world, with traffic, and what must be gone at the end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { upstreamServers } from '../../../cycle/edge/nginx/upstreams.ts';
import type { ExampleShape } from '../../../lab/example.ts';
import { queueRun, type QueuedRun } from '../../../lab/queue.ts';
import type { ApprovalRequest } from '../../../lab/runner/run.ts';
import { startLab, type Lab } from '../../../lab/start.ts';
import type { TrafficResult } from '../../../lab/traffic/statistics.ts';
import { startTraffic } from '../../../lab/traffic-process.ts';

export interface LabSession {
  lab: Lab;
  /** Queues the pipeline; `kill`: that task dies by SIGKILL in the middle of each attempt. */
  queue(options?: { parameters?: Record<string, string | number | boolean>; kill?: string; reject?: string }): Promise<QueuedRun>;
  /** Ends the traffic and gives what it saw. */
  traffic(): Promise<TrafficResult>;
  close(): Promise<void>;
}

/** Waits between attempts are short: 1, 4 and 9 s become a tenth. */
const MINUTE_MS = 6_000;
const KILL_AFTER_MS = 120;
/** From the start of its work; shorter than what any task needs for its first look. */
const KILL_AT_LAST_MS = 500;

export async function labSession(options: { shape?: ExampleShape; seed?: number; traffic?: boolean } = {}): Promise<LabSession> {
  const dir = mkdtempSync(join(tmpdir(), 'nctest-'));
  const lab = await startLab({ dir, seed: options.seed ?? 1, shape: options.shape });
  const traffic = options.traffic === false ? undefined : startTraffic(lab, () => undefined);
  let seen: TrafficResult | undefined;
  const endTraffic = async () => {
    seen ??= await traffic?.stop();
    if (seen === undefined) throw new Error('This session has no traffic.');
    return seen;
  };
  return {
    lab,
    traffic: endTraffic,
    queue: ({ parameters = {}, kill, reject } = {}) => {
      let pid: number | undefined;
      return queueRun(lab, {
        parameters,
        minuteMs: MINUTE_MS,
        approve: ({ stage }: ApprovalRequest) => Promise.resolve(stage.replace(/_\d+$/, '') === reject ? 'reject' : 'approve'),
        onEvent: (event) => {
          if (pid === undefined || event.type !== 'log') return;
          const acts = event.line.includes('##[group]Doing');
          // An attempt that finds nothing to do is killed too, so that the run as a whole fails.
          if (!acts && !event.line.startsWith('Configuration ')) return;
          const target = pid;
          if (acts) pid = undefined;
          setTimeout(() => killQuietly(target), acts ? KILL_AFTER_MS : KILL_AT_LAST_MS);
        },
        onTaskSpawn: ({ task, pid: spawned }) => {
          if (task === kill) pid = spawned;
        },
      });
    },
    async close() {
      if (traffic !== undefined) await endTraffic().catch(() => undefined);
      await lab.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It had ended by itself.
  }
}

/** Where a name or its address still stands after its cycle; empty when nothing knows it. */
export async function leftOvers(lab: Lab, name: string, address: string): Promise<string[]> {
  const { world, example, proxy, dns, initial } = lab;
  const left: string[] = [];
  if (world.kube.store.get('nodes', name) !== undefined) left.push(`Kubernetes has the Node ${name}`);
  const members = await initial.rke.etcd.members();
  if (members.some((member) => member.address === address)) left.push(`etcd has a member at ${address}`);
  const git = await import('node:child_process').then(({ execFileSync }) => execFileSync);
  const show = (repository: string, path: string) =>
    git('git', ['-C', repository, 'show', `refs/heads/main:${path}`], { encoding: 'utf8' });
  if (show(example.repositories.user, 'cluster.yml').includes(address)) left.push(`cluster.yml names ${address}`);
  if (show(example.repositories.gitops, 'apps/ingress-nginx/values.yaml').includes(address)) left.push(`the ingress values name ${address}`);
  const { readFileSync } = await import('node:fs');
  const files = Object.fromEntries(proxy.nginx.files.map((file) => [file, readFileSync(file, 'utf8')]));
  if (upstreamServers(files).some((server) => server.address === address)) left.push(`nginx names ${address}`);
  const { dns: ask } = await import('../../../ports/dns.ts');
  for (const server of dns.servers) {
    for (const alias of [`cp-${example.cluster}`, `tfx-${example.cluster}`, 'dash', name]) {
      const answer = await ask({ server, name: `${alias}.${example.zone}`, type: alias === 'dash' ? 'CNAME' : 'A', deadlineMs: 2_000 });
      for (const record of answer.answers) {
        if (record.data === address || record.data.startsWith(`${name}.`)) left.push(`${server}: ${alias} is ${record.data}`);
      }
    }
  }
  return left;
}
