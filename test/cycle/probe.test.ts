/** Probes over real sockets: at the address that is meant, under the name that users know. */
import assert from 'node:assert/strict';
import { createServer as createHttp, type IncomingMessage } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { parse } from 'zod/mini';
import type { Context } from '../../cycle/context.ts';
import { configSchema } from '../../cycle/config/schema.ts';
import { observe } from '../../cycle/observe.ts';
import { askProbe, nodeProbeRequest, userProbeRequest } from '../../cycle/probe.ts';
import { createAuthority } from '../../lab/world/certs/issue.ts';
import { basicPorts, type BasicPorts } from '../../ports/basic.ts';
import { kubeDouble } from './cluster/kubernetes/kube-double.ts';
import { createKubeApi } from '../../cycle/cluster/kubernetes/api.ts';
import { clock } from '../../ports/clock.ts';
import { configOf } from './world.ts';

const SITE = 'shop.home.example';

describe('A probe', () => {
  let opened: { ports: BasicPorts; close(): void };
  let tls: { cert: string; key: string };
  const servers: Server[] = [];
  const seen: string[] = [];
  const { signal } = new AbortController();
  before(async () => {
    const authority = await createAuthority('lab', Date.now());
    const leaf = await authority.issue({ commonName: SITE, sans: [SITE], usage: 'server' });
    tls = { cert: leaf.certPem, key: leaf.keyPem };
    opened = basicPorts({ ca: [authority.certPem] });
  });
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    seen.length = 0;
  });
  after(() => opened.close());

  async function listen(server: Server): Promise<number> {
    servers.push(server.listen(0, '127.0.0.1'));
    await new Promise((done) => server.once('listening', done));
    return (server.address() as AddressInfo).port;
  }
  const greet = (socket: Socket, line: string) => {
    socket.on('error', () => undefined);
    socket.end(line);
  };
  const answer = (request: IncomingMessage) => {
    const { servername } = request.socket as { servername?: string };
    seen.push(`${servername ?? '-'} ${request.headers.host} ${request.url}`);
    return 'the shop is open';
  };
  const web = () => listen(createHttp((request, response) => response.end(answer(request))));
  const secure = () => listen(createHttps(tls, (request, response) => response.end(answer(request))));
  const users = (url: string, more: { status?: number; contains?: string } = {}) =>
    askProbe(opened.ports, userProbeRequest({ url, status: 200, ...more }, '127.0.0.1'), signal);
  const ofNode = async (probe: object) => {
    const ingress = { ...configOf().ingress, probe };
    const config = parse(configSchema, { ...configOf(), ingress });
    const own = config.ingress?.probe ?? assert.fail();
    return askProbe(opened.ports, nodeProbeRequest(own, '127.0.0.1'), signal);
  };

  it("over HTTP asks at the proxy's address for the site that users open: status and body", async () => {
    const port = await web();
    const url = `http://${SITE}:${port}/healthz`;
    assert.equal(await users(url, { contains: 'is open' }), 'ok');
    assert.equal(await users(url, { contains: 'is closed' }), 'the body lacks "is closed"');
    assert.equal(await users(url, { status: 204 }), 'status 200, not 204');
    assert.deepEqual([...new Set(seen)], [`- ${SITE}:${port} /healthz`]);
  });

  it('over HTTPS says the name in the handshake and wants a certificate for it', async () => {
    const port = await secure();
    assert.equal(await users(`https://${SITE}:${port}/`), 'ok');
    assert.deepEqual(seen, [`${SITE} ${SITE}:${port} /`]);
    assert.match(await users(`https://other.home.example:${port}/`), /altnames|other\.home\.example/i);
  });

  it('over TCP connects, and reads a first line when one is expected', async () => {
    const port = await listen(createTcp((socket) => greet(socket, '220 mail.example ready\r\n')));
    assert.equal(await users(`tcp://${SITE}:${port}`), 'ok');
    assert.equal(await users(`tcp://${SITE}:${port}`, { contains: '220 ' }), 'ok');
    assert.equal(await users(`tcp://${SITE}:${port}`, { contains: '250 ' }), 'the first line lacks "250 "');
    servers.splice(0).forEach((server) => server.close());
    assert.match(await users(`tcp://${SITE}:${port}`), /ECONNREFUSED/);
  });

  it('over TLS wants a certificate for the name that users know', async () => {
    const port = await listen(createTls(tls, (socket) => greet(socket, 'hello\n')));
    assert.equal(await users(`tls://${SITE}:${port}`), 'ok');
    assert.equal(await users(`tls://${SITE}:${port}`, { contains: 'hello' }), 'ok');
    assert.match(await users(`tls://other.home.example:${port}`), /altnames|other\.home\.example/i);
    const plain = await listen(createTcp((socket) => greet(socket, 'plain\n')));
    assert.notEqual(await users(`tls://${SITE}:${plain}`), 'ok');
  });

  it("goes to a node's own address in each of these kinds", async () => {
    const [http, https] = [await web(), await secure()];
    assert.equal(await ofNode({ port: http, host: SITE }), 'ok');
    assert.equal(await ofNode({ kind: 'https', port: https, host: SITE, path: '/x' }), 'ok');
    assert.equal(await ofNode({ kind: 'tcp', port: http }), 'ok');
    assert.equal(await ofNode({ kind: 'tls', port: https, host: SITE }), 'ok');
    assert.deepEqual(seen, [`- ${SITE} /healthz`, `${SITE} ${SITE}:${https} /x`]);
  });

  it('of an alias is asked at the new member, and comes with the part of the world that it is about', async () => {
    const port = await web();
    const base = configOf();
    const [alias] = base.dns?.aliases ?? [];
    const probe = { url: `http://${SITE}:${port}/` };
    const config = configOf({
      proxies: base.proxies.map((proxy) => ({
        ...{ ...proxy, host: '127.0.0.1', probe },
        probes: [{ url: `tcp://${SITE}:${port}` }],
      })),
      dns: { ...base.dns, aliases: [{ ...alias, probe }] },
      ingress: { ...base.ingress, probe: { port } },
    });
    const api = createKubeApi({ http: kubeDouble().http, clock }, { servers: ['https://a:6443'] });
    const text =
      'nodes:\n  - address: 127.0.0.1\n    hostname_override: home-n5\n    user: rke\n    role: [worker]\n';
    const ctx = {
      ...{
        config,
        proxies: [],
        bridges: [],
        dns: undefined,
        gitops: undefined,
        evidence: new Map(),
        logins: new Map(),
      },
      ports: { ...opened.ports, clock },
      cluster: { kube: () => Promise.resolve(api) },
      repo: { tip: () => Promise.resolve('0'.repeat(40)), read: () => Promise.resolve(text) },
    } as unknown as Context;
    const focus = { staying: 'home-n5', logins: 'none' as const };
    const keys = async (...parts: ('dns' | 'proxies' | 'ingress')[]) =>
      (await observe(ctx, ['probes', ...parts], focus, signal)).probes;
    assert.deepEqual(await keys('dns'), { 'alias cp-home 127.0.0.1': 'ok' });
    assert.deepEqual(await keys('proxies', 'ingress'), {
      [`proxy pi http://${SITE}:${port}/`]: 'ok',
      [`proxy pi tcp://${SITE}:${port}`]: 'ok',
      'node 127.0.0.1': 'ok',
    });
  });
});
