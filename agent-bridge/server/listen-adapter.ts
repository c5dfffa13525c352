/**
 * The listening socket: TLS 1.3, mutual, no resumption. A peer whose certificate is not one of the listed ones ends
 * in OpenSSL's handshake; the exact fingerprint is compared again on every request.
 */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { BODY_LIMIT_BYTES } from '../protocol/canonical.ts';
import { LOG_HEAD_HEADER } from '../protocol/wire.ts';
import { refused } from './answers.ts';
import type { Answer } from './answers.ts';
import type { Handler } from './handler.ts';
import type { ClientPolicy } from './policy.ts';

/** Node waits 120 s by default: 10,000 garbage connections then cost 122 s, with 3 s they cost 3.8 (measured). */
export const HANDSHAKE_TIMEOUT_MS = 3_000;
/** A connection costs some 50 KB; a handful of agents keep a few each, the rest is room for slow strangers. */
export const CONNECTIONS_LIMIT = 1_024;
/** Our headers are 300 bytes. */
export const HEADER_LIMIT_BYTES = 8 * 1024;
/** One packet on any link that works. */
export const HEADERS_TIMEOUT_MS = 5_000;
/** 64 KB at the slowest link that we would call working. */
export const REQUEST_TIMEOUT_MS = 15_000;
/** Longer than the pause between two observations of a task, so that warm connections stay. */
export const KEEP_ALIVE_MS = 65_000;
/** How often Node looks for connections past their time. */
const CHECK_INTERVAL_MS = 1_000;

export interface ListenOptions {
  host: string;
  port: number;
  key: string;
  cert: string;
  /** PEM certificates of the listed clients; nobody else completes a handshake. */
  clientCertificates(): string[];
  /** The client with this fingerprint (lower-case hex), asked anew for each request. */
  clientOf(fingerprint: string): ClientPolicy | undefined;
  handler: Handler;
  /** `seq:hash`. */
  head(): string;
}

export interface Listening {
  port: number;
  /** Connections of listed clients that are open. */
  connections(): number;
  /** Other clients are listed from now on; the connections of those that no longer are end here. */
  policyChanged(): void;
  /** Takes no more, lets answers go out, and closes. */
  close(): Promise<void>;
}

export async function listen(options: ListenOptions): Promise<Listening> {
  const closing = new AbortController();
  const secureContext = () => ({
    key: options.key,
    cert: options.cert,
    ca: options.clientCertificates(),
    minVersion: 'TLSv1.3' as const,
    maxVersion: 'TLSv1.3' as const,
    // Tickets become names in a server-side cache that is never filled: a session cannot be resumed, which matters
    // because a resumed one needs no client key and shows no certificate.
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  const server = createServer({
    ...secureContext(),
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    maxHeaderSize: HEADER_LIMIT_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    noDelay: true,
  });
  server.maxConnections = CONNECTIONS_LIMIT;
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const doors = new Set<TLSSocket>();
  server.on('secureConnection', (socket: TLSSocket) => {
    doors.add(socket);
    socket.once('close', () => doors.delete(socket));
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    if (socket instanceof TLSSocket && clientAt(socket) !== undefined)
      send(response, refused({ code: 'badRequest' }));
    else socket.destroy();
  });
  server.on('upgrade', (_request, socket) => socket.destroy());
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void serve(request, response).catch(() => request.destroy());
  });

  function clientAt(socket: TLSSocket): ClientPolicy | undefined {
    const fingerprint = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase();
    const known = socket.authorized && !socket.isSessionReused() && fingerprint !== undefined;
    return known ? options.clientOf(fingerprint) : undefined;
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const socket = request.socket;
    if (!(socket instanceof TLSSocket)) {
      socket.destroy();
      return;
    }
    const client = clientAt(socket);
    if (!client) {
      socket.destroy();
      return;
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const body = await readBody(request);
    if (body === undefined) {
      response.shouldKeepAlive = false;
      send(response, refused({ code: 'tooLarge' }));
      return;
    }
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const { method = '', url = '', headers } = request;
    // An encoded body could be a bomb; ours are never encoded.
    if (headers['content-encoding'] !== undefined) {
      send(response, refused({ code: 'badRequest' }));
      return;
    }
    send(response, await options.handler(client, { method, target: url, headers, body, signal }));
  }

  function send(response: ServerResponse, { status, headers, body }: Answer): void {
    if (response.destroyed) return;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    if (closing.signal.aborted) response.shouldKeepAlive = false;
    response.writeHead(status, {
      ...headers,
      'content-length': bytes.byteLength,
      [LOG_HEAD_HEADER]: options.head(),
    });
    response.end(bytes);
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => doors.size,
    policyChanged() {
      server.setSecureContext(secureContext());
      for (const socket of doors) if (clientAt(socket) === undefined) socket.destroy();
    },
    async close() {
      closing.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      // Held requests answer at once on the abort; what is still open after a moment is a slow or silent peer.
      const patience = setTimeout(() => sockets.forEach((socket) => socket.destroy()), CHECK_INTERVAL_MS);
      await closed;
      clearTimeout(patience);
    },
  };
}

/** undefined when it is longer than any body of ours; the rest is not read. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT_BYTES) return undefined;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > BODY_LIMIT_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
