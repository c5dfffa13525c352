/** Servers, certificates and adapters behind a proxy, for the tests of the http adapter. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { openHttp } from '../../ports/http.ts';
import type { HttpAdapter, HttpOptions } from '../../ports/http.ts';
import { PortError } from '../../ports/ports.ts';
import type { HttpRequest, HttpResponse } from '../../ports/ports.ts';
import { connectProxy } from './connect-proxy.ts';
import type { ConnectProxy, ProxyPlan } from './connect-proxy.ts';

// The names end in .example, which no resolver knows: only the proxy can reach them.
export const WAIT = { deadlineMs: 3_000 };
export const closers: (() => void)[] = [];
let dir: string;
export const pem: Record<string, string> = {};

export async function text(response: HttpResponse): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of response.body) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

export async function failure(adapter: HttpAdapter, request: HttpRequest): Promise<PortError> {
  try {
    await text(await adapter.http(request));
  } catch (error) {
    assert.ok(error instanceof PortError, String(error));
    return error;
  }
  throw new Error('the request succeeded');
}

export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

/** A self-signed server that asks for the client's certificate and tells whose it got. */
export function mutual(handler?: RequestListener): Promise<number> {
  const tell: RequestListener = (request, response) => response.end(clientOf(request));
  return listen(
    createTlsServer(
      { key: pem['bridge.key'], cert: pem['bridge'], requestCert: true, rejectUnauthorized: false },
      handler ?? tell,
    ),
  );
}

const clientOf = (request: IncomingMessage): string => {
  const socket: unknown = request.socket;
  const { raw } = (socket as TLSSocket).getPeerCertificate() as { raw?: Buffer };
  return raw === undefined ? 'nobody' : createHash('sha256').update(raw).digest('hex');
};

export const hashOf = (certificate: string | undefined) =>
  createHash('sha256')
    .update(new X509Certificate(certificate ?? '').raw)
    .digest('hex');

export async function proxied(
  plan: ProxyPlan,
  more: Partial<NonNullable<HttpOptions['proxy']>> = {},
  ca?: string[],
): Promise<{ proxy: ConnectProxy; adapter: HttpAdapter; name: string }> {
  const proxy = await connectProxy(plan);
  const name = `127.0.0.1:${proxy.port}`;
  const url = `${plan.tls === undefined ? 'http' : 'https'}://${name}`;
  const adapter = openHttp({ proxy: { url, bypass: [], ...more }, ca });
  closers.push(proxy.close, adapter.close);
  return { proxy, adapter, name };
}

export async function until(holds: () => boolean): Promise<void> {
  for (let left = 200; !holds(); left -= 1) {
    assert.ok(left > 0, 'it never came true');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function makeCertificates(): void {
  dir = mkdtempSync(join(tmpdir(), 'nc-proxy-'));
  const make = (name: string, ...names: string[]) => {
    const [key, cert] = [join(dir, `${name}.key`), join(dir, `${name}.pem`)];
    const extensions = names.length === 0 ? [] : ['-addext', `subjectAltName=${names.join(',')}`];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...['-keyout', key, '-out', cert, '-subj', `/CN=${name}`, ...extensions],
      ],
      { stdio: 'ignore' },
    );
    pem[name] = readFileSync(cert, 'utf8');
    pem[`${name}.key`] = readFileSync(key, 'utf8');
  };
  make('bridge');
  make('agent');
  make('service', 'DNS:service.example');
  make('proxy', 'IP:127.0.0.1');
}

export function closeAll(): void {
  for (const close of closers.splice(0)) close();
}

export function removeCertificates(): void {
  rmSync(dir, { recursive: true, force: true });
}
