/** Whatever the members are and whoever fails when: no planned step drops quorum, the last control plane or a role list. */
import assert from 'node:assert/strict';
import { parse } from 'yaml';
import type { EtcdMember } from '../../../../cycle/cluster/etcd/members.ts';
import { quorum } from '../../../../cycle/cluster/etcd/quorum.ts';
import type { Config, Role } from '../../../../cycle/config/schema.ts';
import { memberName, type World } from '../../../../cycle/observed.ts';
import { stepsOf } from '../../../../cycle/plan/path.ts';
import type { PlanWorld } from '../../../../cycle/steps/plan-cycle.ts';
import { isRefusal } from '../../../../cycle/step.ts';
import { begun, killed, noActs } from '../../journey.ts';
import { ALL_ROLES, configOf, ROLE_SETS, worldOf } from '../../world.ts';
import type { NodeSpec } from '../../world.ts';

const OLD = 'home-n1';
const NEW = 'home-n5';
const strict = configOf();
const small = configOf({ allow: { singleMember: true } });

type Random = (below: number) => number;

function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return (((state ^ (state >>> 13)) >>> 0) % 65_536) % below;
  };
}

/** `members` of etcd in all, the node that is due among them when `roles` says so. */
function nodesOf(roles: readonly Role[], members: number, controlPlanes: number): NodeSpec[] {
  const rest = members - (roles.includes('etcd') ? 1 : 0);
  const others = Array.from({ length: Math.max(rest, controlPlanes, 1) }, (_, i): readonly Role[] =>
    ALL_ROLES.filter((role) => role === 'worker' || (role === 'etcd' ? i < rest : i < controlPlanes)),
  );
  // The successor will be called home-n5.
  const names = [OLD, 'home-n2', 'home-n3', 'home-n4', 'home-n6', 'home-n7'];
  return [roles, ...others].map((held, i) => ({ name: names[i] ?? '', roles: held, ageDays: 90 - i * 10 }));
}

interface Health {
  healthy: boolean;
  learner: boolean;
}

function withHealth<W extends World>(world: W, health: readonly Health[]): W {
  const members = world.etcd.members.map((member, i) => ({
    ...member,
    healthy: health[i]?.healthy ?? true,
    isLearner: health[i]?.learner ?? false,
  }));
  return led({ ...world, etcd: { ...world.etcd, members } });
}

/** The first healthy voter leads when a majority is healthy; nobody else. */
function led<W extends World>(world: W): W {
  const { members } = world.etcd;
  const voters = members.filter((member) => !member.isLearner);
  const able = voters.filter((member) => member.healthy);
  const leader =
    able.length >= quorum(voters.length) ? (able.find((one) => one.leader) ?? able[0])?.id : undefined;
  return {
    ...world,
    etcd: { ...world.etcd, members: members.map((member) => ({ ...member, leader: member.id === leader })) },
  };
}

/** Something happens between two actions, or nothing. */
function fate(world: World, random: Random): World {
  const at = random(Math.max(1, world.etcd.members.length));
  const change = (over: Partial<EtcdMember>) =>
    led({
      ...world,
      etcd: {
        ...world.etcd,
        members: world.etcd.members.map((one, i) => (i === at ? { ...one, ...over } : one)),
      },
    });
  switch (random(24)) {
    case 0:
    case 1:
      return change({ healthy: false });
    case 2:
      return change({ healthy: true, alarms: [] });
    case 3:
      return change({ alarms: ['NOSPACE'] });
    case 4: {
      const addresses = Object.keys(world.apiservers);
      const silent = addresses[random(Math.max(1, addresses.length))];
      return silent === undefined
        ? world
        : { ...world, apiservers: { ...world.apiservers, [silent]: 'no answer' } };
    }
    default:
      return world;
  }
}

interface Walked {
  actions: string[];
  refused?: string;
}

/** Goes the whole way by prediction, with fate between the actions; a new member is unhealthy until its node serves. */
function walk(
  config: Config,
  from: PlanWorld,
  dead: boolean,
  between: (world: World) => World = (world) => world,
): Walked {
  const walked: Walked = { actions: [] };
  let world: World = from;
  for (const { plan } of stepsOf(config, { leaving: OLD, staying: NEW, dead }, noActs())) {
    for (;;) {
      const planned = plan(world);
      if (isRefusal(planned)) return { ...walked, refused: planned.code };
      const [action] = planned;
      if (action === undefined) break;
      // The engine gives up on what has no effect.
      if (walked.actions.filter((id) => id === action.id).length >= 3)
        return { ...walked, refused: 'NC1010' };
      let next: World = action.predict(world);
      if (action.id === `rke up add ${NEW}`) next = withSuccessor(next, false);
      if (action.id === `node.serves ${NEW}`) next = withSuccessor(next, true);
      if (action.apply !== undefined)
        mustBeSafe(config, world, next, `${action.id} after ${walked.actions.join()}`);
      walked.actions.push(action.id);
      world = led(between(next));
    }
  }
  return walked;
}

function withSuccessor(world: World, healthy: boolean): World {
  const members = world.etcd.members.map((one) => (one.name === memberName(NEW) ? { ...one, healthy } : one));
  return { ...world, etcd: { ...world.etcd, members } };
}

function mustBeSafe(config: Config, before: World, after: World, what: string): void {
  const ids = (world: World) => world.etcd.members.map(({ id }) => id).join();
  if (ids(before) !== ids(after)) {
    const voters = after.etcd.members.filter((member) => !member.isLearner);
    const healthy = voters.filter((member) => member.healthy).length;
    const allowed =
      config.allow.singleMember && before.facts.snapshotAtMs !== undefined && before.etcd.members.length <= 2;
    assert.ok(voters.length > 0, `${what}: no voter is left`);
    assert.ok(
      healthy >= quorum(voters.length) || allowed,
      `${what}: ${healthy} of ${voters.length} are healthy`,
    );
  }
  const entries = (parse(after.intent.text) as { nodes: { role?: string[] }[] }).nodes;
  for (const { role } of entries)
    assert.ok(Array.isArray(role) && role.length > 0, `${what}: an empty role list`);
  const having = (world: World, role: Role) =>
    world.intent.yml.nodes.filter(({ roles }) => roles.includes(role));
  assert.ok(having(after, 'etcd').length > 0, `${what}: no etcd in cluster.yml`);
  const left = having(after, 'controlplane');
  assert.ok(left.length > 0, `${what}: no control plane in cluster.yml`);
  if (left.length < having(before, 'controlplane').length)
    assert.ok(
      left.some(({ address }) => before.apiservers[address] === 'ok'),
      `${what}: no control plane serves`,
    );
}

/** The facts of a cycle that a healthy cluster allowed to begin; the steps then judge what has become of it. */
function started(nodes: NodeSpec[], dead: boolean): PlanWorld {
  const healthy = worldOf(small, nodes);
  const { facts, lock } = begun(small, healthy, { node: OLD });
  const world = { ...healthy, facts, lock };
  return dead ? led(killed(world, OLD)) : world;
}

function* masks(count: number): Generator<Health[]> {
  for (let mask = 0; mask < 3 ** count; mask += 1)
    yield Array.from({ length: count }, (_, i) => {
      const digit = Math.floor(mask / 3 ** i) % 3;
      return { healthy: digit === 0, learner: digit === 2 };
    });
}

describe('the membership of etcd and the control planes over a whole cycle', function () {
  this.timeout(120_000);

  for (const members of [1, 2, 3, 5])
    it(`never loses quorum, the last control plane or a role list with ${members} members, whoever is unwell at its start`, () => {
      let ended = 0;
      let refused = 0;
      for (const roles of ROLE_SETS)
        for (const dead of [false, true]) {
          const world = started(nodesOf(roles, members, 2), dead);
          for (const health of members === 5 ? fewOf(members) : masks(members)) {
            const own = dead ? health.with(0, { healthy: !roles.includes('etcd'), learner: false }) : health;
            for (const config of members <= 2 ? [strict, small] : [strict]) {
              const walked = walk(config, withHealth(world, own), dead);
              if (walked.refused === undefined) ended += 1;
              else refused += 1;
            }
          }
        }
      assert.ok(ended >= 7, `${ended} came to an end`);
      assert.ok(refused > ended, `${refused} were refused`);
    });

  it('never does so in whatever order members and apiservers fail and come back on the way', () => {
    let ended = 0;
    let refused = 0;
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = seeded(seed);
      const roles = ROLE_SETS[random(ROLE_SETS.length)] ?? ALL_ROLES;
      const members = [1, 2, 3, 5][random(4)] ?? 3;
      const dead = random(4) === 0;
      const world = started(nodesOf(roles, members, 1 + random(3)), dead);
      const walked = walk(random(2) === 0 ? strict : small, world, dead, (seen) => fate(seen, random));
      if (walked.refused === undefined) ended += 1;
      else refused += 1;
    }
    assert.ok(ended > 10 && refused > 10, `${ended} came to an end, ${refused} were refused`);
  });

  it('keeps the last control plane while its successor does not serve, for each set of roles that has it', () => {
    for (const roles of ROLE_SETS.filter((one) => one.includes('controlplane'))) {
      const world = started(nodesOf(roles, 3, 0), false);
      const successor = world.facts.successor?.address ?? '10.0.0.60';
      const silent = (seen: World) => ({
        ...seen,
        apiservers: { ...seen.apiservers, [successor]: 'no answer' },
      });
      const removed = (walked: Walked) =>
        walked.actions.some((id) => /^cluster\.yml (drop controlplane|remove)/.test(id));
      assert.ok(removed(walk(strict, world, false)), 'it goes when the successor serves');
      const walked = walk(strict, world, false, silent);
      assert.ok(walked.refused !== undefined && !removed(walked), walked.actions.join());
    }
  });
});

/** All healthy, one unwell in each way at each place, and two: 3^5 of them would say no more. */
function* fewOf(count: number): Generator<Health[]> {
  const well = Array.from({ length: count }, (): Health => ({ healthy: true, learner: false }));
  yield well;
  for (let i = 0; i < count; i += 1)
    for (const one of [
      { healthy: false, learner: false },
      { healthy: true, learner: true },
    ]) {
      yield well.with(i, one);
      yield well.with(i, one).with((i + 1) % count, { healthy: false, learner: false });
    }
}
