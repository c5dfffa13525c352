import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { newServerServes } from '../../cycle/edge/nginx/prove.ts';
import { addBeside, markDown, removeAddress } from '../../cycle/edge/nginx/upstreams.ts';
import { realDns } from '../../lab/servers/dns/dns.ts';
import { findProgram } from '../../lab/servers/proxy/child.ts';
import { realNginx } from '../../lab/servers/proxy/nginx.ts';
import { PortError } from '../../ports/ports.ts';
import type { Ssh } from '../../ports/ports.ts';
import { ssh } from '../../ports/ssh.ts';
import { cut, over } from './cuts.ts';
import { NEW, OLD, WAIT, startEdges } from './rig.ts';
import type { EdgeProxy, Edges } from './rig.ts';
import { ask, bringIn, change, swap, takeOut } from './swap.ts';
import type { Removed } from './swap.ts';

/** Nobody listens there. */
const DEAD = '127.0.0.14';
type Files = Readonly<Record<string, string>>;
const add = (files: Files) => addBeside(files, OLD, NEW);

if (realNginx() && realDns() && findProgram('sshd')) {
  describe('a fault while the edges change (real nginx, sshd, BIND and git)', function () {
    // Each change is three logins and a reload, and the machine may be busy.
    this.timeout(120_000);
    let edges: Edges;
    let first: EdgeProxy;
    let second: EdgeProxy;
    let asItWas: Files;
    const worlds = new Map<EdgeProxy, Files>();
    let foreign: string;

    before(async () => {
      edges = await startEdges({ proxies: 2 });
      [first, second] = edges.proxies as [EdgeProxy, EdgeProxy];
      for (const proxy of edges.proxies) worlds.set(proxy, (await proxy.client.observe(WAIT)).files);
      asItWas = worlds.get(first) ?? {};
      foreign = join(dirname(first.lab.nginx.files[0] as string), 'foreign.conf');
    });
    after(() => edges.stop());
    afterEach(async () => {
      rmSync(foreign, { force: true });
      const seen = await first.client.observe(WAIT);
      assert.deepEqual(seen.files, worlds.get(first));
      if (seen.loaded !== 'yes') assert.equal(await first.client.apply({}, seen, WAIT), 'reloaded');
      assert.equal(await ask(first), 'ok');
    });

    const applied = async (proxy: EdgeProxy, edit: (files: Files) => Record<string, string> = add) => {
      const seen = await proxy.client.observe(WAIT);
      return proxy.client.apply(edit(seen.files), seen, WAIT);
    };
    const refusal = async (proxy: EdgeProxy, edit = add) => {
      const outcome = await applied(proxy, edit);
      assert.ok(typeof outcome === 'object', 'expected a refusal');
      return outcome;
    };
    const back = (proxy: EdgeProxy) => change(proxy, (files) => removeAddress(files, NEW).files);

    it('puts the old files back when the new server does not serve, though nginx hides it from users', async () => {
      const seen = await first.client.observe(WAIT);
      const prove = newServerServes({ proxy: first.client, address: DEAD, ask: () => ask(first) });
      const outcome = await first.client.apply(addBeside(seen.files, OLD, DEAD), seen, WAIT, prove);
      assert.ok(typeof outcome === 'object');
      assert.deepEqual([outcome.refused, outcome.restored], ['probe', true]);
      assert.match(outcome.output, /connect\(\) failed .*upstream: "http:\/\/127\.0\.0\.14:/);
      assert.equal((await first.client.observe(WAIT)).loaded, 'yes');
    });

    it('changes nothing when somebody else breaks another file at the same moment', async () => {
      writeFileSync(foreign, 'server { listen 127.0.0.1:1\n');
      const outcome = await refusal(first);
      assert.deepEqual([outcome.refused, outcome.restored], ['test', true]);
      assert.match(outcome.output, /foreign\.conf/);
    });

    it('takes its own change back even while the other file stays broken', async () => {
      const breaking: Ssh = (request) => {
        if (request.command === 'reload') writeFileSync(foreign, '} {\n');
        return ssh(request);
      };
      const outcome = await refusal(over(first, breaking));
      assert.deepEqual([outcome.refused, outcome.restored], ['reload', true]);
      assert.match(outcome.output, /foreign\.conf/);
      assert.deepEqual((await first.client.observe(WAIT)).files, asItWas);
      assert.equal(await ask(first), 'ok');
    });

    it('sees through the reload that changes nothing because a port is taken', async () => {
      const taken = createServer();
      await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
      const { port } = taken.address() as AddressInfo;
      writeFileSync(
        foreign,
        `server { listen 127.0.0.1:${port}; return 204; }\n`
          .replace('return', 'location / { return')
          .replace('; }', '; } }'),
      );
      const outcome = await refusal(first);
      taken.close();
      assert.deepEqual([outcome.refused, outcome.restored], ['workers-same', true]);
      assert.match(outcome.output, /Address already in use/);
      assert.equal(await ask(first), 'ok');
    });

    const tmpfs = (dir: string, act: (full: () => void) => Promise<void>) => async () => {
      const kept = `${dir}.kept`;
      if (existsSync(dir)) cpSync(dir, kept, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', dir]);
      try {
        if (existsSync(kept)) cpSync(kept, dir, { recursive: true });
        await act(() => {
          spawnSync('dd', ['if=/dev/zero', `of=${join(dir, 'ballast')}`, 'bs=1k'], { stdio: 'ignore' });
        });
      } finally {
        execFileSync('umount', [dir]);
        rmSync(kept, { recursive: true, force: true });
      }
    };
    if (canMount()) {
      it('changes nothing when the disk of the configuration is full', async () => {
        const dir = dirname(first.lab.nginx.files[0] as string);
        await tmpfs(dir, async (fill) => {
          fill();
          const outcome = await refusal(first);
          assert.deepEqual([outcome.refused, outcome.restored], ['disk', true]);
          assert.equal(
            readFileSync(first.lab.nginx.files[0] as string, 'utf8'),
            asItWas[first.lab.nginx.files[0] as string],
          );
          assert.equal(existsSync(join(dir, '.node-cycle.web.conf')), false);
          rmSync(join(dir, 'ballast'));
          assert.equal(await applied(first), 'reloaded', 'with room again it goes');
          await back(first);
        })();
      });
      it("changes nothing when the disk of the script's own folder is full", async () => {
        const state = join(edges.dir, 'proxy-1', 'ssh', 'state');
        await tmpfs(state, async (fill) => {
          fill();
          const outcome = await refusal(first);
          assert.equal(outcome.refused, 'disk');
        })();
      });
    }

    // Two moments stand for all of them here; the proof `edge-swaps` cuts at two dozen.
    it('ends wholly new or wholly old, and serves, wherever the connection is lost', async () => {
      for (const moment of [
        { command: 'put', afterMs: 80 },
        { command: 'reload', afterMs: 60 },
      ] as const) {
        const { left, served, completed } = await cut(first, moment);
        const what = `${moment.command} after ${moment.afterMs} ms`;
        assert.notEqual(left, 'torn', `${what}: both files or none`);
        assert.deepEqual([served, completed], [['ok', 'ok'], true], what);
      }
    });

    it('knows, in the next run, that a change was put in place and never loaded', async () => {
      const killed: Ssh = (request) =>
        request.command === 'reload'
          ? Promise.reject(new PortError('aborted', 'ssh', 'killed'))
          : ssh(request);
      await assert.rejects(applied(over(first, killed)), /killed/);
      const seen = await first.client.observe(WAIT);
      assert.deepEqual(add(seen.files), {}, 'the files alone look as if it were done');
      assert.equal(seen.loaded, 'unknown');
      await change(first, add);
      const after = await first.client.observe(WAIT);
      assert.equal(after.loaded, 'yes');
      assert.ok(after.workers.every((pid) => !seen.workers.includes(pid)));
      await back(first);
    });

    it('lets one of two changes at the same moment win, and tells the other', async () => {
      const seen = await first.client.observe(WAIT);
      const outcomes = await Promise.all(
        [add(seen.files), markDown(seen.files, OLD)].map((edit) => first.client.apply(edit, seen, WAIT)),
      );
      const refused = outcomes.filter((outcome) => typeof outcome === 'object');
      assert.equal(outcomes.filter((outcome) => outcome === 'reloaded').length, 1, JSON.stringify(outcomes));
      assert.deepEqual(
        refused.map((outcome) => outcome.refused),
        ['changed'],
      );
      await change(first, () => asItWas);
    });

    it('changes the proxies of a pair one after the other; when the second refuses, the first can go back', async () => {
      const removed: Removed = new Map();
      writeFileSync(foreign.replace('proxy-1', 'proxy-2'), 'nonsense\n');
      await bringIn(first, OLD, NEW, removed);
      await assert.rejects(bringIn(second, OLD, NEW, removed), /edge-2.*"refused":"test".*"restored":true/);
      for (const proxy of [first, second]) assert.equal(await ask(proxy), 'ok');
      await takeOut(first, NEW, { drainMs: 0, removed });
      rmSync(foreign.replace('proxy-1', 'proxy-2'));
      assert.deepEqual((await first.client.observe(WAIT)).files, asItWas);
      assert.deepEqual((await second.client.observe(WAIT)).files, worlds.get(second));
    });

    it('swaps over the proxy, the alias and the values, and back, after an agent that was killed in between', async () => {
      const removed: Removed = new Map();
      // A pair takes twice as long and is in the case before this one.
      const one = { ...edges, proxies: [first] };
      let left = 9;
      const dying: Ssh = (request) => {
        left -= 1;
        return left < 0 ? Promise.reject(new PortError('aborted', 'ssh', 'killed')) : ssh(request);
      };
      const killed = { ...one, proxies: [over(first, dying)] };
      await assert.rejects(swap(killed, OLD, NEW, { drainMs: 0, removed }), /killed/);
      assert.equal(await ask(first), 'ok');
      await swap(one, OLD, NEW, { drainMs: 0, removed });
      const world = async () => {
        const texts = await Promise.all(
          one.proxies.map(async ({ client }) => (await client.observe(WAIT)).files),
        );
        const views = await edges.zone.read([{ name: 'tfx.edge.test', type: 'A' }], WAIT);
        return JSON.stringify([
          texts,
          views.map(({ records }) => records),
          edges.git('show', 'main:ingress/values.yaml'),
        ]);
      };
      assert.ok(!(await world()).includes(OLD));
      await swap(one, NEW, OLD, { drainMs: 0, removed });
      assert.ok(!(await world()).includes(NEW));
    });
  });
}

function canMount(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0 && findProgram('mount') !== undefined;
}
