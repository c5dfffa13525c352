/** Changes of a proxy as the steps make them: what is loaded is observed, and a reload counts when users are served. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ingressActs, swapDnsActs } from '../../../cycle/acts/steps.ts';
import { createKubeApi } from '../../../cycle/cluster/kubernetes/api.ts';
import { takeLock } from '../../../cycle/cluster/kubernetes/lease.ts';
import type { Context } from '../../../cycle/context.ts';
import { addBeside } from '../../../cycle/edge/nginx/upstreams.ts';
import type { ApplyOutcome, Proxy, ProxyObservation } from '../../../cycle/edge/nginx/proxy.ts';
import { observe } from '../../../cycle/observe.ts';
import { Refused } from '../../../cycle/step.ts';
import { clock } from '../../../ports/clock.ts';
import { CodedError } from '../../../ports/errors.ts';
import { openHttp } from '../../../ports/http.ts';
import { kubeDouble } from '../cluster/kubernetes/kube-double.ts';
import { configOf, ME } from '../world.ts';

const FILE = '/etc/nginx/conf.d/home.conf';
const BEFORE = 'upstream web {\n    server 10.0.0.11:80;\n    server 10.0.0.12:80;\n}\n';
const bringIn = (files: Readonly<Record<string, string>>) => addBeside(files, '10.0.0.11', '10.0.0.60');

describe('A change of a proxy', () => {
  const opened = openHttp();
  const signal = new AbortController().signal;
  let site: Server;
  let answers: number[];
  beforeEach(async () => {
    answers = [];
    site = createServer((_request, response) => {
      response.statusCode = answers.shift() ?? 200;
      response.end('shop');
    }).listen(0, '127.0.0.1');
    await new Promise((done) => site.once('listening', done));
  });
  afterEach(() => site.close());
  after(() => opened.close());

  /** A proxy that takes what it is given: put back when the proof fails, as the real one does. */
  function proxyOf(seen: Partial<ProxyObservation> = {}) {
    const now: ProxyObservation = {
      ...{ name: 'pi', files: { [FILE]: BEFORE }, workers: ['7', '8'], loaded: 'yes' },
      ...{ connections: {}, errorLogTail: [], servers: [] },
      ...seen,
    };
    let reloads = 0;
    const client = {
      name: 'pi',
      observe: () => Promise.resolve({ ...now, files: { ...now.files } }),
      apply: async (changes, before, wait, prove): Promise<ApplyOutcome> => {
        reloads += 1;
        Object.assign(now.files, changes);
        now.loaded = 'yes';
        const said = await (prove?.(wait) ?? 'ok');
        if (said === 'ok') return 'reloaded';
        now.files = before.files;
        return { refused: 'probe', output: said, restored: true };
      },
    } as Pick<Proxy, 'name' | 'observe' | 'apply'> as Proxy;
    return { client, now, reloads: () => reloads };
  }

  async function contextOf(proxy: Proxy, probe = true): Promise<Context> {
    const api = createKubeApi({ http: kubeDouble().http, clock }, { servers: ['https://a:6443'] });
    await takeLock(api, 'home', undefined, ME, 0, { deadlineMs: 1_000 });
    const { port } = site.address() as AddressInfo;
    const entry = { name: 'pi', host: '127.0.0.1', user: 'node-cycle', hostKey: 'ssh-ed25519 AAAA' };
    const url = `http://shop.home.example:${port}/`;
    return {
      config: configOf({ proxies: [{ ...entry, ...(probe ? { probe: { url } } : {}) }] }),
      ...{ me: ME, proxies: [proxy], bridges: [], evidence: new Map(), logins: new Map() },
      ports: { clock, http: opened.http },
      cluster: { kube: () => Promise.resolve(api) },
      repo: { tip: () => Promise.resolve('0'.repeat(40)), read: () => Promise.resolve('nodes: []\n') },
      say: () => undefined,
    } as unknown as Context;
  }

  it('is observed together with whether the workers have read it', async () => {
    for (const loaded of ['yes', 'unknown'] as const) {
      const ctx = await contextOf(proxyOf({ loaded }).client);
      const { proxies } = await observe(ctx, ['proxies'], { logins: 'none' }, signal);
      assert.deepEqual(
        proxies.map((proxy) => proxy.loaded),
        [loaded],
      );
    }
  });

  it('is only a reload when a run was killed before it', async () => {
    const proxy = proxyOf({ loaded: 'unknown' });
    const acts = ingressActs(await contextOf(proxy.client));
    await acts.changeProxy('pi', { edit: () => ({}), serves: '10.0.0.60' }, signal);
    assert.equal(proxy.reloads(), 1);
    await acts.changeProxy('pi', { edit: () => ({}), serves: '10.0.0.60' }, signal);
    assert.equal(proxy.reloads(), 1, 'nothing is missing any more');
  });

  it('counts when what users open is served as often as each server has a turn in each worker', async () => {
    const proxy = proxyOf();
    let asked = 0;
    site.on('request', () => (asked += 1));
    const acts = ingressActs(await contextOf(proxy.client));
    await acts.changeProxy('pi', { edit: bringIn, serves: '10.0.0.60' }, signal);
    assert.match(proxy.now.files[FILE] ?? '', /10\.0\.0\.60:80/);
    assert.equal(asked, 3 * 2 * 2);
  });

  it('is taken back when one of those requests fails', async () => {
    const proxy = proxyOf();
    answers = [200, 200, 502];
    const acts = ingressActs(await contextOf(proxy.client));
    await assert.rejects(
      acts.changeProxy('pi', { edit: bringIn, serves: '10.0.0.60' }, signal),
      (error) =>
        error instanceof CodedError &&
        error.code === 'NC1251' &&
        error.detail.endsWith('/: status 502, not 200'),
    );
    assert.equal(proxy.now.files[FILE], BEFORE);
  });

  it('counts only when each of several places is served', async () => {
    const proxy = proxyOf();
    const ctx = await contextOf(proxy.client);
    const [entry] = ctx.config.proxies;
    assert.ok(entry);
    // Nobody listens there.
    entry.probes = [{ url: 'tcp://127.0.0.1:1', status: 200 }];
    await assert.rejects(
      ingressActs(ctx).changeProxy('pi', { edit: bringIn, serves: '10.0.0.60' }, signal),
      /NC1251 .*users were not served/,
    );
    assert.equal(proxy.now.files[FILE], BEFORE);
  });

  it('is proven by its reload alone where nobody has said what it should answer', async () => {
    const proxy = proxyOf();
    answers = [502];
    const acts = ingressActs(await contextOf(proxy.client, false));
    await acts.changeProxy('pi', { edit: bringIn, serves: '10.0.0.60' }, signal);
    assert.equal(proxy.reloads(), 1);
  });

  it('that nginx refuses says what a person has to change, with the old text', async () => {
    const proxy = proxyOf();
    proxy.client.apply = () =>
      Promise.resolve({ refused: 'test', output: 'unknown directive "x"', restored: true });
    const acts = ingressActs(await contextOf(proxy.client));
    await assert.rejects(
      acts.changeProxy('pi', { edit: bringIn, serves: '10.0.0.60' }, signal),
      (error) =>
        error instanceof Refused &&
        error.refusal.code === 'NC1251' &&
        [
          'unknown directive "x"',
          `--- a/${FILE}`,
          '     server 10.0.0.11:80;',
          '+    server 10.0.0.60:80;',
        ].every((line) => error.refusal.evidence.includes(line)),
    );
  });

  it('of a record that the server refuses says what it holds and what it should hold', async () => {
    const ctx = await contextOf(proxyOf().client);
    ctx.dns = {
      ...{ zone: 'home.example', primary: '10.0.0.2:53', read: () => Promise.resolve([]) },
      swap: () => Promise.resolve({ refused: 'policy', detail: 'REFUSED' }),
    };
    const change = { name: 'cp.home.example', type: 'A' as const, ttl: 60 };
    const members = { expect: ['10.0.0.11'], add: ['10.0.0.60'], remove: ['10.0.0.11'] };
    await assert.rejects(
      swapDnsActs(ctx).changeDns({ ...change, ...members }, signal),
      (error) =>
        error instanceof Refused &&
        error.refusal.code === 'NC1252' &&
        error.refusal.evidence.join(' | ') ===
          'REFUSED | it holds: A 10.0.0.11 | it should hold: A 10.0.0.60, with a TTL of 60 s',
    );
  });
});
