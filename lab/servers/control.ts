/**
 * The world's back door, on loopback: the executables of the lab (engine, rke) reach the world here, and so do
 * faults and whoever wants to see the state. Nothing that ships knows of it.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { CodedError } from '../../ports/errors.ts';
import type { LabWorld } from '../world/create.ts';
import type { Fault } from '../world/faults.ts';

/** One run of the rke executable: its request, a writer of NDJSON events, and the end of its process. */
export type RkeHandler = (
  request: unknown,
  write: (event: unknown) => void,
  signal: AbortSignal,
) => Promise<void>;

export interface ControlOptions {
  rke?: RkeHandler | undefined;
  /** Added to `GET /state`. */
  state?: (() => Record<string, unknown>) | undefined;
  /** Default: any. */
  port?: number | undefined;
}

export interface ControlServer {
  readonly url: string;
  close(): Promise<void>;
}

interface EngineCall {
  host: string;
  script: string;
  stdin: string;
}

export async function serveControl(world: LabWorld, options: ControlOptions = {}): Promise<ControlServer> {
  const server = http.createServer((request, response) => {
    route(world, options, request, response).catch((error: unknown) => {
      const status = error instanceof CodedError || error instanceof SyntaxError ? 400 : 500;
      if (!response.headersSent) reply(response, status, { error: (error as Error).message });
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function route(
  world: LabWorld,
  options: ControlOptions,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  const at = `${request.method ?? ''} ${request.url ?? ''}`;
  if (at === 'GET /state') {
    reply(response, 200, { ...stateOf(world), ...options.state?.() });
    return;
  }
  const body = await readJson(request);
  if (at === 'POST /engine') {
    const { host, script, stdin } = body as EngineCall;
    world.count('bridge-engine');
    reply(response, 200, await world.hosts.engine(host, script, stdin, gone.signal));
  } else if (at === 'POST /fault') {
    world.faults.apply(body as Fault);
    reply(response, 200, {});
  } else if (at === 'POST /rke' && options.rke !== undefined) {
    world.count('rke');
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.flushHeaders();
    await options.rke(body, (event) => void response.write(`${JSON.stringify(event)}\n`), gone.signal);
    response.end();
  } else reply(response, 404, { error: `no such thing: ${at}` });
}

function reply(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function readJson(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

/** What the report shows of the world. */
export function stateOf(world: LabWorld): Record<string, unknown> {
  const { kube, hosts } = world;
  return {
    cluster: world.cluster,
    vmPeak: hosts.peak(),
    vmRunning: hosts.running(),
    calls: Object.fromEntries(world.calls),
    faults: world.faults.log,
    vms: hosts
      .vms()
      .map(({ id, host, name, state, mac, notes, disks }) => ({ id, host, name, state, mac, notes, disks })),
    nodes: kube.store.list('nodes').map(({ metadata, spec, status }) => ({
      name: metadata.name,
      createdAt: metadata.creationTimestamp,
      labels: metadata.labels ?? {},
      taints: spec.taints ?? [],
      cordoned: spec.unschedulable === true,
      ready: status.conditions?.find(({ type }) => type === 'Ready')?.status ?? 'Unknown',
      address: status.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '',
    })),
    pods: kube.store.list('pods').map(({ metadata, spec, status }) => ({
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      node: spec.nodeName ?? '',
      phase: status.phase,
      ending: metadata.deletionTimestamp !== undefined,
    })),
    machines: [...world.machines.values()].map(({ name, address, powered, up, containers }) => ({
      name,
      address,
      powered,
      up,
      containers: [...containers.keys()],
    })),
  };
}
