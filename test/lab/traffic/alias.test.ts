import assert from 'node:assert/strict';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { Server } from 'node:net';
import { withDefaults } from '../../../lab/traffic/config.ts';
import type { TrafficSettings } from '../../../lab/traffic/config.ts';
import { cachingResolver } from '../../../lab/traffic/resolver.ts';
import { startTraffic } from '../../../lab/traffic/run.ts';
import { dns, portOf, selfSigned, sleep } from './servers.ts';
import type { Dns } from './servers.ts';

const a = (name: string, data: string, ttl: number) => ({ type: 'A' as const, name, data, ttl });
const cname = (name: string, data: string, ttl: number) => ({ type: 'CNAME' as const, name, data, ttl });

describe('a caching resolver', () => {
  let zone: Dns;
  afterEach(() => zone.close());

  it('uses an old answer until its TTL has passed, and not after', async () => {
    zone = await dns({ 'cp.home': [a('cp.home', '127.0.0.2', 30), a('cp.home', '127.0.0.3', 30)] });
    let nowMs = 0;
    const resolver = cachingResolver([zone.server], () => nowMs);
    assert.deepEqual(await resolver.addresses('CP.home'), ['127.0.0.2', '127.0.0.3']);
    zone.zone['cp.home'] = [a('cp.home', '127.0.0.4', 30)];
    nowMs = 29_999;
    assert.deepEqual(await resolver.addresses('cp.home'), ['127.0.0.2', '127.0.0.3']);
    nowMs = 30_000;
    assert.deepEqual(await resolver.addresses('cp.home'), ['127.0.0.4']);
    assert.equal(zone.queries.length, 2);
  });

  it('keeps a CNAME and its target each for their own time', async () => {
    zone = await dns({
      'dash.home': [cname('dash.home', 'n1.home', 10), a('n1.home', '127.0.0.2', 300)],
      'n2.home': [a('n2.home', '127.0.0.3', 300)],
    });
    let nowMs = 0;
    const resolver = cachingResolver([zone.server], () => nowMs);
    assert.deepEqual(await resolver.addresses('dash.home'), ['127.0.0.2']);
    zone.zone['dash.home'] = [cname('dash.home', 'n2.home', 10)];
    nowMs = 9_000;
    assert.deepEqual(await resolver.addresses('dash.home'), ['127.0.0.2']);
    nowMs = 11_000;
    assert.deepEqual(await resolver.addresses('dash.home'), ['127.0.0.3']);
  });

  it('says so when an alias is empty, is not there, or turns in a circle', async () => {
    zone = await dns({
      'cp.home': [],
      'x.home': [cname('x.home', 'y.home', 9)],
      'y.home': [cname('y.home', 'x.home', 9)],
    });
    const resolver = cachingResolver([zone.server], () => 0);
    await assert.rejects(resolver.addresses('cp.home'), /cp\.home has no address/);
    await assert.rejects(resolver.addresses('gone.home'), /NXDOMAIN/);
    await assert.rejects(resolver.addresses('x.home'), /chain of more than 8/);
  });

  it('asks the next server when one does not answer', async () => {
    zone = await dns({ 'cp.home': [a('cp.home', '127.0.0.2', 30)] });
    const resolver = cachingResolver(['127.0.0.1:1', zone.server], () => 0);
    assert.deepEqual(await resolver.addresses('cp.home'), ['127.0.0.2']);
  });
});

describe('requests by an alias', () => {
  const servers: Server[] = [];
  let zone: Dns;
  let material: { cert: string; key: string };
  before(() => {
    material = selfSigned('cp.home');
  });
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    zone.close();
  });

  async function apiserver(status: () => number): Promise<number> {
    const { cert, key } = material;
    const server = createHttps(
      { cert, key, ca: cert, requestCert: true, rejectUnauthorized: true },
      (_, answer) => {
        answer.statusCode = status();
        answer.end('ok');
      },
    );
    servers.push(server);
    return portOf(server);
  }

  async function load(settings: TrafficSettings, forMs = 400) {
    const traffic = startTraffic(withDefaults(settings));
    await sleep(forMs);
    return traffic.stop();
  }

  const api = (reach: Record<string, string>, alias = 'cp.home'): TrafficSettings => ({
    api: {
      ...{ dnsServers: [zone.server], alias, port: 6443, perSecond: 40 },
      ...{ ca: material.cert, cert: material.cert, key: material.key },
    },
    reach,
  });

  it('reach the API with a client certificate, over every address in turn', async () => {
    zone = await dns({ 'cp.home': [a('cp.home', '127.0.0.2', 30), a('cp.home', '127.0.0.3', 30)] });
    let first = 0;
    let second = 0;
    const one = await apiserver(() => ((first += 1), 200));
    const two = await apiserver(() => ((second += 1), 200));
    const { requests } = await load(
      api({ '127.0.0.2:6443': `127.0.0.1:${one}`, '127.0.0.3:6443': `127.0.0.1:${two}` }),
    );
    assert.ok(requests.total >= 5);
    assert.deepEqual([requests.failed, requests.apiRetried], [0, 0]);
    assert.ok(first > 0 && second > 0);
    assert.equal(zone.queries.length, 1);
  });

  it('go to the next address when one is gone, and count it', async () => {
    zone = await dns({ 'cp.home': [a('cp.home', '127.0.0.2', 30), a('cp.home', '127.0.0.3', 30)] });
    const port = await apiserver(() => 200);
    const { requests } = await load(
      api({ '127.0.0.2:6443': '127.0.0.1:1', '127.0.0.3:6443': `127.0.0.1:${port}` }),
    );
    assert.equal(requests.failed, 0);
    assert.ok(requests.apiRetried > 0 && requests.apiRetried < requests.total);
  });

  it('repeat a read once, and fail when that is not answered either', async () => {
    zone = await dns({ 'cp.home': [a('cp.home', '127.0.0.2', 30)] });
    let asked = 0;
    const port = await apiserver(() => ((asked += 1), asked === 2 ? 200 : 500));
    const result = await load(api({ '127.0.0.2:6443': `127.0.0.1:${port}` }));
    assert.equal(result.requests.failed, result.requests.total - 1);
    // On a busy machine the second question may be another read's first one.
    assert.ok([0, 1].includes(result.requests.total * 2 - asked), `${asked} of ${result.requests.total}`);
    assert.match(result.failures[0]?.error ?? '', /127\.0\.0\.2: status 500/);
  });

  it('fail on a certificate of another name', async () => {
    zone = await dns({ 'api.home': [a('api.home', '127.0.0.2', 30)] });
    const port = await apiserver(() => 200);
    const result = await load(api({ '127.0.0.2:6443': `127.0.0.1:${port}` }, 'api.home'));
    assert.equal(result.requests.failed, result.requests.total);
    assert.match(result.failures[0]?.error ?? '', /api\.home/);
  });

  it('fail when an alias of one record points to a node that is gone, which the API client would survive', async () => {
    zone = await dns({ 'dash.home': [cname('dash.home', 'n1.home', 30), a('n1.home', '127.0.0.2', 30)] });
    const alias = { dnsServers: [zone.server], alias: 'dash.home', port: 80, perSecond: 40 };
    const page = createHttp((_, answer) => answer.setHeader('x-served-by', 'n1').end('ok'));
    servers.push(page);
    const port = await portOf(page);
    const good = await load({ alias, reach: { '127.0.0.2:80': `127.0.0.1:${port}` } });
    assert.deepEqual([good.requests.failed, good.servedBy['n1']], [0, good.requests.total]);
    const gone = await load({ alias, reach: { '127.0.0.2:80': '127.0.0.1:1' } });
    assert.ok(gone.requests.total > 5);
    assert.equal(gone.requests.failed, gone.requests.total);
    assert.match(gone.failures[0]?.target ?? '', /dash\.home:80\/ at 127\.0\.0\.2/);
  });
});
