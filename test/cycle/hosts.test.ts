/** Several Hyper-V hosts: which one is whose, and what a bridge that does not answer lets nobody conclude. */
import assert from 'node:assert/strict';
import type { BridgeClient } from '../../agent-bridge/client/client.ts';
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import { createVm, deleteVm } from '../../cycle/acts/host.ts';
import { createKubeApi } from '../../cycle/cluster/kubernetes/api.ts';
import { takeLock } from '../../cycle/cluster/kubernetes/lease.ts';
import type { Context } from '../../cycle/context.ts';
import { bridgeOn, readHosts, type HostBridge } from '../../cycle/hosts.ts';
import { observe } from '../../cycle/observe.ts';
import type { RunEventBody } from '../../cycle/record.ts';
import { CodedError, type ErrorCode } from '../../ports/errors.ts';
import { clock } from '../../ports/clock.ts';
import { kubeDouble } from './cluster/kubernetes/kube-double.ts';
import { configOf, hostOf, ME, vmFor } from './world.ts';

const wait = { deadlineMs: 1_000 };
const signal = () => new AbortController().signal;
const vm = (name: string, host: string): VmView => ({
  ...vmFor({ name, address: `10.0.0.${name.slice(-1)}`, roles: [], ageDays: 1 }),
  host,
});

interface Far {
  vms?: VmView[];
  /** Refuses each read so. */
  fails?: ErrorCode;
  submitted?: unknown[];
}

/** A bridge on that host; every change that it is given succeeds. */
function bridge(host: string, { vms = [], fails, submitted = [] }: Far = {}): HostBridge {
  const client: Partial<Record<keyof BridgeClient, unknown>> = {
    read: (op: string) => {
      if (fails !== undefined) return Promise.reject(new CodedError(fails, 'no answer'));
      const { host: name, memoryFreeMb, memoryTotalMb, diskFreeBytes, vmsRunning, ...rest } = hostOf(host);
      const hosts = [{ host: name, memoryFreeMb, memoryTotalMb, diskFreeBytes, vmsRunning }];
      return Promise.resolve(op === 'host.read' ? { ...rest, hosts } : { vms, jobs: [] });
    },
    submit: (op: string, params: object) => {
      submitted.push({ op, ...params });
      return Promise.resolve({ op, id: 'j1', state: 'queued' });
    },
    waitFor: () =>
      Promise.resolve({
        kind: 'done',
        result: { id: 'x', host, mac: '00:15:5d:00:00:05' },
        job: { id: 'j1', state: 'succeeded' },
      }),
    lastHead: () => `7:${host}hash`,
  };
  return { url: `https://${host}.example:8443`, client: client as unknown as BridgeClient };
}

async function contextOf(bridges: HostBridge[]): Promise<{ ctx: Context; records: RunEventBody[] }> {
  const kube = kubeDouble();
  const api = createKubeApi({ http: kube.http, clock }, { servers: ['https://a:6443'] });
  await takeLock(api, 'home', undefined, ME, 0, wait);
  const records: RunEventBody[] = [];
  const ctx = {
    config: configOf(),
    me: ME,
    bridges,
    ports: { clock },
    cluster: { kube: () => Promise.resolve(api) },
    evidence: new Map(),
    logins: new Map(),
    record: (event: RunEventBody) => void records.push(event),
    say: () => undefined,
  };
  return { ctx: ctx as unknown as Context, records };
}

const coded =
  (code: ErrorCode, ...words: RegExp[]) =>
  (error: unknown) => {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.code, code);
    for (const word of words) assert.match([error.message, ...error.evidence].join('\n'), word);
    return true;
  };

describe('Several hosts', () => {
  it('are told apart by the names that they give themselves', async () => {
    const bridges = [bridge('hv1'), bridge('hv2')];
    assert.throws(
      () => bridgeOn(bridges, 'hv2'),
      coded('NC5009', /hv2\.example:8443: has not said its name/),
    );
    const seen = await readHosts(bridges, wait);
    assert.deepEqual(
      seen.map(({ host, memoryFreeMb }) => [host, memoryFreeMb]),
      [
        ['hv1', 65_536],
        ['hv2', 65_536],
      ],
    );
    assert.equal(bridgeOn(bridges, 'hv2'), bridges[1]);
    assert.throws(() => bridgeOn(bridges, 'hv3'), coded('NC5009', /hv3/, /hv1\.example/));
  });

  it('are refused when two bridges are on the same one', async () => {
    const other = { ...bridge('hv1'), url: 'https://again.example:8443' };
    await assert.rejects(
      readHosts([bridge('hv1'), other], wait),
      coded(
        'NC5008',
        /https:\/\/hv1\.example:8443 and https:\/\/again\.example:8443 both say that they are hv1/,
      ),
    );
  });

  it('give their VMs as one list', async () => {
    const { ctx } = await contextOf([
      bridge('hv1', { vms: [vm('home-n1', 'hv1')] }),
      bridge('hv2', { vms: [vm('home-n2', 'hv2')] }),
    ]);
    const { vms } = await observe(ctx, ['vms'], { logins: 'none' }, signal());
    assert.deepEqual(
      vms.map(({ name, host }) => `${name} on ${host}`),
      ['home-n1 on hv1', 'home-n2 on hv2'],
    );
  });
});

describe('A bridge that does not answer', () => {
  const silent = () => bridge('hv2', { fails: 'NC2007' });
  const pair = { leaving: 'home-n1', staying: 'home-n5', logins: 'none' } as const;

  it('is named, and with it the node whose VM may be there', async () => {
    const { ctx } = await contextOf([bridge('hv1', { vms: [vm('home-n5', 'hv1')] }), silent()]);
    await assert.rejects(
      observe(ctx, ['vms'], pair, signal()),
      coded('NC2007', /https:\/\/hv2\.example:8443: no answer; it may hold the VM of home-n1\./),
    );
  });

  it('does not stop a cycle whose VMs are both on other hosts', async () => {
    const vms = [vm('home-n1', 'hv1'), vm('home-n5', 'hv1')];
    const { ctx } = await contextOf([bridge('hv1', { vms }), silent()]);
    assert.equal((await observe(ctx, ['vms'], pair, signal())).vms.length, 2);
  });

  it('stops whoever concludes from the list that a VM is not there', async () => {
    const vms = [vm('home-n1', 'hv1'), vm('home-n5', 'hv1')];
    const { ctx } = await contextOf([bridge('hv1', { vms }), silent()]);
    for (const part of ['hosts', 'reservations'] as const)
      await assert.rejects(observe(ctx, ['vms', part], pair, signal()), coded('NC2007', /hv2\.example/));
  });

  it('is not one that refuses, or has another certificate: that is said at once', async () => {
    const vms = [vm('home-n1', 'hv1'), vm('home-n5', 'hv1')];
    for (const fails of ['NC2004', 'NC2008'] as const) {
      const { ctx } = await contextOf([bridge('hv1', { vms }), bridge('hv2', { fails })]);
      await assert.rejects(observe(ctx, ['vms'], pair, signal()), coded(fails, /hv2\.example/));
    }
  });
});

describe('An act', () => {
  it('goes to the bridge of its host, and the head of that log into the record', async () => {
    const first: unknown[] = [];
    const second: unknown[] = [];
    const { ctx, records } = await contextOf([
      bridge('hv1', { vms: [vm('home-n1', 'hv1')], submitted: first }),
      bridge('hv2', { vms: [vm('home-n2', 'hv2')], submitted: second }),
    ]);
    await observe(ctx, ['vms', 'hosts'], { logins: 'none' }, signal());
    const order = {
      node: 'home-n5',
      role: 'worker',
      size: 'agent',
      image: 'ubuntu-node',
      replaces: 'home-n2',
    };
    await createVm(ctx, 'hv2', order, signal());
    await deleteVm(ctx, { id: 'id-of-n1', host: 'hv1' }, signal());
    assert.deepEqual(first, [{ op: 'vm.delete', cluster: 'home', id: 'id-of-n1', fence: 1 }]);
    assert.deepEqual(second, [{ op: 'vm.create', cluster: 'home', ...order, fence: 1 }]);
    assert.deepEqual(
      records.flatMap((event) => (event.kind === 'logHead' ? [[event.host, event.entries, event.hash]] : [])),
      [
        ['hv2', 7, 'hv2hash'],
        ['hv1', 7, 'hv1hash'],
      ],
    );
    assert.ok(records.some((event) => event.kind === 'evidence' && event.facts['host'] === 'hv2'));
  });
});
