/** What is done before a role is taken away: the fact that there is no way back, a snapshot, the leadership. */
import { CodedError } from '../../ports/errors.ts';
import type { Edit } from '../cluster/rke/cluster-yml.ts';
import { memberName, memberOf } from '../observed.ts';
import type { RemoveRoleWorld } from '../plan/leaving.ts';
import type { Action } from '../step.ts';
import { snapshotAction, snapshotTaken } from './etcd-snapshot.ts';
import type { AddNodeActs } from './rke-add-node.ts';

export interface RemoveRoleInput {
  leaving: string;
  staying: string;
  role: 'controlplane' | 'etcd' | 'node';
}

export interface RemoveRoleActs extends AddNodeActs {
  /** Hands etcd's leadership to a healthy voter other than `node`. */
  moveLeader(node: string, signal: AbortSignal): Promise<void>;
  cordon(node: string, signal: AbortSignal): Promise<void>;
  drain(node: string, signal: AbortSignal): Promise<void>;
  addLeavingTaint(node: string, signal: AbortSignal): Promise<void>;
  /** Removes a member alone: its node stays for the roles that it has left. */
  removeMember(node: string, signal: AbortSignal): Promise<void>;
  /** Removes a member or Node that rke has lost sight of, by ourselves. */
  removeOrphan(node: string, signal: AbortSignal): Promise<void>;
}

export function noWayBack<W extends RemoveRoleWorld>(
  acts: RemoveRoleActs,
  leaving: string,
  settleMs: number,
): Action<W> {
  return {
    id: `fact.roleRemoved ${leaving}`,
    reason: 'written before the first removal: from here the cycle only goes forward',
    apply: (signal) => acts.writeFacts({ roleRemoved: true }, signal),
    done: (o) => o.facts.roleRemoved === true,
    settleMs,
    predict: (o) => ({ ...o, facts: { ...o.facts, roleRemoved: true } }),
  };
}

export function etcdPrecautions<W extends RemoveRoleWorld>(
  acts: RemoveRoleActs,
  world: W,
  leaving: string,
  address: string | undefined,
  settleMs: number,
): Action<W>[] {
  const actions: Action<W>[] = [];
  if (!snapshotTaken(world))
    actions.push(
      snapshotAction(acts, world, leaving, 'a checked copy, off the node, before a member leaves', settleMs),
    );
  if (memberOf(world, leaving, address)?.leader === true && world.etcd.members.length > 1) {
    actions.push({
      id: `etcd.moveLeader ${leaving}`,
      reason: `${memberName(leaving)} leads; an election in the middle of its removal would stop writes`,
      apply: (signal) => acts.moveLeader(leaving, signal),
      done: (o) => memberOf(o, leaving, address)?.leader !== true,
      settleMs,
      predict: (o) => ({
        ...o,
        etcd: {
          ...o.etcd,
          members: o.etcd.members.map((member, index, all) => ({
            ...member,
            leader:
              member.name !== memberName(leaving) &&
              index === all.findIndex((other) => other.name !== memberName(leaving)),
          })),
        },
      }),
    });
  }
  return actions;
}

export function edited(edit: Edit): string {
  if (edit.ok) return edit.text;
  throw new CodedError('NC3204', `${edit.problem}: ${edit.message}`);
}
