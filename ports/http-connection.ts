/**
 * One connection of the `Http` adapter until its first request: TCP, the proxy's tunnel, TLS and the pin.
 */
import { createHash } from 'node:crypto';
import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import * as tlsModule from 'node:tls';
import { checkServerIdentity, connect as connectTls, createSecureContext } from 'node:tls';
import type { ConnectionOptions, SecureContext, TLSSocket } from 'node:tls';
import { proxyTls, tunnel } from './http-proxy.ts';
import type { Place, Proxy } from './http-proxy.ts';
import type { TlsMaterial } from './ports.ts';

export const LONGEST_TIMER_MS = 2_147_483_647;

/** How a request gets to where it goes. */
export interface Route {
  place: Place;
  proxy: Proxy | undefined;
  /** The proxy itself is asked for the URL; otherwise a tunnel is opened to `place`. */
  forwarded: boolean;
}

export interface Dialling {
  route: Route;
  deadlineMs: number;
  signal: AbortSignal | undefined;
}

/** undefined: the system's, which is the runtime's own default. A list replaces that default, so it holds it. */
export function rootsWith(more: readonly string[]): string[] | undefined {
  if (more.length === 0) return undefined;
  // Since Node 22.15, with NODE_EXTRA_CA_CERTS and --use-system-ca in it; the older list has neither.
  const { getCACertificates } = tlsModule as { getCACertificates?: (type: 'default') => string[] };
  return [...(getCACertificates?.('default') ?? tlsModule.rootCertificates), ...more];
}

/** What a pool's connections share. */
export function contextOf(tls: TlsMaterial | undefined, roots: string[] | undefined): SecureContext {
  const ca = tls?.ca ?? (tls?.pinSha256 === undefined ? roots : undefined);
  return createSecureContext({ ca, cert: tls?.cert, key: tls?.key });
}

export function tlsOptions(tls: TlsMaterial | undefined, urlHost: string): ConnectionOptions {
  const name = tls?.servername ?? urlHost.replace(/^\[|\]$/g, '');
  return {
    // An address is no server name (RFC 6066, 3), but it is checked against the certificate all the same.
    servername: isIP(name) === 0 ? name : '',
    rejectUnauthorized: tls?.pinSha256 === undefined,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    ALPNProtocols: ['http/1.1'],
  };
}

/** One connection, ready for its first request: TCP, the proxy's tunnel, TLS and the pin, all within one deadline. */
export async function dial(
  { route, deadlineMs, signal }: Dialling,
  security: ConnectionOptions | undefined,
  pin: TlsMaterial['pinSha256'],
  roots: string[] | undefined,
): Promise<Socket> {
  const { place, proxy, forwarded } = route;
  const stop = new AbortController();
  const onAbort = () => stop.abort(new Error('aborted'));
  const timer = setTimeout(
    () => stop.abort(Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' })),
    Math.min(deadlineMs, LONGEST_TIMER_MS),
  );
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    if (proxy === undefined) return await openSocket(place, security, pin, stop.signal);
    if (forwarded) return await openSocket(proxy.place, proxyTls(proxy, roots), undefined, stop.signal);
    const socket = await tunnel(proxy, place, roots, stop.signal);
    return security === undefined ? socket : await openSocket({ socket }, security, pin, stop.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

async function openSocket(
  at: Place | { socket: Socket },
  security: ConnectionOptions | undefined,
  pin: TlsMaterial['pinSha256'],
  stop: AbortSignal,
): Promise<Socket> {
  if (security === undefined) {
    const socket = connectTcp(at as Place);
    await whenConnected(socket, 'connect', stop);
    return socket;
  }
  const socket = connectTls({ ...at, ...security });
  await whenConnected(socket, 'secureConnect', stop);
  const wrong = pinError(socket, pin);
  if (wrong === null) return socket;
  socket.destroy();
  throw wrong;
}

function whenConnected(socket: Socket, event: 'connect' | 'secureConnect', stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: Error) => {
      stop.removeEventListener('abort', onStop);
      socket.removeListener('error', finish);
      socket.removeListener('close', onClose);
      // From here until a request has it, an error shows in the socket's being destroyed.
      socket.on('error', () => undefined);
      if (error === undefined) resolve();
      else {
        socket.destroy();
        reject(error);
      }
    };
    const onStop = () => finish(stop.reason as Error);
    const onClose = () => finish(closedEarly());
    stop.addEventListener('abort', onStop, { once: true });
    socket.once('error', finish);
    socket.once('close', onClose);
    socket.once(event, () => finish());
    if (stop.aborted) onStop();
  });
}

export function closedEarly(): Error {
  return Object.assign(new Error('closed while connecting'), { code: 'ECONNRESET' });
}

function pinError(socket: TLSSocket, pin: string | readonly string[] | undefined): Error | null {
  if (pin === undefined) return null;
  const pins = typeof pin === 'string' ? [pin] : pin;
  // An empty object when the server gave none.
  const { raw } = socket.getPeerCertificate() as { raw?: Buffer };
  const found = raw === undefined ? 'none' : createHash('sha256').update(raw).digest('hex');
  if (pins.some((each) => each.toLowerCase() === found)) return null;
  const message = `the server's certificate is not the pinned one: expected SHA-256 ${pins.join(' or ')}, found ${found}`;
  return Object.assign(new Error(message), { code: 'ERR_TLS_PIN' });
}
