/** Whether etcd can go the whole way of a replacement, as refusals. The arithmetic is in cluster/etcd/quorum.ts. */
import { judgeAddition, judgePath, judgeRemoval } from '../cluster/etcd/quorum.ts';
import type { Finding } from '../cluster/finding.ts';
import type { Config } from '../config/schema.ts';
import { memberName, type Slice } from '../observed.ts';
import { ERRORS } from '../../ports/errors.ts';
import type { Refusal } from '../step.ts';

export function refuseBy(findings: readonly Finding[]): Refusal | undefined {
  const [first, ...rest] = findings;
  if (first === undefined) return undefined;
  return {
    kind: 'refusal',
    code: first.code,
    what: first.message,
    evidence: [...first.evidence, ...rest.map((finding) => `${finding.code} ${finding.message}`)],
    remedy: ERRORS[first.code].remedy,
  };
}

/** Members that there should be: one for each etcd entry that rke completed. */
export function expectedMembers(world: Slice<'state'>): string[] {
  return world.state.current.nodes
    .filter((node) => node.roles.includes('etcd'))
    .map((node) => memberName(node.hostnameOverride === '' ? node.address : node.hostnameOverride));
}

export function judgeJoin(
  world: Slice<'etcd' | 'state'>,
  config: Config,
  snapshotTaken: boolean,
): Refusal | undefined {
  return refuseBy(
    judgeAddition(world.etcd, {
      expected: expectedMembers(world),
      allowSingleMember: config.allow.singleMember,
      snapshotTaken,
    }),
  );
}

export function judgeWholePath(
  world: Slice<'etcd' | 'state'>,
  config: Config,
  leaving: string,
  dead: boolean,
): Refusal | undefined {
  return refuseBy(
    judgePath(world.etcd, memberName(leaving), {
      expected: expectedMembers(world),
      allowSingleMember: config.allow.singleMember,
      snapshotTaken: config.allow.singleMember,
      dead,
    }),
  );
}

export function judgeLeave(
  world: Slice<'etcd' | 'state'>,
  config: Config,
  leaving: string,
  options: { snapshotTaken: boolean; dead: boolean },
): Refusal | undefined {
  return refuseBy(
    judgeRemoval(world.etcd, memberName(leaving), {
      // One that rke has lost sight of is no stranger: it is the one that goes.
      expected: [...new Set([...expectedMembers(world), memberName(leaving)])],
      allowSingleMember: config.allow.singleMember,
      ...options,
    }),
  );
}
