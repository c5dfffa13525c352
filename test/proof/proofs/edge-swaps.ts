import { median } from '../../../bench/figure.ts';
import { cut, type Cut, type CutReport } from '../../edge/cuts.ts';
import { swapsUnderLoad } from '../../edge/load.ts';
import { startEdges } from '../../edge/rig.ts';
import type { Proof } from '../proof.ts';

const SWAPS = 50;
const REQUESTS_PER_SECOND = 520;
const CLAIMED_PER_SECOND = 500;

/** From before the first byte to after the last, in steps that are shorter than any of the script's own. */
const CUTS: Cut[] = (['put', 'reload'] as const).flatMap((command) =>
  Array.from({ length: 12 }, (_, n) => ({ command, afterMs: 1 + n * 35 })),
);

async function cuts(): Promise<CutReport[]> {
  const edges = await startEdges();
  try {
    const [proxy] = edges.proxies;
    const reports: CutReport[] = [];
    if (proxy !== undefined) for (const moment of CUTS) reports.push(await cut(proxy, moment));
    return reports;
  } finally {
    await edges.stop();
  }
}

export const proof: Proof = {
  name: 'edge-swaps',
  title: 'A node swapped for another at all edges, and back, under load',
  about:
    'The real nginx (two workers), sshd, BIND (two servers) and git, each driven by the product’s own client. A swap brings the successor into the `http` and `stream` upstreams and proves it, moves the alias on both DNS servers, marks the old server down, watches its connections, takes it out, and makes the two commits; the way back is the same with the pair exchanged. Meanwhile requests go over new and reused connections of HTTP/1.1, over HTTP/2, over TCP, and by the alias; two streams and two WebSockets stay open from the first swap to the last (`test/edge/load.ts`). Afterwards the connection to the proxy is cut at other moments of a change (`test/edge/cuts.ts`). A reset counts apart only by the rule of `lab/traffic/http.ts`: an idle connection that was used again, no byte of the answer, and one retry that succeeds within a second.',
  async run() {
    const report = await swapsUnderLoad({ swaps: SWAPS, requestsPerSecond: REQUESTS_PER_SECOND });
    const lost = await cuts();
    const { traffic, http2, lives } = report;
    const failed = traffic.requests.failed + http2.failures.length;
    const seconds = (all: readonly number[]) => [(median(all) ?? 0).toFixed(2), Math.max(...all).toFixed(2)];
    return {
      claims: [
        {
          claim: `at least ${CLAIMED_PER_SECOND} requests a second all the time, 0 failed`,
          holds: failed === 0 && report.perSecond >= CLAIMED_PER_SECOND,
        },
        {
          claim: `${SWAPS} swaps forward and ${SWAPS} back, each with three proven reloads and two commits`,
          holds: report.reloads === SWAPS * 6 && report.commits === SWAPS * 4,
        },
        {
          claim: 'streams and WebSockets live from the first swap to the last',
          holds:
            lives.every(({ cut, echoes }) => cut === undefined && echoes > 0) && traffic.streamsDrained === 0,
        },
        { claim: 'afterwards files, records and values are as they were', holds: report.asItWas },
        {
          claim: `${CUTS.length} changes of a proxy whose connection is lost: users are served, files are wholly new or wholly old, and the next run completes the change`,
          holds: lost.every(
            ({ left, served, completed }) =>
              left !== 'torn' && completed && served.every((said) => said === 'ok'),
          ),
        },
      ],
      tables: [
        {
          title: 'Requests',
          head: ['class', 'requests', 'failed', 'resets of reused idle connections', 'p50, ms', 'p99, ms'],
          rows: [
            ...Object.entries(traffic.classes).map(([name, counts]) => [
              ...[name, counts.total, counts.failed, counts.resetOnIdle],
              ...[counts.p50Ms, counts.p99Ms],
            ]),
            ['http/2', http2.answered, http2.failures.length, http2.notTaken, '–', '–'],
          ],
        },
        {
          title: 'Load and swaps',
          head: ['requests a second', 'sessions of HTTP/2', 'reloads', 'commits'],
          rows: [[Math.round(report.perSecond), http2.sessions, report.reloads, report.commits]],
        },
        {
          title: 'Seconds of a swap',
          head: ['way', 'median', 'longest'],
          rows: [
            ['forward', ...seconds(report.forwardSeconds)],
            ['back', ...seconds(report.backSeconds)],
          ],
        },
        {
          title: 'Open connections',
          head: ['kind', 'messages echoed', 'cut'],
          rows: lives.map((life) => [life.kind, life.echoes, life.cut ?? 'no']),
        },
        {
          title: 'Connections to the proxy that are lost in the middle of a change',
          head: ['verb', 'after, ms', 'files then', 'users then', 'the next run'],
          rows: lost.map(({ command, afterMs, left, served, completed }) => [
            ...[command, afterMs, left, served.join(', '), completed ? 'completes it' : '**does not**'],
          ]),
        },
      ],
    };
  },
};
