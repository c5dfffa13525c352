import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server as TcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openHttp } from '../../ports/http.ts';
import { PortError } from '../../ports/ports.ts';
import type { HttpRequest, HttpResponse } from '../../ports/ports.ts';

const WAIT = { deadlineMs: 2_000 };
const adapter = openHttp();
const closers: (() => void)[] = [];
let dir: string;
let cert: string;
let key: string;

async function listen(server: Server | TcpServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    if ('closeAllConnections' in server) server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

const plain = (handler: RequestListener) => listen(createServer(handler));

async function text(response: HttpResponse): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of response.body) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

async function failure(request: HttpRequest): Promise<PortError> {
  try {
    await text(await adapter.http(request));
  } catch (error) {
    assert.ok(error instanceof PortError, String(error));
    return error;
  }
  throw new Error('the request succeeded');
}

describe('the http adapter', () => {
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'nc-http-'));
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...['-keyout', join(dir, 'k.pem'), '-out', join(dir, 'c.pem'), '-subj', '/CN=lab'],
        ...['-addext', 'subjectAltName=DNS:api.example,IP:127.0.0.1'],
      ],
      { stdio: 'ignore' },
    );
    cert = readFileSync(join(dir, 'c.pem'), 'utf8');
    key = readFileSync(join(dir, 'k.pem'), 'utf8');
  });

  after(() => {
    adapter.close();
    for (const close of closers) close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('gives status, headers and the body as it came', async () => {
    const port = await plain((request, response) => {
      response.writeHead(201, { 'x-one': 'a', 'set-cookie': ['a=1', 'b=2'] });
      request.pipe(response);
    });
    const response = await adapter.http({
      method: 'POST',
      url: `http://127.0.0.1:${port}/p?q=1`,
      body: 'hällo',
      ...WAIT,
    });
    assert.equal(response.status, 201);
    assert.equal(response.headers['x-one'], 'a');
    assert.equal(response.headers['set-cookie'], 'a=1, b=2');
    assert.equal(await text(response), 'hällo');
  });

  it('frames the body of a DELETE by its length', async () => {
    const port = await plain((request, response) => {
      response.setHeader('x-length', request.headers['content-length'] ?? 'none');
      request.pipe(response);
    });
    const response = await adapter.http({
      method: 'DELETE',
      url: `http://127.0.0.1:${port}/`,
      body: '{"a":1}',
      ...WAIT,
    });
    assert.equal(response.headers['x-length'], '7');
    assert.equal(await text(response), '{"a":1}');
  });

  it('keeps a connection for the next request, and not across TLS materials', async () => {
    const ports = new Set<number | undefined>();
    const port = await plain((request, response) => {
      ports.add(request.socket.remotePort);
      response.end('ok');
    });
    for (let i = 0; i < 3; i += 1)
      await text(await adapter.http({ method: 'GET', url: `http://127.0.0.1:${port}/`, ...WAIT }));
    assert.equal(ports.size, 1);
  });

  it('opens the socket at connectTo while Host names the URL', async () => {
    const port = await plain((request, response) => response.end(request.headers.host));
    const response = await adapter.http({
      method: 'GET',
      url: 'http://app.example/',
      connectTo: `127.0.0.1:${port}`,
      ...WAIT,
    });
    assert.equal(await text(response), 'app.example');
  });

  it('says that nothing was sent when the connection is refused', async () => {
    const server = createTcpServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    const error = await failure({ method: 'GET', url: `http://127.0.0.1:${port}/`, ...WAIT });
    assert.equal(error.kind, 'refused');
    assert.equal(error.sent, false);
  });

  it('says that it may have been seen when the connection is reset before the answer', async () => {
    const port = await plain((request) => request.socket.resetAndDestroy());
    const error = await failure({ method: 'POST', url: `http://127.0.0.1:${port}/`, body: 'x', ...WAIT });
    assert.equal(error.kind, 'closed');
    assert.equal(error.sent, true);
  });

  it('fails the body when the connection ends in the middle of it', async () => {
    const port = await plain((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.socket?.destroy());
    });
    const error = await failure({ method: 'GET', url: `http://127.0.0.1:${port}/`, ...WAIT });
    assert.equal(error.kind, 'closed');
  });

  it('ends a request that gets no answer at its deadline', async () => {
    const port = await plain(() => undefined);
    const error = await failure({ method: 'GET', url: `http://127.0.0.1:${port}/`, deadlineMs: 60 });
    assert.equal(error.kind, 'timeout');
    assert.equal(error.sent, true);
  });

  it('ends a body that stalls at the same deadline', async () => {
    const port = await plain((_request, response) => response.write('first'));
    const response = await adapter.http({ method: 'GET', url: `http://127.0.0.1:${port}/`, deadlineMs: 80 });
    await assert.rejects(text(response), (error) => error instanceof PortError && error.kind === 'timeout');
  });

  it('is aborted before and after the request went out', async () => {
    const port = await plain(() => undefined);
    const before = new AbortController();
    before.abort();
    const early = await failure({
      method: 'GET',
      url: `http://127.0.0.1:${port}/`,
      signal: before.signal,
      ...WAIT,
    });
    assert.deepEqual([early.kind, early.sent], ['aborted', false]);
    const later = new AbortController();
    setTimeout(() => later.abort(), 30);
    const late = await failure({
      method: 'GET',
      url: `http://127.0.0.1:${port}/`,
      signal: later.signal,
      ...WAIT,
    });
    assert.deepEqual([late.kind, late.sent], ['aborted', true]);
  });

  it('does not count a TLS server that accepts and stays silent as having seen the request', async () => {
    const port = await listen(createTcpServer(() => undefined));
    const error = await failure({ method: 'GET', url: `https://127.0.0.1:${port}/`, deadlineMs: 60 });
    assert.equal(error.kind, 'timeout');
    assert.equal(error.sent, false);
  });

  it('closes the connection when the body is not read to its end', async () => {
    let closed: () => void;
    const gone = new Promise<void>((resolve) => (closed = resolve));
    const port = await plain((_request, response) => {
      response.on('close', () => closed());
      response.write('first');
    });
    const response = await adapter.http({ method: 'GET', url: `http://127.0.0.1:${port}/`, ...WAIT });
    for await (const part of response.body) {
      assert.equal(Buffer.from(part).toString(), 'first');
      break;
    }
    await gone;
  });

  describe('over TLS', () => {
    let port: number;
    before(async () => {
      port = await listen(createTlsServer({ cert, key }, (_request, response) => response.end('tls')));
    });
    const pinOf = () =>
      createHash('sha256')
        .update(Buffer.from(cert.replace(/-----.*?-----|\s/g, ''), 'base64'))
        .digest('hex');

    it('trusts a given CA for an address, and for a name at another address', async () => {
      const byAddress = await adapter.http({
        method: 'GET',
        url: `https://127.0.0.1:${port}/`,
        tls: { ca: cert },
        ...WAIT,
      });
      assert.equal(await text(byAddress), 'tls');
      const byName = await adapter.http({
        method: 'GET',
        url: 'https://api.example/',
        connectTo: `127.0.0.1:${port}`,
        tls: { ca: cert },
        ...WAIT,
      });
      assert.equal(await text(byName), 'tls');
    });

    it('refuses a name that the certificate does not have, before anything is sent', async () => {
      const error = await failure({
        method: 'GET',
        url: 'https://other.example/',
        connectTo: `127.0.0.1:${port}`,
        tls: { ca: cert },
        ...WAIT,
      });
      assert.deepEqual([error.kind, error.sent], ['tls', false]);
    });

    it('refuses an unknown CA', async () => {
      const error = await failure({ method: 'GET', url: `https://127.0.0.1:${port}/`, ...WAIT });
      assert.deepEqual([error.kind, error.sent], ['tls', false]);
    });

    it('takes the pinned certificate whatever its name and issuer', async () => {
      const response = await adapter.http({
        method: 'GET',
        url: 'https://other.example/',
        connectTo: `127.0.0.1:${port}`,
        tls: { pinSha256: pinOf() },
        ...WAIT,
      });
      assert.equal(await text(response), 'tls');
    });

    it('refuses any other certificate than the pinned one, before anything is sent', async () => {
      const error = await failure({
        method: 'POST',
        url: `https://127.0.0.1:${port}/`,
        body: 'secret',
        tls: { ca: cert, pinSha256: '0'.repeat(64) },
        ...WAIT,
      });
      assert.deepEqual([error.kind, error.sent], ['tls', false]);
      assert.match(error.message, /not the pinned one/);
    });
  });
});
