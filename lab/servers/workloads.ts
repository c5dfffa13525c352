/**
 * The ingress pods on sockets: for each that runs, an HTTP and a TCP listener on its node's address. SIGTERM closes
 * the listeners and lets what is open end; a power cut resets everything.
 */
import http from 'node:http';
import net from 'node:net';
import type { LabWorld } from '../world/create.ts';
import type { PodProcess } from '../world/kube/kube.ts';
import type { Machine } from '../world/world.ts';
import { INGRESS, SHOP } from '../world/workloads/manifests.ts';
import { createFlights, forward, watchUpstreams } from '../world/workloads/upstreams.ts';
import type { Flights, UpstreamView } from '../world/workloads/upstreams.ts';

export interface WorkloadServerOptions {
  /** Where the ingress of this machine listens. */
  listen(machine: Machine): { host: string; httpPort: number; streamPort: number };
}

export interface WorkloadServer {
  /** Answers by node, health probes apart. */
  readonly servedBy: Map<string, number>;
  close(): Promise<void>;
}

interface Ingress {
  /** No new connection; resolves `idle` when none is left. */
  drain(idle: () => void): void;
  destroy(how: 'end' | 'reset'): void;
}

/** What the shop needs for one answer, in milliseconds. */
const WORK_MS = 2;
const LISTEN_RETRY_MS = 25;

export function serveWorkloads(world: LabWorld, options: WorkloadServerOptions): WorkloadServer {
  const flights = createFlights();
  const servedBy = new Map<string, number>();
  const open = new Map<string, Ingress>();
  const begin = (process: PodProcess): void => {
    if (process.labels['app.kubernetes.io/name'] !== INGRESS.app) return;
    const ingress = startIngress(world, flights, process, options.listen(process.machine), servedBy);
    open.set(process.uid, ingress);
    process.finish = (done) => ingress.drain(done);
  };
  world.kube.processes.on(({ kind, process, how }) => {
    if (kind === 'started') begin(process);
    if (kind !== 'stopped') return;
    open.get(process.uid)?.destroy(how === 'exit' ? 'end' : 'reset');
    open.delete(process.uid);
  });
  for (const process of world.kube.processes.all.values()) begin(process);
  return {
    servedBy,
    async close() {
      for (const ingress of open.values()) ingress.destroy('reset');
      open.clear();
      await Promise.resolve();
    },
  };
}

function startIngress(
  world: LabWorld,
  flights: Flights,
  process: PodProcess,
  at: { host: string; httpPort: number; streamPort: number },
  servedBy: Map<string, number>,
): Ingress {
  const view = watchUpstreams(world, SHOP.namespace, SHOP.service);
  const sockets = new Set<net.Socket>();
  let stopping = false;
  let whenIdle: (() => void) | undefined;
  const keep = (socket: net.Socket): void => {
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      if (stopping && sockets.size === 0) whenIdle?.();
    });
  };
  const web = http.createServer((request, response) => {
    if (stopping) response.setHeader('connection', 'close');
    response.setHeader('x-served-by', process.nodeName);
    answerHttp({ world, flights, view, process, servedBy }, request, response).catch(() =>
      response.destroy(),
    );
  });
  web.keepAliveTimeout = 75_000;
  web.on('connection', keep);
  const stream = net.createServer((socket) => {
    keep(socket);
    answerStream({ world, flights, view, process, servedBy }, socket);
  });
  const ended = () => stopping || world.kube.processes.all.get(process.uid) !== process;
  listen(web, at.host, at.httpPort, ended);
  listen(stream, at.host, at.streamPort, ended);
  const stop = (): void => {
    stopping = true;
    if (web.listening) web.close();
    if (stream.listening) stream.close();
  };
  return {
    drain(idle) {
      stop();
      web.closeIdleConnections();
      if (sockets.size === 0) idle();
      else whenIdle = idle;
    },
    destroy(how) {
      stop();
      view.close();
      for (const socket of sockets) {
        if (how === 'reset') socket.resetAndDestroy();
        else socket.destroy();
      }
    },
  };
}

/** The pod before it on the same node may still be giving its ports back. */
function listen(server: net.Server, host: string, port: number, ended: () => boolean): void {
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error;
    setTimeout(() => {
      if (!ended()) server.listen(port, host);
    }, LISTEN_RETRY_MS);
  });
  server.listen(port, host);
}

interface Serving {
  world: LabWorld;
  flights: Flights;
  view: UpstreamView;
  process: PodProcess;
  servedBy: Map<string, number>;
}

async function answerHttp(
  serving: Serving,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const { world, flights, view, process, servedBy } = serving;
  const url = new URL(request.url ?? '/', 'http://ingress');
  let received = 0;
  for await (const chunk of request) received += (chunk as Buffer).length;
  if (url.pathname === '/healthz') {
    response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    return;
  }
  world.count('ingress');
  const pod = await forward(world, flights, view, {
    idempotent: ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'].includes(request.method ?? ''),
    workMs: url.searchParams.has('ms') ? Number(url.searchParams.get('ms')) : WORK_MS,
  });
  if (pod === undefined) {
    response.writeHead(502, { 'content-type': 'text/plain' }).end('502 Bad Gateway\n');
    return;
  }
  servedBy.set(process.nodeName, (servedBy.get(process.nodeName) ?? 0) + 1);
  response.writeHead(200, {
    'content-type': 'application/json',
    'x-pod': pod.name,
    'x-pod-node': pod.nodeName,
  });
  response.end(`${JSON.stringify({ shop: 'open', path: url.pathname, received })}\n`);
}

/** One line in, one line out: `<node> <pod> <line>`. The pod is chosen when the connection opens. */
function answerStream(serving: Serving, socket: net.Socket): void {
  const { world, flights, view, process, servedBy } = serving;
  let rest = '';
  let chain: Promise<void> = Promise.resolve();
  const answer = async (line: string): Promise<void> => {
    const pod = await forward(world, flights, view, { idempotent: false, workMs: WORK_MS });
    if (pod === undefined) {
      socket.resetAndDestroy();
      return;
    }
    world.count('ingress');
    servedBy.set(process.nodeName, (servedBy.get(process.nodeName) ?? 0) + 1);
    socket.write(`${process.nodeName} ${pod.name} ${line}\n`);
  };
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) chain = chain.then(() => answer(line.trimEnd()));
  });
  socket.on('end', () => void chain.then(() => socket.end()));
}
