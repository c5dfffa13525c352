/**
 * The Kubernetes API on TLS sockets: one listener for each machine whose apiserver answers, and none for the others.
 * It knows who calls (a client certificate of the cluster's CA, or a bearer token); all else is the handler's.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { LabWorld } from '../world/create.ts';
import { json } from '../world/kube/handle.ts';
import type { KubeResponse } from '../world/kube/handle.ts';
import { failures } from '../world/kube/status.ts';
import type { Machine } from '../world/world.ts';

export interface KubeServerOptions {
  /** Default 6443. */
  port?: number | undefined;
  /** Where this machine's apiserver listens; its own address and `port` when absent. */
  listen?: ((machine: Machine) => { host: string; port: number }) | undefined;
  /** Serving certificate, key and the CA of clients, PEM; read each time an apiserver starts. */
  tls(machine: Machine): { cert: string; key: string; ca: string };
  /** Bearer tokens that are let in. */
  tokens?: ReadonlySet<string> | undefined;
}

export interface KubeServer {
  /** Opens and closes listeners as the world is now. Called by itself on every change. */
  settle(): Promise<void>;
  /** Addresses that answer now, `host:port`, by vmId. */
  readonly listening: Map<string, string>;
  close(): Promise<void>;
}

const DEFAULT_PORT = 6443;
const LISTEN_RETRY_MS = 25;
const LISTEN_TRIES = 40;

export function serveKube(world: LabWorld, options: KubeServerOptions): KubeServer {
  const servers = new Map<string, { server: https.Server; sockets: Set<Socket>; startedAtMs: number }>();
  const listening = new Map<string, string>();
  let closed = false;

  const stop = (vmId: string): void => {
    const running = servers.get(vmId);
    if (running === undefined) return;
    servers.delete(vmId);
    listening.delete(vmId);
    running.server.close();
    for (const socket of running.sockets) socket.resetAndDestroy();
  };
  const start = async (machine: Machine, startedAtMs: number): Promise<void> => {
    const sockets = new Set<Socket>();
    const server = https.createServer(
      { ...options.tls(machine), requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
      (request, response) => {
        answer(world, options.tokens, machine, request, response).catch(() => response.destroy());
      },
    );
    server.on('connection', (socket: Socket) => {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
    });
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    servers.set(machine.vmId, { server, sockets, startedAtMs });
    const at = options.listen?.(machine) ?? { host: machine.address, port: options.port ?? DEFAULT_PORT };
    const port = await listenOn(server, at.host, at.port, () => servers.get(machine.vmId)?.server !== server);
    if (port !== undefined) listening.set(machine.vmId, `${at.host}:${port}`);
  };
  const settle = async (): Promise<void> => {
    const starts: Promise<void>[] = [];
    const wanted = new Map(closed ? [] : world.kube.serving().map((machine) => [machine.vmId, machine]));
    for (const [vmId, { startedAtMs }] of [...servers]) {
      // A container that was made anew has new sockets, and perhaps new certificates.
      const now = wanted.get(vmId)?.containers.get('kube-apiserver')?.startedAtMs;
      if (now !== startedAtMs) stop(vmId);
    }
    for (const machine of wanted.values()) {
      const startedAtMs = machine.containers.get('kube-apiserver')?.startedAtMs ?? 0;
      if (!servers.has(machine.vmId)) starts.push(start(machine, startedAtMs));
    }
    await Promise.all(starts);
  };
  world.on((event) => {
    if (event.kind === 'kube.changed' || event.kind === 'etcd.changed') return;
    if ('container' in event && event.container !== 'kube-apiserver') return;
    void settle();
  });
  return {
    settle,
    listening,
    async close() {
      closed = true;
      await settle();
    },
  };
}

/** The sockets of the container before may still be closing. Undefined when it was stopped meanwhile. */
async function listenOn(
  server: https.Server,
  host: string,
  port: number,
  stopped: () => boolean,
): Promise<number | undefined> {
  for (let tries = LISTEN_TRIES; ; tries -= 1) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          resolve();
        });
      });
      if (stopped()) {
        server.close();
        return undefined;
      }
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tries === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, LISTEN_RETRY_MS));
      if (stopped()) return undefined;
    }
  }
}

async function answer(
  world: LabWorld,
  tokens: ReadonlySet<string> | undefined,
  machine: Machine,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  world.count('kubernetes');
  if (!isKnown(request, tokens)) {
    // RKE starts the apiserver with --anonymous-auth=false: health endpoints want a caller too.
    send(response, json(401, failures.unauthorized().status()));
    return;
  }
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(',') : value,
    ]),
  );
  const answered = world.kube.handle({
    method: request.method ?? 'GET',
    url: request.url ?? '/',
    headers,
    body: Buffer.concat(chunks).toString('utf8'),
  });
  if (answered.stream === undefined) {
    send(response, answered);
    return;
  }
  response.writeHead(answered.status, answered.headers);
  response.flushHeaders();
  const stop = answered.stream({
    write: (line) => void response.write(line),
    end: () => void response.end(),
  });
  response.on('close', stop);
  if (response.destroyed || !world.kube.serves(machine)) stop();
}

function isKnown(request: IncomingMessage, tokens: ReadonlySet<string> | undefined): boolean {
  if ('authorized' in request.socket && request.socket.authorized === true) return true;
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  return bearer !== undefined && tokens?.has(bearer) === true;
}

function send(response: ServerResponse, { status, headers, body }: KubeResponse): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
}
