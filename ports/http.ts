/**
 * The real adapter of `Http`: HTTP/1.1 with kept connections, one pool for each TLS material.
 *
 * It follows no redirect, retries nothing, decodes nothing. The deadline covers the body too. A connection is
 * only handed to a request after its TLS handshake and pin are checked, so `sent` is false until then; with a
 * proxy the tunnel comes before that. A failure on the way through a proxy names the proxy.
 */
import { createHash } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { closedEarly, contextOf, dial, LONGEST_TIMER_MS, rootsWith, tlsOptions } from './http-connection.ts';
import type { Dialling, Route } from './http-connection.ts';
import { ConnectError, openProxy, placeOf, proxyHeaders, unauthorised } from './http-proxy.ts';
import type { HttpProxy, Place } from './http-proxy.ts';
import { PortError } from './ports.ts';
import type { Http, HttpRequest, HttpResponse, PortFailure } from './ports.ts';

export interface HttpOptions {
  /** For everything that its list does not name and that is not on this machine. */
  proxy?: HttpProxy | undefined;
  /**
   * PEM, trusted besides the system's roots where a request brings no `ca` and no pin of its own. A pin names one
   * certificate, whoever issued it: nothing is added to it, so the bridge is the bridge behind any proxy.
   */
  ca?: readonly string[] | undefined;
}

export interface HttpAdapter {
  http: Http;
  /** Closes idle connections. */
  close(): void;
}

/** Node's own servers close an idle connection after 5 s: ours goes first, or a request would meet the close. */
const IDLE_MS = 4_000;

/** @throws PortError `protocol` when the proxy's URL is none. */
export function openHttp(options: HttpOptions = {}): HttpAdapter {
  const pools = new Map<string, HttpAgent | HttpsAgent>();
  const roots = rootsWith(options.ca ?? []);
  const proxy = options.proxy === undefined ? undefined : openProxy(options.proxy);

  const routeOf = (request: HttpRequest, url: URL): Route => {
    const place = request.connectTo === undefined ? placeOf(url) : placeNamed(request.connectTo);
    const through = proxy?.bypasses(url, place) === false ? proxy : undefined;
    return { place, proxy: through, forwarded: through !== undefined && mayForward(request, url) };
  };
  const poolFor = (request: HttpRequest, url: URL) => {
    const key = poolKey(request, url);
    const known = pools.get(key);
    if (known !== undefined) return known;
    const pool = createPool(request, url, roots);
    pools.set(key, pool);
    return pool;
  };

  return {
    http: (request) => exchange(request, routeOf, poolFor),
    close: () => {
      for (const pool of pools.values()) pool.destroy();
      pools.clear();
    },
  };
}

/** A proxy that forwards decides by the URL where it connects to, and writes Host anew (RFC 9112, 3.2.2). */
function mayForward(request: HttpRequest, url: URL): boolean {
  const namesHost = Object.keys(request.headers ?? {}).some((name) => name.toLowerCase() === 'host');
  return url.protocol === 'http:' && request.connectTo === undefined && !namesHost;
}

type PoolFor = (request: HttpRequest, url: URL) => HttpAgent | HttpsAgent;

type RouteOf = (request: HttpRequest, url: URL) => Route;

function exchange(request: HttpRequest, routeOf: RouteOf, poolFor: PoolFor): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const where = `${request.method} ${request.url.replace(/[?#].*$/s, '')}`;
    let sent = false;
    let ended: PortError | undefined;
    let outgoing: ClientRequest | undefined;
    let route: Route | undefined;
    const failed = (kind: PortFailure, message: string, seen = sent) => {
      const through = route?.proxy === undefined ? '' : ` (through the proxy ${route.proxy.name})`;
      return new PortError(kind, 'http', `${where}: ${message}${through}`, seen);
    };

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

    let way: Route;
    try {
      const url = new URL(request.url);
      route = way = routeOf(request, url);
      const options: RequestOptions & Connecting = {
        method: request.method,
        headers: framed(request),
        agent: poolFor(request, url),
        connecting: { deadlineMs: request.deadlineMs, signal: request.signal, route },
      };
      if (route.proxy !== undefined && route.forwarded) {
        options.path = `${url.origin}${url.pathname}${url.search}`;
        options.headers = { ...framed(request), ...proxyHeaders(route.proxy) };
      }
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
      if (way.proxy !== undefined && way.forwarded && incoming.statusCode === 407) {
        const { failure, message } = unauthorised(incoming, way.proxy);
        reject(failed(failure, message, false));
        incoming.destroy();
        return;
      }
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
  connecting?: Dialling;
}

type Connected = (error: Error | null, socket?: Socket) => void;

function poolKey(request: HttpRequest, url: URL): string {
  const { tls, connectTo } = request;
  const parts = [url.protocol, connectTo, tls?.ca, tls?.cert, tls?.key, tls?.servername, tls?.pinSha256];
  // A connection to the proxy and a tunnel behind it are not one another's.
  parts.push(mayForward(request, url) ? 'forward' : 'tunnel');
  return createHash('sha256')
    .update(JSON.stringify(parts.map((part) => part ?? null)))
    .digest('hex');
}

function createPool(request: HttpRequest, url: URL, roots: string[] | undefined): HttpAgent | HttpsAgent {
  const { tls } = request;
  const secure = url.protocol === 'https:';
  const options = { keepAlive: true, timeout: IDLE_MS, maxCachedSessions: 0 };
  const pool = secure ? new HttpsAgent(options) : new HttpAgent(options);
  // Made once: reading all the roots anew would cost every connection some milliseconds.
  const secureContext = secure ? contextOf(tls, roots) : undefined;
  const open = (asked: RequestOptions & Connecting, connected: Connected) => {
    const { connecting } = asked;
    if (connecting === undefined) {
      connected(new Error('asked without a route'));
      return;
    }
    const security = secureContext && {
      ...tlsOptions(tls, String(asked.host ?? asked.hostname)),
      secureContext,
    };
    dial(connecting, security, tls?.pinSha256, roots).then(
      (socket) => (socket.destroyed ? connected(closedEarly()) : connected(null, socket)),
      (error: unknown) => connected(error as Error),
    );
  };
  // The types know only the synchronous form; the agent itself waits for the callback when nothing is returned.
  Object.assign(pool, { createConnection: open });
  return pool;
}

function placeNamed(connectTo: string): Place {
  const colon = connectTo.lastIndexOf(':');
  return {
    host: connectTo.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(connectTo.slice(colon + 1)),
  };
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
  if (error instanceof ConnectError) return error.failure;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const known = FAILURES[code];
  if (known !== undefined) return known;
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_)/.test(code)) return 'tls';
  return 'protocol';
}
