/**
 * Whether the successor is newer than the node that it replaces: what vm.requireNewer asks for. From the images before
 * anything is made, and again from what the new node says of itself.
 */
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import type { NodeEvidence } from '../evidence/read.ts';
import { UNKNOWN } from '../evidence/read.ts';

type Old = Pick<VmView, 'imageBuiltAt' | 'createdAt'> | undefined;

/**
 * The image of a VM that was adopted is not known, but it is no younger than the VM. Undefined: it cannot be told.
 */
export function imageIsNewer(builtAt: string | undefined, old: Old): boolean | undefined {
  const builtMs = Date.parse(builtAt ?? '');
  if (Number.isNaN(builtMs) || old === undefined) return undefined;
  if (old.imageBuiltAt !== undefined) return builtMs > Date.parse(old.imageBuiltAt);
  return builtMs > Date.parse(old.createdAt) ? true : undefined;
}

/** Why a node that has booted may not join; undefined when it may. What is unknown confirms nothing. */
export function whyNotNewer(
  vm: Pick<VmView, 'imageBuiltAt'>,
  old: Old,
  evidence: NodeEvidence,
): string[] | undefined {
  if (imageIsNewer(vm.imageBuiltAt, old) === true || evidence.securityUpdates === 0) return undefined;
  const oldImage = old?.imageBuiltAt ?? `${UNKNOWN}, of ${old?.createdAt ?? UNKNOWN} at the latest`;
  return [
    `image of the new node: ${vm.imageBuiltAt ?? UNKNOWN}`,
    `image of the old node: ${oldImage}`,
    `security updates pending: ${evidence.securityUpdates} (${evidence.securityUpdatesBy})`,
  ];
}
