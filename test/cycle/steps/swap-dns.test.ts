/** Aliases: never empty, on every server, and waited out from the moment that is written down. */
import assert from 'node:assert/strict';
import type { ServerView } from '../../../cycle/edge/dns/zone.ts';
import { setsOf } from '../../../cycle/plan/dns-records.ts';
import { planSwapDns } from '../../../cycle/steps/swap-dns.ts';
import type { PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { foresee, isRefusal, type Plan } from '../../../cycle/step.ts';
import { begun, noActs, travel, withFacts } from '../journey.ts';
import { configOf, NOW_MS, worldOf } from '../world.ts';

const config = configOf();
const whole = travel(
  config,
  { leaving: 'home-n1', staying: 'home-n5', dead: false },
  begun(config, worldOf(config)),
);
const before = (step: string) =>
  whole.worlds[whole.actions.findIndex((action) => action.step.startsWith(step))] ?? assert.fail();
const start = before('SwapDns');
const swapped = before('UpdateIngress out');
const plan = (world: PlanWorld, change: 'swap' | 'out' = 'swap', acts = noActs()) =>
  planSwapDns(config, { leaving: 'home-n1', staying: 'home-n5', change }, acts, world);
const ids = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? assert.fail(JSON.stringify(planned)) : planned.map(({ id }) => id);
const members = (world: PlanWorld, name: string) =>
  world.dns.map(({ records }) =>
    records
      .filter((r) => r.name === `${name}.home.example`)
      .map(({ data }) => data)
      .sort()
      .join(),
  );

describe('SwapDns', () => {
  it('brings the new member in before the old one goes, and the alias is never empty', () => {
    assert.deepEqual(ids(plan(start)), [
      'dns.record home-n5',
      'dns.add cp-home 10.0.0.60',
      'dns.swap cp-home 10.0.0.11',
      'dns.swap apps home-n1.home.example',
      'dns.ttl cp-home',
      'dns.ttl apps',
      'dns.everywhere home-n1',
    ]);
    let world = start;
    for (const action of foresee({ plan: (o: PlanWorld) => plan(o) }, start).actions) {
      world = action.predict(world);
      for (const name of ['cp-home', 'apps'])
        assert.ok(
          members(world, name).every((held) => held !== ''),
          `${name} after ${action.id}`,
        );
    }
    assert.deepEqual(members(world, 'cp-home'), Array(2).fill('10.0.0.12,10.0.0.13,10.0.0.60'));
  });

  it('keeps the TTL that the alias had', () => {
    const ttls = swapped.dns.flatMap(({ records }) =>
      records.filter((r) => r.name === 'cp-home.home.example').map(({ ttl }) => ttl),
    );
    assert.deepEqual([...new Set(ttls)], [120]);
  });

  it('writes the time down before the old data goes, and again when it has gone', async () => {
    const calls: string[] = [];
    const planned = plan(start, 'swap', noActs(calls));
    assert.ok(!isRefusal(planned));
    await planned.find(({ id }) => id.startsWith('dns.swap cp-home'))?.apply?.(new AbortController().signal);
    assert.deepEqual(
      calls.filter((name) => name !== 'nowMs'),
      ['writeFacts', 'changeDns', 'writeFacts'],
    );
  });

  it('counts the TTL from the time on the Lease', () => {
    const key = 'cp-home 10.0.0.11';
    const at = (nowMs: number): PlanWorld => ({
      ...swapped,
      nowMs,
      facts: {
        ...swapped.facts,
        swapped: { ...swapped.facts.swapped, [key]: { atMs: NOW_MS + 30_000, ttlSeconds: 120 } },
      },
    });
    assert.deepEqual(ids(plan(at(NOW_MS + 90_000))), ['dns.ttl cp-home', 'dns.everywhere home-n1']);
    assert.deepEqual(ids(plan(at(NOW_MS + 151_000))), []);
    const planned = plan(at(NOW_MS + 90_000));
    const wait = (isRefusal(planned) ? [] : planned).find(({ id }) => id === 'dns.ttl cp-home');
    assert.ok(wait !== undefined);
    assert.deepEqual(
      [150_999, 151_000].map((ms) => wait.done(at(NOW_MS + ms))),
      [false, true],
    );
  });

  it('waits in full from now when the time on the Lease is still to come: a clock was put back', () => {
    const key = 'cp-home 10.0.0.11';
    const at = (atMs: number): PlanWorld => ({
      ...withFacts(swapped, {
        ...swapped.facts,
        swapped: { ...swapped.facts.swapped, [key]: { atMs, ttlSeconds: 120 } },
      }),
      nowMs: NOW_MS,
    });
    const step = { plan: (o: PlanWorld) => plan(o) };
    const { actions, after, refusal } = foresee(step, at(NOW_MS + 86_400_000));
    assert.equal(refusal, undefined);
    assert.deepEqual(
      actions.map(({ id }) => id).filter((id) => id.includes('cp-home')),
      ['dns.since cp-home', 'dns.ttl cp-home'],
    );
    assert.ok(after.nowMs >= NOW_MS + 120_000 && after.nowMs < NOW_MS + 600_000, `${after.nowMs - NOW_MS}`);
    assert.ok(ids(plan(at(NOW_MS))).every((id) => id !== 'dns.since cp-home'));
  });

  it('waits in full from now when the time is lost', () => {
    const lost: PlanWorld = { ...swapped, facts: { ...swapped.facts, swapped: {} } };
    assert.deepEqual(ids(plan(lost)), [
      'dns.since cp-home',
      'dns.since apps',
      'dns.ttl cp-home',
      'dns.ttl apps',
      'dns.everywhere home-n1',
    ]);
    const end = foresee({ plan: (o: PlanWorld) => plan(o) }, lost).after;
    assert.equal(end.nowMs, lost.nowMs + 121_000);
  });

  it('has nothing to wait for when the old node was in no alias', () => {
    const never = (world: PlanWorld): PlanWorld => ({
      ...world,
      dns: world.dns.map((server) => ({
        ...server,
        records: server.records.filter(
          ({ data }) => !['10.0.0.11', 'home-n1.home.example'].includes(data) || false,
        ),
      })),
    });
    const world = never(start);
    assert.deepEqual(
      ids(plan(world)).filter((id) => id.startsWith('dns.ttl')),
      [],
    );
  });

  it('refuses to empty an alias', () => {
    const only: PlanWorld = {
      ...start,
      dns: start.dns.map((server) => ({
        ...server,
        records: server.records.filter((r) => r.name !== 'cp-home.home.example' || r.data === '10.0.0.11'),
      })),
    };
    const refused = plan(only, 'out');
    assert.equal(isRefusal(refused) && refused.code, 'NC1212');
    assert.ok(ids(plan(only)).includes('dns.add cp-home 10.0.0.60'));
  });

  it('takes a dead node out of sets, and leaves a single CNAME until its successor is there', () => {
    assert.deepEqual(ids(plan(start, 'out')), [
      'dns.swap cp-home 10.0.0.11',
      'dns.ttl cp-home',
      'dns.everywhere home-n1',
    ]);
  });

  it('takes the silence of the primary for silence, not for an empty zone', () => {
    const silent: ServerView[] = [
      { server: '10.0.0.2:53', records: [], failure: 'timed out' },
      ...start.dns.slice(1),
    ];
    assert.deepEqual(ids(plan({ ...start, dns: silent })), ['dns.everywhere home-n1']);
    const facts = { ...swapped.facts };
    assert.deepEqual(ids(plan({ ...swapped, facts, dns: silent })), ['dns.everywhere home-n1']);
  });

  it('is not done before every server answers the new data', () => {
    const lagging = [...swapped.dns.slice(0, 1), ...start.dns.slice(1)];
    assert.deepEqual(ids(plan({ ...swapped, dns: lagging })), ['dns.everywhere home-n1']);
  });

  it('keeps the old member until a server that was down has the new one', () => {
    const added = foresee({ plan: (o: PlanWorld) => plan(o) }, start).actions.find(({ id }) =>
      id.startsWith('dns.add'),
    );
    const joined = added?.predict(start) ?? assert.fail();
    const [primary, secondary] = joined.dns;
    assert.ok(primary !== undefined && secondary !== undefined);
    const silent = {
      ...joined,
      dns: [primary, { server: secondary.server, records: [], failure: 'timed out' }],
    };
    const planned = ids(plan(silent));
    assert.ok(planned.indexOf('dns.joined cp-home') < planned.indexOf('dns.swap cp-home 10.0.0.11'));
    assert.ok(!ids(plan(joined)).includes('dns.joined cp-home'));
  });

  it('gives the servers of the zone the time that they need to replicate', () => {
    const planned = plan(start);
    assert.ok(!isRefusal(planned) && planned.every(({ settleMs }) => settleMs >= 600_000));
  });

  it('does nothing without a zone, and needs to know both addresses', () => {
    const none = configOf({ dns: undefined });
    const input = { leaving: 'home-n1', staying: 'home-n5', change: 'swap' as const };
    assert.deepEqual(planSwapDns(none, input, noActs(), start), []);
    const dhcp = configOf({ addresses: { source: 'dhcp', ranges: ['10.0.0.60-10.0.0.79'] } });
    const begin = begun(dhcp, worldOf(dhcp));
    const refused = planSwapDns(dhcp, input, noActs(), begin);
    assert.equal(isRefusal(refused) && refused.code, 'NC1217');
    const back = withFacts(begin, { ...begin.facts, direction: 'back' });
    assert.deepEqual(
      planSwapDns(dhcp, { ...input, leaving: 'home-n5', staying: 'home-n1' }, noActs(), back),
      [],
    );
  });
});

describe('SwapDns with a TTL that may be lowered', () => {
  const lowering = configOf({ dns: { ...config.dns, lowerTtlSeconds: 60 } });
  const planOf = (world: PlanWorld, acts = noActs(), change: 'swap' | 'out' = 'swap') =>
    planSwapDns(lowering, { leaving: 'home-n1', staying: 'home-n5', change }, acts, world);
  const ttls = (world: PlanWorld, name: string) => [
    ...new Set(
      world.dns.flatMap(({ records }) =>
        records.filter((r) => r.name === `${name}.home.example`).map(({ ttl }) => ttl),
      ),
    ),
  ];
  const steps = foresee({ plan: (o: PlanWorld) => planOf(o) }, start);

  it('lowers it, waits the old one out before the old member goes, and restores it', () => {
    assert.deepEqual(
      steps.actions.map(({ id }) => id).filter((id) => id.includes('cp-home')),
      [
        'dns.lower cp-home',
        'dns.add cp-home 10.0.0.60',
        'dns.lowered cp-home',
        'dns.swap cp-home 10.0.0.11',
        'dns.ttl cp-home',
        'dns.restore cp-home',
      ],
    );
    let world = start;
    for (const action of steps.actions) {
      if (action.id === 'dns.swap cp-home 10.0.0.11') {
        assert.deepEqual(ttls(world, 'cp-home'), [60]);
        assert.ok(world.nowMs >= start.nowMs + 121_000, 'the old TTL of 120 s is over');
      }
      world = action.predict(world);
    }
    assert.deepEqual(ttls(steps.after, 'cp-home'), [120]);
    assert.deepEqual(steps.after.facts.ttls?.['cp-home'], undefined);
    assert.deepEqual(members(steps.after, 'cp-home'), Array(2).fill('10.0.0.12,10.0.0.13,10.0.0.60'));
  });

  it('leaves a TTL alone that is low enough already', () => {
    assert.deepEqual(
      steps.actions.map(({ id }) => id).filter((id) => id.endsWith('apps') && !id.startsWith('dns.ttl')),
      [],
    );
  });

  it('writes the own TTL down before it is gone', async () => {
    const calls: string[] = [];
    const planned = planOf(start, noActs(calls));
    assert.ok(!isRefusal(planned));
    const lower = planned.find(({ id }) => id === 'dns.lower cp-home');
    await lower?.apply?.(new AbortController().signal);
    assert.deepEqual(
      calls.filter((name) => name !== 'nowMs'),
      ['writeFacts', 'changeDns', 'writeFacts'],
    );
  });

  it('keeps the own TTL of a run that was killed while it was lowered', () => {
    const written = { ...start.facts, ttls: { 'cp-home': { ttlSeconds: 120, atMs: start.nowMs } } };
    const [lower] = foresee({ plan: (o: PlanWorld) => planOf(o) }, { ...start, facts: written }).actions;
    assert.equal(lower?.id, 'dns.lower cp-home');
    const killed = lower.predict({ ...start, facts: written });
    assert.equal(killed.facts.ttls?.['cp-home']?.ttlSeconds, 120);
  });

  it('restores it on the way back, and lowers nothing there or for a dead node', () => {
    const lowered = steps.actions[0]?.predict(start) ?? assert.fail();
    const back = withFacts(lowered, { ...lowered.facts, direction: 'back' });
    const plan = (o: PlanWorld) =>
      planSwapDns(lowering, { leaving: 'home-n5', staying: 'home-n1', change: 'swap' }, noActs(), o);
    const end = foresee({ plan }, back);
    assert.ok(end.actions.some(({ id }) => id === 'dns.restore cp-home'));
    assert.ok(!end.actions.some(({ id }) => id.startsWith('dns.lower')));
    assert.deepEqual(ttls(end.after, 'cp-home'), [120]);
    assert.deepEqual(members(end.after, 'cp-home'), members(start, 'cp-home'));
    assert.ok(!ids(planOf(start, noActs(), 'out')).some((id) => id.startsWith('dns.lower')));
  });
});

describe('SwapDns at a name of another type', () => {
  const instead = (name: string, type: string, data: string): PlanWorld => ({
    ...start,
    dns: start.dns.map((server) => ({
      ...server,
      records: [
        ...server.records.filter((record) => record.name !== `${name}.home.example`),
        { name: `${name}.home.example`, type, ttl: 60, data },
      ],
    })),
  });

  it('refuses, instead of finding nothing there to move', () => {
    const cname = plan(instead('cp-home', 'CNAME', 'home-n1.home.example'));
    assert.ok(isRefusal(cname));
    assert.equal(cname.code, 'NC1238');
    assert.match(cname.evidence.join(), /cp-home\.home\.example CNAME home-n1\.home\.example/);
    const address = plan(instead('apps', 'A', '10.0.0.11'));
    assert.equal(isRefusal(address) && address.code, 'NC1238');
  });

  it('is asked for by every observation', () => {
    const asked = setsOf(config, ['home-n1']).map(({ name, type }) => `${name.split('.')[0]} ${type}`);
    for (const set of ['cp-home A', 'cp-home CNAME', 'apps CNAME', 'apps A', 'apps AAAA'])
      assert.ok(asked.includes(set), set);
    assert.equal(new Set(asked).size, asked.length);
  });
});

describe('SwapDns with a probe of what users open by an alias', () => {
  const url = 'https://shop.home.example/healthz';
  const [set, cname] = config.dns?.aliases ?? [];
  const probing = configOf({ dns: { ...config.dns, aliases: [set, { ...cname, probe: { url } }] } });
  const planOf = (world: PlanWorld, change: 'swap' | 'out' = 'swap') =>
    ids(planSwapDns(probing, { leaving: 'home-n1', staying: 'home-n5', change }, noActs(), world));
  const key = 'alias apps 10.0.0.60';

  it('leads nobody to a node that does not answer it', () => {
    const planned = planOf(start);
    assert.ok(planned.indexOf('probe.alias apps') < planned.indexOf('dns.swap apps home-n1.home.example'));
    assert.equal(planned.filter((id) => id.startsWith('probe.alias')).length, 1);
    assert.ok(!planOf({ ...start, probes: { [key]: 'ok' } }).includes('probe.alias apps'));
    assert.ok(!planOf(start, 'out').includes('probe.alias apps'));
  });

  it('is done when the node that the alias leads to answers it', () => {
    assert.deepEqual(planOf({ ...swapped, probes: { [key]: 'status 502, not 200' } }), ['probe.alias apps']);
    assert.deepEqual(planOf({ ...swapped, probes: { [key]: 'ok' } }), []);
  });
});
