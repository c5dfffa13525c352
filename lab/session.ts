/** One session of the lab: the world, the traffic, one or two runs of the pipeline, and what came of them. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RunEvent } from '../cycle/record.ts';
import { HOME, withDue } from './example.ts';
import { gate } from './gate.ts';
import {
  atTheEnd,
  addressOf,
  broken,
  earlyRemovals,
  servedAfterLeaving,
  surge,
  unpinned,
} from './invariants.ts';
import { showFile } from './left-overs.ts';
import type { LabSettings } from './options.ts';
import { queueRun, type QueuedRun } from './queue.ts';
import { replacedBy } from './replaced.ts';
import type { RunnerEvent } from './runner/run.ts';
import { LONG_TTL_SECONDS, sabotagedPipeline, sabotagedTasks } from './sabotage.ts';
import { DIST, startLab, type Lab } from './start.ts';
import type { TrafficResult, TrafficStats } from './traffic/statistics.ts';
import { startTraffic } from './traffic-process.ts';
import type { ViewEvent } from './view/events.ts';
import { viewOf } from './view-of.ts';
import { watchEdges, watchPods } from './watch.ts';

export interface Session {
  settings: LabSettings;
  startedMs: number;
  endedMs: number;
  runs: QueuedRun[];
  stages: { name: string; result: string; startedMs: number; endedMs: number }[];
  traffic: TrafficResult;
  vmPeak: number;
  vmSteady: number;
  components: { name: string; real: boolean; version: string; calls: number }[];
  bundles: Record<string, string>;
  events: RunEvent[];
  /** What must hold whatever happened, in words; empty when all of it does. */
  broken: string[];
}

/** Traffic before the run begins and after it has ended. */
const MARGIN_MS = 1_000;
/** A pipeline's minute: only waits between attempts and limits are counted in it. */
const MINUTE_MS = 10_000;

export async function runSession(
  settings: LabSettings,
  dir: string,
  show: (event: ViewEvent) => void,
  signal: AbortSignal,
): Promise<Session> {
  const lab = await startLab({
    dir,
    seed: settings.seed,
    shape: withDue(HOME, settings.nodes),
    hosts: settings.hosts,
    standIns: settings.standIns,
    engine: settings.engine,
    ...(settings.sabotage === 'dns-no-ttl-wait' ? { ttlSeconds: LONG_TTL_SECONDS } : {}),
    pipelines: (files) => sabotagedPipeline(settings.sabotage, files),
    templates: settings.example,
  });
  try {
    for (const { name, real, version } of lab.components) show({ kind: 'component', name, real, version });
    return await play(settings, lab, show, signal);
  } finally {
    await lab.stop();
  }
}

async function play(
  settings: LabSettings,
  lab: Lab,
  show: (event: ViewEvent) => void,
  signal: AbortSignal,
): Promise<Session> {
  const { world } = lab;
  const vmSteady = world.hosts.running();
  if (settings.deadNode) await killOldest(lab);
  const startedMs = Date.now();
  const onStats = ({ total, failed, perSecond, p99Ms }: TrafficStats) => {
    show({ kind: 'traffic', total, failed, perSecond, p99Ms });
    show({ kind: 'vms', running: world.hosts.running(), steady: vmSteady });
  };
  const traffic = startTraffic(lab, onStats, !settings.deadNode);
  const edges = watchEdges(lab, !settings.deadNode);
  const pods = watchPods(lab);
  const stages: Session['stages'] = [];
  const runs: QueuedRun[] = [];
  try {
    await pause(MARGIN_MS);
    const tasksDir = settings.sabotage && (await sabotagedTasks(settings.sabotage, lab.dir));
    const queue = (kill: boolean) => queueOnce(settings, lab, kill, stages, show, signal, tasksDir);
    runs.push(await queue(true));
    if (settings.kill !== undefined) runs.push(await queue(false));
    await pause(MARGIN_MS);
  } catch (error) {
    await Promise.allSettled([traffic.stop(), edges.stop()]);
    throw error;
  }
  const result = await traffic.stop();
  const vmPeak = world.hosts.peak();
  const events = runs.flatMap((run) => run.events);
  const replaced = runs.flatMap(replacedBy);
  const ttlSeconds = ttlOf(lab, settings);
  const cutOff = pods.stop();
  const brokenNow = [
    ...surge(vmPeak, vmSteady),
    ...(await edges.stop()),
    ...(lab.quorum.losses() === 0 ? [] : [broken('quorum', `lost ${lab.quorum.losses()} times`)]),
    // What a machine without power does to its pods, its aliases and its requests is not the cycle's doing.
    ...(settings.deadNode ? [] : [...cutOff, ...earlyRemovals(events, ttlSeconds)]),
    ...replaced.flatMap(({ old }) =>
      servedAfterLeaving(
        events,
        { name: old, address: addressOf(lab, old) ?? '' },
        result.lastServedMs,
        ttlSeconds,
      ),
    ),
    ...(await atTheEnd(lab, replaced, vmSteady)),
    ...unpinned(showFile(lab.example.repositories.user, 'known_hosts'), joined(lab), lab.example.ports.ssh),
  ];
  return {
    settings,
    startedMs,
    endedMs: Date.now(),
    runs,
    stages,
    traffic: result,
    vmPeak,
    vmSteady,
    components: await Promise.all(lab.components.map(async (one) => ({ ...one, calls: await one.calls() }))),
    bundles: bundleHashes(),
    events,
    broken: brokenNow,
  };
}

async function queueOnce(
  settings: LabSettings,
  lab: Lab,
  kill: boolean,
  stages: Session['stages'],
  show: (event: ViewEvent) => void,
  signal: AbortSignal,
  tasksDir: string | undefined,
): Promise<QueuedRun> {
  const victim = kill ? settings.kill : undefined;
  let pid: number | undefined;
  const translate = viewOf(show, settings.verbose);
  const began = new Map<string, number>();
  const onEvent = (event: RunnerEvent) => {
    translate(event);
    if (event.type === 'stage' && event.state === 'started') began.set(event.stage, event.atMs);
    if (event.type === 'stage' && event.state === 'ended' && event.result !== 'skipped') {
      stages.push({
        name: event.stage,
        result: event.result,
        startedMs: began.get(event.stage) ?? event.atMs,
        endedMs: event.atMs,
      });
    }
    // In the middle of its work: its first act has begun.
    if (pid !== undefined && event.type === 'log' && event.line.includes('##[group]Doing')) {
      const target = pid;
      pid = undefined;
      setTimeout(() => killQuietly(target), KILL_AFTER_MS);
    }
  };
  return queueRun(lab, {
    parameters: { maxNodes: settings.nodes, dryRun: settings.dryRun, gates: 'environment' },
    approve: gate(settings, show),
    onEvent,
    onTaskSpawn: ({ task, pid: spawned }) => {
      if (task === victim) pid = spawned;
    },
    signal,
    minuteMs: MINUTE_MS,
    tasksDir,
  });
}

/** How long resolvers may hold what an alias said before the cycle. */
function ttlOf(lab: Lab, settings: LabSettings): (alias: string) => number {
  const instead = settings.sabotage === 'dns-no-ttl-wait' ? LONG_TTL_SECONDS : undefined;
  return (alias) => instead ?? lab.example.dnsRecords.find(({ name }) => name === alias)?.ttl ?? 0;
}

/** The nodes of the cluster that run: a VM that has not joined yet may still wait for its host key. */
function joined({ world }: Lab): { name: string; address: string; publicKey: string }[] {
  return [...world.machines.values()]
    .filter(({ up, name }) => up && world.kube.store.get('nodes', name) !== undefined)
    .map(({ name, address, sshHostKey }) => ({ name, address, publicKey: sshHostKey.public }));
}

const KILL_AFTER_MS = 150;

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It had ended by itself.
  }
}

/** The oldest node loses its power, and stays NotReady for long enough to count as dead. */
async function killOldest(lab: Lab): Promise<void> {
  const oldest = [...lab.example.nodes].sort((a, b) => a.createdAtMs - b.createdAtMs)[0];
  if (oldest === undefined) throw new Error('The example has no nodes.');
  lab.world.faults.apply({ fault: 'powerOff', machine: oldest.name });
  await pause(DEAD_MS);
}

/** Longer than `pace.deadAfterSeconds` of the example. */
const DEAD_MS = 7_000;

/** What the agent runs is what the VSIX holds: the same bytes have the same hash. */
function bundleHashes(): Record<string, string> {
  const tasks = join(DIST, 'tasks');
  return Object.fromEntries(
    readdirSync(tasks, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(tasks, name, 'index.js')))
          .digest('hex'),
      ]),
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
