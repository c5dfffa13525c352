/** An operator's reservation service, small and real: HTTP on a port of its own, leases in memory. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Lease {
  name: string;
  mac: string;
  address: string;
}

export interface Service {
  url: string;
  leases: Map<string, Lease>;
  /** `METHOD path body` of each request that was let in. */
  seen: string[];
  /** Answers before the service does. */
  before: ((method: string, path: string) => { status: number; body: string } | undefined) | undefined;
  /** A name that has a lease gets it again (200), or only a conflict (409). */
  again: 'same' | 'conflict';
  nextAddress: string;
  stop(): Promise<void>;
}

export const TOKEN = 'a-token-of-the-service';

export async function startService(): Promise<Service> {
  let made = 0;
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const { status, text } = answer(request, body);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const service: Service = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dhcp`,
    leases: new Map(),
    seen: [],
    before: undefined,
    again: 'same',
    nextAddress: '10.0.0.60',
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  function answer(request: IncomingMessage, body: string): { status: number; text: string } {
    const method = request.method ?? '';
    const path = request.url ?? '';
    if (request.headers.authorization !== `Bearer ${TOKEN}`)
      return { status: 401, text: `{"error":"${request.headers.authorization ?? 'no'} is not welcome"}` };
    service.seen.push([method, path, body].join(' ').trim());
    const early = service.before?.(method, path);
    if (early !== undefined) return { status: early.status, text: early.body };
    if (method === 'POST' && path === '/dhcp/reservations') {
      const { name } = JSON.parse(body) as { name: string };
      const held = service.leases.get(name);
      if (held !== undefined && service.again === 'conflict')
        return { status: 409, text: '{"error":"taken"}' };
      made += 1;
      const lease = held ?? {
        name,
        mac: `00-15-5D-00-00-${made.toString(16).toUpperCase().padStart(2, '0')}`,
        address: service.nextAddress,
      };
      service.leases.set(name, lease);
      return { status: held === undefined ? 201 : 200, text: JSON.stringify(lease) };
    }
    const mac = /^\/dhcp\/reservations\/([^/?]+)$/.exec(path)?.[1];
    if (method === 'DELETE' && mac !== undefined) {
      const held = [...service.leases.values()].find((lease) => lease.mac === decodeURIComponent(mac));
      if (held === undefined) return { status: 404, text: '{}' };
      service.leases.delete(held.name);
      return { status: 204, text: '' };
    }
    const name = new URL(path, 'http://any').searchParams.get('name');
    if (method === 'GET' && name !== null) {
      const held = service.leases.get(name);
      return { status: 200, text: JSON.stringify(held === undefined ? [] : [held]) };
    }
    return { status: 400, text: '{"error":"what?"}' };
  }
  return service;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
