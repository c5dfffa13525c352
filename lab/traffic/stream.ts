/**
 * TCP through the proxy's stream port: short connections, and some that stay open.
 *
 * The rule for those that stay: the far side may end one only by the drain deadline, that is
 * `worker_shutdown_timeout` after a reload that the stream was open at. Such an end is counted apart, and the
 * line that it cut must be answered on a new connection within a second. Any other end is a failure.
 */
import { endpoint } from './config.ts';
import type { Endpoint, StreamClass, TrafficConfig } from './config.ts';
import { openLine } from './line.ts';
import type { Line } from './line.ts';
import { every, nowMs } from './pace.ts';
import type { Source } from './pace.ts';
import type { Statistics } from './statistics.ts';

const RETRY_WITHIN_MS = 1_000;
/** A worker ends its connections a little before or after its deadline: timers, and when the reload was seen. */
const EARLY_MS = 500;
const LATE_MS = 3_000;

export interface StreamSource extends Source {
  /** The proxy began a reload at this time. */
  proxyReloaded(atMs: number): void;
}

export function streamTraffic(
  config: TrafficConfig,
  stream: StreamClass,
  statistics: Statistics,
): StreamSource {
  const where = endpoint(config, stream.address, stream.port);
  const reloads: number[] = [];
  let tokens = 0;
  const nextToken = (): string => `t${(tokens += 1)}`;
  const short = every(stream.perSecond, () => shortConnection(where, stream, nextToken(), statistics));
  const stopping = new AbortController();
  const longLived = Array.from({ length: stream.longLived }, () =>
    stayOpen({ where, stream, reloads, nextToken, statistics, stopping: stopping.signal }),
  );
  return {
    proxyReloaded: (atMs) => reloads.push(atMs),
    async stop() {
      stopping.abort();
      await Promise.all([short.stop(), ...longLived]);
    },
  };
}

/** Whether an end by the far side can have been the drain deadline of a worker that had been told to go. */
export function endedByDrain(
  life: { openedMs: number; endedMs: number },
  reloads: readonly number[],
  stream: Pick<StreamClass, 'drainDeadlineMs' | 'reloads'>,
): boolean {
  const earliest = stream.drainDeadlineMs - EARLY_MS;
  if (stream.reloads === 'unknown') return life.endedMs - life.openedMs >= earliest;
  return reloads.some(
    (atMs) =>
      life.openedMs <= atMs + EARLY_MS &&
      life.endedMs >= atMs + earliest &&
      life.endedMs <= atMs + stream.drainDeadlineMs + LATE_MS,
  );
}

async function shortConnection(
  where: Endpoint,
  stream: StreamClass,
  token: string,
  statistics: Statistics,
): Promise<void> {
  const startedMs = nowMs();
  const verdict = { class: 'stream' as const, startedMs, target: `TCP ${where.host}:${where.port}` };
  try {
    const line = await openLine(where, stream.deadlineMs, startedMs);
    const servedBy = await line.ask(token, stream.deadlineMs).finally(() => line.close());
    statistics.add({ ...verdict, endedMs: nowMs(), result: 'ok', servedBy });
  } catch (error) {
    statistics.add({ ...verdict, endedMs: nowMs(), result: 'failed', error: (error as Error).message });
  }
}

interface Staying {
  where: Endpoint;
  stream: StreamClass;
  reloads: readonly number[];
  nextToken: () => string;
  statistics: Statistics;
  stopping: AbortSignal;
}

async function stayOpen(staying: Staying): Promise<void> {
  const { where, stream, statistics, stopping } = staying;
  const target = `TCP ${where.host}:${where.port}, open connection`;
  let line: Line | undefined;
  while (!stopping.aborted) {
    const startedMs = nowMs();
    const verdict = { class: 'stream' as const, startedMs, target };
    try {
      line ??= await openLine(where, stream.deadlineMs, startedMs);
      const servedBy = await line.ask(staying.nextToken(), stream.deadlineMs);
      statistics.add({ ...verdict, endedMs: nowMs(), result: 'ok', servedBy });
    } catch (error) {
      const cut = line;
      line = undefined;
      const life = cut && { openedMs: cut.openedMs, endedMs: nowMs() };
      if (life !== undefined && endedByDrain(life, staying.reloads, stream)) {
        line = await drained(staying, verdict);
      } else {
        const age = life === undefined ? '' : ` after ${Math.round(life.endedMs - life.openedMs)} ms`;
        const reason = `${(error as Error).message}${age}`;
        statistics.add({ ...verdict, endedMs: nowMs(), result: 'failed', error: reason });
      }
      cut?.close();
    }
    // An end between two lines is met here, at the time when it happens, not at the next line.
    await sleep(stream.pingEveryMs, stopping, line?.ended);
  }
  line?.close();
}

async function drained(
  staying: Staying,
  verdict: { class: 'stream'; startedMs: number; target: string },
): Promise<Line | undefined> {
  staying.statistics.streamDrained();
  let line: Line | undefined;
  try {
    line = await openLine(staying.where, RETRY_WITHIN_MS, nowMs());
    const servedBy = await line.ask(staying.nextToken(), RETRY_WITHIN_MS);
    staying.statistics.add({ ...verdict, endedMs: nowMs(), result: 'ok', servedBy });
    return line;
  } catch (error) {
    line?.close();
    const reason = `drained, and on a new connection: ${(error as Error).message}`;
    staying.statistics.add({ ...verdict, endedMs: nowMs(), result: 'failed', error: reason });
    return undefined;
  }
}

async function sleep(ms: number, stopping: AbortSignal, ended: Promise<void> | undefined): Promise<void> {
  if (stopping.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(finish, ms);
    function finish(): void {
      clearTimeout(timer);
      stopping.removeEventListener('abort', finish);
      resolve();
    }
    stopping.addEventListener('abort', finish);
    void ended?.then(finish);
  });
}
