import assert from 'node:assert/strict';
import { INVARIANTS } from '../../../simulate/judge/invariants.ts';
import type { Seen } from '../../../simulate/judge/seen.ts';

const node = (n: number): Seen['nodes'][number] => ({
  name: `home-n${n}`,
  address: `10.0.0.${n}`,
  ready: true,
  cordoned: false,
  worker: true,
});
const vm = (n: number): Seen['vms'][number] => ({
  id: `vm-${n}`,
  name: `home-n${n}`,
  state: 'running',
  address: `10.0.0.${n}`,
  mac: `00155D00000${n}`,
  setAside: false,
});

/** Three nodes with every role, in good health. */
const healthy = (change: Partial<Seen> = {}): Seen => ({
  nowMs: 100_000,
  members: [1, 2, 3].map((n) => ({ name: `etcd-home-n${n}`, address: `10.0.0.${n}`, running: true })),
  quorum: true,
  apiservers: ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
  nodes: [1, 2, 3].map(node),
  vms: [1, 2, 3].map(vm),
  steadyVms: 3,
  steadyWorkers: 3,
  backends: [1, 2, 3].map((n) => ({ place: 'proxy web', address: `10.0.0.${n}` })),
  aliases: [{ name: 'cp-home', server: '10.0.0.53:53', members: ['10.0.0.1'] }],
  intent: [1, 2, 3].map((n) => ({ name: `home-n${n}`, address: `10.0.0.${n}` })),
  holder: '',
  excused: new Map(),
  ...change,
});

const judge = (name: keyof typeof INVARIANTS, seen: Seen, before: Seen = healthy()) =>
  INVARIANTS[name](seen, before).broken;

describe('The invariants of the simulation', () => {
  it('find nothing wrong with a healthy cluster', () => {
    for (const [name, invariant] of Object.entries(INVARIANTS))
      assert.equal(invariant(healthy(), healthy()).broken, undefined, name);
  });

  it('see etcd without its quorum, unless a member has just fallen', () => {
    const members = healthy().members.map((member, at) => ({ ...member, running: at === 0 }));
    const lost = { quorum: false, members };
    assert.match(judge('etcd keeps its quorum', healthy(lost)) ?? '', /etcd-home-n2/);
    const excused = new Map([['10.0.0.2', 99_000]]);
    assert.equal(judge('etcd keeps its quorum', healthy({ ...lost, excused })), undefined);
    const long = new Map([['10.0.0.2', 10_000]]);
    assert.match(judge('etcd keeps its quorum', healthy({ ...lost, excused: long })) ?? '', /no quorum/);
  });

  it('see a cluster without an apiserver', () => {
    assert.match(judge('a control plane is in service', healthy({ apiservers: [] })) ?? '', /no apiserver/);
  });

  it('see fewer nodes that take pods than are steady', () => {
    const nodes = healthy().nodes.map((one, at) => ({ ...one, cordoned: at === 0 }));
    assert.match(judge('capacity is never below steady', healthy({ nodes })) ?? '', /2 nodes take pods/);
    const excused = new Map([['10.0.0.1', 99_000]]);
    assert.equal(judge('capacity is never below steady', healthy({ nodes, excused })), undefined);
    assert.equal(
      judge('capacity is never below steady', healthy({ nodes: [...nodes, node(4)] })),
      undefined,
      'with the successor in service',
    );
  });

  it('see two VMs more than are steady', () => {
    const vms = [1, 2, 3, 4].map(vm);
    assert.equal(judge('running VMs are never above steady + 1', healthy({ vms })), undefined);
    assert.match(
      judge('running VMs are never above steady + 1', healthy({ vms: [...vms, vm(5)] })) ?? '',
      /5 VMs run/,
    );
  });

  it('see traffic to a VM that is off, and to a node that has left', () => {
    const off = healthy().vms.map((one, at) => (at === 2 ? { ...one, state: 'off' } : one));
    assert.match(judge('no traffic goes to a node that is gone', healthy({ vms: off })) ?? '', /no VM runs/);
    const nodes = [1, 2].map(node);
    assert.match(judge('no traffic goes to a node that is gone', healthy({ nodes })) ?? '', /no node/);
  });

  it('see an alias that answers nothing', () => {
    const aliases = [{ name: 'cp-home', server: '10.0.0.53:53', members: [] }];
    assert.match(judge('an alias is never empty', healthy({ aliases })) ?? '', /cp-home is empty/);
  });

  it('see a VM that is set aside while something refers to it', () => {
    const vms = healthy().vms.map((one, at) =>
      at === 2 ? { ...one, state: 'off', name: 'home-n3-set-aside-1', setAside: true } : one,
    );
    const broken = judge('nothing is deleted that is still referred to', healthy({ vms })) ?? '';
    for (const who of ['the Node home-n3', 'an etcd member', 'proxy web', 'cluster.yml'])
      assert.ok(broken.includes(who), `${who} in: ${broken}`);
  });

  it('see a VM that is made with a name that is held', () => {
    const aside = { ...vm(4), state: 'off', name: 'home-n4-set-aside-1', setAside: true };
    const before = healthy({ vms: [...healthy().vms, aside] });
    const again = { ...vm(4), id: 'vm-44', mac: '00155D000044', address: '10.0.0.44' };
    const name = 'no name or address is reused while it is held';
    assert.match(judge(name, healthy({ vms: [...before.vms, again] }), before) ?? '', /holds its name/);
    const twin = { ...again, name: 'home-n5', address: '10.0.0.3' };
    assert.match(judge(name, healthy({ vms: [...healthy().vms, twin] })) ?? '', /two VMs have the address/);
  });
});
