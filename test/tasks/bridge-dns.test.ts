/** Windows DNS through the bridges: which one is asked, and with how many names at once. */
import assert from 'node:assert/strict';
import type { BridgeClient } from '../../agent-bridge/client/client.ts';
import { DNS_NAMES_LIMIT } from '../../agent-bridge/protocol/operations.ts';
import { createKubeApi } from '../../cycle/cluster/kubernetes/api.ts';
import { takeLock } from '../../cycle/cluster/kubernetes/lease.ts';
import type { Context } from '../../cycle/context.ts';
import type { HostBridge } from '../../cycle/hosts.ts';
import { clock } from '../../ports/clock.ts';
import { CodedError, type ErrorCode } from '../../ports/errors.ts';
import { bridgeDns } from '../../tasks/bridge-dns.ts';
import { kubeDouble } from '../cycle/cluster/kubernetes/kube-double.ts';
import { configOf, ME } from '../cycle/world.ts';

const ZONE = 'home.example';
const wait = { deadlineMs: 1_000 };
const sets = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ name: `n${n}.${ZONE}`, type: 'A' as const }));
const CHANGE = {
  ...{ name: `cp.${ZONE}`, type: 'A' as const, expectType: 'A' as const, ttl: 60 },
  ...{ expect: ['10.0.0.1'], add: ['10.0.0.2'], remove: ['10.0.0.1'] },
};

interface Far extends HostBridge {
  /** The names of each question. */
  asked: string[][];
  swapped: unknown[];
}

/** Grants the zone, unless it refuses with a code. `serials`: of each answer of dc1 in turn; dc2 is silent from the second on. */
function bridge(host: string, refuses?: ErrorCode, serials = [7]): Far {
  const asked: string[][] = [];
  const swapped: unknown[] = [];
  const client = {
    read: (op: string, params: { names?: string[] }) => {
      if (op === 'vm.read') return Promise.resolve({ vms: [], jobs: [] });
      const names = params.names ?? [];
      asked.push(names);
      if (refuses !== undefined) return Promise.reject(new CodedError(refuses, `no ${ZONE}`));
      const records = names.map((name) => ({ name, type: 'A', ttl: 60, data: '10.0.0.1' }));
      const view = (server: string) => ({ server, serial: String(serials[asked.length - 1] ?? 7), records });
      return Promise.resolve({ servers: [view('dc1'), ...(asked.length === 1 ? [view('dc2')] : [])] });
    },
    submit: (op: string, params: object) => {
      swapped.push({ op, ...params });
      return Promise.resolve({ op, id: 'j1', state: 'queued' });
    },
    waitFor: () => Promise.resolve({ kind: 'done', result: {}, job: { id: 'j1', state: 'succeeded' } }),
    lastHead: () => undefined,
  };
  return { url: `https://${host}:8443`, client: client as unknown as BridgeClient, asked, swapped };
}

async function dnsOver(...bridges: HostBridge[]) {
  const kube = kubeDouble();
  const api = createKubeApi({ http: kube.http, clock }, { servers: ['https://a:6443'] });
  await takeLock(api, 'home', undefined, ME, 0, wait);
  const ctx = {
    config: configOf(),
    me: ME,
    bridges,
    ports: { clock },
    signal: new AbortController().signal,
    cluster: { kube: () => Promise.resolve(api) },
    record: () => undefined,
    say: () => undefined,
  };
  return bridgeDns(ctx as unknown as Context);
}
const read = (dns: Awaited<ReturnType<typeof dnsOver>>, count: number) =>
  dns.read({ zone: ZONE, servers: ['dc1', 'dc2'], sets: sets(count) }, wait);

describe('The names of one question to a bridge', () => {
  it('are no more than it takes; the answers become one, under the serial of the first', async () => {
    const only = bridge('hv1', undefined, [7, 8, 9]);
    const views = await read(await dnsOver(only), 2 * DNS_NAMES_LIMIT + 1);
    assert.deepEqual(
      only.asked.map((names) => names.length),
      [DNS_NAMES_LIMIT, DNS_NAMES_LIMIT, 1],
    );
    const [first, ...others] = views;
    assert.deepEqual([first?.server, first?.serial, others.length], ['dc1', 7, 0]);
    assert.deepEqual(
      first?.records.map(({ name }) => name),
      sets(2 * DNS_NAMES_LIMIT + 1).map(({ name }) => name),
    );
  });

  it('are asked at once when they fit, each name once', async () => {
    const only = bridge('hv1');
    const dns = await dnsOver(only);
    const twice = [...sets(3), ...sets(3).map((set) => ({ ...set, type: 'AAAA' as const }))];
    const views = await dns.read({ zone: ZONE, servers: ['dc1'], sets: twice }, wait);
    assert.deepEqual(only.asked, [['n0', 'n1', 'n2']]);
    assert.deepEqual(
      views.map(({ server }) => server),
      ['dc1', 'dc2'],
    );
  });
});

describe('Of several bridges', () => {
  it('the first that grants the zone reads and changes it, and the others are not asked again', async () => {
    const [refusing, silent, granting, last] = [
      bridge('hv1', 'NC2004'),
      bridge('hv2', 'NC2007'),
      bridge('hv3'),
      bridge('hv4'),
    ];
    const dns = await dnsOver(refusing, silent, granting, last);
    await read(dns, 2);
    await read(dns, 2);
    assert.deepEqual(await dns.swap({ zone: ZONE, server: 'dc1', change: CHANGE }, wait), { swapped: true });
    assert.deepEqual(
      [refusing, silent, last].map(({ asked, swapped }) => [asked.length, swapped.length]),
      [
        [1, 0],
        [1, 0],
        [0, 0],
      ],
    );
    assert.equal(granting.swapped.length, 1);
  });

  it('the one that grants it is found by a change too', async () => {
    const [refusing, granting] = [bridge('hv1', 'NC2004'), bridge('hv2')];
    const dns = await dnsOver(refusing, granting);
    await dns.swap({ zone: ZONE, server: 'dc1', change: CHANGE }, wait);
    assert.deepEqual([refusing.asked, granting.asked], [[['cp']], [['cp']]]);
    assert.equal(granting.swapped.length, 1);
  });

  it('a set of AAAA is changed as one of A', async () => {
    const only = bridge('hv1');
    const dns = await dnsOver(only);
    const change = { ...CHANGE, type: 'AAAA' as const, expectType: 'AAAA' as const };
    const six = { ...change, expect: ['fd00::1'], add: ['fd00::2'], remove: ['fd00::1'] };
    assert.deepEqual(await dns.swap({ zone: ZONE, server: 'dc1', change: six }, wait), { swapped: true });
    const { type, add } = only.swapped[0] as { type: string; add: string[] };
    assert.deepEqual([type, add], ['AAAA', ['fd00::2']]);
  });

  it('none may grant it: then each is named with what it said', async () => {
    const dns = await dnsOver(bridge('hv1', 'NC2004'), bridge('hv2', 'NC2004'));
    await assert.rejects(read(dns, 1), (error) => {
      assert.ok(error instanceof CodedError);
      assert.equal(error.code, 'NC2004');
      assert.deepEqual(error.evidence, [`https://hv1:8443: no ${ZONE}`, `https://hv2:8443: no ${ZONE}`]);
      return true;
    });
    // One that did not answer may grant it: worth another question.
    const maybe = await dnsOver(bridge('hv1', 'NC2004'), bridge('hv2', 'NC2007'));
    await assert.rejects(read(maybe, 1), (error) => error instanceof CodedError && error.code === 'NC2007');
  });
});

describe('A swap through a bridge', () => {
  it('that would change the type of a set is refused in words, and no bridge is asked', async () => {
    const only = bridge('hv1');
    const dns = await dnsOver(only);
    const change = { ...CHANGE, expectType: 'CNAME' as const, expect: ['old.home.example'], remove: [] };
    assert.deepEqual(await dns.swap({ zone: ZONE, server: 'dc1', change }, wait), {
      refused: 'failed',
      detail: 'the bridge changes members of a set, and cp.home.example would turn from CNAME into A',
    });
    assert.deepEqual([only.asked, only.swapped], [[], []]);
  });
});
