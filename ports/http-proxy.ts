/**
 * The way through an HTTP proxy: which requests take it, the tunnel that CONNECT asks for, and what the proxy
 * answers instead. What the far side sees and checks (TLS, pins, client certificates) is the same as without it.
 */
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Socket } from 'node:net';
import type { PortFailure } from './ports.ts';
import { PortError } from './ports.ts';
import { Secret } from './secret.ts';

export interface HttpProxy {
  /** `http://host:port`, or `https://` for a proxy that speaks TLS itself. */
  url: string;
  username?: string | undefined;
  password?: Secret | undefined;
  /**
   * What is reached without the proxy: regular expressions, case ignored, found anywhere in `scheme://host:port`
   * (no port when it is the scheme's own), which is how the pipeline agent reads its list. What is no regular
   * expression is a host name in which `*` stands for anything. Loopback needs no entry.
   */
  bypass: readonly string[];
}

/** Where a socket is opened to; an IPv6 address has no brackets. */
export interface Place {
  host: string;
  port: number;
}

export interface Proxy {
  place: Place;
  secure: boolean;
  /** `host:port`, for messages. */
  name: string;
  /** The value of Proxy-Authorization. */
  authorization: Secret | undefined;
  /** Its URL with user and password, for a child that goes through it by itself. */
  address: Secret;
  /** Whether `url`, opened at `place`, is reached without the proxy. */
  bypasses(url: URL, place: Place): boolean;
}

/** A failure on the way to a connection whose kind is known already. */
export class ConnectError extends Error {
  constructor(
    readonly failure: PortFailure,
    message: string,
  ) {
    super(message);
  }
}

/** @throws PortError `protocol` when the URL is none; it is not in the message, since it may hold a password. */
export function openProxy(given: HttpProxy): Proxy {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(given.url) ? given.url : `http://${given.url}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.hostname === '')
    throw new PortError('protocol', 'http', "the proxy's URL is not of the form http://host:port");
  const place = placeOf(url);
  const username = given.username ?? decoded(url.username);
  const password = given.password?.reveal() ?? decoded(url.password);
  const address = new URL(url.origin);
  // The setters leave a % as it is.
  address.username = encodeURIComponent(username);
  address.password = encodeURIComponent(password);
  const patterns = given.bypass.filter((entry) => entry.trim() !== '').map(patternOf);
  return {
    place,
    secure: url.protocol === 'https:',
    name: authority(place),
    authorization:
      username === ''
        ? undefined
        : new Secret(`Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`),
    address: new Secret(address.href),
    bypasses(target, at) {
      const origins = [target.origin, new URL(`${target.protocol}//${authority(at)}`).origin];
      return (
        isLoopback(at.host) || patterns.some((pattern) => origins.some((origin) => pattern.test(origin)))
      );
    },
  };
}

export function placeOf(url: URL): Place {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port };
}

/**
 * The socket behind an accepted CONNECT. Rejects with `ConnectError`, or with what the connection itself said; when
 * `stop` is aborted, with its reason. `ca` is for a proxy that speaks TLS itself.
 */
export function tunnel(
  proxy: Proxy,
  to: Place,
  ca: string[] | undefined,
  stop: AbortSignal,
): Promise<Socket> {
  const target = authority(to);
  const options: RequestOptions = {
    ...proxy.place,
    method: 'CONNECT',
    path: target,
    // Node would ask for `close`, which some proxies take for the tunnel as well.
    headers: { host: target, connection: 'keep-alive', ...proxyHeaders(proxy) },
    agent: false,
    ...proxyTls(proxy, ca),
  };
  return new Promise((resolve, reject) => {
    const asking = (proxy.secure ? httpsRequest : httpRequest)(options);
    const onStop = () => asking.destroy(stop.reason as Error);
    stop.addEventListener('abort', onStop, { once: true });
    const settle = () => stop.removeEventListener('abort', onStop);
    asking.on('error', (error: NodeJS.ErrnoException) => {
      settle();
      const { code, message } = error;
      reject(error === stop.reason ? error : Object.assign(new Error(`at the proxy: ${message}`), { code }));
    });
    asking.on('connect', (answer: IncomingMessage, socket: Socket, head: Buffer) => {
      settle();
      socket.on('error', () => undefined);
      const refusal = refusalOf(answer, target, proxy) ?? surplusOf(head, target);
      if (refusal === undefined) resolve(socket);
      else {
        socket.destroy();
        reject(refusal);
      }
    });
    asking.end();
  });
}

/** How TLS to the proxy itself is opened, undefined when it speaks none. */
export function proxyTls(
  { secure, place }: Proxy,
  ca: string[] | undefined,
): { ca: string[] | undefined; servername: string } | undefined {
  return secure ? { ca, servername: isIP(place.host) === 0 ? place.host : '' } : undefined;
}

/** What a request to the proxy itself carries. */
export function proxyHeaders({ authorization }: Proxy): Record<string, string> {
  return authorization === undefined ? {} : { 'proxy-authorization': authorization.reveal() };
}

/** A 407 of the proxy; nothing was passed on. */
export function unauthorised(answer: IncomingMessage, proxy: Proxy): ConnectError {
  const offered = answer.headers['proxy-authenticate'] ?? '';
  const what =
    offered !== '' && !/\bbasic\b/i.test(offered)
      ? 'asks for an authentication other than Basic'
      : proxy.authorization === undefined
        ? 'asks for a user name and a password, and none is configured'
        : 'refuses the user name or the password';
  return new ConnectError('auth', `the proxy ${what} (407)`);
}

function refusalOf(answer: IncomingMessage, target: string, proxy: Proxy): ConnectError | undefined {
  const status = answer.statusCode ?? 0;
  if (status >= 200 && status < 300) return undefined;
  if (status === 407) return unauthorised(answer, proxy);
  const failure: PortFailure =
    status === 403 || status === 405 ? 'denied' : status >= 502 && status <= 504 ? 'unreachable' : 'protocol';
  return new ConnectError(failure, `the proxy answers CONNECT ${target} with ${status}`);
}

/** Behind the tunnel nobody speaks before we do: bytes that are there already are the proxy's own. */
function surplusOf(head: Buffer, target: string): ConnectError | undefined {
  if (head.length === 0) return undefined;
  return new ConnectError(
    'protocol',
    `the proxy accepts CONNECT ${target} and adds ${head.length} bytes of its own`,
  );
}

function authority({ host, port }: Place): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function patternOf(entry: string): RegExp {
  const text = entry.trim();
  try {
    return new RegExp(text, 'i');
  } catch {
    const name = text.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
    return new RegExp(`^https?://${name}(:\\d+)?$`, 'i');
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    (isIP(name) === 4 && name.startsWith('127.')) ||
    name === '::1'
  );
}
