/** Whether etcd still has room, and whether its files are mostly holes: found early, as a full etcd takes no writes. */
import { finding } from '../finding.ts';
import type { Finding } from '../finding.ts';
import type { EtcdMember, EtcdObservation } from './members.ts';

export interface SpaceLimits {
  /** etcd's `--quota-backend-bytes`, which it does not tell. Default 2 GiB, as etcd's and rke's own. */
  quotaBytes?: number | undefined;
  /** Share of the quota from which a database counts as nearly full. Default 0.8. */
  fullShare?: number | undefined;
  /** Share of a file that is in use below which it counts as fragmented. Default 0.5. */
  usedShare?: number | undefined;
  /** Smaller files are left alone: etcd grows them in steps. Default 100 MiB. */
  fromBytes?: number | undefined;
}

const QUOTA_BYTES = 2 * 1024 ** 3;
const FULL_SHARE = 0.8;
const USED_SHARE = 0.5;
const FROM_BYTES = 100 * 1024 ** 2;

/** Reasons to change nothing: NOSPACE is raised, or the file is so near to the quota that a change may raise it. */
export function outOfSpace(
  { members }: Pick<EtcdObservation, 'members'>,
  limits: SpaceLimits = {},
): Finding[] {
  const { quotaBytes = QUOTA_BYTES, fullShare = FULL_SHARE } = limits;
  return members.flatMap((member) => {
    if (member.alarms.includes('NOSPACE'))
      return [
        finding('NC3106', `${member.name} has the alarm NOSPACE: etcd takes no writes.`, sizes(member)),
      ];
    const { dbSizeBytes = 0 } = member;
    if (dbSizeBytes < quotaBytes * fullShare) return [];
    const share = Math.round((dbSizeBytes / quotaBytes) * 100);
    return [finding('NC3106', `The database of ${member.name} fills ${share}% of its quota.`, sizes(member))];
  });
}

/** Worth a word, and no reason to stop: a defragmentation stops a member for seconds, so it is a person's choice. */
export function fragmented(
  { members }: Pick<EtcdObservation, 'members'>,
  limits: SpaceLimits = {},
): Finding[] {
  const { usedShare = USED_SHARE, fromBytes = FROM_BYTES } = limits;
  return members.flatMap((member) => {
    const { dbSizeBytes = 0, dbInUseBytes } = member;
    if (dbInUseBytes === undefined || dbSizeBytes < fromBytes) return [];
    if (dbInUseBytes >= dbSizeBytes * usedShare) return [];
    const share = Math.round((dbInUseBytes / dbSizeBytes) * 100);
    return [finding('NC3107', `Only ${share}% of the database of ${member.name} is in use.`, sizes(member))];
  });
}

function sizes({ name, dbSizeBytes, dbInUseBytes }: EtcdMember): string[] {
  return [`${name}: ${dbSizeBytes ?? 'unknown'} bytes, ${dbInUseBytes ?? 'unknown'} in use`];
}
