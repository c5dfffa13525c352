/**
 * What a cycle asks of whatever makes a cluster out of machines. RKE 1 is the first driver; how RKE 2, K3s and
 * kubeadm will map is in docs/decisions. Every driver passes test/cycle/cluster/driver-contract.ts.
 *
 * Each call looks at the cluster first and does what is still missing: made again after it was cut off anywhere, it
 * ends the same, and made when nothing is missing it changes nothing. The caller holds the cluster's lock, has
 * drained the node, and has judged the whole path (etcd's quorum, control planes, what would be interrupted).
 */
import type { Finding } from './finding.ts';

export type ClusterRole = 'controlplane' | 'etcd' | 'worker';

export interface DriverNode {
  /** As Kubernetes calls it. */
  name: string;
  address: string;
  roles: readonly ClusterRole[];
}

export interface JoiningNode extends DriverNode {
  /** The node whose settings it takes over: user, labels, taints. */
  like: string;
}

export interface LeavingNode extends DriverNode {
  /** Its machine is off for good: nothing on it can be asked, and nothing is cleaned up. */
  dead: boolean;
}

export interface DriverSnapshot {
  /** On this machine: off every node of the cluster. */
  path: string;
  sizeBytes: number;
  sha256: string;
  /** Of etcd; 64 bits, so a text. */
  revision: string;
}

export interface ClusterDriver {
  /** As in node-cycle.yml. */
  readonly kind: string;

  /** Why the cluster must not be touched now, all reasons at once; empty when it may. Reads only. */
  preflight(leaving: LeavingNode | undefined, signal: AbortSignal): Promise<Finding[]>;

  /** A copy of etcd, checked (hash, size, revision), on this machine. @throws CodedError NC3110, NC3111 */
  snapshot(signal: AbortSignal): Promise<DriverSnapshot>;

  /** Ends when the cluster has taken the node in; whether it serves is the caller's to see. */
  join(node: JoiningNode, signal: AbortSignal): Promise<void>;

  /**
   * Takes one role from a node that stays; never its last one. Absent where nodes only come and go whole, which is
   * everywhere but RKE 1: the cycle then has no role stages.
   */
  dropRole?(node: DriverNode, role: 'controlplane' | 'etcd', signal: AbortSignal): Promise<void>;

  /** The whole node goes: from etcd, from Kubernetes, from the driver's own records. Its machine may run on. */
  leave(node: LeavingNode, signal: AbortSignal): Promise<void>;

  /**
   * What is otherwise than these nodes, asked of Kubernetes, of every member of etcd and of the driver's own records,
   * and never concluded from what a program said. Empty: the cluster is exactly so.
   */
  verify(nodes: readonly DriverNode[], signal: AbortSignal): Promise<Finding[]>;
}
