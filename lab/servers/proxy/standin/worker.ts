/**
 * One worker of the stand-in nginx: proxies HTTP and TCP to the upstreams of the configuration that it was
 * started with, and after `quit` lives until its connections have ended.
 */
import { appendFile } from 'node:fs';
import { Agent, createServer as createHttp, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import { connect, createServer as createTcp } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { StandInServer, StandInSite } from './reader.ts';

/** nginx buffers a request's body before it asks an upstream; this bounds it as client_max_body_size does. */
const MAX_BODY = 1024 * 1024;

export async function serve(site: StandInSite, onQuit: (quit: () => void) => void): Promise<void> {
  const pickers = new Map<StandInServer[], () => StandInServer[]>();
  const order = (to: StandInServer[]) => {
    const known = pickers.get(to) ?? roundRobin(to);
    pickers.set(to, known);
    return known();
  };
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const servers: Server[] = [];
  const https: HttpServer[] = [];
  const open = new Set<Socket>();
  const note = (path: string | undefined, line: string) =>
    path && appendFile(path, `${line}\n`, () => undefined);

  for (const one of site.http) {
    for (const at of one.listen) {
      const server = createHttp({ keepAliveTimeout: 65_000 }, (req, res) => {
        res.on('finish', () => note(site.accessLog, `${req.method} ${req.url} ${res.statusCode}`));
        const location = one.locations
          .filter((l) => (req.url ?? '/').startsWith(l.prefix))
          .sort((a, b) => b.prefix.length - a.prefix.length)[0];
        if (!location) return void res.writeHead(404).end();
        if (!Array.isArray(location.to)) return void res.writeHead(location.to.status).end(location.to.body);
        void forward(req, res, order(location.to), agent);
      });
      https.push(server);
      servers.push(server);
      await listen(server, at);
    }
  }
  for (const one of site.stream) {
    for (const at of one.listen) {
      const server = createTcp({ allowHalfOpen: true }, (client) => {
        note(site.streamLog, client.remoteAddress ?? '');
        relay(client, order(one.to));
      });
      servers.push(server);
      await listen(server, at);
    }
  }
  for (const server of servers) {
    server.on('connection', (socket) => {
      open.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => open.delete(socket));
    });
  }
  onQuit(() => {
    process.title = 'nginx: worker process is shutting down';
    for (const server of servers) server.close();
    for (const server of https) server.closeIdleConnections();
    agent.destroy();
    const limit = site.shutdownMs > 0 ? Date.now() + site.shutdownMs : Infinity;
    setInterval(() => {
      for (const server of https) server.closeIdleConnections();
      if (open.size === 0 || Date.now() > limit) process.exit(0);
    }, 20);
  });
}

function listen(server: Server, at: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: at.host, port: at.port, backlog: 1024 }, resolve);
  });
}

/** Servers in the order in which they are to be tried, by weight; failed ones rest, backups come last, `down` never. */
function roundRobin(all: StandInServer[]): () => StandInServer[] {
  const ring = all.flatMap((s) =>
    s.down || s.backup ? [] : Array.from({ length: Math.max(1, s.weight) }, () => s),
  );
  const backups = all.filter((s) => s.backup && !s.down);
  let turn = 0;
  return () => {
    turn = (turn + 1) % Math.max(1, ring.length);
    const turned = [...new Set([...ring.slice(turn), ...ring.slice(0, turn)])];
    const rested = turned.filter((s) => (resting.get(s) ?? 0) <= Date.now());
    return [...(rested.length > 0 ? rested : turned), ...backups];
  };
}

const resting = new Map<StandInServer, number>();
function failed(server: StandInServer): void {
  if (server.maxFails > 0) resting.set(server, Date.now() + server.failMs);
}

async function forward(
  req: IncomingMessage,
  res: ServerResponse,
  tries: StandInServer[],
  agent: Agent,
): Promise<void> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of req as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BODY) return void res.writeHead(413).end();
      parts.push(chunk);
    }
  } catch {
    return;
  }
  const attempt = (index: number): void => {
    const server = tries[index];
    if (!server) return void res.writeHead(502).end('502 Bad Gateway');
    const { connection: _hop, 'keep-alive': _idle, ...headers } = req.headers;
    const upstream = httpRequest({
      host: server.host,
      port: server.port,
      method: req.method,
      path: req.url,
      headers,
      agent,
    });
    upstream.on('response', (answer) => {
      const { connection: _c, 'keep-alive': _k, ...kept } = answer.headers;
      res.writeHead(answer.statusCode ?? 502, kept);
      answer.pipe(res);
      answer.on('error', () => res.destroy());
    });
    upstream.on('error', () => {
      if (res.headersSent) return void res.destroy();
      // A reused idle connection that was closed says nothing about the server: the same one is asked again.
      if (upstream.reusedSocket) return attempt(index);
      failed(server);
      attempt(index + 1);
    });
    res.on('close', () => !res.writableFinished && upstream.destroy());
    upstream.end(Buffer.concat(parts));
  };
  attempt(0);
}

function relay(client: Socket, tries: StandInServer[]): void {
  client.pause();
  client.on('error', () => client.destroy());
  const attempt = (index: number): void => {
    const server = tries[index];
    if (!server) return void client.destroy();
    const upstream = connect({ host: server.host, port: server.port, allowHalfOpen: true });
    let connected = false;
    upstream.on('connect', () => {
      connected = true;
      client.pipe(upstream);
      upstream.pipe(client);
    });
    upstream.on('error', () => {
      if (connected) return void client.destroy();
      failed(server);
      attempt(index + 1);
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => connected && client.destroySoon());
  };
  attempt(0);
}
