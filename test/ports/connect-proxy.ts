/** A small HTTP proxy of its own for the tests: CONNECT and absolute-form, with faults on demand. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

export interface ProxyPlan {
  /** What the names behind the proxy are: `host:port` → a port of this machine. Nothing else knows them. */
  names: Record<string, number>;
  /** `user:password`. */
  credentials?: string;
  challenge?: string;
  fault?: 'silent' | 'closes' | 'adds bytes' | 'halfAnswer' | { status: number };
  tls?: { key: string; cert: string };
}

export interface ConnectProxy {
  port: number;
  /** The first line of each request, in order. */
  asked: string[];
  /** Requests whose credentials were right. */
  readonly passed: number;
  /** Connections of clients that are open. */
  open(): number;
  /** Cuts every tunnel. */
  cut(): void;
  close(): void;
}

export async function connectProxy(plan: ProxyPlan): Promise<ConnectProxy> {
  const asked: string[] = [];
  let passed = 0;
  const sockets = new Set<Socket>();
  const serve = (client: Socket) => {
    sockets.add(client);
    client.on('close', () => sockets.delete(client)).on('error', () => undefined);
    let head = '';
    const onData = (chunk: Buffer) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      client.removeListener('data', onData);
      client.pause();
      answer(client, head);
    };
    client.on('data', onData);
  };
  const answer = (client: Socket, head: string) => {
    const [method = '', target = '', version = ''] = (head.split('\r\n')[0] ?? '').split(' ');
    asked.push(`${method} ${target} ${version}`);
    const given = /^proxy-authorization: Basic (.*)$/im.exec(head)?.[1] ?? '';
    const wrong =
      plan.credentials !== undefined && Buffer.from(given, 'base64').toString('utf8') !== plan.credentials;
    if (!wrong) passed += 1;
    const { fault } = plan;
    if (fault === 'silent') return;
    if (fault === 'closes') {
      client.destroy();
      return;
    }
    if (fault === 'halfAnswer') {
      client.end('HTTP/1.1 200 Connec');
      return;
    }
    if (wrong || typeof fault === 'object') {
      const status = wrong ? 407 : (fault as { status: number }).status;
      const challenge = wrong ? `Proxy-Authenticate: ${plan.challenge ?? 'Basic realm="lab"'}\r\n` : '';
      client.end(`HTTP/1.1 ${status} No\r\n${challenge}Connection: close\r\nContent-Length: 2\r\n\r\nno`);
      return;
    }
    const authority = method === 'CONNECT' ? target : new URL(target).host;
    const port = plan.names[authority];
    if (port === undefined) {
      client.end('HTTP/1.1 502 Unknown\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const server = connect(port, '127.0.0.1');
    sockets.add(server);
    server.on('close', () => {
      sockets.delete(server);
      client.destroy();
    });
    server.on('error', () => undefined);
    client.on('close', () => server.destroy());
    if (method === 'CONNECT')
      client.write(`HTTP/1.1 200 Connection established\r\n\r\n${fault === 'adds bytes' ? 'hello' : ''}`);
    else server.write(head.replace(target, new URL(target).pathname));
    client.pipe(server);
    server.pipe(client);
  };
  const listening = plan.tls === undefined ? createServer(serve) : createTlsServer(plan.tls, serve);
  listening.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return {
    port: (listening.address() as AddressInfo).port,
    asked,
    get passed() {
      return passed;
    },
    open: () => sockets.size,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    close: () => {
      listening.close();
      sockets.forEach((socket) => socket.destroy());
    },
  };
}
