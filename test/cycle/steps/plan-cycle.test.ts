/** Which node is due, who succeeds it, and when nothing may begin. */
import assert from 'node:assert/strict';
import {
  planPlanCycle,
  decide,
  type Decision,
  type PlanActs,
  type PlanWorld,
} from '../../../cycle/steps/plan-cycle.ts';
import { converge, foresee, isRefusal } from '../../../cycle/step.ts';
import { begun, killed, mustCycle, planInput } from '../journey.ts';
import {
  ALL_ROLES,
  configOf,
  DAY_MS,
  ME,
  nodesWith,
  NOW_MS,
  podOf,
  granting,
  hostOf,
  vmFor,
  worldOf,
  type NodeSpec,
} from '../world.ts';

const config = configOf();
const code = (decision: Decision) => (decision.kind === 'refusal' ? decision.code : decision.kind);
const reason = (decision: Decision) =>
  decision.kind === 'nothing' ? decision.reason : assert.fail(JSON.stringify(decision));

const noPlanActs: PlanActs = {
  takeLock: () => Promise.resolve(),
  writeAllFacts: () => Promise.resolve(),
  releaseAddress: () => Promise.resolve(),
  withdrawProposals: () => Promise.resolve(),
};

describe('PlanCycle chooses', () => {
  it('the oldest node that is due, by the older of Node and VM, names breaking ties', () => {
    const ages = (a: number, b: number): NodeSpec[] => [
      { name: 'home-n1', roles: ALL_ROLES, ageDays: a },
      { name: 'home-n2', roles: ALL_ROLES, ageDays: b },
      { name: 'home-n3', roles: ALL_ROLES, ageDays: 5 },
    ];
    const chosen = (nodes: NodeSpec[]) =>
      mustCycle(decide(config, planInput(), worldOf(config, nodes))).leaving;
    assert.equal(chosen(ages(61, 90)), 'home-n2');
    assert.equal(chosen(ages(90, 90)), 'home-n1');
    const reinstalled = ages(61, 90).map((node) =>
      node.name === 'home-n1'
        ? { ...node, vm: { createdAt: new Date(NOW_MS - 200 * DAY_MS).toISOString() } }
        : node,
    );
    assert.equal(chosen(reinstalled), 'home-n1');
  });

  it('nothing on the last day of the limit, and says how old the oldest is', () => {
    const nodes = nodesWith(ALL_ROLES).map((node) => ({ ...node, ageDays: Math.min(node.ageDays, 60) }));
    const decision = decide(config, planInput({ because: 'age' }), worldOf(config, nodes));
    assert.match(reason(decision), /the oldest node, home-n1, is 60\.0 days old/);
  });

  it('by age, by image or by either, as it was asked', () => {
    const fresh = nodesWith(ALL_ROLES).map((node) => ({ ...node, ageDays: 10 }));
    const world = worldOf(config, fresh);
    assert.equal(decide(config, planInput({ because: 'age' }), world).kind, 'nothing');
    for (const because of ['image', 'any'] as const)
      assert.match(
        mustCycle(decide(config, planInput({ because }), world)).reason,
        /its image is of .* today's/,
      );
    const old = worldOf(config).vms.map((vm) => ({ ...vm, imageBuiltAt: '2026-06-14T00:00:00.000Z' }));
    const aged = { ...worldOf(config), vms: old };
    assert.equal(decide(config, planInput({ because: 'image' }), aged).kind, 'nothing');
    assert.match(
      mustCycle(decide({ ...config, vm: { ...config.vm, requireNewer: false } }, planInput(), aged)).reason,
      /it is 90\.0 days old, more than 60/,
    );
  });

  it('the node that was named, whatever its age and whatever the window', () => {
    const closed = configOf({ window: { timeZone: 'UTC', days: ['sun'], from: '01:00', to: '02:00' } });
    const decision = mustCycle(decide(closed, planInput({ node: 'home-n4' }), worldOf(closed)));
    assert.equal(decision.leaving, 'home-n4');
    assert.match(decision.reason, /named/);
  });

  it('nothing while the window is closed, but goes on with a cycle that has begun', () => {
    const closed = configOf({
      window: { timeZone: 'Europe/Berlin', days: ['sun'], from: '01:00', to: '02:00' },
    });
    assert.match(
      reason(decide(closed, planInput(), worldOf(closed))),
      /window is closed \(sun 01:00 to 02:00 Europe\/Berlin\)/,
    );
    assert.equal(mustCycle(decide(closed, planInput(), begun(config, worldOf(config)))).resumed, true);
    const open = configOf({ window: { timeZone: 'UTC', from: '11:00', to: '13:00' } });
    assert.equal(decide(open, planInput(), worldOf(open)).kind, 'cycle');
  });

  it('past a node that is held, and says so when all that are due are', () => {
    const held = (names: string[]) =>
      worldOf(
        config,
        nodesWith(ALL_ROLES).map((node) => ({
          ...node,
          ageDays: node.name === 'home-n2' ? 80 : node.ageDays,
          ...(names.includes(node.name) ? { kube: { holdReason: 'disk test' } } : {}),
        })),
      );
    assert.equal(
      mustCycle(decide(config, planInput({ because: 'age' }), held(['home-n1']))).leaving,
      'home-n2',
    );
    const all = reason(decide(config, planInput({ because: 'age' }), held(['home-n1', 'home-n2'])));
    assert.match(all, /home-n1 \(disk test\), home-n2 \(disk test\)/);
    assert.equal(code(decide(config, planInput({ node: 'home-n1' }), held(['home-n1']))), 'NC1211');
  });

  it('nobody by a name that is not in the cluster, and lists who is', () => {
    const decision = decide(config, planInput({ node: 'home-n9' }), worldOf(config));
    assert.equal(code(decision), 'NC1210');
    assert.deepEqual(decision.kind === 'refusal' && [...decision.evidence].sort(), [
      'home-n1',
      'home-n2',
      'home-n3',
      'home-n4',
    ]);
  });

  it('no node whose VM the bridge does not know, and shows the command that adopts it', () => {
    const with1 = (vm: NodeSpec['vm']) =>
      worldOf(
        config,
        nodesWith(ALL_ROLES).map((node) =>
          node.name === 'home-n1' && vm !== undefined ? { ...node, vm } : node,
        ),
      );
    const notAdopted = decide(config, planInput({ because: 'age' }), with1({ adopted: false }));
    assert.equal(code(notAdopted), 'NC1216');
    assert.match(
      notAdopted.kind === 'refusal' ? (notAdopted.evidence[0] ?? '') : '',
      /adopt --cluster home --node home-n1 00000000-0000-0000-0000-000000000001/,
    );
    const none = decide(config, planInput({ because: 'age' }), with1('none'));
    assert.match(none.kind === 'refusal' ? (none.evidence[0] ?? '') : '', /no VM of hv1/);
  });
});

describe('PlanCycle names the successor', () => {
  const successor = (world: PlanWorld, of = config) =>
    mustCycle(decide(of, planInput({ because: 'age' }), world)).facts.successor;

  it('with the number after the highest that a VM, Node, entry or commit ever had', () => {
    const world = worldOf(config);
    assert.deepEqual(successor(world), { name: 'home-n5', address: '10.0.0.60', host: 'hv1' });
    const history = { names: new Set(['home-n1', 'home-n17']), addresses: new Set<string>() };
    assert.equal(successor({ ...world, history })?.name, 'home-n18');
    const aside = {
      ...vmFor({ name: 'home-n8', address: '10.0.0.99', roles: [], ageDays: 70 }),
      setAside: true,
    };
    assert.equal(successor({ ...world, vms: [...world.vms, aside] })?.name, 'home-n9');
  });

  it('in the words of the pattern', () => {
    const of = configOf({ names: { pattern: '{cluster}-{role}-{n:x3}' } });
    const history = { names: new Set(['home-srv-00f', 'home-agt-0ff']), addresses: new Set<string>() };
    assert.equal(successor({ ...worldOf(of), history }, of)?.name, 'home-srv-010');
    assert.equal(successor({ ...worldOf(of, nodesWith(['worker'])), history }, of)?.name, 'home-agt-100');
  });

  const holders: [string, (world: PlanWorld) => PlanWorld][] = [
    [
      'a VM',
      (w) => ({ ...w, vms: [...w.vms, vmFor({ name: 'x9', address: '10.0.0.60', roles: [], ageDays: 1 })] }),
    ],
    [
      'a VM that is set aside',
      (w) => ({
        ...w,
        vms: [
          ...w.vms,
          { ...vmFor({ name: 'x9', address: '10.0.0.60', roles: [], ageDays: 1 }), setAside: true },
        ],
      }),
    ],
    [
      'a Node',
      (w) => ({
        ...w,
        kube: {
          ...w.kube,
          nodes: w.kube.nodes.map((node) =>
            node.name === 'home-n4'
              ? { ...node, addresses: [...node.addresses, { type: 'ExternalIP', address: '10.0.0.60' }] }
              : node,
          ),
        },
      }),
    ],
    [
      'a DNS record',
      (w) => ({
        ...w,
        dns: w.dns.map((server) => ({
          ...server,
          records: [...server.records, { name: 'tv.home.example', type: 'A', ttl: 60, data: '10.0.0.60' }],
        })),
      }),
    ],
    [
      'a pinned host key',
      (w) => ({ ...w, knownHosts: `${w.knownHosts}nas,[10.0.0.60]:2222 ssh-ed25519 AAAA\n` }),
    ],
    ['the history', (w) => ({ ...w, history: { ...w.history, addresses: new Set(['10.0.0.60']) } })],
    [
      'an upstream of a proxy',
      (w) => ({
        ...w,
        proxies: w.proxies.map((proxy) => ({
          ...proxy,
          files: {
            ...proxy.files,
            '/etc/nginx/conf.d/x.conf': 'upstream x { server 10.0.0.60:80; server 10.0.0.1:80; }',
          },
        })),
      }),
    ],
  ];
  for (const [what, change] of holders) {
    it(`with another address than the one that ${what} holds`, () => {
      assert.equal(successor(change(worldOf(config)))?.address, '10.0.0.61');
    });
  }

  it('with another address than that of an etcd member or of a proxy', () => {
    const world = worldOf(config);
    const [first, ...rest] = world.etcd.members;
    const moved = {
      ...world,
      etcd: { ...world.etcd, members: [{ ...(first ?? assert.fail()), address: '10.0.0.60' }, ...rest] },
    };
    assert.equal(successor(moved)?.address, '10.0.0.61');
    const of = configOf({ proxies: [{ ...config.proxies[0], host: '10.0.0.60' }] });
    assert.equal(successor(worldOf(of), of)?.address, '10.0.0.61');
  });

  it('without an address where DHCP gives it', () => {
    const of = configOf({ addresses: { source: 'dhcp', ranges: ['10.0.0.60-10.0.0.79'] } });
    assert.deepEqual(successor(worldOf(of), of), { name: 'home-n5', host: 'hv1' });
  });

  it('not at all when every address or name is used up', () => {
    const of = configOf({ addresses: { source: 'static', ranges: ['10.0.0.11-10.0.0.14'] } });
    assert.equal(code(decide(of, planInput(), worldOf(of))), 'NC1215');
    const names = configOf({ names: { pattern: '{cluster}-{n:x1}' } });
    assert.equal(decide(names, planInput(), worldOf(names)).kind, 'cycle');
    const two = configOf({ names: { pattern: '{cluster}-{n:2}' } });
    const history = {
      names: new Set(Array.from({ length: 99 }, (_unused, n) => `home-${String(n + 1).padStart(2, '0')}`)),
      addresses: new Set<string>(),
    };
    assert.equal(code(decide(two, planInput(), { ...worldOf(two), history })), 'NC1215');
  });
});

describe('PlanCycle judges before anything is touched', () => {
  const refusedWith = (change: (world: PlanWorld) => PlanWorld, of = config) =>
    code(decide(of, planInput(), change(worldOf(of))));
  it('capacity, budgets and images of the host', () => {
    assert.equal(
      refusedWith((w) => granting(w, { maxRunningVms: 4 })),
      'NC1229',
    );
    assert.equal(
      refusedWith((w) => granting(w, { maxRunningVms: 5 })),
      'cycle',
    );
    const left = hostOf('hv1').clientPolicy.budgetsLeft;
    assert.equal(
      refusedWith((w) => granting(w, { budgetsLeft: { ...left, creations: 0 } })),
      'NC1229',
    );
    assert.equal(
      refusedWith((w) => granting(w, { budgetsLeft: { ...left, deletions: 0 } })),
      'NC1218',
    );
    assert.equal(
      refusedWith((w) => granting(w, { images: ['other'] })),
      'NC1229',
    );
    assert.equal(
      refusedWith((w) => granting(w, { sizes: ['agent'] })),
      'NC1229',
    );
  });

  it('what would be interrupted, unless a person allowed it by name', () => {
    const alone = (w: PlanWorld) => ({
      ...w,
      kube: { ...w.kube, pods: [...w.kube.pods, podOf('home-n1', 'wiki', 'ReplicaSet')] },
    });
    assert.equal(refusedWith(alone), 'NC1212');
    assert.equal(refusedWith(alone, configOf({ allow: { interruption: ['default/wiki'] } })), 'cycle');
  });

  it('nothing of what ran on a dead node: that is interrupted already', () => {
    const world = killed(worldOf(config), 'home-n1');
    const alone = {
      ...world,
      kube: { ...world.kube, pods: [...world.kube.pods, podOf('home-n1', 'wiki', 'ReplicaSet')] },
    };
    const decision = mustCycle(decide(config, planInput({ node: 'home-n1' }), alone));
    assert.equal(decision.dead, true);
  });

  it('the way to its end: what a later step could not do is refused now, and says where', () => {
    const decision = decide(config, planInput(), {
      ...worldOf(config),
      ingress: {
        commit: 'g',
        text: 'controller: {service: {externalIPs: 10.0.0.11}}\n',
        addresses: ['10.0.0.11'],
      },
    });
    assert.equal(code(decision), 'NC4022');
    assert.match(
      decision.kind === 'refusal' ? (decision.evidence[0] ?? '') : '',
      /in UpdateIngress in home-n5/,
    );
  });

  it('a zone whose primary is silent as unknown, and a second server that lags as no obstacle', () => {
    const servers = worldOf(config).dns;
    const silent = [{ server: '10.0.0.2:53', records: [], failure: 'timed out' }, ...servers.slice(1)];
    assert.equal(
      refusedWith((w) => ({ ...w, dns: silent })),
      'NC4040',
    );
    const lagging = [...servers.slice(0, 1), ...servers.slice(1).map((server) => ({ ...server, serial: 6 }))];
    assert.equal(
      refusedWith((w) => ({ ...w, dns: lagging })),
      'cycle',
    );
  });

  it('a cluster of one etcd member as refused, unless it is allowed: then a snapshot comes before the join', () => {
    const nodes: NodeSpec[] = [
      { name: 'home-n1', roles: ALL_ROLES, ageDays: 90 },
      { name: 'home-n2', roles: ['worker'], ageDays: 10 },
    ];
    assert.equal(code(decide(config, planInput(), worldOf(config, nodes))), 'NC3105');
    const allowed = configOf({ allow: { singleMember: true } });
    const { path } = mustCycle(decide(allowed, planInput(), worldOf(allowed, nodes)));
    const ids = path.legs.flatMap(({ actions }) => actions.map(({ id }) => id));
    assert.ok(ids.indexOf('etcd.snapshot home-n1') >= 0);
    assert.ok(ids.indexOf('etcd.snapshot home-n1') < ids.indexOf('cluster.yml add home-n3'));
    assert.equal(ids.filter((id) => id.startsWith('etcd.snapshot')).length, 1);
  });

  it('a node as dead only when it is NotReady for long and silent to SSH, both', () => {
    const dead = (change: (w: PlanWorld) => PlanWorld) => {
      const decision = decide(
        config,
        planInput({ node: 'home-n1' }),
        change(killed(worldOf(config), 'home-n1')),
      );
      return decision.kind === 'cycle' && decision.dead;
    };
    assert.equal(
      dead((w) => w),
      true,
    );
    assert.equal(
      dead((w) => ({ ...w, ssh: { ...w.ssh, '10.0.0.11': 'ok' } })),
      false,
    );
    assert.equal(
      dead((w) => ({ ...w, nowMs: w.nowMs - 3_400_000 })),
      false,
    );
  });
});

describe('PlanCycle and the lock', () => {
  const heldBy = (holder: string, acquiredAtMs: number, holderEnded = false): PlanWorld => ({
    ...worldOf(config),
    holderEnded,
    lock: { name: 'node-cycle-home', holder, fence: 4, acquiredAtMs, annotations: {}, resourceVersion: '9' },
  });

  it('leaves a cluster alone on which another run works, and names it', () => {
    const decision = decide(config, planInput(), heldBy('org/project/7/99', NOW_MS - 5 * DAY_MS));
    assert.equal(reason(decision), 'another run is in progress: org/project/7/99');
  });

  it('takes over from a run that has ended, or that is past the limit', () => {
    assert.equal(decide(config, planInput(), heldBy('org/project/7/99', NOW_MS, true)).kind, 'cycle');
    assert.equal(decide(config, planInput(), heldBy('org/project/7/99', NOW_MS - 7 * DAY_MS)).kind, 'cycle');
  });

  it('is taken with the facts in one write, then nothing is missing', async () => {
    let world: PlanWorld = heldBy('org/project/7/99', NOW_MS, true);
    const calls: string[] = [];
    const plan = (o: PlanWorld) =>
      planPlanCycle(
        config,
        planInput(),
        {
          takeLock: async (seen, annotations) => {
            calls.push(`take ${seen.lock?.fence ?? 0}`);
            const kept = Object.entries(annotations).filter((e): e is [string, string] => e[1] !== null);
            world = {
              ...world,
              facts: mustCycle(decide(config, planInput(), seen)).facts,
              lock: {
                name: '',
                holder: ME,
                fence: 5,
                acquiredAtMs: NOW_MS,
                annotations: Object.fromEntries(kept),
                resourceVersion: '10',
              },
            };
          },
          writeAllFacts: async () => void calls.push('write'),
          releaseAddress: async (name) => void calls.push(`release ${name}`),
          withdrawProposals: async () => void calls.push('withdraw'),
        },
        o,
      );
    const foreseen = foresee({ plan }, world);
    assert.deepEqual(
      foreseen.actions.map(({ id }) => id),
      ['lock.take'],
    );
    assert.equal(foreseen.after.lock?.fence, 5);
    const outcome = await converge(
      { name: 'PlanCycle', observe: async () => world, plan },
      {
        clock: { now: () => NOW_MS, sleep: async () => undefined },
        record: () => undefined,
        signal: new AbortController().signal,
        pollMs: 1,
        observeMs: 1,
      },
    );
    assert.equal(outcome.kind, 'done');
    assert.deepEqual(calls, ['take 4']);
  });

  it('writes the direction when a person turns a cycle round', () => {
    const world = begun(config, worldOf(config));
    const plan = planPlanCycle(config, planInput({ direction: 'back' }), noPlanActs, world);
    assert.deepEqual(Array.isArray(plan) && plan.map(({ id }: { id: string }) => id), ['facts.write']);
  });

  it('withdraws the pull requests of the other direction before the new one is written', async () => {
    const world = { ...begun(config, worldOf(config)), proposals: ['https://dev.example/pullrequest/7'] };
    const calls: string[] = [];
    const acts = { ...noPlanActs, withdrawProposals: () => Promise.resolve(void calls.push('withdrawn')) };
    const plan = (o: PlanWorld) => planPlanCycle(config, planInput({ direction: 'back' }), acts, o);
    assert.deepEqual(
      foresee({ plan }, world).actions.map(({ id }) => id),
      ['proposals.withdraw', 'facts.write'],
    );
    const planned = plan(world);
    if (!isRefusal(planned)) await planned[0]?.apply?.(new AbortController().signal);
    assert.deepEqual(calls, ['withdrawn']);
  });

  it('is not taken when nothing is due', () => {
    const young = worldOf(
      config,
      nodesWith(ALL_ROLES).map((node) => ({
        ...node,
        ageDays: 1,
        vm: { imageBuiltAt: '2026-06-14T00:00:00.000Z' },
      })),
    );
    assert.deepEqual(planPlanCycle(config, planInput(), noPlanActs, young), []);
  });
});
