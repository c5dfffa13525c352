/** The host of a successor: its predecessor's, or with `spread` one with room and without another etcd member. */
import assert from 'node:assert/strict';
import type { VmView } from '../../../agent-bridge/protocol/operations.ts';
import type { Config, Role } from '../../../cycle/config/schema.ts';
import type { HostSeen } from '../../../cycle/hosts.ts';
import { placeSuccessor, type PlacementWorld } from '../../../cycle/plan/placement.ts';
import { isRefusal, type Refusal } from '../../../cycle/step.ts';
import { ALL_ROLES, configOf, hostOf, vmFor, worldOf, type NodeSpec } from '../world.ts';

const sameHost = configOf();
const spread = configOf({ vm: { ...sameHost.vm, placement: 'spread' } });
const WORKER: readonly Role[] = ['worker'];

/** Each node with the host of its VM; n1 is the one that leaves. */
function worldOn(
  places: readonly (readonly [host: string, roles: readonly Role[]])[],
  hosts: readonly HostSeen[],
): PlacementWorld {
  const specs = places.map(([host, roles], index): NodeSpec => ({
    name: `home-n${index + 1}`,
    roles,
    ageDays: 90 - index,
    vm: { host },
  }));
  return { ...worldOf(sameHost, specs), hosts };
}
const place = (config: Config, world: PlacementWorld, roles: readonly Role[] = ALL_ROLES) =>
  placeSuccessor(config, world, 'home-n1', roles);
function refusalOf(placed: string | Refusal): Refusal {
  return isRefusal(placed) ? placed : assert.fail(`placed on ${placed}`);
}
const free = (host: string, memoryFreeMb: number) => hostOf(host, { memoryFreeMb });
const policyOf = (host: string, over: Partial<HostSeen['clientPolicy']>) =>
  hostOf(host, { clientPolicy: { ...hostOf(host).clientPolicy, ...over } });

describe('A successor', () => {
  it('is made on the host of the node that it replaces, by default and however much is free elsewhere', () => {
    const world = worldOn(
      [
        ['hv2', ALL_ROLES],
        ['hv1', ALL_ROLES],
      ],
      [free('hv1', 900_000), free('hv2', 1)],
    );
    assert.equal(place(sameHost, world), 'hv2');
  });

  it('is refused, with the reason, when that host is full, or has no bridge in the input', () => {
    const full = worldOn(
      [
        ['hv2', ALL_ROLES],
        ['hv2', WORKER],
      ],
      [hostOf('hv1'), policyOf('hv2', { maxRunningVms: 2 })],
    );
    const refusal = refusalOf(place(sameHost, full));
    assert.equal(refusal.code, 'NC1229');
    assert.match(refusal.what, /^hv2 cannot/);
    assert.deepEqual(refusal.evidence, ['one VM more would be 3, and maxRunningVms in its bridge.yaml is 2']);
    const gone = refusalOf(place(sameHost, worldOn([['hv9', ALL_ROLES]], [hostOf('hv1'), hostOf('hv2')])));
    assert.match(gone.what, /has to be on hv9, and no bridge/);
    assert.deepEqual(gone.evidence, ['hosts: hv1, hv2']);
  });

  it('goes where its predecessor was when only the Lease still knows that', () => {
    const world = worldOn([['hv1', ALL_ROLES]], [hostOf('hv1'), hostOf('hv2')]);
    const old = { name: 'home-n1', address: '10.0.0.11', host: 'hv2', roles: ALL_ROLES };
    assert.equal(place(sameHost, { ...world, vms: [], facts: { ...world.facts, old } }), 'hv2');
  });
});

describe('A successor that is spread', () => {
  const three = [
    ['hv1', ALL_ROLES],
    ['hv2', ALL_ROLES],
    ['hv3', ALL_ROLES],
  ] as const;

  it('goes to the host without another etcd member, although others have more memory', () => {
    const world = worldOn(three, [free('hv1', 8_192), free('hv2', 90_000), free('hv3', 80_000)]);
    assert.equal(place(spread, world), 'hv1');
  });

  it('counts a member whose VM nobody has adopted, by its address', () => {
    const world = worldOn(three, [free('hv1', 8_192), free('hv2', 90_000), free('hv3', 80_000)]);
    const vms = world.vms.map((vm): VmView => {
      const { marker: _none, ...stranger } = vm;
      return vm.name === 'home-n1' ? vm : { ...stranger, adopted: false };
    });
    assert.equal(place(spread, { ...world, vms }), 'hv1');
  });

  it('does not count members that are set aside or of another cluster, nor workers', () => {
    const world = worldOn(
      [
        ['hv1', ALL_ROLES],
        ['hv2', ALL_ROLES],
        ['hv1', WORKER],
      ],
      [free('hv1', 8_192), free('hv2', 90_000)],
    );
    const second = world.vms[1] ?? assert.fail();
    const aside = { ...second, id: 'aside', host: 'hv1', setAside: true };
    const marker = { cluster: 'work', node: 'home-n2', createdAt: second.createdAt };
    const foreign = { ...second, id: 'foreign', host: 'hv1', marker, addresses: ['10.9.0.1'] };
    assert.equal(place(spread, { ...world, vms: [...world.vms, aside, foreign] }), 'hv1');
  });

  it('joins another member only when every host has one: then where the fewest are', () => {
    const world = worldOn(
      [
        ['hv1', ALL_ROLES],
        ['hv1', ALL_ROLES],
        ['hv1', ALL_ROLES],
        ['hv2', ALL_ROLES],
      ],
      [free('hv1', 90_000), free('hv2', 8_192)],
    );
    assert.equal(place(spread, world), 'hv2');
  });

  it('is refused rather than put beside another member while a host without one is only full', () => {
    const world = worldOn(three, [free('hv1', 100), free('hv2', 90_000), free('hv3', 80_000)]);
    const refusal = refusalOf(place(spread, world));
    assert.equal(refusal.code, 'NC1229');
    assert.deepEqual(refusal.evidence, [
      'hv1: 100 MB of memory are free, 4096 MB are needed',
      'hv2: runs the etcd member of home-n2',
      'hv3: runs the etcd member of home-n3',
    ]);
  });

  it('without etcd goes where most memory is free, and by name when that is equal', () => {
    const places = [
      ['hv1', WORKER],
      ['hv2', ALL_ROLES],
      ['hv3', ALL_ROLES],
    ] as const;
    const most = worldOn(places, [free('hv1', 8_192), free('hv2', 80_000), free('hv3', 90_000)]);
    assert.equal(place(spread, most, WORKER), 'hv3');
    const equal = worldOn(places, [free('hv3', 90_000), free('hv2', 90_000), free('hv1', 8_192)]);
    assert.equal(place(spread, equal, WORKER), 'hv2');
  });

  it('passes over hosts that cannot take it, and says of each why when none can', () => {
    const left = hostOf('hv').clientPolicy.budgetsLeft;
    const refusing = [
      policyOf('hv1', { maxRunningVms: 1 }),
      policyOf('hv2', { budgetsLeft: { ...left, creations: 0 } }),
      policyOf('hv3', { images: [] }),
      hostOf('hv4', { images: [] }),
      policyOf('hv5', { sizes: ['server'] }),
      free('hv6', 4_095),
    ];
    const places = [['hv1', WORKER]] as const;
    assert.equal(place(spread, worldOn(places, [...refusing, free('hv7', 4_096)]), WORKER), 'hv7');
    assert.deepEqual(refusalOf(place(spread, worldOn(places, refusing), WORKER)).evidence, [
      'hv1: one VM more would be 2, and maxRunningVms in its bridge.yaml is 1',
      "hv2: today's budget of creations is spent",
      'hv3: its bridge does not allow the image ubuntu-node',
      'hv4: it has no image ubuntu-node',
      'hv5: its bridge does not allow the size agent',
      'hv6: 4095 MB of memory are free, 4096 MB are needed',
    ]);
  });

  it('among 5,000 nodes on 50 hosts is placed with a few looks at each VM and each host', () => {
    const nodes = 5_000;
    let looks = 0;
    const counted = <T extends object>(target: T): T =>
      new Proxy(target, {
        get: (of, key, receiver): unknown => {
          looks += 1;
          return Reflect.get(of, key, receiver);
        },
      });
    const name = (n: number) => `home-n${n + 1}`;
    const address = (n: number) => `10.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
    const small = worldOn([['hv00', ALL_ROLES]], []);
    const entry = small.intent.yml.nodes[0] ?? assert.fail();
    const entries = Array.from({ length: nodes }, (_, n) =>
      counted({
        ...entry,
        address: address(n),
        hostnameOverride: name(n),
        roles: n < 49 ? ALL_ROLES : WORKER,
      }),
    );
    const hosts = Array.from({ length: 50 }, (_, n) => `hv${String(n).padStart(2, '0')}`);
    const world: PlacementWorld = {
      ...small,
      intent: { ...small.intent, yml: { ...small.intent.yml, nodes: entries as never } },
      vms: Array.from({ length: nodes }, (_, n) =>
        counted({
          ...vmFor({ name: name(n), address: address(n), roles: [], ageDays: 1 }),
          host: hosts[n % hosts.length] ?? '',
        }),
      ),
      hosts: hosts.map((host) => counted(policyOf(host, { maxRunningVms: 1_000 }))),
    };
    // Members of the first 49 nodes are on the first 49 hosts; n1 on hv00 leaves, so hv00 and hv49 are without.
    assert.equal(place(spread, world), 'hv00');
    assert.ok(looks < 20 * (2 * nodes + hosts.length), `${looks} looks`);
  });
});
