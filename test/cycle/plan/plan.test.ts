/** Small judgements of planning: ages over thousands of nodes, names, addresses, interruptions, pinned keys. */
import assert from 'node:assert/strict';
import { firstFree, inRanges, parseRange } from '../../../cycle/plan/addresses.ts';
import { judgeAges } from '../../../cycle/plan/due.ts';
import { singlePods } from '../../../cycle/plan/interruptions.ts';
import { pinHost, pinnedKeys, unpinHost } from '../../../cycle/plan/known-hosts.ts';
import { nextName } from '../../../cycle/plan/names.ts';
import { decide, type PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { planInput } from '../journey.ts';
import { configOf, DAY_MS, granting, NOW_MS, podOf, vmFor, worldOf } from '../world.ts';

const config = configOf();

/** `count` workers besides the cluster of the builder; each read of a node's age or VM is counted. */
function large(count: number): { world: PlanWorld; reads: () => number } {
  const world = worldOf(config);
  const like = world.kube.nodes[0] ?? assert.fail();
  let reads = 0;
  const nodes = Array.from({ length: count }, (_unused, n) => {
    const createdAtMs = NOW_MS - ((n * 7_919) % 59) * DAY_MS;
    return Object.defineProperty({ ...like, name: `w${n}`, labels: {} }, 'createdAtMs', {
      enumerable: true,
      get: () => {
        reads += 1;
        return createdAtMs;
      },
    });
  });
  const vms = nodes.map((_node, n) => ({
    ...vmFor({ name: `w${n}`, address: `10.1.${n >> 8}.${n % 256}`, roles: [], ageDays: n % 59 }),
    id: String(n),
  }));
  return {
    world: {
      ...world,
      hosts: granting(world, { maxRunningVms: 10_000 }).hosts,
      kube: { ...world.kube, nodes: [...world.kube.nodes, ...nodes] },
      vms: [...world.vms, ...vms],
    },
    reads: () => reads,
  };
}

describe('Ages', () => {
  it('of 5,000 nodes are judged with one look at each, and in order', () => {
    const { world, reads } = large(5_000);
    const judged = judgeAges(config, world, 'age');
    assert.equal(judged.length, 5_004);
    assert.equal(reads(), 5_000);
    assert.equal(judged[0]?.node.name, 'home-n1');
    assert.ok(judged.every((one, index) => index === 0 || one.ageDays <= (judged[index - 1]?.ageDays ?? 0)));
    assert.deepEqual(
      judged.filter(({ reason }) => reason !== undefined).map(({ node }) => node.name),
      ['home-n1'],
    );
  });

  it('lead to the same decision among 5,000 nodes as among four', () => {
    const { world, reads } = large(5_000);
    const decision = decide(config, planInput({ because: 'age' }), world);
    assert.equal(decision.kind === 'cycle' && decision.leaving, 'home-n1');
    assert.ok(reads() <= 5_000 * 3);
  });

  it('count a VM that is set aside, or of another cluster, for nobody', () => {
    const world = worldOf(config);
    const old = new Date(NOW_MS - 500 * DAY_MS).toISOString();
    const vm = vmFor({ name: 'home-n4', address: '10.0.0.77', roles: [], ageDays: 500 });
    const others = [
      { ...vm, setAside: true },
      { ...vm, marker: { cluster: 'away', node: 'home-n4', createdAt: old } },
    ];
    const judged = judgeAges(config, { ...world, vms: [...world.vms, ...others] }, 'age');
    assert.equal(judged.find(({ node }) => node.name === 'home-n4')?.ageDays, 10);
  });
});

describe('Names', () => {
  const next = (pattern: string, used: string[]) => nextName(pattern, 'home', ['worker'], used);

  it('go on after the highest number, not into a gap', () => {
    assert.equal(next('{cluster}-n{n}', []), 'home-n1');
    assert.equal(
      next('{cluster}-n{n}', ['home-n1', 'home-n9', 'home-n2', 'other-n50', 'home-nx']),
      'home-n10',
    );
    assert.equal(next('{cluster}-{role}-{n:3}', ['home-agt-007']), 'home-agt-008');
  });

  it('of a fixed width start over at the lowest free one, and end when all are used', () => {
    const all = Array.from({ length: 15 }, (_unused, n) => `n${(n + 1).toString(16).padStart(2, '0')}`);
    assert.equal(next('n{n:x2}', [...all, 'nff']), 'n10');
    const each = Array.from({ length: 255 }, (_unused, n) => `n${(n + 1).toString(16).padStart(2, '0')}`);
    assert.equal(next('n{n:x2}', each), undefined);
  });
});

describe('Address ranges', () => {
  it('give the first free address, over all ranges in order', () => {
    const ranges = ['10.0.0.254-10.0.1.1', '10.0.9.1-10.0.9.1'];
    assert.equal(firstFree(ranges, new Set(['10.0.0.254', '10.0.0.255'])), '10.0.1.0');
    assert.equal(
      firstFree(ranges, new Set(['10.0.0.254', '10.0.0.255', '10.0.1.0', '10.0.1.1'])),
      '10.0.9.1',
    );
    assert.equal(firstFree(['10.0.9.1-10.0.9.1'], new Set(['10.0.9.1'])), undefined);
  });

  it('believe nothing that is not four plain decimal parts, in order', () => {
    assert.ok(inRanges('10.0.0.70', ['10.0.0.60-10.0.0.79']));
    for (const text of ['10.0.0.080', '10.0.0.80', '10.0.0', 'fe80::1', ''])
      assert.equal(inRanges(text, ['10.0.0.60-10.0.0.79']), false);
    assert.equal(parseRange('10.0.0.9-10.0.0.1'), undefined);
  });
});

describe('Interruptions', () => {
  it('are the controllers whose only living pod is on the node', () => {
    const pods = [
      podOf('a', 'web', 'ReplicaSet'),
      podOf('b', 'web', 'ReplicaSet'),
      podOf('a', 'wiki', 'ReplicaSet'),
      podOf('a', 'db', 'StatefulSet'),
      podOf('a', 'canal', 'DaemonSet'),
      podOf('a', 'job', 'Job'),
      podOf('b', 'mail', 'ReplicaSet'),
      podOf('a', 'shop', 'ReplicaSet'),
      podOf('b', 'shop', 'ReplicaSet', { phase: 'Failed' }),
    ];
    const kube = { ...worldOf(config).kube, pods };
    assert.deepEqual(singlePods({ kube }, 'a'), ['default/db', 'default/shop', 'default/wiki']);
  });
});

describe('Pinned host keys', () => {
  const text =
    '# ours\n10.0.0.1 ssh-ed25519 AAAA\n[10.0.0.1]:2222 ssh-ed25519 BBBB\nnas,10.0.0.2 ssh-rsa CCCC\n';

  it('are found by address and port, in lists of hosts too', () => {
    assert.deepEqual(pinnedKeys(text, '10.0.0.1', 22), ['ssh-ed25519 AAAA']);
    assert.deepEqual(pinnedKeys(text, '10.0.0.1', 2222), ['ssh-ed25519 BBBB']);
    assert.deepEqual(pinnedKeys(text, '10.0.0.2', 22), ['ssh-rsa CCCC']);
    assert.deepEqual(pinnedKeys(text, '10.0.0.3', 22), []);
  });

  it('are replaced for their address alone', () => {
    const pinned = pinHost(text, '10.0.0.1', 22, ['ssh-ed25519 DDDD']);
    assert.deepEqual(pinnedKeys(pinned, '10.0.0.1', 22), ['ssh-ed25519 DDDD']);
    assert.deepEqual(pinnedKeys(pinned, '10.0.0.1', 2222), ['ssh-ed25519 BBBB']);
    assert.equal(unpinHost(text, '10.0.0.1', 22), text.replace('10.0.0.1 ssh-ed25519 AAAA\n', ''));
    assert.equal(pinHost('10.0.0.9 a b', '10.0.0.1', 22, ['x y']), '10.0.0.9 a b\n10.0.0.1 x y\n');
  });
});
