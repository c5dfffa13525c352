/**
 * The real adapter of `Http`: HTTP/1.1 with kept connections, one pool for each TLS material.
 *
 * It follows no redirect, retries nothing, decodes nothing. The deadline covers the body too. A connection is
 * only handed to a request after its TLS handshake and pin are checked, so `sent` is false until then.
 */
import { createHash } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { PortError } from './ports.ts';
import type { Http, HttpRequest, HttpResponse, PortFailure, TlsMaterial } from './ports.ts';

export interface HttpAdapter {
  http: Http;
  /** Closes idle connections. */
  close(): void;
}

/** Node's own servers close an idle connection after 5 s: ours goes first, or a request would meet the close. */
const IDLE_MS = 4_000;
const LONGEST_TIMER_MS = 2_147_483_647;

export function openHttp(): HttpAdapter {
  const pools = new Map<string, HttpAgent | HttpsAgent>();

  const poolFor = (request: HttpRequest, url: URL) => {
    const key = poolKey(request, url);
    const known = pools.get(key);
    if (known !== undefined) return known;
    const pool = createPool(request, url);
    pools.set(key, pool);
    return pool;
  };

  return {
    http: (request) => exchange(request, poolFor),
    close: () => {
      for (const pool of pools.values()) pool.destroy();
      pools.clear();
    },
  };
}

type PoolFor = (request: HttpRequest, url: URL) => HttpAgent | HttpsAgent;

function exchange(request: HttpRequest, poolFor: PoolFor): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const where = `${request.method} ${request.url.replace(/[?#].*$/s, '')}`;
    let sent = false;
    let ended: PortError | undefined;
    let outgoing: ClientRequest | undefined;
    const failed = (kind: PortFailure, message: string) =>
      new PortError(kind, 'http', `${where}: ${message}`, sent);

    if (request.signal?.aborted) {
      reject(failed('aborted', 'aborted'));
      return;
    }
    const end = (error: PortError) => {
      ended ??= error;
      outgoing?.destroy(ended);
    };
    const onAbort = () => end(failed('aborted', 'aborted'));
    const timer = setTimeout(
      () => end(failed('timeout', `not finished within ${request.deadlineMs} ms`)),
      Math.min(request.deadlineMs, LONGEST_TIMER_MS),
    );
    const settle = () => {
      clearTimeout(timer);
      request.signal?.removeEventListener('abort', onAbort);
    };
    request.signal?.addEventListener('abort', onAbort, { once: true });

    try {
      const url = new URL(request.url);
      const options: RequestOptions & Connecting = {
        method: request.method,
        headers: framed(request),
        agent: poolFor(request, url),
        connecting: { deadlineMs: request.deadlineMs, signal: request.signal },
      };
      outgoing = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, options);
    } catch (error) {
      settle();
      reject(failed('protocol', (error as Error).message));
      return;
    }
    outgoing.on('socket', () => {
      sent = true;
    });
    outgoing.on('error', (error) => {
      settle();
      reject(ended ?? failed(failureOf(error), error.message));
    });
    outgoing.on('response', (incoming) => {
      incoming.on('close', settle);
      resolve({
        status: incoming.statusCode ?? 0,
        headers: flat(incoming),
        body: bodyOf(incoming, (error) => ended ?? failed(failureOf(error), error.message)),
      });
    });
    outgoing.end(request.body);
  });
}

async function* bodyOf(incoming: IncomingMessage, translate: (error: Error) => PortError) {
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) yield new Uint8Array(chunk);
  } catch (error) {
    throw translate(error as Error);
  } finally {
    incoming.destroy();
  }
}

/** Node frames the body of GET and DELETE by nothing at all, and the API server then reads none. */
function framed(request: HttpRequest): Record<string, string> {
  const headers = { ...request.headers };
  const named = Object.keys(headers).some((name) => name.toLowerCase() === 'content-length');
  if (request.body !== undefined && !named)
    headers['content-length'] = String(Buffer.byteLength(request.body));
  return headers;
}

function flat(incoming: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
}

interface Connecting {
  connecting?: { deadlineMs: number; signal?: AbortSignal | undefined };
}

type Connected = (error: Error | null, socket?: Socket) => void;

function poolKey({ tls, connectTo }: HttpRequest, url: URL): string {
  const parts = [url.protocol, connectTo, tls?.ca, tls?.cert, tls?.key, tls?.servername, tls?.pinSha256];
  return createHash('sha256')
    .update(JSON.stringify(parts.map((part) => part ?? null)))
    .digest('hex');
}

function createPool(request: HttpRequest, url: URL): HttpAgent | HttpsAgent {
  const { tls, connectTo } = request;
  const secure = url.protocol === 'https:';
  const options = { keepAlive: true, timeout: IDLE_MS, maxCachedSessions: 0 };
  const pool = secure ? new HttpsAgent(options) : new HttpAgent(options);
  const open = (asked: RequestOptions & Connecting, connected: Connected) => {
    const place = placeOf(connectTo, asked);
    const pin = tls?.pinSha256;
    if (secure) {
      const socket = connectTls({ ...place, ...tlsOptions(tls, String(asked.host ?? asked.hostname)) });
      whenConnected(socket, 'secureConnect', () => pinError(socket, pin), asked.connecting, connected);
    } else {
      const socket = connectTcp(place);
      whenConnected(socket, 'connect', () => null, asked.connecting, connected);
    }
  };
  // The types know only the synchronous form; the agent itself waits for the callback when nothing is returned.
  Object.assign(pool, { createConnection: open });
  return pool;
}

function placeOf(connectTo: string | undefined, asked: RequestOptions): { host: string; port: number } {
  if (connectTo !== undefined) {
    const colon = connectTo.lastIndexOf(':');
    const host = connectTo.slice(0, colon).replace(/^\[|\]$/g, '');
    return { host, port: Number(connectTo.slice(colon + 1)) };
  }
  return { host: String(asked.host ?? asked.hostname), port: Number(asked.port) };
}

function tlsOptions(tls: TlsMaterial | undefined, urlHost: string): ConnectionOptions {
  const name = tls?.servername ?? urlHost.replace(/^\[|\]$/g, '');
  return {
    ca: tls?.ca,
    cert: tls?.cert,
    key: tls?.key,
    // An address is no server name (RFC 6066, 3), but it is checked against the certificate all the same.
    servername: isIP(name) === 0 ? name : '',
    rejectUnauthorized: tls?.pinSha256 === undefined,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    ALPNProtocols: ['http/1.1'],
  };
}

function whenConnected(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  check: () => Error | null,
  connecting: Connecting['connecting'],
  connected: Connected,
): void {
  let over = false;
  const finish = (error: Error | null) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    connecting?.signal?.removeEventListener('abort', onAbort);
    socket.removeListener('error', finish);
    socket.removeListener('close', onClose);
    if (error === null) connected(null, socket);
    else {
      socket.on('error', () => undefined);
      socket.destroy();
      connected(error);
    }
  };
  const onAbort = () => finish(new Error('aborted'));
  const onClose = () => finish(Object.assign(new Error('closed while connecting'), { code: 'ECONNRESET' }));
  const waitMs = Math.min(connecting?.deadlineMs ?? LONGEST_TIMER_MS, LONGEST_TIMER_MS);
  const timer = setTimeout(
    () => finish(Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' })),
    waitMs,
  );
  connecting?.signal?.addEventListener('abort', onAbort, { once: true });
  socket.once('error', finish);
  socket.once('close', onClose);
  socket.once(event, () => finish(check()));
}

function pinError(socket: TLSSocket, pin: string | undefined): Error | null {
  if (pin === undefined) return null;
  // An empty object when the server gave none.
  const { raw } = socket.getPeerCertificate() as { raw?: Buffer };
  const found = raw === undefined ? 'none' : createHash('sha256').update(raw).digest('hex');
  if (found === pin.toLowerCase()) return null;
  const message = `the server's certificate is not the pinned one: expected SHA-256 ${pin}, found ${found}`;
  return Object.assign(new Error(message), { code: 'ERR_TLS_PIN' });
}

const FAILURES: Record<string, PortFailure> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'closed',
  EPIPE: 'closed',
  ERR_STREAM_PREMATURE_CLOSE: 'closed',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  EPROTO: 'tls',
};

function failureOf(error: Error): PortFailure {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const known = FAILURES[code];
  if (known !== undefined) return known;
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_)/.test(code)) return 'tls';
  return 'protocol';
}
