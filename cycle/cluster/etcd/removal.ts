/** Whether a member is gone for every member that is left: etcd 3.4 answers the list from each member's own memory. */
import type { EtcdObservation } from './members.ts';

/**
 * Why this member does not count as removed, the first reason in words; undefined when it is gone for all.
 *
 * @param member its name (`etcd-<hostname>`) or its id.
 */
export function whyStillMember(observation: EtcdObservation, member: string): string | undefined {
  const { members, lists = [] } = observation;
  if (members.length === 0) return 'etcd shows no members at all';
  if (members.some(({ name, id }) => name === member || id === member))
    return `etcd still has the member ${member}`;
  const stale = lists.find(({ ids, names }) => names.includes(member) || ids.includes(member));
  if (stale !== undefined) return `${stale.endpoint} still lists ${member}`;
  if (observation.disagree) return 'the members do not agree on who the members are';
  const silent = members.find(({ listed }) => listed === false);
  if (silent !== undefined) return `${silent.name || silent.id} was not heard: it may still know ${member}`;
  const sick = members.find(({ healthy }) => !healthy);
  return sick === undefined
    ? undefined
    : `${sick.name || sick.id} is not healthy without ${member}: ${sick.trouble ?? 'no reason given'}`;
}
