/** Reserving and giving back, with a real service and the Lease: nothing is lost wherever a run dies. */
import assert from 'node:assert/strict';
import { parse } from 'zod/mini';
import { createVmOrGiveBack, releaseAddress, reserveAddress } from '../../../cycle/acts/reservations.ts';
import { writeFacts } from '../../../cycle/acts/facts.ts';
import { createKubeApi } from '../../../cycle/cluster/kubernetes/api.ts';
import { takeLock } from '../../../cycle/cluster/kubernetes/lease.ts';
import { addresses } from '../../../cycle/config/schema-addresses.ts';
import type { Context } from '../../../cycle/context.ts';
import { webhookReservations } from '../../../cycle/edge/reservation/webhook.ts';
import { factsFromAnnotations, type Facts } from '../../../cycle/facts.ts';
import { observe, readLockOf } from '../../../cycle/observe.ts';
import type { RunEventBody } from '../../../cycle/record.ts';
import { planDeleteVm } from '../../../cycle/steps/delete-vm.ts';
import { converge, isRefusal, Refused } from '../../../cycle/step.ts';
import { CodedError } from '../../../ports/errors.ts';
import { clock } from '../../../ports/clock.ts';
import { openHttp } from '../../../ports/http.ts';
import { PortError } from '../../../ports/ports.ts';
import { Secret } from '../../../ports/secret.ts';
import { kubeDouble } from '../cluster/kubernetes/kube-double.ts';
import { startService, TOKEN, type Service } from '../edge/reservation/service.ts';
import { noActs } from '../journey.ts';
import { configOf, ME, vmFor, worldOf } from '../world.ts';

const ORDER = { node: 'home-n5', role: 'worker', size: 'agent', image: 'ubuntu-node', replaces: 'home-n1' };

describe('Addresses from a reservation service', () => {
  const opened = openHttp();
  const signal = () => new AbortController().signal;
  let service: Service;
  before(async () => {
    service = await startService();
  });
  after(async () => {
    opened.close();
    await service.stop();
  });
  afterEach(() => {
    service.leases.clear();
    service.seen.length = 0;
    service.before = undefined;
    service.nextAddress = '10.0.0.60';
  });

  async function run(over: { find?: boolean } = {}) {
    const source = {
      source: 'reservation',
      ranges: ['10.0.0.60-10.0.0.79'],
      service: {
        kind: 'webhook',
        url: service.url,
        macForm: 'dashes',
        ...(over.find === true ? { find: { path: '/reservations?name={name}' } } : {}),
      },
    };
    const parsed = parse(addresses, source);
    assert.ok(parsed.source === 'reservation' && parsed.service.kind === 'webhook');
    const config = configOf({ addresses: source });
    const kube = kubeDouble();
    const api = createKubeApi({ http: kube.http, clock }, { servers: ['https://a:6443'] });
    await takeLock(api, 'home', undefined, ME, 0, { deadlineMs: 1_000 });
    const records: RunEventBody[] = [];
    const vms: ReturnType<typeof vmFor>[] = [];
    const bridge = {
      read: () => Promise.resolve({ vms, jobs: [] }),
      submit: () => Promise.resolve({ op: 'vm.create', id: 'j1', state: 'queued' }),
      waitFor: (): Promise<unknown> =>
        Promise.resolve({ kind: 'failed', error: 'scriptFailed', job: { id: 'j1', state: 'failed' } }),
      lastHead: () => undefined,
    };
    const ctx = {
      config,
      me: ME,
      ports: { clock, http: opened.http },
      cluster: { kube: () => Promise.resolve(api) },
      bridges: [{ url: 'https://hv1:8443', client: bridge, host: 'hv1' }],
      reservations: webhookReservations({
        http: opened.http,
        service: parsed.service,
        token: new Secret(TOKEN),
      }),
      evidence: new Map(),
      logins: new Map(),
      record: (event: RunEventBody) => void records.push(event),
      say: () => undefined,
    } as unknown as Context;
    const reservations = async (): Promise<Facts['reservations']> =>
      factsFromAnnotations((await readLockOf(ctx, signal()))?.annotations ?? {}).reservations;
    return { ctx, bridge, vms, kube, records, reservations };
  }

  it('are on the Lease with their MAC when the service has answered, and gone from both when given back', async () => {
    const { ctx, reservations, records } = await run();
    await reserveAddress(ctx, 'home-n5', signal());
    const reserved = {
      mac: service.leases.get('home-n5')?.mac.toLowerCase().replaceAll('-', ':'),
      address: '10.0.0.60',
    };
    assert.deepEqual(await reservations(), { 'home-n5': reserved });
    assert.deepEqual(
      records.map((event) => event.kind === 'evidence' && event.facts),
      [{ 'reserved address': '10.0.0.60', 'reserved MAC': reserved.mac }],
    );
    await releaseAddress(ctx, 'home-n5', reserved.mac, signal());
    assert.deepEqual([service.leases.size, await reservations()], [0, undefined]);
  });

  it('are found again by their name when the run died before it wrote the answer down', async () => {
    for (const find of [false, true]) {
      const { ctx, reservations, kube } = await run({ find });
      let writes = 0;
      kube.before = (request) =>
        ['PUT', 'PATCH'].includes(request.method) && (writes += 1) === 2
          ? { status: 500, body: { kind: 'Status', status: 'Failure', message: 'the run dies here' } }
          : undefined;
      await assert.rejects(reserveAddress(ctx, 'home-n5', signal()));
      kube.before = undefined;
      assert.deepEqual([service.leases.size, await reservations()], [1, { 'home-n5': {} }]);
      // Forward: the next run reserves again and gets the same.
      const [lease] = service.leases.values();
      await reserveAddress(ctx, 'home-n5', signal());
      assert.equal(service.leases.get('home-n5'), lease);
      // Back: without a MAC on the Lease it is given back all the same.
      await releaseAddress(ctx, 'home-n5', undefined, signal());
      assert.deepEqual([service.leases.size, await reservations()], [0, undefined]);
    }
  });

  it('are given back twice without harm, when the run died between the service and the Lease', async () => {
    const { ctx, reservations, kube } = await run();
    await reserveAddress(ctx, 'home-n5', signal());
    const mac = (await reservations())?.['home-n5']?.mac;
    kube.before = (request) =>
      ['PUT', 'PATCH'].includes(request.method)
        ? { status: 500, body: { kind: 'Status', status: 'Failure', message: 'the run dies here' } }
        : undefined;
    await assert.rejects(releaseAddress(ctx, 'home-n5', mac, signal()));
    kube.before = undefined;
    assert.equal((await reservations())?.['home-n5']?.mac, mac);
    await releaseAddress(ctx, 'home-n5', mac, signal());
    assert.equal(await reservations(), undefined);
  });

  it('outside the ranges are given back at once, and refused', async () => {
    const { ctx, reservations } = await run();
    service.nextAddress = '10.0.7.1';
    await assert.rejects(reserveAddress(ctx, 'home-n5', signal()), (error) => {
      assert.ok(error instanceof Refused && error.refusal.code === 'NC1218');
      assert.match(
        error.refusal.what,
        /10\.0\.7\.1, reserved for home-n5, is outside 10\.0\.0\.60-10\.0\.0\.79/,
      );
      return true;
    });
    assert.deepEqual([service.leases.size, await reservations()], [0, undefined]);
  });

  it('are given back when the host could not make the VM, and none is there', async () => {
    const { ctx, reservations } = await run();
    await reserveAddress(ctx, 'home-n5', signal());
    const mac = (await reservations())?.['home-n5']?.mac ?? assert.fail();
    const create = createVmOrGiveBack(ctx, 'hv1', { ...ORDER, mac }, signal());
    await assert.rejects(create, (error) => error instanceof CodedError && error.code === 'NC1253');
    assert.deepEqual([service.leases.size, await reservations()], [0, undefined]);
  });

  it('are kept when a VM is there after all, when the host says nothing, or the run was cancelled', async () => {
    const { ctx, reservations, vms, bridge } = await run();
    await reserveAddress(ctx, 'home-n5', signal());
    const mac = (await reservations())?.['home-n5']?.mac ?? assert.fail();
    vms.push({ ...vmFor({ name: 'home-n5', address: '10.0.0.60', roles: [], ageDays: 0 }), mac });
    await assert.rejects(createVmOrGiveBack(ctx, 'hv1', { ...ORDER, mac }, signal()));
    vms.length = 0;
    const ended = bridge.waitFor;
    bridge.waitFor = () => Promise.reject(new PortError('timeout', 'http', 'no answer', true));
    await assert.rejects(createVmOrGiveBack(ctx, 'hv1', { ...ORDER, mac }, signal()));
    bridge.waitFor = ended;
    const cancelled = new AbortController();
    bridge.waitFor = () => {
      cancelled.abort();
      return ended();
    };
    await assert.rejects(createVmOrGiveBack(ctx, 'hv1', { ...ORDER, mac }, cancelled.signal));
    assert.deepEqual([service.leases.size, (await reservations())?.['home-n5']?.mac], [1, mac]);
  });

  it('are not touched by a run that does not hold the lock', async () => {
    const { ctx } = await run();
    const other = { ...ctx, me: 'org/project/7/99' };
    for (const act of [
      () => reserveAddress(other, 'home-n5', signal()),
      () => releaseAddress(other, 'home-n5', '00:15:5d:00:00:01', signal()),
    ])
      await assert.rejects(act(), (error) => error instanceof Refused && error.refusal.code === 'NC1013');
    assert.deepEqual(service.seen, []);
  });

  it('are seen at the service when it can be asked, and given back by the step that finds them', async () => {
    const { ctx, reservations } = await run({ find: true });
    await reserveAddress(ctx, 'home-n5', signal());
    const look = async () => {
      const parts = await observe(
        ctx,
        ['nowMs', 'facts', 'reservations'],
        { leaving: 'home-n5', staying: 'home-n1', logins: 'none' },
        signal(),
      );
      return { ...worldOf(ctx.config), ...parts };
    };
    const first = await look();
    assert.deepEqual(first.reservations, {
      'home-n1': 'none',
      'home-n5': (await reservations())?.['home-n5'],
    });
    // The Lease lost it; the service still has it under the name.
    await writeFacts(ctx, { reservations: { 'home-n5': undefined } }, signal());
    const outcome = await converge(
      {
        name: 'DeleteVm',
        observe: look,
        plan: (world) => {
          const planned = planDeleteVm(
            ctx.config,
            { leaving: 'home-n5', staying: 'home-n1', mode: 'delete' },
            { ...noActs(), releaseAddress: (name, mac, stop) => releaseAddress(ctx, name, mac, stop) },
            world,
          );
          return isRefusal(planned) ? planned : planned.filter(({ id }) => id.startsWith('address.'));
        },
      },
      { clock, record: () => undefined, signal: signal(), pollMs: 1, observeMs: 100 },
    );
    assert.deepEqual(outcome.actions, ['address.release home-n5']);
    assert.deepEqual([service.leases.size, await reservations()], [0, undefined]);
  });
});
