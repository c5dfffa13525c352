/** Small servers for the traffic's tests; each listens on 127.0.0.1 and a port of its own. */
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode, encode } from 'dns-packet';
import type { Answer } from 'dns-packet';

export async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

export interface Tcp {
  port: number;
  sockets: Set<Socket>;
  close(): Promise<void>;
}

export async function tcp(onSocket: (socket: Socket, nth: number) => void): Promise<Tcp> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    count += 1;
    onSocket(socket, count);
  });
  const port = await portOf(server);
  return {
    port,
    sockets,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

export interface Dns {
  server: string;
  queries: string[];
  zone: Record<string, Answer[]>;
  close(): void;
}

/** Answers A queries with all records of the name, its CNAME's target included; NXDOMAIN otherwise. */
export async function dns(zone: Record<string, Answer[]>): Promise<Dns> {
  const socket = createSocket('udp4');
  const queries: string[] = [];
  const world: Dns = { server: '', queries, zone, close: () => socket.close() };
  socket.on('message', (bytes, from) => {
    const query = decode(bytes);
    const question = query.questions?.[0];
    if (question === undefined) return;
    queries.push(question.name);
    const answers = world.zone[question.name];
    const flags = answers === undefined ? 3 : 0;
    const reply = { type: 'response' as const, id: query.id ?? 0, flags, questions: [question] };
    socket.send(encode({ ...reply, answers: answers ?? [] }), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  world.server = `127.0.0.1:${socket.address().port}`;
  return world;
}

/** A certificate for one name, its own authority. PEM. */
export function selfSigned(name: string): { cert: string; key: string } {
  const dir = mkdtempSync(join(tmpdir(), 'traffic-'));
  const key = join(dir, 'key.pem');
  const cert = join(dir, 'cert.pem');
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const named = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  execFileSync('openssl', ['req', '-x509', ...kind, ...named, '-keyout', key, '-out', cert], {
    stdio: 'pipe',
  });
  const material = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  rmSync(dir, { recursive: true });
  return material;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
