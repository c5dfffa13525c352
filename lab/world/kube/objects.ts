/** The Kubernetes objects as the world keeps them: the fields that its rules read, everything else carried along. */

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface Meta {
  name: string;
  namespace?: string;
  generateName?: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
  generation?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
}

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: Meta;
  [field: string]: unknown;
}

/** What a creator gives: the server fills in the rest. */
export type NewObject<T extends KubeObject = KubeObject> = Omit<T, 'metadata' | 'status'> & {
  metadata: Partial<Meta>;
  status?: T['status'];
};

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  lastHeartbeatTime?: string;
}

export interface Taint {
  key: string;
  value?: string;
  effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  timeAdded?: string;
}

export interface Toleration {
  key?: string;
  operator?: 'Equal' | 'Exists';
  value?: string;
  effect?: string;
  tolerationSeconds?: number;
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: {
    key: string;
    operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    values?: string[];
  }[];
}

export interface NodeObject extends KubeObject {
  spec: { unschedulable?: boolean; taints?: Taint[]; podCIDR?: string };
  status: {
    conditions?: Condition[];
    addresses?: { type: string; address: string }[];
    nodeInfo?: Record<string, unknown>;
    allocatable?: Record<string, string>;
    capacity?: Record<string, string>;
    volumesAttached?: { name: string; devicePath: string }[];
  };
}

export interface Container {
  name: string;
  image: string;
  ports?: { name?: string; containerPort: number; hostPort?: number; protocol?: string }[];
  resources?: { requests?: Record<string, string> };
  lifecycle?: Record<string, unknown>;
}

export interface PodSpec {
  nodeName?: string;
  containers: Container[];
  hostNetwork?: boolean;
  nodeSelector?: Record<string, string>;
  affinity?: {
    nodeAffinity?: {
      requiredDuringSchedulingIgnoredDuringExecution?: {
        nodeSelectorTerms: {
          matchExpressions?: NonNullable<LabelSelector['matchExpressions']>;
          matchFields?: NonNullable<LabelSelector['matchExpressions']>;
        }[];
      };
    };
    podAntiAffinity?: Record<string, unknown>;
  };
  tolerations?: Toleration[];
  terminationGracePeriodSeconds?: number;
  volumes?: Record<string, unknown>[];
  priorityClassName?: string;
}

export interface PodObject extends KubeObject {
  spec: PodSpec;
  status: {
    phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
    podIP?: string;
    hostIP?: string;
    startTime?: string;
    reason?: string;
    conditions?: Condition[];
    containerStatuses?: Record<string, unknown>[];
  };
}

export interface PodTemplate {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: PodSpec;
}

export interface WorkloadObject extends KubeObject {
  spec: { replicas?: number; selector: LabelSelector; template: PodTemplate };
  status: Record<string, unknown>;
}

export interface ServiceObject extends KubeObject {
  spec: {
    selector?: Record<string, string>;
    ports?: { name?: string; port: number; targetPort?: number | string; protocol?: string }[];
    clusterIP?: string;
    type?: string;
    externalIPs?: string[];
  };
}

export interface SliceEndpoint {
  addresses: string[];
  conditions: { ready?: boolean; serving?: boolean; terminating?: boolean };
  targetRef?: { kind: string; namespace: string; name: string; uid: string };
  topology?: Record<string, string>;
  nodeName?: string;
}

/** discovery.k8s.io/v1beta1, the only version that 1.20 serves. */
export interface EndpointSliceObject extends KubeObject {
  addressType: 'IPv4';
  endpoints: SliceEndpoint[];
  ports: { name: string; port: number; protocol: string }[];
}

export interface BudgetObject extends KubeObject {
  spec: { minAvailable?: number | string; maxUnavailable?: number | string; selector: LabelSelector };
  status: {
    observedGeneration?: number;
    disruptionsAllowed: number;
    currentHealthy: number;
    desiredHealthy: number;
    expectedPods: number;
    disruptedPods?: Record<string, string>;
  };
}

/** A budget that no controller has looked at has no status yet. */
export const budgetStatus = (budget: BudgetObject): Partial<BudgetObject['status']> =>
  (budget as Partial<BudgetObject>).status ?? {};

/** Plural names as in URLs; those of other groups carry none here because no two of them clash. */
export interface Kinds {
  nodes: NodeObject;
  pods: PodObject;
  namespaces: KubeObject;
  services: ServiceObject;
  endpoints: KubeObject;
  endpointslices: EndpointSliceObject;
  daemonsets: WorkloadObject;
  deployments: WorkloadObject;
  replicasets: WorkloadObject;
  poddisruptionbudgets: BudgetObject;
  leases: KubeObject;
  events: KubeObject;
  configmaps: KubeObject;
  secrets: KubeObject;
  serviceaccounts: KubeObject;
  jobs: WorkloadObject;
  statefulsets: WorkloadObject;
  persistentvolumes: KubeObject;
  persistentvolumeclaims: KubeObject;
  volumeattachments: KubeObject;
  applications: KubeObject;
}

export type Resource = keyof Kinds;

export function isReady(object: { status?: { conditions?: Condition[] } }): boolean {
  return object.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}
