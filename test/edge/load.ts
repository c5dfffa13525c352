/** Swaps forward and back under load, on the real nginx, sshd, BIND and git. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ingressAddresses } from '../../cycle/edge/gitops/values.ts';
import type { TrafficSettings } from '../../lab/traffic/config.ts';
import type { TrafficResult } from '../../lab/traffic/statistics.ts';
import { startScript } from './child.ts';
import { http2Client, openStream, openWebSocket } from './lives.ts';
import type { Http2Counts } from './lives.ts';
import { ALIAS, NEW, OLD, VALUES, VALUES_PATH, startEdges } from './rig.ts';
import type { Edges } from './rig.ts';
import { swap } from './swap.ts';
import type { Removed } from './swap.ts';

/** The file of the lab's traffic that is also its process. */
const TRAFFIC = join(import.meta.dirname, '..', '..', 'lab', 'traffic', 'main.ts');
/** The far end's streams outlive it; what is watched is that they do. */
const DRAIN_MS = 200;
const HTTP2_EVERY_MS = 50;
const WARM_MS = 1_000;
const MOST_DRAIN_MS = 900_000;

export interface LoadReport {
  traffic: TrafficResult;
  perSecond: number;
  http2: Http2Counts;
  /** Streams and WebSockets that lived from the first swap to the last. */
  lives: { kind: string; echoes: number; cut: string | undefined }[];
  /** Seconds of each forward and each back. */
  forwardSeconds: number[];
  backSeconds: number[];
  /** Reloads that the proxies' logs tell of. */
  reloads: number;
  commits: number;
  /** Files, records and values after the last way back are those before the first swap. */
  asItWas: boolean;
}

export async function swapsUnderLoad(plan: {
  swaps: number;
  requestsPerSecond: number;
}): Promise<LoadReport> {
  const edges = await startEdges();
  const [proxy] = edges.proxies as [Edges['proxies'][number]];
  const settings: TrafficSettings = {
    http: {
      ...{ address: '127.0.0.1', port: proxy.ports.http, host: 'web.test', keepAliveConnections: 24 },
      perSecond: plan.requestsPerSecond,
    },
    stream: {
      ...{ address: '127.0.0.1', port: proxy.ports.stream, longLived: 2, drainDeadlineMs: MOST_DRAIN_MS },
    },
    alias: { dnsServers: edges.dns.servers, alias: ALIAS.name, port: edges.backends.web },
    statsEveryMs: 60_000,
  };
  const file = join(edges.dir, 'traffic.json');
  writeFileSync(file, JSON.stringify(settings));
  const lives = [
    { kind: 'stream', life: await openStream(proxy.ports.stream) },
    { kind: 'stream', life: await openStream(proxy.ports.stream) },
    { kind: 'WebSocket', life: await openWebSocket(proxy.ports.http) },
    { kind: 'WebSocket', life: await openWebSocket(proxy.ports.http) },
  ];
  const http2 = http2Client(proxy.ports.http2, HTTP2_EVERY_MS);
  const traffic = startScript(TRAFFIC, [file]);
  try {
    const before = await world(edges);
    const commitsBefore = Number(edges.git('rev-list', '--count', 'main'));
    await new Promise((resolve) => setTimeout(resolve, WARM_MS));
    const removed: Removed = new Map();
    const [forwardSeconds, backSeconds]: [number[], number[]] = [[], []];
    for (let n = 0; n < plan.swaps; n += 1) {
      forwardSeconds.push(await timed(() => swap(edges, OLD, NEW, { drainMs: DRAIN_MS, removed })));
      backSeconds.push(await timed(() => swap(edges, NEW, OLD, { drainMs: DRAIN_MS, removed })));
    }
    const after = await world(edges);
    await http2.end();
    const ended = traffic.end();
    const result = await lastResult(traffic.lines);
    await ended;
    const { perSecond } = result;
    // The first and the last second are not whole ones.
    const whole = perSecond.slice(1, -1);
    const errorLog = readFileSync(proxy.lab.nginx.errorLog, 'utf8');
    return {
      ...{ traffic: result, http2: http2.counts, forwardSeconds, backSeconds },
      perSecond: whole.reduce((sum, { ok, failed }) => sum + ok + failed, 0) / Math.max(1, whole.length),
      lives: lives.map(({ kind, life: { echoes, cut } }) => ({ kind, echoes, cut })),
      reloads: errorLog.split('(SIGHUP)').length - 1,
      commits: Number(edges.git('rev-list', '--count', 'main')) - commitsBefore,
      asItWas: before === after,
    };
  } finally {
    for (const { life } of lives) life.end();
    await http2.end();
    await traffic.end();
    await edges.stop();
  }
}

async function lastResult(lines: AsyncIterable<string>): Promise<TrafficResult> {
  let result: TrafficResult | undefined;
  for await (const line of lines) {
    const said = JSON.parse(line) as TrafficResult | { kind: 'stats' | 'failure' };
    if (said.kind === 'result') result = said;
  }
  if (result === undefined) throw new Error('the traffic ended without a result');
  return result;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const from = performance.now();
  await work();
  return (performance.now() - from) / 1_000;
}

/** All that a swap may change, as one text. */
async function world(edges: Edges): Promise<string> {
  const { files } = await (edges.proxies[0] as Edges['proxies'][number]).client.observe({
    deadlineMs: 10_000,
  });
  const [view] = await edges.zone.read([ALIAS], { deadlineMs: 10_000 });
  const records = (view?.records ?? []).map(({ data, ttl }) => `${data} ${ttl}`).sort();
  const addresses = ingressAddresses(edges.git('show', `main:${VALUES}`), VALUES_PATH).sort();
  return JSON.stringify([files, records, addresses]);
}
