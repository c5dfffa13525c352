/**
 * For a monitor on the host itself: whether the bridge can act, and a few figures. It listens on the loopback
 * address only, says no id, name or parameter, and is off unless `health` is in bridge.yaml.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A monitor asks now and then; more at once is somebody else. */
const CONNECTIONS_LIMIT = 16;
/** On the loopback a request is there at once. */
const REQUEST_TIMEOUT_MS = 2_000;

export interface Metric {
  name: string;
  help: string;
  values: readonly { labels?: Readonly<Record<string, string>>; value: number }[];
}

export interface HealthOptions {
  port: number;
  /** Also answers `/metrics`, in the text format of Prometheus. */
  metrics: boolean;
  /** Why the bridge cannot act; undefined when it can. */
  trouble(): string | undefined;
  figures(): readonly Metric[];
}

export interface Health {
  port: number;
  close(): Promise<void>;
}

export async function listenHealth(options: HealthOptions): Promise<Health> {
  const server = createServer({
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAlive: false,
  });
  server.maxConnections = CONNECTIONS_LIMIT;
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('request', (request, response) => {
    const answer = (status: number, type: string, body: string) => {
      response.writeHead(status, { 'content-type': type, connection: 'close' });
      response.end(body);
    };
    // A page in a browser on the host can reach the port, but not under one of these names.
    const host = (request.headers.host ?? '').replace(/:\d+$/, '');
    if (request.method !== 'GET' || !['127.0.0.1', 'localhost'].includes(host)) {
      answer(404, 'text/plain', '');
    } else if (request.url === '/health') {
      const trouble = options.trouble();
      const said = trouble === undefined ? { ok: true } : { ok: false, trouble };
      answer(trouble === undefined ? 200 : 503, 'application/json', `${JSON.stringify(said)}\n`);
    } else if (request.url === '/metrics' && options.metrics) {
      answer(200, 'text/plain; version=0.0.4', exposition(options.figures()));
    } else answer(404, 'text/plain', '');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Names and labels are ours and need no escaping. */
export function exposition(metrics: readonly Metric[]): string {
  const lines = metrics.flatMap(({ name, help, values }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...values.map(({ labels = {}, value }) => {
      const inner = Object.entries(labels).map(([key, text]) => `${key}="${text}"`);
      return `${name}${inner.length === 0 ? '' : `{${inner.join(',')}}`} ${String(value)}`;
    }),
  ]);
  return `${lines.join('\n')}\n`;
}
