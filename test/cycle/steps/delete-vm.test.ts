/** The last step: nothing may refer to the node, and only its own VM goes. */
import assert from 'node:assert/strict';
import { planDeleteVm } from '../../../cycle/steps/delete-vm.ts';
import type { PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { isRefusal, type Plan } from '../../../cycle/step.ts';
import { begun, killed, noActs, travel } from '../journey.ts';
import { configOf, vmFor, worldOf } from '../world.ts';

const config = configOf();
const origin = worldOf(config);
const whole = travel(config, { leaving: 'home-n1', staying: 'home-n5', dead: false }, begun(config, origin));
const gone =
  whole.worlds[whole.actions.findIndex(({ step }) => step.startsWith('DeleteVm'))] ?? assert.fail();
const plan = (world: PlanWorld, mode: 'delete' | 'stop' = 'delete') =>
  planDeleteVm(config, { leaving: 'home-n1', staying: 'home-n5', mode }, noActs(), world);
const ids = <O>(planned: Plan<O>) =>
  isRefusal(planned) ? assert.fail(JSON.stringify(planned)) : planned.map(({ id }) => id);

describe('DeleteVm', () => {
  it('forgets the node in DNS, sets the VM aside, forgets its host key, and clears label and facts, the VM as the only irreversible act', () => {
    const planned = plan(gone);
    assert.deepEqual(ids(planned), [
      'dns.forget home-n1',
      'vm.delete home-n1',
      'hostkey.forget home-n1',
      'label.clear home-n5',
      'facts.clear',
    ]);
    assert.deepEqual(!isRefusal(planned) && planned.map(({ irreversible }) => irreversible === true), [
      false,
      true,
      false,
      false,
      false,
    ]);
  });

  it('touches no other VM', () => {
    const end = whole.worlds.at(-1) ?? assert.fail();
    assert.deepEqual(
      end.vms.filter(({ setAside }) => setAside).map(({ name }) => name),
      ['home-n1'],
    );
  });

  const references: [string, Partial<PlanWorld>, RegExp][] = [
    ['an entry in cluster.yml', { intent: origin.intent }, /cluster\.yml has an entry/],
    ['a Node', { kube: { ...gone.kube, nodes: origin.kube.nodes } }, /Kubernetes has the Node/],
    ['an etcd member', { etcd: origin.etcd }, /etcd has the member/],
    ["rke's state", { state: origin.state }, /rke's state has/],
    [
      'an endpoint',
      { kube: { ...gone.kube, endpointSlices: origin.kube.endpointSlices } },
      /has an endpoint on/,
    ],
    ['an upstream', { proxies: origin.proxies }, /the upstream ingress_http of pi names it/],
    ['the ingress values', { ingress: origin.ingress }, /the ingress values name 10\.0\.0\.11/],
    [
      'an alias on the primary',
      { dns: [origin.dns[0] ?? assert.fail(), ...gone.dns.slice(1)] },
      /the alias cp-home on 10\.0\.0\.2:53/,
    ],
    [
      'an alias on a second server',
      { dns: [...gone.dns.slice(0, 1), origin.dns[1] ?? assert.fail()] },
      /on 10\.0\.0\.3:53/,
    ],
    [
      'perhaps a record of a server that is silent',
      { dns: [...gone.dns.slice(0, 1), { server: '10.0.0.3:53', records: [], failure: 'timed out' }] },
      /10\.0\.0\.3:53 does not say/,
    ],
  ];
  for (const [what, part, why] of references) {
    it(`keeps the VM while ${what} refers to the node`, () => {
      const refused = plan({ ...gone, ...part });
      assert.ok(isRefusal(refused), what);
      assert.equal(refused.code, 'NC1222');
      assert.match(refused.what, why);
    });
  }

  it('deletes none of two VMs that both say that they are the node', () => {
    const twin = {
      ...vmFor({ name: 'home-n1', address: '10.0.0.98', roles: [], ageDays: 3 }),
      id: '00000000-0000-0000-0000-000000000099',
    };
    for (const mode of ['delete', 'stop'] as const) {
      const refused = plan({ ...gone, vms: [...gone.vms, twin] }, mode);
      assert.equal(isRefusal(refused) && refused.code, 'NC1219');
    }
  });

  it('only clears up when the VM is set aside already', () => {
    const aside = gone.vms.map((vm) => (vm.name === 'home-n1' ? { ...vm, setAside: true } : vm));
    assert.deepEqual(ids(plan({ ...gone, vms: aside })), [
      'dns.forget home-n1',
      'hostkey.forget home-n1',
      'label.clear home-n5',
      'facts.clear',
    ]);
  });

  it('with mode stop powers the VM of a dead node off and nothing more', () => {
    const world = begun(config, killed(origin, 'home-n1'), { node: 'home-n1' });
    assert.deepEqual(ids(plan(world, 'stop')), ['vm.stop home-n1']);
    const off = world.vms.map((vm) => (vm.name === 'home-n1' ? { ...vm, state: 'off' as const } : vm));
    assert.deepEqual(ids(plan({ ...world, vms: off }, 'stop')), []);
    const refused = plan({ ...world, vms: [] }, 'stop');
    assert.equal(isRefusal(refused) && refused.code, 'NC1217');
  });
});
