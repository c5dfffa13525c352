import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { openHttp } from '../../ports/http.ts';
import { PortError } from '../../ports/ports.ts';
import type { HttpRequest } from '../../ports/ports.ts';
import { Secret } from '../../ports/secret.ts';
import { connectProxy } from './connect-proxy.ts';
import {
  closeAll,
  closers,
  failure,
  hashOf,
  listen,
  makeCertificates,
  mutual,
  pem,
  proxied,
  removeCertificates,
  text,
  until,
  WAIT,
} from './proxy-rig.ts';

describe('the http adapter through a proxy', () => {
  before(makeCertificates);
  afterEach(closeAll);
  after(removeCertificates);

  const bridgeRequest = (more: Partial<HttpRequest> = {}): HttpRequest => ({
    method: 'POST',
    url: 'https://bridge.example:8443/v1/read/host.read',
    body: '{}',
    tls: { cert: pem['agent'], key: pem['agent.key'], pinSha256: hashOf(pem['bridge']) },
    ...WAIT,
    ...more,
  });

  describe('a tunnel', () => {
    it('carries pinned mutual TLS, and one tunnel serves the requests that follow', async () => {
      const { proxy, adapter } = await proxied({ names: { 'bridge.example:8443': await mutual() } });
      for (let i = 0; i < 3; i += 1)
        assert.equal(await text(await adapter.http(bridgeRequest())), hashOf(pem['agent']));
      assert.deepEqual(proxy.asked, ['CONNECT bridge.example:8443 HTTP/1.1']);
    });

    it('refuses another certificate than the pinned one behind the proxy, before anything is sent', async () => {
      let seen = 0;
      const port = await mutual((_request, response) => {
        seen += 1;
        response.end();
      });
      const { proxy, adapter, name } = await proxied({ names: { 'bridge.example:8443': port } });
      const error = await failure(adapter, bridgeRequest({ tls: { pinSha256: hashOf(pem['agent']) } }));
      assert.deepEqual([error.kind, error.sent, seen], ['tls', false, 0]);
      assert.match(error.message, /not the pinned one/);
      assert.ok(error.message.includes(`through the proxy ${name}`), error.message);
      await until(() => proxy.open() === 0);
    });

    it('does not let a custom CA stand in for the pin', async () => {
      const { adapter } = await proxied({ names: { 'bridge.example:8443': await mutual() } }, {}, [
        pem['bridge'] ?? '',
      ]);
      const error = await failure(adapter, bridgeRequest({ tls: { pinSha256: '0'.repeat(64) } }));
      assert.deepEqual([error.kind, error.sent], ['tls', false]);
    });

    it('is asked for connectTo while SNI and Host stay those of the URL', async () => {
      const port = await mutual((request, response) => {
        const socket: unknown = request.socket;
        const { servername } = socket as { servername: string };
        response.end(`${servername} ${request.headers.host}`);
      });
      const { proxy, adapter } = await proxied({ names: { '[fd00::7]:9443': port } });
      const response = await adapter.http(bridgeRequest({ connectTo: '[fd00::7]:9443' }));
      assert.equal(await text(response), 'bridge.example bridge.example:8443');
      assert.deepEqual(proxy.asked, ['CONNECT [fd00::7]:9443 HTTP/1.1']);
    });

    it('is taken by plain http too when the request names a Host of its own', async () => {
      const port = await listen(createServer((request, response) => response.end(request.headers.host)));
      const { proxy, adapter } = await proxied({ names: { 'node.example:80': port } });
      const response = await adapter.http({
        method: 'GET',
        url: 'http://node.example/',
        headers: { Host: 'shop.example' },
        ...WAIT,
      });
      assert.equal(await text(response), 'shop.example');
      assert.deepEqual(proxy.asked, ['CONNECT node.example:80 HTTP/1.1']);
    });

    it('goes through a proxy that speaks TLS, whose issuer is the custom CA', async () => {
      const tls = { key: pem['proxy.key'] ?? '', cert: pem['proxy'] ?? '' };
      const plan = { names: { 'bridge.example:8443': await mutual() }, tls };
      const { adapter } = await proxied(plan, {}, [pem['proxy'] ?? '']);
      assert.equal(await text(await adapter.http(bridgeRequest())), hashOf(pem['agent']));
      const stranger = await proxied(plan);
      const error = await failure(stranger.adapter, bridgeRequest());
      assert.deepEqual([error.kind, error.sent], ['tls', false]);
      assert.match(error.message, /at the proxy/);
    });
  });

  describe('an address of plain http', () => {
    it('is asked of the proxy itself in absolute form, with its user and password', async () => {
      const port = await listen(
        createServer((request, response) => response.end(`${request.headers.host} ${request.url}`)),
      );
      const { proxy, adapter } = await proxied(
        { names: { 'app.example:8080': port }, credentials: 'nc:s3cret' },
        { username: 'nc', password: new Secret('s3cret') },
      );
      const response = await adapter.http({ method: 'GET', url: 'http://app.example:8080/p?q=1#x', ...WAIT });
      assert.equal(await text(response), 'app.example:8080 /p');
      assert.deepEqual(proxy.asked, ['GET http://app.example:8080/p?q=1 HTTP/1.1']);
    });

    it('fails with the proxy named when the proxy wants a password, and not with an answer of 407', async () => {
      const { adapter, name } = await proxied({ names: {}, credentials: 'nc:s3cret' });
      const error = await failure(adapter, { method: 'GET', url: 'http://app.example/', ...WAIT });
      assert.deepEqual([error.kind, error.sent], ['auth', false]);
      assert.ok(error.message.includes(name), error.message);
      assert.match(error.message, /407/);
    });
  });

  describe('a failure of the proxy', () => {
    it('says that no password is configured, that the given one is refused, or that Basic is not offered', async () => {
      const names = { 'bridge.example:8443': await mutual() };
      const cases = [
        { challenge: 'Basic realm="x"', given: {}, expected: /none is configured/ },
        {
          challenge: 'Basic realm="x"',
          given: { username: 'nc', password: new Secret('h4rd-to-guess') },
          expected: /refuses the user name or the password/,
        },
        { challenge: 'NTLM', given: {}, expected: /other than Basic/ },
      ];
      for (const { challenge, given, expected } of cases) {
        const { adapter, name } = await proxied({ names, credentials: 'nc:right', challenge }, given);
        const error = await failure(adapter, bridgeRequest());
        assert.deepEqual([error.kind, error.sent], ['auth', false]);
        assert.match(error.message, expected);
        assert.match(error.message, /407/);
        assert.ok(error.message.includes(name), error.message);
        assert.ok(!error.message.includes('h4rd-to-guess'), error.message);
      }
    });

    it('takes user and password from the URL of the proxy, and shows neither', async () => {
      const port = await mutual();
      const right = await connectProxy({ names: { 'bridge.example:8443': port }, credentials: 'nc:p@ss:w' });
      const adapter = openHttp({
        proxy: { url: `http://nc:p%40ss%3Aw@127.0.0.1:${right.port}`, bypass: [] },
      });
      closers.push(right.close, adapter.close);
      assert.equal(await text(await adapter.http(bridgeRequest())), hashOf(pem['agent']));
      assert.throws(
        () => openHttp({ proxy: { url: 'socks5://nc:p%40ss@proxy.example:1', bypass: [] } }),
        (error) => error instanceof PortError && !error.message.includes('p%40ss'),
      );
    });

    const answers = [
      { status: 403, kind: 'denied' },
      { status: 502, kind: 'unreachable' },
      { status: 504, kind: 'unreachable' },
      { status: 500, kind: 'protocol' },
      { status: 302, kind: 'protocol' },
    ] as const;
    for (const { status, kind } of answers)
      it(`is ${kind} when CONNECT is answered with ${status}`, async () => {
        const { adapter, name } = await proxied({ names: {}, fault: { status } });
        const error = await failure(adapter, bridgeRequest());
        assert.deepEqual([error.kind, error.sent], [kind, false]);
        assert.ok(error.message.includes(`CONNECT bridge.example:8443 with ${status}`), error.message);
        assert.ok(error.message.includes(name), error.message);
      });

    it('names the proxy when it refuses the connection', async () => {
      const { proxy, adapter, name } = await proxied({ names: {} });
      proxy.close();
      const error = await failure(adapter, bridgeRequest());
      assert.deepEqual([error.kind, error.sent], ['refused', false]);
      assert.ok(error.message.includes(`through the proxy ${name}`), error.message);
    });

    for (const fault of ['closes', 'halfAnswer'] as const)
      it(`is a closed connection when the proxy goes away before its answer is whole: ${fault}`, async () => {
        const { adapter, name } = await proxied({ names: {}, fault });
        const error = await failure(adapter, bridgeRequest());
        assert.deepEqual([error.kind, error.sent], ['closed', false]);
        assert.ok(error.message.includes(name), error.message);
      });

    it('is a fault of the protocol when the proxy talks into the tunnel', async () => {
      const { adapter } = await proxied({
        names: { 'bridge.example:8443': await mutual() },
        fault: 'adds bytes',
      });
      const error = await failure(adapter, bridgeRequest());
      assert.deepEqual([error.kind, error.sent], ['protocol', false]);
      assert.match(error.message, /5 bytes/);
    });

    it('ends at the deadline when the proxy never answers, and leaves no connection', async () => {
      const { proxy, adapter, name } = await proxied({ names: {}, fault: 'silent' });
      const error = await failure(adapter, bridgeRequest({ deadlineMs: 80 }));
      assert.deepEqual([error.kind, error.sent], ['timeout', false]);
      assert.ok(error.message.includes(name), error.message);
      await until(() => proxy.open() === 0);
    });

    it('is aborted while the proxy has not answered, and leaves no connection', async () => {
      const { proxy, adapter } = await proxied({ names: {}, fault: 'silent' });
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 60);
      const error = await failure(adapter, bridgeRequest({ signal: stop.signal }));
      assert.deepEqual([error.kind, error.sent], ['aborted', false]);
      await until(() => proxy.open() === 0);
    });

    it('ends at the deadline when TLS behind the tunnel hangs, and leaves no connection', async () => {
      const mute = createTcpServer((socket) => socket.on('error', () => undefined).resume());
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
      closers.push(() => mute.close());
      const port = (mute.address() as AddressInfo).port;
      const { proxy, adapter } = await proxied({ names: { 'bridge.example:8443': port } });
      const error = await failure(adapter, bridgeRequest({ deadlineMs: 120 }));
      assert.deepEqual([error.kind, error.sent], ['timeout', false]);
      await until(() => proxy.open() === 0);
    });

    it('may have been seen when the tunnel breaks after the request, and breaks a body in its middle', async () => {
      let cut = (): void => undefined;
      let whole = false;
      const port = await mutual((_request, response) => {
        if (whole) response.writeHead(200, { 'content-length': '100' }).write('half');
        setTimeout(() => cut(), 30);
      });
      const { proxy, adapter, name } = await proxied({ names: { 'bridge.example:8443': port } });
      cut = proxy.cut;
      const early = await failure(adapter, bridgeRequest());
      assert.deepEqual([early.kind, early.sent], ['closed', true]);
      whole = true;
      const late = await failure(adapter, bridgeRequest());
      assert.equal(late.kind, 'closed');
      assert.ok(late.message.includes(name), late.message);
    });
  });

  describe('the list of what goes past it', () => {
    /** What reaches the proxy is answered with 403; what goes past it is looked for in DNS, in vain. */
    const pastIt = async (bypass: string[], url: string, connectTo?: string) => {
      const { proxy, adapter } = await proxied({ names: {}, fault: { status: 403 } }, { bypass });
      await failure(adapter, { method: 'GET', url, connectTo, ...WAIT });
      return proxy.asked.length === 0;
    };

    it('matches regular expressions in scheme, host and port, whatever their case', async () => {
      assert.equal(await pastIt(['bridge\\.example'], 'https://bridge.example:8443/'), true);
      assert.equal(await pastIt(['BRIDGE\\.EXAMPLE:8443$'], 'https://bridge.example:8443/v1'), true);
      assert.equal(await pastIt(['^https://bridge\\.example$'], 'https://bridge.example/v1'), true);
      assert.equal(await pastIt(['^https://bridge\\.example$'], 'https://bridge.example:8443/'), false);
      assert.equal(await pastIt(['', '  ', 'other\\.example'], 'https://bridge.example:8443/'), false);
      assert.equal(await pastIt(['v1'], 'https://bridge.example:8443/v1'), false);
    });

    it('takes what is no regular expression as a host name with wildcards', async () => {
      assert.equal(await pastIt(['*.corp.example'], 'https://bridge.corp.example:8443/'), true);
      assert.equal(await pastIt(['*.corp.example'], 'https://bridge.corpxexample/'), false);
      assert.equal(await pastIt(['*.corp.example'], 'https://corp.example.other.example/'), false);
    });

    it('looks at the place that is connected to as well as at the URL', async () => {
      assert.equal(await pastIt(['^https://10\\.9\\.'], 'https://bridge.example/', '10.8.0.1:443'), false);
      assert.equal(await pastIt(['edge\\.example:443'], 'http://app.example/', 'edge.example:443'), true);
    });

    for (const host of ['127.0.0.1', '127.9.9.9', 'localhost', '[::1]', 'lab.localhost'])
      it(`never holds for ${host}: it is this machine`, async () => {
        assert.equal(await pastIt([], `https://${host}:9/`), true);
      });

    it('reaches what it lists directly', async () => {
      const port = await mutual();
      const { proxy, adapter } = await proxied({ names: {}, fault: { status: 403 } }, { bypass: [] });
      const response = await adapter.http(bridgeRequest({ connectTo: `127.0.0.1:${port}` }));
      assert.equal(await text(response), hashOf(pem['agent']));
      assert.deepEqual(proxy.asked, []);
    });
  });
});
