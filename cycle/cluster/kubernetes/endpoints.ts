/** Which Services still send requests to a node, and how its DaemonSet pods are asked to leave. */
import type { Node } from 'kubernetes-types/core/v1';
import { CodedError } from '../../../ports/errors.ts';
import type { Wait } from '../../../ports/ports.ts';
import { must } from './api.ts';
import type { KubeApi } from './api.ts';
import { podName, tolerates } from './observation.ts';
import type { KubeObservation, KubePod, Taint } from './observation.ts';

/** Pods that tolerate everything (network, proxy) stay; the others end with their own grace. */
export const LEAVING_TAINT: Taint = { key: 'node-cycle/leaving', value: 'true', effect: 'NoExecute' };

export interface EndpointOnNode {
  namespace: string;
  service: string;
  slice: string;
  address: string;
  /** `namespace/name`. */
  pod?: string | undefined;
  ready: boolean;
}

/** Endpoints that belong to pods on the node, by the node they name or by the pod they name. */
export function endpointsOnNode(observation: KubeObservation, node: string): EndpointOnNode[] {
  const here = new Set(observation.pods.filter((pod) => pod.node === node).map(podName));
  return observation.endpointSlices.flatMap((slice) =>
    slice.endpoints
      .filter(({ nodeName, pod }) =>
        nodeName === undefined ? pod !== undefined && here.has(podName(pod)) : nodeName === node,
      )
      .map((endpoint) => ({
        namespace: slice.namespace,
        service: slice.service,
        slice: slice.name,
        address: endpoint.address,
        pod: endpoint.pod === undefined ? undefined : podName(endpoint.pod),
        ready: endpoint.ready,
      })),
  );
}

export interface ServiceDaemonPod {
  pod: KubePod;
  /** `namespace/name` of the Services that it backs. */
  services: string[];
  /** Our taint would not end it. */
  tolerates: boolean;
}

/** DaemonSet pods on the node that back a Service: requests reach them although no eviction ends them. */
export function serviceDaemonPods(observation: KubeObservation, node: string): ServiceDaemonPod[] {
  const services = new Map<string, Set<string>>();
  for (const { pod, namespace, service } of endpointsOnNode(observation, node)) {
    if (pod === undefined || service === '') continue;
    const named = services.get(pod) ?? new Set();
    services.set(pod, named.add(`${namespace}/${service}`));
  }
  return observation.pods
    .filter((pod) => pod.node === node && pod.ownerKind === 'DaemonSet' && services.has(podName(pod)))
    .map((pod) => ({
      pod,
      services: [...(services.get(podName(pod)) ?? [])].sort(),
      tolerates: tolerates(pod, LEAVING_TAINT),
    }));
}

/** Adds the taint, or sets its value. */
export async function setTaint(api: KubeApi, node: string, taint: Taint, wait: Wait): Promise<void> {
  await changeTaints(api, node, wait, (taints) => {
    if (taints.some((one) => sameTaint(one, taint) && (one.value ?? '') === taint.value)) return taints;
    return [...taints.filter((one) => !sameTaint(one, taint)), taint];
  });
}

export async function removeTaint(
  api: KubeApi,
  node: string,
  taint: Pick<Taint, 'key' | 'effect'>,
  wait: Wait,
): Promise<void> {
  await changeTaints(api, node, wait, (taints) => taints.filter((one) => !sameTaint(one, taint)));
}

/** null removes a label. */
export async function setLabels(
  api: KubeApi,
  node: string,
  labels: Record<string, string | null>,
  wait: Wait,
): Promise<void> {
  must(
    await api.patch(`/api/v1/nodes/${node}`, 'merge', { metadata: { labels } }, wait),
    `label node ${node}`,
  );
}

type ApiTaint = NonNullable<NonNullable<Node['spec']>['taints']>[number];

function sameTaint(one: Pick<ApiTaint, 'key' | 'effect'>, other: Pick<ApiTaint, 'key' | 'effect'>): boolean {
  return one.key === other.key && one.effect === other.effect;
}

/** The list of taints is replaced as a whole, so it is only written over the version that it was made from. */
async function changeTaints(
  api: KubeApi,
  node: string,
  wait: Wait,
  change: (taints: readonly ApiTaint[]) => readonly ApiTaint[],
): Promise<void> {
  const path = `/api/v1/nodes/${node}`;
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const found = must(await api.get<Node>(path, wait), `read node ${node}`);
    const before = found.spec?.taints ?? [];
    const after = change(before);
    if (after === before || JSON.stringify(after) === JSON.stringify(before)) return;
    const resourceVersion = found.metadata?.resourceVersion;
    const written = await api.patch(
      path,
      'merge',
      { metadata: { resourceVersion }, spec: { taints: after } },
      wait,
    );
    if (written.ok) return;
    if (written.status !== 409) must(written, `taint node ${node}`);
  }
  throw new CodedError('NC3011', `The taints of node ${node} changed five times while they were being set.`);
}
