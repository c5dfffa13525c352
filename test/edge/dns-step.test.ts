/** SwapDns itself over two real name servers: its observation, its plan and its acts, and what goes wrong on the way. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { swapDnsActs } from '../../cycle/acts/steps.ts';
import { createKubeApi, type KubeApi } from '../../cycle/cluster/kubernetes/api.ts';
import { annotateLock, takeLock } from '../../cycle/cluster/kubernetes/lease.ts';
import type { Context } from '../../cycle/context.ts';
import { rfc2136Zone, tsigKeyFile } from '../../cycle/edge/dns/rfc2136.ts';
import { factsFromAnnotations, factsToAnnotations, NO_FACTS, type Direction } from '../../cycle/facts.ts';
import { observe, readLockOf } from '../../cycle/observe.ts';
import { converge } from '../../cycle/step.ts';
import { planSwapDns } from '../../cycle/steps/swap-dns.ts';
import { realDns, startDns, type RunningDns } from '../../lab/servers/dns/dns.ts';
import { dns } from '../../ports/dns.ts';
import { CodedError } from '../../ports/errors.ts';
import { PortError, type Clock, type DnsAsk } from '../../ports/ports.ts';
import { run } from '../../ports/run.ts';
import { Secret } from '../../ports/secret.ts';
import { kubeDouble } from '../cycle/cluster/kubernetes/kube-double.ts';
import { configOf, ME } from '../cycle/world.ts';

const ZONE = 'edge.test';
const [OLD, OTHER, NEW] = ['10.0.0.11', '10.0.0.12', '10.0.0.60'];
const PARTS = ['nowMs', 'facts', 'lock', 'vms', 'intent', 'dns', 'probes'] as const;
const WAIT = { deadlineMs: 5_000 };

if (realDns()) {
  describe('SwapDns over two real name servers', function () {
    this.timeout(60_000);
    const { signal } = new AbortController();
    let dir: string;
    let lab: RunningDns;
    let api: KubeApi;
    /** A minute of waiting takes some milliseconds: the servers answer at once, and nobody holds the old data. */
    let aheadMs = 0;
    const clock: Clock = {
      now: () => Date.now() + aheadMs,
      sleep: async (ms) => {
        aheadMs += ms;
        await new Promise((done) => setTimeout(done, 20));
      },
    };
    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'node-cycle-swap-'));
      // named runs as another user.
      chmodSync(dir, 0o755);
      lab = await startDns({
        ...{ dir: join(dir, 'dns'), zone: ZONE, address: '127.0.0.1', port: 0, use: 'real' },
        secondary: { address: '127.0.0.1', port: 0 },
        records: [
          ...[OLD, OTHER].map((data) => ({ name: 'tfx', type: 'A' as const, ttl: 120, data })),
          { name: 'apps', type: 'CNAME', ttl: 60, data: `home-n1.${ZONE}` },
          { name: 'home-n1', type: 'A', ttl: 60, data: OLD },
        ],
      });
      api = createKubeApi({ http: kubeDouble().http, clock }, { servers: ['https://a:6443'] });
      await takeLock(api, 'home', undefined, ME, 0, WAIT);
    });
    after(async () => {
      await lab.stop();
      rmSync(dir, { recursive: true, force: true });
    });
    beforeEach(() => begin('forward'));

    async function begin(direction: Direction): Promise<void> {
      const old = { name: 'home-n1', address: OLD, roles: ['worker'] as const };
      const facts = { ...NO_FACTS, direction, old, successor: { name: 'home-n5', address: NEW } };
      await annotateLock(api, 'home', ME, 1, factsToAnnotations(facts), WAIT);
    }

    interface Over {
      ask?: DnsAsk;
      keyFile?: string;
      lowerTtlSeconds?: number;
      /** The pair exchanged. */
      back?: boolean;
      pollMs?: number;
    }

    async function swap(over: Over = {}) {
      const { ask = dns, keyFile = lab.keyFile, lowerTtlSeconds, back = false, pollMs = 4_000 } = over;
      const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
      const config = configOf({
        ...{ proxies: [], ingress: undefined, pace: { pollMs: 500, settleSeconds: 30 } },
        dns: {
          ...{ adapter: 'rfc2136', zone: ZONE, servers: lab.servers, keyName: 'k', lowerTtlSeconds },
          aliases: [
            { name: 'tfx', type: 'A', role: 'worker' },
            { name: 'apps', type: 'CNAME', role: 'worker' },
          ],
        },
      });
      const ctx = {
        ...{ config, me: ME, bridges: [], evidence: new Map(), logins: new Map(), ports: { clock } },
        cluster: { kube: () => Promise.resolve(api) },
        dns: rfc2136Zone({
          ...{ zone: ZONE, servers: lab.servers, dns: ask, run, keyFile, env, nsupdate: lab.nsupdate },
        }),
        repo: { tip: () => Promise.resolve('0'.repeat(40)), read: () => Promise.resolve('nodes: []\n') },
        say: () => undefined,
      } as unknown as Context;
      const pair = back
        ? { leaving: 'home-n5', staying: 'home-n1' }
        : { leaving: 'home-n1', staying: 'home-n5' };
      return converge(
        {
          name: 'SwapDns',
          observe: (stop) => observe(ctx, PARTS, { ...pair, logins: 'none' }, stop),
          plan: (world) => planSwapDns(config, { ...pair, change: 'swap' }, swapDnsActs(ctx), world),
        },
        { clock, record: () => undefined, signal, pollMs, observeMs: 5_000 },
      );
    }
    const done = async (over?: Over) => {
      const outcome = await swap(over);
      assert.equal(outcome.kind, 'done', JSON.stringify(outcome));
      return outcome.actions;
    };
    const at = async (name: string, type: 'A' | 'CNAME') => {
      const answers = await Promise.all(
        lab.servers.map((server) => dns({ server, name: `${name}.${ZONE}`, type, ...WAIT })),
      );
      return answers.map(({ answers: found }) =>
        found
          .map(({ data, ttl }) => `${data} ${ttl}`)
          .sort()
          .join(),
      );
    };
    const everywhere = (text: string) => lab.servers.map(() => text);
    const back = async () => {
      await begin('back');
      await done({ back: true });
      assert.deepEqual(await at('tfx', 'A'), everywhere(`${OLD} 120,${OTHER} 120`));
      assert.deepEqual(await at('apps', 'CNAME'), everywhere(`home-n1.${ZONE} 60`));
    };

    it('moves a set and a CNAME on every server, with the TTL that they had, and back', async () => {
      const actions = await done();
      assert.ok(actions.indexOf(`dns.add tfx ${NEW}`) < actions.indexOf(`dns.swap tfx ${OLD}`));
      assert.deepEqual(await at('tfx', 'A'), everywhere(`${OTHER} 120,${NEW} 120`));
      assert.deepEqual(await at('apps', 'CNAME'), everywhere(`home-n5.${ZONE} 60`));
      assert.deepEqual(await done(), []);
      await back();
    });

    it('lowers the TTL before the old member goes and restores it, on the servers and on the Lease', async () => {
      const actions = await done({ lowerTtlSeconds: 60 });
      for (const id of ['dns.lower tfx', 'dns.lowered tfx', 'dns.restore tfx'])
        assert.ok(actions.includes(id), id);
      assert.deepEqual(await at('tfx', 'A'), everywhere(`${OTHER} 120,${NEW} 120`));
      const lock = await readLockOf(
        { config: configOf(), cluster: { kube: () => Promise.resolve(api) } } as Context,
        signal,
      );
      assert.equal(factsFromAnnotations(lock?.annotations ?? {}).ttls, undefined);
      await back();
    });

    it('names the server that does not answer, and the next run completes the swap', async () => {
      const down: DnsAsk = (query) =>
        query.server === lab.servers[1]
          ? Promise.reject(new PortError('timeout', 'dns', 'no answer'))
          : dns(query);
      await assert.rejects(
        swap({ ask: down, pollMs: 60_000 }),
        (error) =>
          error instanceof CodedError &&
          error.code === 'NC1010' &&
          error.detail.includes(lab.servers[1] ?? ''),
      );
      const [primary = ''] = await at('tfx', 'A');
      assert.ok(
        primary.includes(OLD) && primary.includes(NEW),
        'the old member waits until every server has the new one',
      );
      await done();
      await back();
    });

    it('refuses with what the record is and should be when the key is wrong, and changes nothing', async () => {
      const keyFile = join(dir, 'wrong.key');
      const secret = new Secret(Buffer.alloc(32, 7).toString('base64'));
      writeFileSync(keyFile, tsigKeyFile(lab.key.name, 'hmac-sha256', secret), { mode: 0o600 });
      const outcome = await swap({ keyFile });
      assert.ok(outcome.kind === 'refused' && outcome.refusal.code === 'NC1252', JSON.stringify(outcome));
      assert.ok(outcome.refusal.evidence.some((line) => line.startsWith('it should hold: A ')));
      assert.deepEqual(await at('tfx', 'A'), everywhere(`${OLD} 120,${OTHER} 120`));
    });
  });
}
