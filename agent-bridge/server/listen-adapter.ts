/**
 * The listening socket: TLS 1.3, mutual, no resumption. A peer whose certificate is not one of the listed ones ends
 * in OpenSSL's handshake; the exact fingerprint is compared again on every request. What is no request of ours gets a
 * refusal when a listed client sent it and no other answer is due on that connection, and is cut off otherwise.
 */
import { createServer } from 'node:https';
import { STATUS_CODES } from 'node:http';
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
/**
 * Of one certificate; beyond it the client's own oldest goes that has no whole request under way. Six clients at their
 * limit leave room for a seventh and for handshakes, so no client can fill the door.
 */
export const CLIENT_CONNECTIONS_LIMIT = 128;
/**
 * Unfinished at one time; beyond it the oldest goes, so that strangers who come and stay silent crowd out each other
 * and not a client, who is through in some 10 ms.
 */
export const HANDSHAKES_LIMIT = 256;
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
/** So long a refused connection stays open: closed at once, what is still under way would reset our answer. */
const LINGER_MS = 1_000;

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
  /** Handshakes that failed since the last call. */
  strangers(): number;
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
    // Node would answer in words of its own; see `serve`.
    requireHostHeader: false,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    noDelay: true,
  });
  server.maxConnections = CONNECTIONS_LIMIT;
  const sockets = new Set<Socket>();
  /** By remote address and port, the oldest first. */
  const handshakes = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    const peer = peerOf(socket);
    handshakes.set(peer, socket);
    socket.once('close', () => {
      sockets.delete(socket);
      if (handshakes.get(peer) === socket) handshakes.delete(peer);
    });
    if (handshakes.size <= HANDSHAKES_LIMIT) return;
    for (const [oldest, silent] of handshakes) {
      handshakes.delete(oldest);
      silent.destroy();
      break;
    }
  });
  const doors = new Map<TLSSocket, Door>();
  server.on('secureConnection', (socket: TLSSocket) => {
    handshakes.delete(peerOf(socket));
    const door: Door = { print: printOf(socket), due: new Set() };
    const mine = [...doors].filter(([, { print }]) => print === door.print);
    if (mine.length >= CLIENT_CONNECTIONS_LIMIT) {
      const [spare] = mine.find(([, { due }]) => ![...due].some(({ req }) => req.complete)) ?? [socket];
      spare.destroy();
      doors.delete(spare);
      if (spare === socket) return;
    }
    doors.set(socket, door);
    socket.once('close', () => doors.delete(socket));
  });
  let strangers = 0;
  server.on('tlsClientError', (_error, socket) => {
    strangers += 1;
    socket.destroy();
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (socket instanceof TLSSocket) refuseAt(socket, error.code ?? '');
    else socket.destroy();
  });
  for (const event of ['checkContinue', 'checkExpectation'])
    server.on(event, (request: IncomingMessage, response: ServerResponse) => {
      const { socket } = request;
      response.shouldKeepAlive = false;
      if (socket instanceof TLSSocket && clientAt(socket) !== undefined)
        send(response, refused({ code: 'badRequest' }));
      else socket.destroy();
    });
  server.on('upgrade', (_request, socket) => socket.destroy());
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const door = request.socket instanceof TLSSocket ? doors.get(request.socket) : undefined;
    if (!door || door.isRefused) {
      request.destroy();
      return;
    }
    door.due.add(response);
    response.once('close', () => door.due.delete(response));
    void serve(request, response).catch(() => request.destroy());
  });

  function clientAt(socket: TLSSocket): ClientPolicy | undefined {
    const fingerprint = printOf(socket);
    const known = socket.authorized && !socket.isSessionReused() && fingerprint !== undefined;
    return known ? options.clientOf(fingerprint) : undefined;
  }

  /**
   * What Node's parser or its clock gave up. Silent is who has sent nothing: a refusal could meet a request on its way.
   * Silent too is it where another answer is due: the refusal would be taken for that one.
   */
  function refuseAt(socket: TLSSocket, code: string): void {
    const door = doors.get(socket);
    const isOwed = [...(door?.due ?? [])].some(({ req, headersSent }) => req.complete || headersSent);
    // Bytes that follow a refused request are errors again.
    if (door?.isRefused) return;
    if (!door || isOwed || !socket.writable || socket.bytesRead === 0 || clientAt(socket) === undefined) {
      socket.destroy();
      return;
    }
    sendLast(socket, door, PARSER_REFUSALS[code] ?? refused({ code: 'badRequest' }));
  }

  /** An answer to what was not read to its end. Nothing more is read, and the connection ends when it can be there. */
  function sendLast(socket: TLSSocket, door: Door, { status, body }: Answer): void {
    door.isRefused = true;
    const lines = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
      'content-type: application/json',
      `content-length: ${body.length}`,
      'connection: close',
      `${LOG_HEAD_HEADER}: ${options.head()}`,
    ];
    socket.end(`${lines.join('\r\n')}\r\n\r\n${String(body)}`);
    const linger = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(linger));
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
    const door = doors.get(socket);
    // The rest of it came after the refusal, which said that nothing was made.
    if (!door || door.isRefused) {
      socket.destroy();
      return;
    }
    if (body === undefined) {
      sendLast(socket, door, refused({ code: 'tooLarge' }));
      return;
    }
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const { method = '', url = '', headers, httpVersion } = request;
    const isPlain = httpVersion === '1.1' && headers.host !== undefined;
    // An encoded body could be a bomb; ours are never encoded.
    if (!isPlain || headers['content-encoding'] !== undefined) {
      response.shouldKeepAlive = false;
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
    strangers() {
      const count = strangers;
      strangers = 0;
      return count;
    },
    policyChanged() {
      server.setSecureContext(secureContext());
      for (const socket of doors.keys()) if (clientAt(socket) === undefined) socket.destroy();
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

/** What is known of the connection of a listed client. */
interface Door {
  print: string | undefined;
  /** Requests whose answers are not out yet. */
  due: Set<ServerResponse>;
  isRefused?: true;
}

/** Where Node tells more than that it was no request. */
const PARSER_REFUSALS: Record<string, Answer> = {
  HPE_HEADER_OVERFLOW: { ...refused({ code: 'tooLarge' }), status: 431 },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: refused({ code: 'tooLarge' }),
  ERR_HTTP_REQUEST_TIMEOUT: { ...refused({ code: 'badRequest' }), status: 408 },
};

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress ?? ''} ${remotePort ?? 0}`;
const printOf = (socket: TLSSocket): string | undefined =>
  socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase();

/** undefined when it is longer than any body of ours; the rest is not read. */
function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT_BYTES) return Promise.resolve(undefined);
  const chunks: Uint8Array[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Uint8Array) => {
      size += chunk.byteLength;
      chunks.push(chunk);
      if (size <= BODY_LIMIT_BYTES) return;
      // Not destroyed, as leaving an iteration would: its socket still has to carry the refusal.
      request.pause();
      resolve(undefined);
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('error', reject);
    request.once('close', () => reject(new Error('the request ended early')));
  });
}
