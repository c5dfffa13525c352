/** The successor's VM: one, in range, from a newer image, with a proven login. */
import assert from 'node:assert/strict';
import { sizeFor } from '../../../cycle/plan/size.ts';
import { planProvision } from '../../../cycle/steps/provision-node.ts';
import type { PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { isRefusal, type Plan } from '../../../cycle/step.ts';
import { begun, noActs, travel } from '../journey.ts';
import { configOf, hostOf, nodesWith, vmFor, worldOf } from '../world.ts';

const config = configOf();
const start = begun(config, worldOf(config));
const whole = travel(config, { leaving: 'home-n1', staying: 'home-n5', dead: false }, start);
const done =
  whole.worlds[whole.actions.findIndex(({ step }) => step.startsWith('RkeAddNode'))] ?? assert.fail();
const plan = (world: PlanWorld, of = config) =>
  planProvision(of, { leaving: 'home-n1', staying: 'home-n5' }, noActs(), world);
const ids = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? assert.fail(JSON.stringify(planned)) : planned.map(({ id }) => id);
const code = <O>(planned: Plan<O>) => (isRefusal(planned) ? planned.code : 'a plan');
const image = (world: PlanWorld, over: object): PlanWorld => ({
  ...world,
  hosts: world.hosts.map((seen) => ({
    ...seen,
    images: seen.images.map((one) => ({ ...one, ...over })),
  })),
});

describe('ProvisionNode', () => {
  it('makes the VM, waits for its address, pins its host key, proves a login and asks what it runs', () => {
    assert.deepEqual(ids(plan(start)), [
      'vm.create home-n5',
      'vm.address home-n5',
      'hostkey.pin home-n5',
      'ssh.login home-n5',
      'node.evidence home-n5',
    ]);
    assert.deepEqual(ids(plan(done)), []);
  });

  it('builds the image first when it is stale', () => {
    assert.equal(ids(plan(image(start, { stale: true })))[0], 'image.build ubuntu-node');
  });

  it('orders the size of the heaviest role, the static address, and what the old VM hands down', async () => {
    const orders: unknown[] = [];
    const acts = {
      ...noActs(),
      createVm: async (...order: unknown[]) => void orders.push(order.slice(0, 2)),
    };
    const planned = planProvision(config, { leaving: 'home-n1', staying: 'home-n5' }, acts as never, start);
    assert.ok(!isRefusal(planned));
    await planned[0]?.apply?.(new AbortController().signal);
    const order = {
      node: 'home-n5',
      role: 'controlplane',
      size: 'server',
      image: 'ubuntu-node',
      address: '10.0.0.60',
      replaces: 'home-n1',
    };
    assert.deepEqual(orders, [['hv1', { ...order, inheritFrom: '00000000-0000-0000-0000-000000000001' }]]);
    assert.equal(sizeFor(config, ['worker']), 'agent');
    assert.equal(sizeFor(config, ['worker', 'etcd']), 'server');
  });

  it('refuses an image that is missing, or not newer than the old one', () => {
    assert.equal(code(plan({ ...start, hosts: [hostOf('hv1', { images: [] })] })), 'NC1223');
    assert.equal(code(plan(image(start, { builtAt: '2026-01-01T00:00:00.000Z' }))), 'NC1223');
    const any = configOf({ vm: { ...config.vm, requireNewer: false } });
    assert.equal(code(plan(image(start, { builtAt: '2026-01-01T00:00:00.000Z' }), any)), 'a plan');
  });

  it('refuses when two VMs say that they are the successor, when it is set aside, or outside the ranges', () => {
    const made = (over: object) => ({
      ...vmFor({ name: 'home-n5', address: '10.0.0.60', roles: [], ageDays: 0 }),
      ...over,
    });
    const twice = [...done.vms, made({ id: '00000000-0000-0000-0000-000000000077' })];
    assert.equal(code(plan({ ...done, vms: twice })), 'NC1219');
    assert.equal(code(plan({ ...start, vms: [...start.vms, made({ setAside: true })] })), 'NC1217');
    const marker = {
      cluster: 'home',
      node: 'home-n5',
      replaces: 'home-n1',
      address: '10.0.9.9',
      createdAt: '2026-06-15T00:00:00Z',
    };
    assert.equal(code(plan({ ...start, vms: [...start.vms, made({ marker })] })), 'NC1218');
  });

  it('refuses roles for which no size is set', () => {
    const none = configOf({ vm: { image: 'ubuntu-node', sizes: { controlplane: 'server' } } });
    const worker = begun(config, worldOf(config, nodesWith(['worker'])));
    assert.equal(code(plan(worker, none)), 'NC1215');
  });

  it('pins the key again when known_hosts has another one', () => {
    const changed = {
      ...done,
      knownHosts: done.knownHosts.replace('10.0.0.60 ssh-ed25519 predicted', '10.0.0.60 ssh-ed25519 other'),
    };
    assert.deepEqual(ids(plan(changed)), ['hostkey.pin home-n5', 'ssh.login home-n5']);
  });

  it('waits for a VM that has not booted, and for a login that does not work yet', () => {
    const off = done.vms.map((vm) => (vm.name === 'home-n5' ? { ...vm, state: 'starting' as const } : vm));
    assert.deepEqual(ids(plan({ ...done, vms: off })), ['vm.address home-n5', 'ssh.login home-n5']);
    assert.deepEqual(ids(plan({ ...done, ssh: { ...done.ssh, '10.0.0.60': 'refused' } })), [
      'ssh.login home-n5',
    ]);
  });
});
