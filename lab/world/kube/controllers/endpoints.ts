/**
 * Endpoints and EndpointSlices. A new ready pod is entered soon; one that ends or stops being ready is taken out
 * late, by a chance delay for each pod, as it happens in real clusters: until then it is offered to everybody.
 */
import type { PodObject, ServiceObject, SliceEndpoint } from '../objects.ts';
import { isReady } from '../objects.ts';
import { iso } from '../store.ts';
import type { ControllerContext } from './controllers.ts';

export const SERVICE_LABEL = 'kubernetes.io/service-name';

export function watchEndpoints(context: ControllerContext): () => void {
  const { store, timing } = context;
  /** Pods that stopped serving, and when that may be seen. */
  const visibleAtMs = new Map<string, number>();
  const all = (): void => {
    for (const service of store.list('services')) sync(context, service, visibleAtMs);
    lookLate();
  };
  /** At the next time that something late may be seen. */
  const lookLate = (): void => {
    const nowMs = context.world.clock.nowMs();
    const nextMs = Math.min(...[...visibleAtMs.values()].filter((atMs) => atMs > nowMs));
    if (nextMs < Infinity) context.later('endpoints/late', nextMs - nowMs + 1, all);
  };
  const look = (): void => context.later('endpoints', timing.controller, all);
  store.on((event) => {
    if (event.resource === 'services') look();
    if (event.resource !== 'pods') return;
    const pod = event.object as PodObject;
    const before = event.before as PodObject | undefined;
    const was = before !== undefined && serves(before);
    const is = event.type !== 'DELETED' && serves(pod);
    if (was && !is) {
      const delayMs = context.between(timing.endpointLagMin, timing.endpointLagMax);
      if (!visibleAtMs.has(pod.metadata.uid)) {
        visibleAtMs.set(pod.metadata.uid, context.world.clock.nowMs() + delayMs);
        lookLate();
      }
      return;
    }
    if (is) visibleAtMs.delete(pod.metadata.uid);
    // A pod that never served is in the list too, as one that is not ready: its end counts as much.
    look();
  });
  return look;
}

const serves = (pod: PodObject): boolean => pod.metadata.deletionTimestamp === undefined && isReady(pod);

function sync(context: ControllerContext, service: ServiceObject, visibleAtMs: Map<string, number>): void {
  const { store } = context;
  if (service.spec.selector === undefined) return;
  if (!context.runs('kube-controller-manager')) {
    context.later('endpoints/retry', context.timing.heartbeat, () => {
      for (const each of store.list('services')) sync(context, each, visibleAtMs);
    });
    return;
  }
  const { name, namespace = 'default' } = service.metadata;
  const slice = store.get('endpointslices', `${name}-lab`, namespace);
  const selected = Object.entries(service.spec.selector);
  const endpoints: SliceEndpoint[] = store
    .list('pods', namespace)
    .filter((pod) => selected.every(([key, value]) => pod.metadata.labels?.[key] === value))
    .filter((pod) => pod.metadata.deletionTimestamp === undefined && pod.status.podIP !== undefined)
    .map((pod) => endpointOf(pod, isReady(pod)));
  const nowMs = context.world.clock.nowMs();
  const late = (slice?.endpoints ?? []).filter(({ conditions, targetRef }) => {
    const seenAtMs = visibleAtMs.get(targetRef?.uid ?? '');
    return conditions.ready === true && seenAtMs !== undefined && seenAtMs > nowMs;
  });
  const lateUids = new Set(late.map(({ targetRef }) => targetRef?.uid));
  const merged = [...late, ...endpoints.filter(({ targetRef }) => !lateUids.has(targetRef?.uid))].sort(
    (a, b) => ((a.targetRef?.name ?? '') < (b.targetRef?.name ?? '') ? -1 : 1),
  );
  for (const [uid, atMs] of visibleAtMs) if (atMs + 10_000 < nowMs) visibleAtMs.delete(uid);
  writeSlice(context, service, merged);
  writeEndpoints(context, service, merged);
}

function endpointOf(pod: PodObject, ready: boolean): SliceEndpoint {
  const { name, namespace = 'default', uid } = pod.metadata;
  return {
    addresses: [pod.status.podIP ?? ''],
    // 1.20 has neither `serving` nor `terminating` switched on: a pod that ends is taken out, not marked.
    conditions: { ready },
    targetRef: { kind: 'Pod', namespace, name, uid },
    topology: { 'kubernetes.io/hostname': pod.spec.nodeName ?? '' },
    nodeName: pod.spec.nodeName ?? '',
  };
}

const portsOf = (service: ServiceObject) =>
  (service.spec.ports ?? []).map(({ name = '', port, targetPort, protocol = 'TCP' }) => ({
    name,
    port: typeof targetPort === 'number' ? targetPort : port,
    protocol,
  }));

const ownedBy = (service: ServiceObject) => [
  {
    apiVersion: 'v1',
    kind: 'Service',
    name: service.metadata.name,
    uid: service.metadata.uid,
    controller: true,
  },
];

function writeSlice({ store }: ControllerContext, service: ServiceObject, endpoints: SliceEndpoint[]): void {
  const { name, namespace = 'default' } = service.metadata;
  const ports = portsOf(service);
  const changed = store.change('endpointslices', `${name}-lab`, namespace, (draft) => {
    draft.endpoints = endpoints;
    draft.ports = ports;
  });
  if (changed !== undefined) return;
  store.create('endpointslices', {
    apiVersion: 'discovery.k8s.io/v1beta1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-lab`,
      namespace,
      labels: {
        [SERVICE_LABEL]: name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
      ownerReferences: ownedBy(service),
    },
    addressType: 'IPv4',
    endpoints,
    ports,
  });
}

function writeEndpoints(
  { store, world }: ControllerContext,
  service: ServiceObject,
  endpoints: SliceEndpoint[],
): void {
  const { name, namespace = 'default' } = service.metadata;
  const addresses = (ready: boolean) =>
    endpoints
      .filter(({ conditions }) => (conditions.ready === true) === ready)
      .map(({ addresses: [ip], nodeName, targetRef }) => ({ ip, nodeName, targetRef }));
  const subset = {
    ...(addresses(true).length > 0 ? { addresses: addresses(true) } : {}),
    ...(addresses(false).length > 0 ? { notReadyAddresses: addresses(false) } : {}),
    ports: portsOf(service),
  };
  const subsets = endpoints.length === 0 ? [] : [subset];
  const changed = store.change('endpoints', name, namespace, (draft) => {
    if (JSON.stringify(draft['subsets']) === JSON.stringify(subsets)) return;
    draft['subsets'] = subsets;
    const at = iso(world.clock.nowMs());
    draft.metadata.annotations = { 'endpoints.kubernetes.io/last-change-trigger-time': at };
  });
  if (changed !== undefined) return;
  store.create('endpoints', {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name, namespace, ownerReferences: ownedBy(service) },
    subsets,
  });
}
