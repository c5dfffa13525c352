/** A lab for tests: several runs of the pipeline in one world, with traffic, and what must be gone at the end. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ingressAddresses } from '../../../cycle/edge/gitops/values.ts';
import type { ExampleShape } from '../../../lab/example.ts';
import { recordsOf, showFile, VALUES } from '../../../lab/left-overs.ts';
import { queueRun, type QueuedRun } from '../../../lab/queue.ts';
import type { ApprovalRequest, RunnerEvent } from '../../../lab/runner/run.ts';
import { startLab, type Lab } from '../../../lab/start.ts';
import type { TrafficResult } from '../../../lab/traffic/statistics.ts';
import { startTraffic } from '../../../lab/traffic-process.ts';
import type { PowerShell } from '../../powershell/engine.ts';

export interface SessionRun extends QueuedRun {
  cancelledAtMs?: number | undefined;
  /** Steps that have ended, in their order. */
  steps: EndedStep[];
}
type EndedStep = Extract<RunnerEvent, { type: 'step'; state: 'ended' }>;

export interface LabSession {
  lab: Lab;
  /** Queues the pipeline; `kill`: that task dies by SIGKILL in the middle of each attempt. */
  queue(options?: {
    parameters?: Record<string, string | number | boolean>;
    kill?: string;
    reject?: string;
    /** A person cancels the run in the middle of this task. */
    cancel?: string;
  }): Promise<SessionRun>;
  /** Ends the traffic and gives what it saw. */
  traffic(): Promise<TrafficResult>;
  close(): Promise<void>;
}

/** Waits between attempts are short: 1, 4 and 9 s become a tenth. */
const MINUTE_MS = 6_000;
const KILL_AFTER_MS = 120;
/** From the start of its work; shorter than what any task needs for its first look. */
const KILL_AT_LAST_MS = 500;

export async function labSession(
  options: {
    shape?: ExampleShape;
    seed?: number;
    hosts?: number;
    traffic?: boolean;
    /** Without it the model. */
    engine?: PowerShell;
  } = {},
): Promise<LabSession> {
  const dir = mkdtempSync(join(tmpdir(), 'nctest-'));
  const { seed = 1, shape, hosts, engine } = options;
  const lab = await startLab({ dir, seed, shape, hosts, engine });
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
    queue: async ({ parameters = {}, kill, reject, cancel } = {}) => {
      let pid: number | undefined;
      let running = '';
      let cancelledAtMs: number | undefined;
      const steps: EndedStep[] = [];
      const canceller = new AbortController();
      const run = await queueRun(lab, {
        parameters,
        minuteMs: MINUTE_MS,
        approve: ({ stage }: ApprovalRequest) =>
          Promise.resolve(stage.replace(/_\d+$/, '') === reject ? 'reject' : 'approve'),
        signal: canceller.signal,
        onEvent: (event) => {
          if (event.type === 'step' && event.state === 'ended') steps.push(event);
          if (running === cancel && event.type === 'log' && event.line.includes('##[group]Doing')) {
            running = '';
            setTimeout(() => {
              cancelledAtMs = Date.now();
              canceller.abort();
            }, KILL_AFTER_MS);
          }
          if (pid === undefined || event.type !== 'log') return;
          const acts = event.line.includes('##[group]Doing');
          // An attempt that finds nothing to do is killed too, so that the run as a whole fails.
          if (!acts && !event.line.startsWith('Configuration ')) return;
          const target = pid;
          if (acts) pid = undefined;
          setTimeout(() => killQuietly(target), acts ? KILL_AFTER_MS : KILL_AT_LAST_MS);
        },
        onTaskSpawn: ({ task, pid: spawned }) => {
          running = task;
          if (task === kill) pid = spawned;
        },
      });
      return { ...run, cancelledAtMs, steps };
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

/** What a way back must bring back: the text of every file that a cycle edits, the records with TTL, the nodes' marks. */
export async function asItIs(lab: Lab): Promise<Record<string, unknown>> {
  const { world, example, proxy, dns } = lab;
  const records: string[] = [];
  for (const name of [
    `cp-${example.cluster}`,
    `tfx-${example.cluster}`,
    'dash',
    ...example.nodes.map((node) => node.name),
  ]) {
    for (const type of ['A', 'CNAME'] as const) {
      for (const record of await recordsOf(dns.servers[0] ?? '', `${name}.${example.zone}`, type)) {
        records.push(`${record.name} ${record.type} ${record.ttl} ${record.data}`);
      }
    }
  }
  return {
    clusterYml: showFile(example.repositories.user, 'cluster.yml'),
    // A comment behind an address leaves with its line; the addresses and their order come back.
    ingress: ingressAddresses(
      showFile(example.repositories.gitops, VALUES),
      'controller.service.externalIPs',
    ),
    nginx: Object.fromEntries(proxy.nginx.files.map((file) => [file, readFileSync(file, 'utf8')])),
    records: [...new Set(records)].sort(),
    nodes: world.kube.store.list('nodes').map(({ metadata, spec }) => ({
      name: metadata.name,
      labels: metadata.labels,
      taints: spec.taints ?? [],
      cordoned: spec.unschedulable === true,
    })),
    members: (await lab.initial.rke.etcd.members()).map((member) => member.name).sort(),
  };
}

export { leftOvers } from '../../../lab/left-overs.ts';

/** Stages that did not succeed or were not skipped by their condition, as `name: result (cause)`. */
export function stagesOf(run: QueuedRun): Record<string, string> {
  return Object.fromEntries(
    run.result.stages.map(({ name, result, cause }) => [
      name.replace(/_1$/, ''),
      cause === undefined || cause === 'condition' ? result : `${result} (${cause})`,
    ]),
  );
}

export function pairOf(run: QueuedRun): string {
  return `${run.outputs['plan_1.oldNode'] ?? '-'} by ${run.outputs['plan_1.newNode'] ?? '-'}`;
}
