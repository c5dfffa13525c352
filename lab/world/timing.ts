/**
 * How long things take in the lab. Short, but of the same kind and in the same order as in reality: a guest boots
 * for longer than a pod starts, endpoints go later than the pod begins to end, and a proxy learns of it later still.
 */

export const REAL_KIND_MS = {
  /** Power on until SSH and containers answer. */
  boot: 900,
  /** A guest that is asked to shut down. */
  shutdown: 250,
  /** The copy of a golden disk: long enough to be killed in its middle. */
  diskCopy: 450,
  /** New-VM, firmware, adapter, seed: each. */
  hypervStep: 60,
  /** Storage moved to the set-aside folder, files deleted. */
  diskMove: 120,
  /** Packer builds an image. */
  imageBuild: 1_500,
  /** A kubelet posts its status. */
  heartbeat: 500,
  /** Silence after which the node controller calls a node's Ready condition Unknown (40 s in reality). */
  notReadyAfter: 2_000,
  /** The node's own network (CNI) is there after its first pods run; until then NotReady. */
  networkReady: 250,
  /** Bound until containers run. */
  podStart: 200,
  /** Containers run until the readiness probe passes. */
  podReady: 150,
  /** Between a controller's look and its act. */
  controller: 20,
  /** How late EndpointSlices follow a pod that ends: at least and at most. */
  endpointLagMin: 300,
  endpointLagMax: 600,
  /** How late the ingress follows EndpointSlices: at least and at most. */
  ingressLagMin: 50,
  ingressLagMax: 200,
  /** A pod with a preStop wait goes on serving for so long after its deletion; then SIGTERM. */
  preStop: 900,
  /** SIGTERM until exit for a process with nothing left to do. */
  exit: 80,
  /** One second of `terminationGracePeriodSeconds`. Grace is a bound, so it is shortened less than the rest. */
  graceSecond: 100,
  /** One second of `tolerationSeconds` before a NoExecute taint evicts. */
  tolerationSecond: 20,
  /** A pod of a Node that is gone is collected after this long. */
  podCollect: 1_000,
  /** A connection to a machine without power is given up after this long (nginx: proxy_connect_timeout). */
  connectTimeout: 1_000,
  /** Argo CD looks at its repository when told to. */
  argoSync: 300,
} as const;

export type Timing = { readonly [K in keyof typeof REAL_KIND_MS]: number };

/** `scale` 2: everything takes twice as long. */
export function timing(scale = 1): Timing {
  return Object.fromEntries(Object.entries(REAL_KIND_MS).map(([key, ms]) => [key, ms * scale])) as Timing;
}
