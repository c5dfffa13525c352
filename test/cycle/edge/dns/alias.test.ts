import assert from 'node:assert/strict';
import { aliasNeeds, disagreeing, ttlWaitEndMs } from '../../../../cycle/edge/dns/alias.ts';
import { judgeNsupdate, tsigKeyFile, updateText } from '../../../../cycle/edge/dns/rfc2136.ts';
import { windowsZone } from '../../../../cycle/edge/dns/windows.ts';
import { requireSwap, serialAtLeast } from '../../../../cycle/edge/dns/zone.ts';
import type { RecordType, ServerView, Swap } from '../../../../cycle/edge/dns/zone.ts';
import { Secret } from '../../../../ports/secret.ts';

const NAME = 'cp.k8s.test';
const view = (
  server: string,
  data: string[],
  more: { serial?: number; type?: RecordType; ttl?: number } = {},
): ServerView => ({
  server,
  serial: more.serial ?? 7,
  records: data.map((one) => ({ name: NAME, type: more.type ?? 'A', ttl: more.ttl ?? 30, data: one })),
});
const move = { name: NAME, type: 'A' as const, member: '10.0.0.4', leaving: '10.0.0.1', ttl: 300 };
const kinds = (views: ServerView[], what: Parameters<typeof aliasNeeds>[1] = move) =>
  aliasNeeds(views, what).map((n) => n.kind);

describe('an alias that moves between nodes', () => {
  it('brings the new member in before the old one leaves', () => {
    const needs = aliasNeeds([view('a', ['10.0.0.1', '10.0.0.2'])], move);
    assert.deepEqual(
      needs.map((n) => n.kind),
      ['add', 'remove', 'agree'],
    );
    assert.deepEqual((needs[1] as { swap: Swap }).swap.expect, ['10.0.0.1', '10.0.0.2', '10.0.0.4']);
  });
  it('needs nothing when it has moved and every server says so', () => {
    assert.deepEqual(kinds([view('a', ['10.0.0.4', '10.0.0.2']), view('b', ['10.0.0.2', '10.0.0.4'])]), []);
  });
  it('waits for a server with old data, an old serial, or no answer', () => {
    const done = ['10.0.0.4'];
    assert.match(
      disagreeing([view('a', done), view('b', ['10.0.0.1'])], move).join(),
      /b: cp\.k8s\.test A is 10\.0\.0\.1/,
    );
    assert.match(disagreeing([view('a', done), view('b', done, { serial: 6 })], move).join(), /serial 6/);
    assert.match(
      disagreeing([view('a', done), { server: 'b', records: [], failure: 'timed out' }], move).join(),
      /timed out/,
    );
    assert.deepEqual(kinds([view('a', done), view('b', done, { serial: 6 })]), ['agree']);
    assert.deepEqual(
      disagreeing([view('a', done, { serial: 4_294_967_295 }), view('b', done, { serial: 2 })], move),
      [],
    );
  });
  it('never takes the last member out', () => {
    assert.throws(
      () => aliasNeeds([view('a', ['10.0.0.1'])], { name: NAME, type: 'A', leaving: '10.0.0.1', ttl: 1 }),
      /NC4042/,
    );
    assert.throws(
      () =>
        aliasNeeds([view('a', ['n1.k8s.test'], { type: 'CNAME' })], {
          name: NAME,
          type: 'CNAME',
          leaving: 'n1.k8s.test',
          ttl: 1,
        }),
      /NC4042/,
    );
    assert.deepEqual(kinds([view('a', ['10.0.0.1'])]), ['add', 'remove', 'agree']);
  });
  it('exchanges a CNAME, keeps its TTL, and compares names without case or final dot', () => {
    const cname = {
      name: NAME,
      type: 'CNAME' as const,
      member: 'n2.k8s.test',
      leaving: 'n1.k8s.test',
      ttl: 300,
    };
    const needs = aliasNeeds([view('a', ['N1.k8s.test.'], { type: 'CNAME', ttl: 45 })], cname);
    assert.deepEqual(needs[0], {
      kind: 'exchange',
      swap: {
        name: NAME,
        type: 'CNAME',
        ttl: 45,
        expect: ['n1.k8s.test'],
        remove: ['n1.k8s.test'],
        add: ['n2.k8s.test'],
      },
    });
    assert.deepEqual(kinds([view('a', ['N2.k8s.test.'], { type: 'CNAME' })], cname), []);
  });
  it('does not judge without the primary', () => {
    assert.throws(
      () => aliasNeeds([{ server: 'a', records: [], failure: 'timed out' }], move),
      /NC4040.*timed out/,
    );
  });
  it('waits the old TTL from the swap, or in full when the moment is not known', () => {
    assert.equal(ttlWaitEndMs(1_000, 30, 5_000), 31_000);
    assert.equal(ttlWaitEndMs(undefined, 30, 5_000), 35_000);
  });
  it('counts serials in a circle', () => {
    assert.ok(serialAtLeast(1, 4_294_967_290));
    assert.ok(!serialAtLeast(4_294_967_290, 1));
    assert.ok(serialAtLeast(5, 5));
  });
});

describe('an update as text', () => {
  const swap: Swap = {
    name: NAME,
    type: 'A',
    expect: ['10.0.0.1'],
    add: ['10.0.0.2'],
    remove: ['10.0.0.1'],
    ttl: 30,
  };
  it('is one message with the whole set as prerequisite', () => {
    assert.equal(
      updateText(swap, 'k8s.test', '127.0.0.1:53'),
      'server 127.0.0.1 53\nzone k8s.test.\nprereq yxrrset cp.k8s.test. A 10.0.0.1\nupdate delete cp.k8s.test. A 10.0.0.1\nupdate add cp.k8s.test. 30 A 10.0.0.2\nsend\n',
    );
  });
  const hostile: [string, Partial<Swap>][] = [
    ['a newline in an address', { add: ['10.0.0.2\nupdate delete k8s.test.'] }],
    ['a semicolon', { add: ['10.0.0.2;'] }],
    ['an address out of range', { add: ['10.0.0.256'] }],
    ['a shell substitution as a name', { name: '$(id).k8s.test' }],
    ['a name outside the zone', { name: 'cp.other.test' }],
    ['a name that only ends like the zone', { name: 'evilk8s.test' }],
    ['a blank in a name', { name: 'a b.k8s.test' }],
    ['a CNAME that is two words', { type: 'CNAME', expectType: 'A', add: ['x.test. A'] }],
    ['a TTL that is no number', { ttl: Number.NaN }],
    ['an expectation with a newline', { expect: ['10.0.0.1\n'] }],
  ];
  for (const [what, part] of hostile) {
    it(`does not take ${what}`, () =>
      assert.throws(() => requireSwap({ ...swap, ...part }, 'k8s.test'), /NC4041/));
  }
  it('tells refusals apart by the words of nsupdate', () => {
    const of = (exitCode: number, stderr: string) => judgeNsupdate({ exitCode, stderr }).refused;
    assert.equal(of(2, 'update failed: NXRRSET\n'), 'stale');
    assert.equal(of(2, 'update failed: YXDOMAIN\n'), 'stale');
    assert.equal(of(2, 'update failed: REFUSED\n'), 'policy');
    assert.equal(
      of(2, '; TSIG error with server: tsig indicates error\nupdate failed: NOTAUTH(BADSIG)\n'),
      'key',
    );
    assert.equal(of(2, '; Communication with 127.0.0.1#53 failed: connection refused\n'), 'unreachable');
    assert.equal(of(2, '; Communication with 127.0.0.1#53 failed: timed out\n'), 'unreachable');
    assert.equal(of(2, 'update failed: SERVFAIL\n'), 'failed');
    assert.equal(of(1, 'syntax error\n'), 'failed');
  });
  it('writes a key file only from a key', () => {
    assert.match(tsigKeyFile('k', 'hmac-sha256', new Secret('AAAA')), /secret "AAAA"/);
    assert.throws(() => tsigKeyFile('k"; };', 'hmac-sha256', new Secret('AAAA')), /NC4041/);
    assert.throws(() => tsigKeyFile('k', 'hmac-sha256', new Secret('A"; x')), /NC4041/);
  });
});

describe('a zone on Windows DNS, through the bridge', () => {
  const WAIT = { deadlineMs: 1_000 };
  const set = { name: NAME, type: 'A' as const };
  const swap: Swap = { ...set, expect: ['10.0.0.1'], add: ['10.0.0.2'], remove: [], ttl: 30 };
  const bridge = (obeys: boolean, code?: 'stale' | 'policy') => {
    let held = ['10.0.0.1'];
    const asked: unknown[] = [];
    return {
      asked,
      read: (request: { servers: readonly string[] }) =>
        Promise.resolve(request.servers.filter((s) => s !== 'dc3').map((server) => view(server, held))),
      swap: (request: { change: Swap }) => {
        asked.push(request);
        if (code) return Promise.resolve({ refused: code });
        if (obeys) held = ['10.0.0.1', '10.0.0.2'];
        return Promise.resolve({ swapped: true as const });
      },
    };
  };
  it('passes the whole swap on and reads back', async () => {
    const over = bridge(true);
    const zone = windowsZone({ zone: 'k8s.test', servers: ['dc1', 'dc2'], bridge: over });
    assert.equal(await zone.swap(swap, WAIT), 'swapped');
    assert.deepEqual(over.asked, [{ zone: 'k8s.test', server: 'dc1', change: { ...swap, expectType: 'A' } }]);
  });
  it('does not ask for a new TTL of a record, which the operation cannot give', async () => {
    const over = bridge(true);
    const zone = windowsZone({ zone: 'k8s.test', servers: ['dc1'], bridge: over });
    const outcome = await zone.swap({ ...swap, add: ['10.0.0.1'], remove: ['10.0.0.1'] }, WAIT);
    assert.ok(typeof outcome === 'object' && outcome.refused === 'failed');
    assert.deepEqual(over.asked, []);
  });
  it('does not believe a success that changed nothing', async () => {
    const outcome = await windowsZone({ zone: 'k8s.test', servers: ['dc1'], bridge: bridge(false) }).swap(
      swap,
      WAIT,
    );
    assert.ok(typeof outcome === 'object' && outcome.refused === 'ignored');
  });
  it('hands on a refusal, and names a server without an answer', async () => {
    const zone = windowsZone({ zone: 'k8s.test', servers: ['dc1', 'dc3'], bridge: bridge(true, 'stale') });
    assert.deepEqual(await zone.swap(swap, WAIT), { refused: 'stale', detail: 'stale' });
    assert.match((await zone.read([set], WAIT))[1]?.failure ?? '', /no answer/);
  });
});
