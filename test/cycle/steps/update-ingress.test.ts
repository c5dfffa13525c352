/** Places in proxies and ingress values: in before out, and never the last one. */
import assert from 'node:assert/strict';
import { planUpdateIngress } from '../../../cycle/steps/update-ingress.ts';
import type { PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { converge, foresee, isRefusal, type Plan } from '../../../cycle/step.ts';
import { CodedError } from '../../../ports/errors.ts';
import { begun, noActs, travel, withFacts } from '../journey.ts';
import { configOf, nodesWith, worldOf } from '../world.ts';

const config = configOf();
const URL = 'http://shop.home.example/healthz';
const PROVEN = `probe.proxy pi ${URL}`;
const whole = travel(
  config,
  { leaving: 'home-n1', staying: 'home-n5', dead: false },
  begun(config, worldOf(config, nodesWith(['worker']))),
);
const after = (id: string) =>
  whole.worlds[whole.actions.findIndex((action) => action.id === id) + 1] ?? assert.fail(id);
const isIn = after('proxy.in pi 10.0.0.60');
const plan = (side: 'in' | 'out', world: PlanWorld, of = config, calls: string[] = []) =>
  planUpdateIngress(of, { leaving: 'home-n1', staying: 'home-n5', side }, noActs(calls), world);
const ids = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? assert.fail(JSON.stringify(planned)) : planned.map(({ id }) => id);
const refused = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? `${planned.code} ${planned.what}` : assert.fail('it is a plan');

function withFiles(world: PlanWorld, change: (text: string, path: string) => string): PlanWorld {
  return {
    ...world,
    proxies: world.proxies.map((proxy) => ({
      ...proxy,
      files: Object.fromEntries(
        Object.entries(proxy.files).map(([path, text]) => [path, change(text, path)]),
      ),
    })),
  };
}

describe('UpdateIngress in', () => {
  it('sends nobody to a node before that node itself serves', () => {
    const silent = { ...after('node.serves home-n5'), probes: { 'node 10.0.0.60': '503' } };
    assert.deepEqual(ids(plan('in', silent)), [
      'ingress.in 10.0.0.60',
      'ingress.sync',
      'probe.node 10.0.0.60',
      'proxy.in pi 10.0.0.60',
      PROVEN,
    ]);
  });

  it('publishes no address before its node serves, where the node serves without the values', () => {
    const silent = { ...after('node.serves home-n5'), probes: { 'node 10.0.0.60': '503' } };
    const withPath = (path: string) => configOf({ ingress: { ...config.ingress, path } });
    const order = (path: string) =>
      ids(plan('in', silent, withPath(path))).filter((id) => /^(probe\.node|ingress\.in)/.test(id));
    for (const path of ['controller.extraArgs.publish-status-address', 'addresses'])
      assert.deepEqual(order(path), ['probe.node 10.0.0.60', 'ingress.in 10.0.0.60'], path);
    for (const path of ['values|.controller.service.externalIPs', 'controller.service.loadBalancerIP'])
      assert.deepEqual(order(path), ['ingress.in 10.0.0.60', 'probe.node 10.0.0.60'], path);
  });

  it('puts the new address beside the old one in every upstream and in the values', () => {
    for (const text of Object.values(isIn.proxies[0]?.files ?? {}))
      assert.match(text, /server 10\.0\.0\.11:(\d+) max_fails=2;\n {4}server 10\.0\.0\.60:\1 max_fails=2;/);
    assert.match(isIn.ingress?.text ?? '', /- 10\.0\.0\.11\n {6}- 10\.0\.0\.60\n/);
  });

  it('waits until the cluster runs the new values before the proxy sends anything', () => {
    assert.deepEqual(ids(plan('in', after('ingress.in 10.0.0.60'))).slice(0, 3), [
      'ingress.sync',
      'probe.node 10.0.0.60',
      'proxy.in pi 10.0.0.60',
    ]);
  });

  it('says why the cluster does not run them when that lasts, and has sent nobody there', async () => {
    const stuck = after('ingress.in 10.0.0.60');
    const why = 'Application ingress-nginx is Degraded: no such image';
    const world = { ...stuck, ingress: stuck.ingress && { ...stuck.ingress, notSynced: why } };
    const calls: string[] = [];
    let nowMs = 0;
    const clock = { now: () => nowMs, sleep: (ms: number) => Promise.resolve(void (nowMs += ms)) };
    await assert.rejects(
      converge(
        {
          name: 'UpdateIngress in',
          observe: () => Promise.resolve(world),
          plan: (o: PlanWorld) => plan('in', o, config, calls),
        },
        {
          ...{ clock, record: () => undefined, signal: new AbortController().signal },
          ...{ pollMs: 10_000, observeMs: 1 },
        },
      ),
      (error) => error instanceof CodedError && error.code === 'NC1010' && error.detail.includes(why),
    );
    assert.deepEqual(calls, ['requestSync', 'requestSync']);
  });

  it('proves it through the proxy itself', () => {
    const broken = { ...isIn, probes: { ...isIn.probes, [`proxy pi ${URL}`]: '502' } };
    assert.deepEqual(ids(plan('in', broken)), [PROVEN]);
  });

  it('proves every place that users open through it', () => {
    const [proxy] = config.proxies;
    const two = configOf({ proxies: [{ ...proxy, probes: [{ url: 'tcp://shop.home.example:9000' }] }] });
    assert.deepEqual(ids(plan('in', isIn, two)), ['probe.proxy pi tcp://shop.home.example:9000']);
    const planned = ids(plan('in', after('ingress.sync'), two)).filter((id) => id.startsWith('probe.proxy'));
    assert.deepEqual(planned, [PROVEN, 'probe.proxy pi tcp://shop.home.example:9000']);
  });

  it('has nothing to do for a node without places', () => {
    assert.deepEqual(
      ids(
        plan('in', {
          ...withFiles(isIn, (text) => text.replace(/.*10\.0\.0\.(11|60).*\n/g, '')),
          ingress: undefined,
        }),
      ),
      [],
    );
  });

  it('opens a place of the successor that was left closed', () => {
    const closed = withFiles(isIn, (text) => text.replace(/(10\.0\.0\.60:\d+ max_fails=2)/g, '$1 down'));
    assert.ok(ids(plan('in', closed)).includes('proxy.in pi 10.0.0.60'));
  });
});

describe('UpdateIngress after a run that was killed between the new files and their reload', () => {
  const unread = (world: PlanWorld): PlanWorld => ({
    ...world,
    proxies: world.proxies.map((proxy) => ({ ...proxy, loaded: 'unknown' as const })),
  });

  it('reloads what is in place already, and proves it through the proxy', () => {
    assert.deepEqual(ids(plan('in', isIn)), []);
    assert.deepEqual(ids(plan('in', unread(isIn))), ['proxy.reload pi', PROVEN]);
  });

  it('reloads with the change when there is one to make', () => {
    const before = unread(after('ingress.sync'));
    assert.deepEqual(
      ids(plan('in', before)).filter((id) => id.startsWith('proxy.')),
      ['proxy.in pi 10.0.0.60'],
    );
  });

  it('does not call a change done that the workers have not read', () => {
    const planned = plan('in', after('ingress.sync'));
    const action = (isRefusal(planned) ? [] : planned).find(({ id }) => id.startsWith('proxy.in'));
    assert.equal(action?.done(isIn), true);
    assert.equal(action.done(unread(isIn)), false);
  });

  it('has `down` read before it waits for connections, and the last edit read before it is done', () => {
    const down = after('proxy.down pi 10.0.0.11');
    assert.deepEqual(ids(plan('out', unread(down))).slice(0, 2), [
      'proxy.reload pi',
      'proxy.out pi 10.0.0.11',
    ]);
    const out = after('proxy.out pi 10.0.0.11');
    assert.ok(ids(plan('out', unread(out))).includes('proxy.reload pi'));
    assert.ok(!ids(plan('out', out)).includes('proxy.reload pi'));
  });

  it('leaves a proxy alone that has nothing to do with the pair', () => {
    const foreign = withFiles(unread(isIn), (text) => text.replace(/.*10\.0\.0\.(11|60).*\n/g, ''));
    assert.ok(!ids(plan('in', foreign)).includes('proxy.reload pi'));
  });

  it('asks for a proof of the node that stays, but not while nobody could serve for a dead one', () => {
    const changes: unknown[] = [];
    const acts = {
      ...noActs(),
      changeProxy: (_name: string, { serves }: { serves?: string | undefined }) => {
        changes.push(serves);
        return Promise.resolve();
      },
    };
    const first = (world: PlanWorld, side: 'in' | 'out') => {
      const planned = planUpdateIngress(
        config,
        { leaving: 'home-n1', staying: 'home-n5', side },
        acts,
        world,
      );
      return (isRefusal(planned) ? [] : planned).find(({ id }) => id.startsWith('proxy.'));
    };
    const signal = new AbortController().signal;
    const off = {
      ...isIn,
      vms: isIn.vms.map((vm) => (vm.name === 'home-n1' ? { ...vm, state: 'off' as const } : vm)),
    };
    void first(after('ingress.sync'), 'in')?.apply?.(signal);
    void first(unread(isIn), 'in')?.apply?.(signal);
    void first(isIn, 'out')?.apply?.(signal);
    void first(off, 'out')?.apply?.(signal);
    assert.deepEqual(changes, ['10.0.0.60', '10.0.0.60', '10.0.0.60', undefined]);
  });
});

describe('UpdateIngress out', () => {
  it('closes the old place to new connections, waits for the open ones, and writes the line down before it goes', async () => {
    const calls: string[] = [];
    const planned = plan('out', isIn, config, calls);
    assert.ok(!isRefusal(planned));
    assert.deepEqual(ids(planned).slice(0, 2), ['proxy.down pi 10.0.0.11', 'proxy.out pi 10.0.0.11']);
    await planned[1]?.apply?.(new AbortController().signal);
    assert.deepEqual(calls, ['drainProxy', 'writeFacts', 'changeProxy']);
  });

  it('writes the line down as it was before the cycle, without our `down`', () => {
    const end = foresee({ plan: (o: PlanWorld) => plan('out', o) }, isIn).after;
    const lines = end.facts.upstreams['pi 10.0.0.11'] ?? [];
    assert.equal(lines.length, 2);
    assert.ok(lines.every((line) => !/ down/.test(line.wholeLine ?? line.statement)));
  });

  it('refuses while the successor lacks a place that the old one holds', () => {
    const lacking = withFiles(isIn, (text, path) =>
      path.includes('stream') ? text.replace(/.*10\.0\.0\.60.*\n/, '') : text,
    );
    assert.match(refused(plan('out', lacking)), /NC1212 pi would lose places/);
  });

  it('refuses when the successor has as many places, but not the same ones', () => {
    const elsewhere = withFiles(isIn, (text, path) =>
      path.includes('stream')
        ? `${text.replace(/.*10\.0\.0\.60.*\n/, '')}upstream other {\n    server 10.0.0.60:1;\n}\n`
        : text,
    );
    assert.match(refused(plan('out', elsewhere)), /NC1212/);
  });

  it('refuses when the place of the successor is down', () => {
    const down = withFiles(isIn, (text) => text.replace(/(10\.0\.0\.60:\d+ max_fails=2)/g, '$1 down'));
    assert.match(refused(plan('out', down)), /NC1212/);
  });

  it('refuses to take the last server of an upstream, even of a node that is off', () => {
    const off = {
      ...isIn,
      vms: isIn.vms.map((vm) => (vm.name === 'home-n1' ? { ...vm, state: 'off' as const } : vm)),
    };
    const last = withFiles(off, (text) => text.replace(/.*10\.0\.0\.(12|13|14|60).*\n/g, ''));
    assert.match(refused(plan('out', last)), /NC1212 An upstream of pi would have no server left/);
  });

  it('refuses to leave the ingress values without an address, or without the successor', () => {
    const values = (addresses: string[]): PlanWorld => ({
      ...isIn,
      ingress: {
        commit: 'g',
        text: `controller:\n  service:\n    externalIPs:\n${addresses.map((a) => `      - ${a}\n`).join('')}`,
        addresses,
      },
    });
    assert.match(refused(plan('out', values(['10.0.0.11']))), /NC1212 .* empty/);
    assert.match(
      refused(plan('out', values(['10.0.0.11', '10.0.0.12']))),
      /NC1212 .* do not name 10\.0\.0\.60/,
    );
  });

  it('is done when nothing names the old address', () => {
    assert.deepEqual(ids(plan('out', after('vm.delete home-n1'))), []);
  });

  it('takes back nothing of a successor that never had an address', () => {
    const dhcp = configOf({ addresses: { source: 'dhcp', ranges: ['10.0.0.60-10.0.0.79'] } });
    const start = begun(dhcp, worldOf(dhcp));
    const back = withFacts(start, { ...start.facts, direction: 'back' });
    for (const side of ['in', 'out'] as const)
      assert.deepEqual(
        planUpdateIngress(dhcp, { leaving: 'home-n5', staying: 'home-n1', side }, noActs(), back),
        [],
      );
    const forward = planUpdateIngress(
      dhcp,
      { leaving: 'home-n1', staying: 'home-n5', side: 'in' },
      noActs(),
      start,
    );
    assert.match(refused(forward), /NC1217/);
  });
});
