/** The light form of a cluster that plans are made from, and the pure questions that one asks of it. */

export interface Taint {
  key: string;
  value: string;
  effect: string;
}

export interface Toleration {
  key?: string | undefined;
  operator?: string | undefined;
  value?: string | undefined;
  effect?: string | undefined;
}

export interface Resources {
  cpuMillis: number;
  memoryBytes: number;
  pods: number;
}

export interface KubeNode {
  name: string;
  uid: string;
  addresses: { type: string; address: string }[];
  internalIp?: string | undefined;
  ready: boolean;
  /** Reason of the Ready condition, or `NoReadyCondition`. */
  readyReason: string;
  /** Conditions other than Ready that are True and mean trouble (MemoryPressure, NetworkUnavailable …). */
  trouble: string[];
  unschedulable: boolean;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  taints: Taint[];
  /** Milliseconds since 1970, UTC. */
  createdAtMs: number;
  lastHeartbeatMs?: number | undefined;
  kubeletVersion: string;
  osImage: string;
  containerRuntime: string;
  bootId: string;
  resourceVersion: string;
  allocatable: Resources;
  /** Value of the label `node-cycle/hold`. */
  holdReason?: string | undefined;
}

export interface KubePod {
  namespace: string;
  name: string;
  uid: string;
  /** Empty while it is not scheduled. */
  node: string;
  /** Its controller. */
  ownerKind?: string | undefined;
  ownerName?: string | undefined;
  ownerUid?: string | undefined;
  phase: string;
  ready: boolean;
  /** A static pod: the kubelet's, not the API's. */
  mirror: boolean;
  hostNetwork: boolean;
  emptyDir: boolean;
  hostPath: boolean;
  /** Names of its PersistentVolumeClaims. */
  claims: string[];
  labels: Record<string, string>;
  deleting: boolean;
  finalizers: string[];
  requests: Resources;
  priority: number;
  nodeSelector: Record<string, string>;
  tolerations: Toleration[];
  createdAtMs: number;
}

export interface LabelSelector {
  matchLabels: Record<string, string>;
  matchExpressions: { key: string; operator: string; values: string[] }[];
}

export interface KubeBudget {
  namespace: string;
  name: string;
  selector: LabelSelector;
  /** An empty selector selects every pod in policy/v1, and none in v1beta1. */
  emptySelects: 'all' | 'none';
  disruptionsAllowed: number;
  currentHealthy: number;
  desiredHealthy: number;
  expectedPods: number;
  minAvailable?: string | undefined;
  maxUnavailable?: string | undefined;
  /** The status belongs to the spec as it is now. */
  current: boolean;
}

export interface KubeDaemonSet {
  namespace: string;
  name: string;
  uid: string;
  desired: number;
  ready: number;
  tolerations: Toleration[];
}

export interface KubeEndpoint {
  address: string;
  nodeName?: string | undefined;
  ready: boolean;
  /** It may still be served while it terminates. */
  terminating: boolean;
  pod?: { namespace: string; name: string } | undefined;
}

export interface KubeEndpointSlice {
  namespace: string;
  name: string;
  /** Empty when the slice belongs to none. */
  service: string;
  endpoints: KubeEndpoint[];
}

export interface KubeVolumeAttachment {
  name: string;
  node: string;
  attached: boolean;
  persistentVolume?: string | undefined;
}

export interface KubePersistentVolume {
  name: string;
  /** Host names that its node affinity requires; empty when any node will do. */
  nodes: string[];
  claim?: { namespace: string; name: string } | undefined;
}

export interface KubeObservation {
  nodes: KubeNode[];
  pods: KubePod[];
  budgets: KubeBudget[];
  daemonSets: KubeDaemonSet[];
  endpointSlices: KubeEndpointSlice[];
  volumeAttachments: KubeVolumeAttachment[];
  persistentVolumes: KubePersistentVolume[];
  /** Milliseconds since 1970, when the reading began. */
  observedAtMs: number;
}

export function nodeByName(observation: Pick<KubeObservation, 'nodes'>, name: string): KubeNode | undefined {
  return observation.nodes.find((node) => node.name === name);
}

export function podName(pod: { namespace: string; name: string }): string {
  return `${pod.namespace}/${pod.name}`;
}

/** Label selectors as the API server reads them. An empty one selects everything. */
export function selects(selector: LabelSelector, labels: Record<string, string>): boolean {
  const { matchLabels, matchExpressions } = selector;
  if (!Object.entries(matchLabels).every(([key, value]) => labels[key] === value)) return false;
  return matchExpressions.every(({ key, operator, values }) => {
    const value = labels[key];
    if (operator === 'In') return value !== undefined && values.includes(value);
    if (operator === 'NotIn') return value === undefined || !values.includes(value);
    if (operator === 'Exists') return value !== undefined;
    if (operator === 'DoesNotExist') return value === undefined;
    return false;
  });
}

/** The budgets that select a pod. */
export function budgetsOf(pod: KubePod, budgets: readonly KubeBudget[]): KubeBudget[] {
  return budgets.filter((budget) => {
    if (budget.namespace !== pod.namespace) return false;
    const { matchLabels, matchExpressions } = budget.selector;
    const empty = Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
    return empty ? budget.emptySelects === 'all' : selects(budget.selector, pod.labels);
  });
}

/** Whether a toleration covers the taint, by the API server's rules. */
export function tolerates(pod: { tolerations: readonly Toleration[] }, taint: Taint): boolean {
  return pod.tolerations.some((toleration) => {
    const { key = '', operator = 'Equal', value = '', effect = '' } = toleration;
    if (effect !== '' && effect !== taint.effect) return false;
    if (key === '') return operator === 'Exists';
    if (key !== taint.key) return false;
    return operator === 'Exists' || value === taint.value;
  });
}

const SUFFIXES: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A Kubernetes quantity (`250m`, `1.5Gi`, `1e3`) as a number in its base unit; 0 for what is none. */
export function quantity(text: string | number | undefined): number {
  if (typeof text === 'number') return text;
  const match = /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/.exec(text ?? '');
  if (match === null) return 0;
  return Number(match[1]) * (SUFFIXES[match[2] ?? ''] ?? 1);
}

export function resources(of: Record<string, string> | undefined): Resources {
  return {
    cpuMillis: Math.round(quantity(of?.['cpu']) * 1000),
    memoryBytes: Math.round(quantity(of?.['memory'])),
    pods: quantity(of?.['pods']),
  };
}
