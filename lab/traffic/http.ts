/**
 * Application requests through the proxy: new connections and reused ones, mostly GET.
 *
 * A reset is excused only if the connection had answered before, no byte of this answer had come, and one retry
 * on a new connection succeeds within a second: what a client does when a server closes an idle connection at
 * the moment it is used again (nginx does on reload). Everything else is a failure, a status other than 2xx too.
 */
import { Agent, request } from 'node:http';
import type { Socket } from 'node:net';
import { endpoint } from './config.ts';
import type { Endpoint, HttpClass, TrafficConfig } from './config.ts';
import { every, nowMs } from './pace.ts';
import type { Source } from './pace.ts';
import type { Statistics } from './statistics.ts';

const RETRY_WITHIN_MS = 1_000;

export function httpTraffic(config: TrafficConfig, http: HttpClass, statistics: Statistics): Source {
  const where = endpoint(config, http.address, http.port);
  const pool = new Agent({ keepAlive: true, maxSockets: http.keepAliveConnections, scheduling: 'fifo' });
  let count = 0;
  const source = every(http.perSecond, async () => {
    count += 1;
    const method = isNth(count, http.posts) ? 'POST' : 'GET';
    // A client must not repeat a POST by itself (RFC 9110 9.2.2): never on a connection that may just be closing.
    const alone = method === 'POST' || isNth(count, http.newConnections);
    const agent = alone ? undefined : pool;
    await oneRequest(where, http, method, agent, statistics);
  });
  return {
    async stop() {
      await source.stop();
      pool.destroy();
    },
  };
}

/** Spreads a share evenly: of `count` = 1, 2, 3 …, `share` of them are chosen. */
function isNth(count: number, share: number): boolean {
  return Math.floor(count * share) > Math.floor((count - 1) * share);
}

async function oneRequest(
  where: Endpoint,
  http: HttpClass,
  method: string,
  agent: Agent | undefined,
  statistics: Statistics,
): Promise<void> {
  const target = `${method} ${where.host}:${where.port}${http.path}`;
  const startedMs = nowMs();
  const send = (within: Agent | undefined, deadlineMs: number): Promise<Exchange> =>
    exchange({ where, host: http.host, path: http.path, method, agent: within, deadlineMs });
  const first = await send(agent, http.deadlineMs);
  const verdict = { class: 'http' as const, startedMs, endedMs: nowMs(), target };
  if (first.ok) {
    statistics.add({ ...verdict, result: 'ok', servedBy: first.servedBy });
    return;
  }
  if (first.idleReset) {
    const second = await send(undefined, RETRY_WITHIN_MS);
    const endedMs = nowMs();
    if (second.ok) statistics.add({ ...verdict, endedMs, result: 'reset', servedBy: second.servedBy });
    else {
      const error = `${first.error} on a reused connection, and its retry: ${second.error}`;
      statistics.add({ ...verdict, endedMs, result: 'failed', error });
    }
    return;
  }
  statistics.add({ ...verdict, result: 'failed', error: first.error });
}

export interface ExchangeRequest {
  where: Endpoint;
  host: string;
  path: string;
  method: string;
  /** Absent: a connection of its own. */
  agent: Agent | undefined;
  deadlineMs: number;
}

export type Exchange =
  { ok: true; servedBy: string | undefined } | { ok: false; error: string; idleReset: boolean };

const CLOSED = new Set(['ECONNRESET', 'EPIPE']);

/** One request and its whole answer. Never rejects. */
export function exchange(ask: ExchangeRequest): Promise<Exchange> {
  return new Promise((resolve) => {
    let socket: Socket | undefined;
    let bytesBefore = 0;
    let answered = false;
    const body = ask.method === 'POST' ? 'order=1' : undefined;
    const sent = request({
      ...{ host: ask.where.host, port: ask.where.port, path: ask.path, method: ask.method },
      agent: ask.agent ?? false,
      headers: {
        host: ask.host,
        ...(body === undefined ? {} : { 'content-length': String(body.length) }),
        ...(ask.agent === undefined ? { connection: 'close' } : {}),
      },
    });
    const timer = setTimeout(() => {
      fail(`no whole answer within ${ask.deadlineMs} ms`, false);
      sent.destroy();
    }, ask.deadlineMs);
    const settle = (result: Exchange): void => {
      clearTimeout(timer);
      resolve(result);
    };
    const fail = (error: string, closed: boolean): void => {
      const noByte = !answered && socket !== undefined && socket.bytesRead === bytesBefore;
      settle({ ok: false, error, idleReset: closed && sent.reusedSocket && bytesBefore > 0 && noByte });
    };
    sent.on('socket', (given: Socket) => {
      socket = given;
      bytesBefore = given.bytesRead;
    });
    sent.on('error', (error: NodeJS.ErrnoException) => {
      fail(
        error.code === undefined ? error.message : `${error.code} ${error.message}`,
        CLOSED.has(error.code ?? ''),
      );
    });
    sent.on('response', (answer) => {
      answered = true;
      answer.on('error', (error) => fail(`the answer was cut: ${error.message}`, false));
      answer.on('end', () => {
        const status = answer.statusCode ?? 0;
        const servedBy = answer.headers['x-served-by'];
        if (status >= 200 && status < 300) settle({ ok: true, servedBy: servedBy?.toString() });
        else fail(`status ${status}`, false);
      });
      answer.resume();
    });
    sent.end(body);
  });
}
