/** Queues the product's pipeline in the lab: one run, from its parameters to its record. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { decodeEvents, type RunEvent } from '../cycle/record.ts';
import {
  runPipeline,
  type ApprovalAnswer,
  type ApprovalRequest,
  type RunnerEvent,
  type RunResult,
} from './runner/run.ts';
import { DIST, type Lab } from './start.ts';

export interface QueueOptions {
  parameters?: Record<string, string | number | boolean> | undefined;
  approve(request: ApprovalRequest): Promise<ApprovalAnswer>;
  onEvent(event: RunnerEvent): void;
  onTaskSpawn?: ((info: { task: string; stage: string; pid: number; attempt: number }) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** The run's stages get one minute in so many milliseconds: waits between attempts are then short. */
  minuteMs?: number | undefined;
  tasksDir?: string | undefined;
}

export interface QueuedRun {
  id: string;
  result: RunResult;
  /** The record of every task, in the order of its events. */
  events: RunEvent[];
  /** Variables that tasks set, by `stage.name`. */
  outputs: Record<string, string>;
  /** What each stage's tasks recorded. */
  byTask: { stage: string; step: string; events: RunEvent[] }[];
  issues: { stage: string; message: string }[];
  log: string[];
}

let lastRun = 1_000;

export async function queueRun(lab: Lab, options: QueueOptions): Promise<QueuedRun> {
  const id = String((lastRun += 1));
  const { user } = lab.example.repositories;
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', user, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const commit = git('rev-parse', 'refs/heads/main').trim();
  const byTask: QueuedRun['byTask'] = [];
  const outputs: QueuedRun['outputs'] = {};
  const issues: QueuedRun['issues'] = [];
  const log: string[] = [];
  const workRoot = join(lab.dir, `work-${id}`);
  mkdirSync(workRoot, { recursive: true });
  lab.builds.begin(id);
  const result = await runPipeline({
    readPipelineFile: (path) => {
      try {
        return Promise.resolve(git('show', `${commit}:${path}`));
      } catch {
        return Promise.resolve(undefined);
      }
    },
    pipelinePath: 'pipelines/cycle.yml',
    parameters: { cluster: lab.example.cluster, ...options.parameters },
    checkout: { repository: user, commit },
    tasksDir: options.tasksDir ?? join(DIST, 'tasks'),
    workRoot,
    endpoints: lab.endpoints,
    agent: {
      name: 'lab-agent',
      capabilities: { 'nodeCycle.cluster': lab.example.cluster, 'Agent.Version': '4.261.0' },
      ...(lab.dns.kind === 'stand-in' ? { programs: [dirname(lab.dns.nsupdate)] } : {}),
    },
    approve: options.approve,
    runId: id,
    buildNumber: `node-cycle-${id}`,
    organisationUrl: lab.builds.url,
    project: 'home',
    pipelineName: 'node-cycle',
    definitionId: '7',
    onEvent: (event) => {
      // The agent shows these only when somebody asked for them by system.debug.
      if (event.type === 'log' && event.line.startsWith('##[debug]')) return;
      if (event.type === 'attachment' && event.kind === 'node-cycle.record') {
        byTask.push({
          stage: event.stage,
          step: event.step ?? '',
          events: decodeEvents(event.content.toString('utf8')).events,
        });
      } else if (event.type === 'variable') outputs[`${event.stage}.${event.name}`] = event.value;
      else if (event.type === 'issue') issues.push({ stage: event.stage, message: event.message });
      else if (event.type === 'log') log.push(`${event.stage} ${event.line}`);
      options.onEvent(event);
    },
    ...(options.onTaskSpawn === undefined ? {} : { onTaskSpawn: options.onTaskSpawn }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.minuteMs === undefined ? {} : { minuteMs: options.minuteMs }),
  });
  lab.builds.end(id);
  const events = byTask.flatMap((one) => one.events).sort((a, b) => a.atMs - b.atMs);
  return { id, result, events, outputs, byTask, issues, log };
}
