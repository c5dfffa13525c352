/** Quorum arithmetic over a member list: pure, and the only place where it is done. */
import { finding } from '../finding.ts';
import type { Finding } from '../finding.ts';
import type { EtcdMember, EtcdObservation } from './members.ts';

export interface RemovalOptions {
  /** Names of the members that there should be; a difference refuses. */
  expected?: readonly string[] | undefined;
  /** One or two members may be changed, with a checked snapshot. */
  allowSingleMember?: boolean | undefined;
  /** A checked and copied snapshot exists. */
  snapshotTaken?: boolean | undefined;
  /** Largest distance of a voter's raft index to the highest. Default 1,000. */
  maxRaftLag?: number | undefined;
  /** The member that goes is dead: its own health does not count against it. */
  dead?: boolean | undefined;
}

export interface Projection {
  voters: number;
  healthy: number;
  quorum: number;
  hasQuorum: boolean;
}

const MAX_RAFT_LAG = 1_000;

export function quorum(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** How many voters may fail. */
export function tolerance(voters: number): number {
  return voters - quorum(voters);
}

export function projectRemoval(members: readonly EtcdMember[], id: string): Projection {
  return projection(members.filter((member) => member.id !== id));
}

/** A new voter counts as unhealthy until it is seen healthy. */
export function projectAddition(members: readonly EtcdMember[]): Projection {
  const now = projection(members);
  return projected(now.voters + 1, now.healthy);
}

/** Why this member may not be removed now; empty when it may. `name` is the member's name (`etcd-<hostname>`) or its id. */
export function judgeRemoval(
  observation: EtcdObservation,
  name: string,
  options: RemovalOptions = {},
): Finding[] {
  const leaving = memberNamed(observation.members, name);
  if (leaving === undefined) return [notAMember(observation, name)];
  const after = projectRemoval(observation.members, leaving.id);
  const now = projection(observation.members);
  const found = [...unfit(observation, options, options.dead === true ? leaving.id : undefined)];
  if (now.voters === 1 && !leaving.isLearner) {
    found.push(
      finding('NC3102', `${label(leaving)} is the only voter: nothing would be left.`, list(observation)),
    );
  } else if (!after.hasQuorum) {
    found.push(finding('NC3102', `Without ${label(leaving)} ${describe(after)}.`, list(observation)));
  }
  // The last tolerance is gone then: one member more to lose is all of them.
  if (now.voters === 2 && now.hasQuorum && !leaving.isLearner)
    found.push(...smallCluster(observation, options));
  // Removing is itself a change that the present voters must agree on.
  if (!now.hasQuorum) found.push(finding('NC3102', `Now ${describe(now)}.`, list(observation)));
  return unique(found);
}

/** Why no voter may be added now. */
export function judgeAddition(
  observation: EtcdObservation,
  options: Omit<RemovalOptions, 'dead'> = {},
): Finding[] {
  const found = unfit(observation, options, undefined);
  const voters = projection(observation.members).voters;
  // From 1 to 2 the new one must answer before anything else is agreed on: while it starts, etcd stands still.
  if (voters === 1) found.push(...smallCluster(observation, options));
  else {
    const after = projectAddition(observation.members);
    if (!after.hasQuorum) {
      found.push(
        finding(
          'NC3102',
          `With a new member that is not healthy yet, ${describe(after)}.`,
          list(observation),
        ),
      );
    }
  }
  return unique(found);
}

/** The whole path of one replacement, judged before anything is done: n → n+1 → n, or n → n−1 → n for a dead member. */
export function judgePath(
  observation: EtcdObservation,
  name: string,
  options: RemovalOptions = {},
): Finding[] {
  const leaving = memberNamed(observation.members, name);
  if (leaving === undefined) return [notAMember(observation, name)];
  if (options.dead === true) {
    const found = judgeRemoval(observation, name, options);
    const rest = observation.members.filter((member) => member.id !== leaving.id);
    return unique([...found, ...judgeAddition({ ...observation, members: rest }, withoutExpected(options))]);
  }
  const joined: EtcdMember = {
    ...leaving,
    id: 'successor',
    name: 'the successor',
    leader: false,
    healthy: true,
    isLearner: false,
    trouble: undefined,
  };
  const after = { ...observation, members: [...observation.members, joined] };
  return unique([
    ...judgeAddition(observation, options),
    ...judgeRemoval(after, leaving.id, withoutExpected(options)),
  ]);
}

/** The healthy voter, not `exceptId`, that is best to lead: the highest raft index. */
export function bestSuccessor(members: readonly EtcdMember[], exceptId: string): EtcdMember | undefined {
  const able = members.filter((member) => member.id !== exceptId && !member.isLearner && member.healthy);
  return able.sort((a, b) => compareIndexes(b.raftIndex, a.raftIndex) || a.name.localeCompare(b.name))[0];
}

export function memberNamed(members: readonly EtcdMember[], name: string): EtcdMember | undefined {
  const found = members.filter((member) => member.name === name || member.id === name);
  return found.length === 1 ? found[0] : undefined;
}

/** What forbids any change of the membership. `except`: a dead member, whose own state does not count. */
function unfit(
  { members, disagree }: EtcdObservation,
  options: RemovalOptions,
  except: string | undefined,
): Finding[] {
  const found: Finding[] = [];
  const bad = (message: string, evidence: string[]) => found.push(finding('NC3103', message, evidence));
  if (disagree) bad('The members do not agree on who the members are.', members.map(label));
  const voters = members.filter((member) => !member.isLearner);
  for (const member of members) {
    if (member.id === except) continue;
    if (member.isLearner) bad(`${label(member)} is a learner: another change is under way.`, [label(member)]);
    if (!member.healthy)
      bad(`${label(member)} is not healthy.`, [`${label(member)}: ${member.trouble ?? 'unhealthy'}`]);
    for (const alarm of member.alarms)
      bad(`${label(member)} has the alarm ${alarm}.`, [`${label(member)}: ${alarm}`]);
  }
  const present = voters.filter((member) => member.id !== except);
  if (present.length > 0 && !members.some((member) => member.leader))
    bad('No member leads.', members.map(label));
  found.push(...lag(present, options.maxRaftLag ?? MAX_RAFT_LAG));
  const { expected } = options;
  if (expected !== undefined) {
    const names = members.map((member) => member.name);
    const extra = names.filter((one) => !expected.includes(one));
    const lacking = expected.filter((one) => !names.includes(one));
    if (extra.length > 0 || lacking.length > 0) {
      const evidence = [
        `not expected: ${extra.join(', ') || 'none'}`,
        `missing: ${lacking.join(', ') || 'none'}`,
      ];
      found.push(
        finding('NC3104', `etcd has ${names.join(', ')}; expected ${expected.join(', ')}.`, evidence),
      );
    }
  }
  return found;
}

/** Voters whose raft index is more than `max` (default 1,000) behind the highest. */
export function lag(voters: readonly EtcdMember[], max = MAX_RAFT_LAG): Finding[] {
  const indexes = voters.flatMap(({ raftIndex }) => (raftIndex === undefined ? [] : [BigInt(raftIndex)]));
  const highest = indexes.reduce((a, b) => (a > b ? a : b), 0n);
  return voters
    .filter(({ raftIndex }) => raftIndex !== undefined && highest - BigInt(raftIndex) > BigInt(max))
    .map((member) => {
      const behind = highest - BigInt(member.raftIndex ?? 0);
      return finding(
        'NC3103',
        `${label(member)} is ${behind} raft entries behind; at most ${max} are allowed.`,
        [`${label(member)}: raft index ${member.raftIndex ?? ''}, highest ${highest}`],
      );
    });
}

function smallCluster(observation: EtcdObservation, options: RemovalOptions): Finding[] {
  if (options.allowSingleMember === true && options.snapshotTaken === true) return [];
  const lacking =
    options.allowSingleMember === true ? 'a checked, copied snapshot' : 'allowSingleMember and a snapshot';
  return [finding('NC3105', `etcd with one voter (1 → 2 → 1) needs ${lacking}.`, list(observation))];
}

function projection(members: readonly EtcdMember[]): Projection {
  const voters = members.filter((member) => !member.isLearner);
  return projected(voters.length, voters.filter((member) => member.healthy).length);
}

function projected(voters: number, healthy: number): Projection {
  const needed = quorum(voters);
  return { voters, healthy, quorum: needed, hasQuorum: voters > 0 && healthy >= needed };
}

function withoutExpected(options: RemovalOptions): RemovalOptions {
  return { ...options, expected: undefined };
}

function notAMember({ members }: EtcdObservation, name: string): Finding {
  return finding('NC3104', `etcd has no member ${name}, or more than one.`, members.map(label));
}

function describe({ voters, healthy, quorum: needed }: Projection): string {
  return `${healthy} of ${voters} voters would be healthy, ${needed} are needed`;
}

function label(member: EtcdMember): string {
  return member.name === '' ? `member ${member.id} (not started)` : member.name;
}

function list({ members }: EtcdObservation): string[] {
  return members.map((member) => {
    const kind = member.isLearner ? 'learner' : 'voter';
    return `${label(member)}: ${kind}, ${member.healthy ? 'healthy' : (member.trouble ?? 'not healthy')}`;
  });
}

function unique(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((one) => [one.code + one.message, one])).values()];
}

function compareIndexes(one = '0', other = '0'): number {
  const difference = BigInt(one) - BigInt(other);
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}
