/** UpdateIngress itself over a real nginx: its observation, its plan and its acts, and a run that is killed in between. */
import assert from 'node:assert/strict';
import { ingressActs } from '../../cycle/acts/steps.ts';
import { createKubeApi } from '../../cycle/cluster/kubernetes/api.ts';
import { annotateLock, takeLock } from '../../cycle/cluster/kubernetes/lease.ts';
import type { Context } from '../../cycle/context.ts';
import { factsToAnnotations, NO_FACTS } from '../../cycle/facts.ts';
import { observe } from '../../cycle/observe.ts';
import { converge } from '../../cycle/step.ts';
import { planUpdateIngress } from '../../cycle/steps/update-ingress.ts';
import { findProgram } from '../../lab/servers/proxy/child.ts';
import { realNginx } from '../../lab/servers/proxy/nginx.ts';
import { realDns } from '../../lab/servers/dns/dns.ts';
import { basicPorts } from '../../ports/basic.ts';
import { PortError } from '../../ports/ports.ts';
import type { Ssh } from '../../ports/ports.ts';
import { ssh } from '../../ports/ssh.ts';
import { kubeDouble } from '../cycle/cluster/kubernetes/kube-double.ts';
import { configOf, ME } from '../cycle/world.ts';
import { over } from './cuts.ts';
import { NEW, OLD, WAIT, startEdges } from './rig.ts';
import type { EdgeProxy, Edges } from './rig.ts';
import { ask } from './swap.ts';

const PARTS = ['nowMs', 'facts', 'lock', 'vms', 'intent', 'proxies', 'ingress', 'probes'] as const;

if (realNginx() && realDns() && findProgram('sshd')) {
  describe('UpdateIngress over a real nginx', function () {
    this.timeout(60_000);
    const opened = basicPorts();
    const { signal } = new AbortController();
    let edges: Edges;
    let proxy: EdgeProxy;
    before(async () => {
      edges = await startEdges();
      [proxy] = edges.proxies as [EdgeProxy];
    });
    after(async () => {
      opened.close();
      await edges.stop();
    });

    async function contextOf(through: EdgeProxy): Promise<Context> {
      const api = createKubeApi(
        { http: kubeDouble().http, clock: opened.ports.clock },
        { servers: ['https://a:6443'] },
      );
      await takeLock(api, 'home', undefined, ME, 0, WAIT);
      const old = { name: 'home-n1', address: OLD, roles: ['worker'] as const };
      const facts = { ...NO_FACTS, old, successor: { name: 'home-n5', address: NEW } };
      await annotateLock(api, 'home', ME, 1, factsToAnnotations(facts), WAIT);
      const url = `http://web.test:${proxy.ports.http}/`;
      const entry = { name: proxy.client.name, host: '127.0.0.1', user: 'n', hostKey: 'ssh-ed25519 AAAA' };
      return {
        config: configOf({
          proxies: [{ ...entry, drainSeconds: 1, probe: { url } }],
          ...{ ingress: undefined, dns: undefined, pace: { pollMs: 20 } },
        }),
        ...{ me: ME, bridges: [], reviews: {}, evidence: new Map(), logins: new Map() },
        ...{ ports: opened.ports, proxies: [through.client], say: () => undefined },
        cluster: { kube: () => Promise.resolve(api) },
        repo: { tip: () => Promise.resolve('0'.repeat(40)), read: () => Promise.resolve('nodes: []\n') },
      } as unknown as Context;
    }

    /** What one run of the task did. */
    async function run(side: 'in' | 'out', through = proxy): Promise<string[]> {
      const ctx = await contextOf(through);
      const pair = { leaving: 'home-n1', staying: 'home-n5' };
      const outcome = await converge(
        {
          name: `UpdateIngress ${side}`,
          observe: (stop) => observe(ctx, PARTS, { ...pair, logins: 'none' }, stop),
          plan: (world) => planUpdateIngress(ctx.config, { ...pair, side }, ingressActs(ctx), world),
        },
        {
          clock: ctx.ports.clock,
          ...{ record: () => undefined, signal, pollMs: 20, observeMs: 5_000 },
        },
      );
      assert.equal(outcome.kind, 'done', JSON.stringify(outcome));
      return outcome.actions;
    }

    it('knows after a kill between the new files and their reload that the reload is missing, and goes on', async () => {
      const killed: Ssh = (request) =>
        request.command === 'reload'
          ? Promise.reject(new PortError('aborted', 'ssh', 'killed'))
          : ssh(request);
      await assert.rejects(run('in', over(proxy, killed)), /NC1010/);
      const { files, workers } = await proxy.client.observe(WAIT);
      assert.ok(
        Object.values(files).every((text) => text.includes(NEW)),
        'the files look as if it were done',
      );
      assert.deepEqual(await run('in'), [`proxy.reload ${proxy.client.name}`]);
      const after = await proxy.client.observe(WAIT);
      assert.equal(after.loaded, 'yes');
      assert.ok(after.workers.every((pid) => !workers.includes(pid)));
      assert.deepEqual(await run('in'), []);
      assert.equal(await ask(proxy), 'ok');
    });

    it('takes the old address out, each change loaded and proven', async () => {
      const { name } = proxy.client;
      assert.deepEqual(await run('out'), [`proxy.down ${name} ${OLD}`, `proxy.out ${name} ${OLD}`]);
      const { files, loaded } = await proxy.client.observe(WAIT);
      assert.equal(loaded, 'yes');
      assert.ok(Object.values(files).every((text) => !text.includes(OLD) && text.includes(NEW)));
      assert.equal(await ask(proxy), 'ok');
    });
  });
}
