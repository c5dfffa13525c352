/** etcd before a member leaves: a checked snapshot off the node, and the leadership somewhere else. */
import { CodedError } from '../../ports/errors.ts';
import { endpointOf, observeEtcd, removeMember, transferLeadership } from '../cluster/etcd/members.ts';
import { bestSuccessor } from '../cluster/etcd/quorum.ts';
import { whyStillMember } from '../cluster/etcd/removal.ts';
import { takeSnapshot } from '../cluster/etcd/snapshot.ts';
import { waitMs, type Context } from '../context.ts';
import { memberName } from '../observed.ts';
import { isoTime } from '../time.ts';
import { requireLock } from './facts.ts';

const ASK_MS = 20_000;
const SNAPSHOT_MS = 600_000;

/** @returns the snapshot's path in the state directory. */
export async function snapshotEtcd(ctx: Context, signal: AbortSignal): Promise<string> {
  const target = await ctx.cluster.etcd();
  const observed = await observeEtcd(ctx.ports.http, target, {
    wait: waitMs(ASK_MS, signal),
    nowMs: ctx.ports.clock.now(),
  });
  const endpoint = observed.members
    .filter((member) => member.healthy)
    .map((member) => endpointOf(target, member))
    .find((found) => found !== undefined);
  if (endpoint === undefined)
    throw new CodedError('NC1236', 'No healthy member of etcd can give a snapshot.');
  const dir = `${ctx.stateDir}/snapshots`;
  await ctx.ports.files.makeDir(dir, 0o700);
  const path = `${dir}/${ctx.config.cluster}-${isoTime(ctx.ports.clock.now()).replace(/[:.]/g, '')}.db`;
  const taken = await takeSnapshot(ctx.ports, target, endpoint, path, waitMs(SNAPSHOT_MS, signal));
  ctx.say(
    `etcd snapshot ${taken.path}: ${taken.sizeBytes} bytes, revision ${taken.revision}, sha256 ${taken.sha256}`,
  );
  ctx.record({
    kind: 'evidence',
    subject: 'etcd snapshot',
    facts: {
      path: taken.path,
      bytes: String(taken.sizeBytes),
      revision: taken.revision,
      sha256: taken.sha256,
    },
  });
  return path;
}

export async function moveLeader(ctx: Context, node: string, signal: AbortSignal): Promise<void> {
  const target = await ctx.cluster.etcd();
  const wait = waitMs(ASK_MS, signal);
  const observed = await observeEtcd(ctx.ports.http, target, { wait, nowMs: ctx.ports.clock.now() });
  const leader = observed.members.find((member) => member.leader);
  if (leader === undefined || leader.name !== memberName(node)) return;
  await requireLock(ctx, signal);
  const to = bestSuccessor(observed.members, leader.id);
  const endpoint = endpointOf(target, leader);
  if (to === undefined || endpoint === undefined)
    throw new CodedError('NC1236', `No other healthy voter can lead instead of ${leader.name}.`);
  const moved = await transferLeadership(ctx.ports.http, target, endpoint, to.id, wait);
  if (!moved.ok)
    throw new CodedError('NC1236', `${leader.name} did not hand over to ${to.name}: ${moved.message}`);
}

/**
 * A member that rke has lost sight of. Quorum was judged on the observation that led here; every member that is left
 * is asked afterwards, as etcd 3.4 answers the list from each one's own memory.
 */
export async function removeOrphanMember(ctx: Context, node: string, signal: AbortSignal): Promise<void> {
  const target = await ctx.cluster.etcd();
  await requireLock(ctx, signal);
  const wait = waitMs(ASK_MS, signal);
  const observed = await observeEtcd(ctx.ports.http, target, { wait, nowMs: ctx.ports.clock.now() });
  const orphan = observed.members.find((member) => member.name === memberName(node));
  if (orphan === undefined) return;
  const endpoint = observed.members
    .filter((member) => member.healthy && member.id !== orphan.id)
    .map((member) => endpointOf(target, member))
    .find((found) => found !== undefined);
  if (endpoint === undefined)
    throw new CodedError('NC1236', `No healthy member can be asked to remove ${orphan.name}.`);
  const removed = await removeMember(ctx.ports.http, target, endpoint, orphan.id, wait);
  if (!removed.ok) throw new CodedError('NC1236', `${orphan.name} was not removed: ${removed.message}`);
  const after = await observeEtcd(ctx.ports.http, target, { wait, nowMs: ctx.ports.clock.now() });
  const still = whyStillMember(after, orphan.id);
  if (still !== undefined) throw new CodedError('NC1236', `${orphan.name} may not be gone: ${still}`);
}
