/**
 * What is missing for an alias to have moved from one node to another: pure judgement over what every server
 * of the zone answers. An alias is a set of address records (one member a node) or one CNAME; it is never
 * empty, and the old data's TTL is waited out from the moment that every server has the new data.
 */
import { CodedError } from '../../../ports/errors.ts';
import { canonicalData, membersOn, serialAtLeast } from './zone.ts';
import type { RecordSet, RecordType, ServerView, Swap } from './zone.ts';

export interface AliasMove extends RecordSet {
  /** Address (A, AAAA) or node name (CNAME) that comes in. Absent: only the old one leaves. */
  member?: string;
  /** What goes out. Absent: only the new one comes in. */
  leaving?: string;
  /** Seconds, for records that we make. */
  ttl: number;
}

export type AliasNeed =
  | { kind: 'add'; swap: Swap }
  | { kind: 'remove'; swap: Swap }
  /** One CNAME, or the only member of a set that cannot hold both: old out and new in, in one message. */
  | { kind: 'exchange'; swap: Swap }
  /** Servers that do not yet answer the primary's data or serial, each with the reason. */
  | { kind: 'agree'; lagging: string[] };

/**
 * What is to be done, in order; empty when the alias has moved and all servers say so. Throws NC4040 when the
 * primary could not be asked and NC4042 when the alias would become empty.
 */
export function aliasNeeds(views: readonly ServerView[], move: AliasMove): AliasNeed[] {
  const primary = views[0];
  if (!primary || primary.serial === undefined) {
    throw new CodedError(
      'NC4040',
      `${primary?.server ?? 'The primary'}: ${primary?.failure ?? 'no answer'}.`,
    );
  }
  const held = membersOn(primary, move);
  const data = (text: string | undefined) =>
    text === undefined ? undefined : canonicalData(move.type, text);
  const [member, leaving] = [data(move.member), data(move.leaving)];
  const base = { name: move.name, type: move.type, ttl: ttlOf(primary, move) ?? move.ttl };
  const needs: AliasNeed[] = [];
  const mustCome = member !== undefined && !held.includes(member);
  const mustGo = leaving !== undefined && leaving !== member && held.includes(leaving);

  if (move.type === 'CNAME') {
    if (mustGo && member === undefined) throw empty(move, held);
    if (mustCome || mustGo) {
      needs.push({
        kind: 'exchange',
        swap: { ...base, expect: held, remove: held, add: member === undefined ? [] : [member] },
      });
    }
  } else {
    if (mustCome) needs.push({ kind: 'add', swap: { ...base, expect: held, add: [member], remove: [] } });
    if (mustGo) {
      const then = mustCome ? [...held, member].sort() : held;
      if (then.length <= 1) throw empty(move, held);
      needs.push({ kind: 'remove', swap: { ...base, expect: then, add: [], remove: [leaving] } });
    }
  }
  const lagging = disagreeing(views, move);
  if (lagging.length > 0 || needs.length > 0) needs.push({ kind: 'agree', lagging });
  return needs;
}

/** Changes an alias from one type to another in one message, for a CNAME that becomes a set or the other way round. */
export function retype(
  views: readonly ServerView[],
  from: RecordSet,
  to: RecordType,
  add: string[],
  ttl: number,
): Swap {
  const held = views[0] ? membersOn(views[0], from) : [];
  if (held.length === 0)
    throw new CodedError('NC4042', `${from.name} has no ${from.type} record to start from.`);
  if (add.length === 0) throw empty(from, held);
  return { name: from.name, type: to, expectType: from.type, expect: held, remove: held, add, ttl };
}

/**
 * Gives a set another TTL, in one message and with the data as it is: lowered before a change so that its wait is short,
 * and restored after it. Undefined when it has that TTL. The old TTL is waited out before the low one counts.
 */
export function retime(views: readonly ServerView[], set: RecordSet, ttl: number): Swap | undefined {
  const [primary] = views;
  const held = primary ? membersOn(primary, set) : [];
  if (primary === undefined || held.length === 0)
    throw new CodedError('NC4042', `${set.name} has no ${set.type} record whose TTL could change.`);
  if (ttlOf(primary, set) === ttl) return undefined;
  return { name: set.name, type: set.type, expect: held, remove: held, add: held, ttl };
}

/** Servers that do not answer the primary's members, or whose serial is behind its, with the reason. Empty: all agree. */
export function disagreeing(views: readonly ServerView[], set: RecordSet): string[] {
  const primary = views[0];
  if (!primary || primary.serial === undefined)
    return [`${primary?.server ?? 'primary'}: ${primary?.failure ?? 'no answer'}`];
  const wanted = membersOn(primary, set);
  return views.slice(1).flatMap((view) => {
    if (view.serial === undefined) return [`${view.server}: ${view.failure ?? 'no answer'}`];
    const found = membersOn(view, set);
    if (found.join(' ') !== wanted.join(' ')) {
      return [
        `${view.server}: ${set.name} ${set.type} is ${found.join(', ') || 'none'}, the primary has ${wanted.join(', ') || 'none'}`,
      ];
    }
    if (!serialAtLeast(view.serial, primary.serial as number)) {
      return [`${view.server}: serial ${view.serial}, the primary has ${primary.serial}`];
    }
    return [];
  });
}

/** TTL that the set has on this server, in seconds: the longest of its records. */
export function ttlOf(view: ServerView, set: RecordSet): number | undefined {
  const ttls = view.records
    .filter((r) => r.type === set.type && r.name.toLowerCase() === set.name.toLowerCase())
    .map((r) => r.ttl);
  return ttls.length === 0 ? undefined : Math.max(...ttls);
}

/**
 * When nobody can hold the old data any more: the old TTL after the moment that every server had the new data.
 * Without a known moment the full wait begins now; it ends at the result, in milliseconds since 1970.
 */
export function ttlWaitEndMs(swappedAtMs: number | undefined, oldTtlSeconds: number, nowMs: number): number {
  return (swappedAtMs ?? nowMs) + oldTtlSeconds * 1_000;
}

function empty(set: RecordSet, held: readonly string[]): CodedError {
  return new CodedError('NC4042', `${set.name} ${set.type} holds only ${held.join(', ') || 'nothing'}.`);
}
