/** Reads what the cluster looks like now. */
import type { Endpoints, Node, PersistentVolume, Pod } from 'kubernetes-types/core/v1';
import type { DaemonSet } from 'kubernetes-types/apps/v1';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1';
import type { LabelSelector as ApiSelector } from 'kubernetes-types/meta/v1';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1';
import type { VolumeAttachment } from 'kubernetes-types/storage/v1';
import type { Wait } from '../../../ports/ports.ts';
import { must } from './api.ts';
import type { KubeApi } from './api.ts';
import { resources } from './observation.ts';
import type {
  KubeBudget,
  KubeDaemonSet,
  KubeEndpointSlice,
  KubeNode,
  KubeObservation,
  KubePersistentVolume,
  KubePod,
  KubeVolumeAttachment,
  LabelSelector,
  Resources,
} from './observation.ts';

export * from './observation.ts';

export const HOLD_LABEL = 'node-cycle/hold';

/** Parts to read; what is left out is an empty list. */
export type ObservedPart = Exclude<keyof KubeObservation, 'observedAtMs'>;

/** @throws PortError when no server answers, CodedError NC3010 when one refuses. */
export async function observeKube(
  api: KubeApi,
  options: { wait: Wait; nowMs: number; parts?: readonly ObservedPart[] | undefined },
): Promise<KubeObservation> {
  const { wait, nowMs, parts } = options;
  const versions = must(await api.groupVersions(wait), 'API groups');
  const all = async <T>(path: string): Promise<T[]> =>
    must(await api.list<T>(path, wait), `list ${path}`).items;
  const part = <T>(name: ObservedPart, read: () => Promise<T[]>): Promise<T[]> =>
    parts === undefined || parts.includes(name) ? read() : Promise.resolve([]);
  const policy = versions.has('policy/v1') ? 'v1' : 'v1beta1';

  const [nodes, pods, budgets, daemonSets, endpointSlices, volumeAttachments, persistentVolumes] =
    await Promise.all([
      part('nodes', async () => (await all<Node>('/api/v1/nodes')).map(nodeOf)),
      part('pods', async () => (await all<Pod>('/api/v1/pods')).map(podOf)),
      part('budgets', async () =>
        (await all<PodDisruptionBudget>(`/apis/policy/${policy}/poddisruptionbudgets`)).map((budget) =>
          budgetOf(budget, policy),
        ),
      ),
      part('daemonSets', async () => (await all<DaemonSet>('/apis/apps/v1/daemonsets')).map(daemonSetOf)),
      part('endpointSlices', () => readSlices(all, versions)),
      part('volumeAttachments', async () =>
        (await all<VolumeAttachment>('/apis/storage.k8s.io/v1/volumeattachments')).map(attachmentOf),
      ),
      part('persistentVolumes', async () =>
        (await all<PersistentVolume>('/api/v1/persistentvolumes')).map(volumeOf),
      ),
    ]);
  return {
    nodes,
    pods,
    budgets,
    daemonSets,
    endpointSlices,
    volumeAttachments,
    persistentVolumes,
    observedAtMs: nowMs,
  };
}

type All = <T>(path: string) => Promise<T[]>;

/** discovery/v1 since 1.21, v1beta1 before it (it keeps the node in `topology`), Endpoints where there is neither. */
async function readSlices(all: All, versions: ReadonlySet<string>): Promise<KubeEndpointSlice[]> {
  const version = ['v1', 'v1beta1'].find((one) => versions.has(`discovery.k8s.io/${one}`));
  if (version === undefined) return (await all<Endpoints>('/api/v1/endpoints')).map(endpointsOf);
  return (await all<EndpointSlice>(`/apis/discovery.k8s.io/${version}/endpointslices`)).map(sliceOf);
}

export function nodeOf(node: Node): KubeNode {
  const { metadata, spec, status } = node;
  const conditions = status?.conditions ?? [];
  const ready = conditions.find((condition) => condition.type === 'Ready');
  const addresses = (status?.addresses ?? []).map(({ type, address }) => ({ type, address }));
  const labels = metadata?.labels ?? {};
  return {
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    addresses,
    internalIp: addresses.find(({ type }) => type === 'InternalIP')?.address,
    ready: ready?.status === 'True',
    readyReason: ready === undefined ? 'NoReadyCondition' : (ready.reason ?? ''),
    trouble: conditions
      .filter(({ type, status: is }) => type !== 'Ready' && is === 'True')
      .map(({ type }) => type),
    unschedulable: spec?.unschedulable === true,
    labels,
    annotations: metadata?.annotations ?? {},
    taints: (spec?.taints ?? []).map(({ key, value, effect }) => ({ key, value: value ?? '', effect })),
    createdAtMs: timeMs(metadata?.creationTimestamp) ?? 0,
    lastHeartbeatMs: timeMs(ready?.lastHeartbeatTime),
    kubeletVersion: status?.nodeInfo?.kubeletVersion ?? '',
    osImage: status?.nodeInfo?.osImage ?? '',
    containerRuntime: status?.nodeInfo?.containerRuntimeVersion ?? '',
    bootId: status?.nodeInfo?.bootID ?? '',
    resourceVersion: metadata?.resourceVersion ?? '',
    allocatable: resources(status?.allocatable),
    holdReason: labels[HOLD_LABEL],
  };
}

export function podOf(pod: Pod): KubePod {
  const { metadata, spec, status } = pod;
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true);
  const volumes = spec?.volumes ?? [];
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    node: spec?.nodeName ?? '',
    ownerKind: owner?.kind,
    ownerName: owner?.name,
    ownerUid: owner?.uid,
    phase: status?.phase ?? '',
    ready: (status?.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    mirror: metadata?.annotations?.['kubernetes.io/config.mirror'] !== undefined,
    hostNetwork: spec?.hostNetwork === true,
    emptyDir: volumes.some((volume) => volume.emptyDir !== undefined),
    hostPath: volumes.some((volume) => volume.hostPath !== undefined),
    claims: volumes.flatMap((volume) => volume.persistentVolumeClaim?.claimName ?? []),
    labels: metadata?.labels ?? {},
    deleting: metadata?.deletionTimestamp !== undefined,
    finalizers: metadata?.finalizers ?? [],
    requests: requestsOf(spec),
    priority: spec?.priority ?? 0,
    nodeSelector: spec?.nodeSelector ?? {},
    tolerations: spec?.tolerations ?? [],
    createdAtMs: timeMs(metadata?.creationTimestamp) ?? 0,
  };
}

/** As the scheduler counts: the sum of the containers, or the largest init container if that is more. */
function requestsOf(spec: Pod['spec']): Resources {
  const sum: Resources = { cpuMillis: 0, memoryBytes: 0, pods: 1 };
  for (const container of spec?.containers ?? []) {
    const asked = resources(container.resources?.requests);
    sum.cpuMillis += asked.cpuMillis;
    sum.memoryBytes += asked.memoryBytes;
  }
  for (const container of spec?.initContainers ?? []) {
    const asked = resources(container.resources?.requests);
    sum.cpuMillis = Math.max(sum.cpuMillis, asked.cpuMillis);
    sum.memoryBytes = Math.max(sum.memoryBytes, asked.memoryBytes);
  }
  return sum;
}

export function budgetOf(budget: PodDisruptionBudget, version: 'v1' | 'v1beta1'): KubeBudget {
  const { metadata, spec, status } = budget;
  const textOf = (value: string | number | undefined) => (value === undefined ? undefined : String(value));
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    selector: selectorOf(spec?.selector),
    emptySelects: version === 'v1' && spec?.selector !== undefined ? 'all' : 'none',
    disruptionsAllowed: status?.disruptionsAllowed ?? 0,
    currentHealthy: status?.currentHealthy ?? 0,
    desiredHealthy: status?.desiredHealthy ?? 0,
    expectedPods: status?.expectedPods ?? 0,
    minAvailable: textOf(spec?.minAvailable),
    maxUnavailable: textOf(spec?.maxUnavailable),
    current: (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0),
  };
}

function selectorOf(selector: ApiSelector | undefined): LabelSelector {
  return {
    matchLabels: selector?.matchLabels ?? {},
    matchExpressions: (selector?.matchExpressions ?? []).map(({ key, operator, values }) => ({
      key,
      operator,
      values: values ?? [],
    })),
  };
}

export function daemonSetOf(set: DaemonSet): KubeDaemonSet {
  return {
    namespace: set.metadata?.namespace ?? '',
    name: set.metadata?.name ?? '',
    uid: set.metadata?.uid ?? '',
    desired: set.status?.desiredNumberScheduled ?? 0,
    ready: set.status?.numberReady ?? 0,
    tolerations: set.spec?.template.spec?.tolerations ?? [],
  };
}

export function sliceOf(slice: EndpointSlice): KubeEndpointSlice {
  const { metadata } = slice;
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    service: metadata?.labels?.['kubernetes.io/service-name'] ?? '',
    endpoints: ((slice.endpoints as typeof slice.endpoints | null | undefined) ?? []).flatMap((endpoint) => {
      // v1beta1 names the node in `topology`; the published v1 type does not know that field.
      const topology = (endpoint as { topology?: Record<string, string> }).topology;
      return endpoint.addresses.map((address) => ({
        address,
        nodeName: endpoint.nodeName ?? topology?.['kubernetes.io/hostname'],
        ready: endpoint.conditions?.ready !== false,
        terminating: endpoint.conditions?.terminating === true,
        pod: podRef(endpoint.targetRef, metadata?.namespace),
      }));
    }),
  };
}

export function endpointsOf(endpoints: Endpoints): KubeEndpointSlice {
  const namespace = endpoints.metadata?.namespace ?? '';
  const name = endpoints.metadata?.name ?? '';
  return {
    namespace,
    name,
    service: name,
    endpoints: (endpoints.subsets ?? []).flatMap((subset) =>
      [
        ...(subset.addresses ?? []).map((one) => ({ one, ready: true })),
        ...(subset.notReadyAddresses ?? []).map((one) => ({ one, ready: false })),
      ].map(({ one, ready }) => ({
        address: one.ip,
        nodeName: one.nodeName,
        ready,
        terminating: false,
        pod: podRef(one.targetRef, namespace),
      })),
    ),
  };
}

function podRef(
  ref: { kind?: string; name?: string; namespace?: string } | undefined,
  namespace: string | undefined,
): { namespace: string; name: string } | undefined {
  if (ref?.kind !== 'Pod' || ref.name === undefined) return undefined;
  return { namespace: ref.namespace ?? namespace ?? '', name: ref.name };
}

export function attachmentOf(attachment: VolumeAttachment): KubeVolumeAttachment {
  return {
    name: attachment.metadata?.name ?? '',
    node: attachment.spec.nodeName,
    attached: attachment.status?.attached === true,
    persistentVolume: attachment.spec.source.persistentVolumeName,
  };
}

export function volumeOf(volume: PersistentVolume): KubePersistentVolume {
  const terms = volume.spec?.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  const nodes = terms.flatMap((term) => [
    ...(term.matchExpressions ?? [])
      .filter(({ key, operator }) => key === 'kubernetes.io/hostname' && operator === 'In')
      .flatMap(({ values }) => values ?? []),
    ...(term.matchFields ?? [])
      .filter(({ key, operator }) => key === 'metadata.name' && operator === 'In')
      .flatMap(({ values }) => values ?? []),
  ]);
  const claim = volume.spec?.claimRef;
  return {
    name: volume.metadata?.name ?? '',
    nodes,
    claim: claim === undefined ? undefined : { namespace: claim.namespace ?? '', name: claim.name ?? '' },
  };
}

function timeMs(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : ms;
}
