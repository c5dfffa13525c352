/** One pod on each node that takes it. Cordoned and not-ready nodes do; a NoExecute taint of somebody's own ends it. */
import type { NodeObject, PodObject, Toleration, WorkloadObject } from '../objects.ts';
import { controllerOf, isReady } from '../objects.ts';
import { untolerated } from '../select.ts';
import type { ControllerContext } from './controllers.ts';
import { selects } from './scheduler.ts';

/** What the DaemonSet controller adds to each of its pods. */
const ADDED: Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/network-unavailable', operator: 'Exists', effect: 'NoSchedule' },
];

export function watchDaemonSets(context: ControllerContext): () => void {
  const { store, timing } = context;
  const look = (): void => context.later('daemonsets', timing.controller, () => reconcileAll(context));
  store.on(({ resource, object }) => {
    if (resource === 'daemonsets' || resource === 'nodes') look();
    else if (resource === 'pods' && controllerOf(object)?.kind === 'DaemonSet') look();
  });
  return look;
}

function reconcileAll(context: ControllerContext): void {
  if (!context.runs('kube-controller-manager')) return;
  for (const set of context.store.list('daemonsets')) reconcile(context, set);
}

function templateOf(set: WorkloadObject, node: NodeObject): Pick<PodObject, 'spec'> {
  const { spec } = set.spec.template;
  const term = {
    matchFields: [{ key: 'metadata.name', operator: 'In' as const, values: [node.metadata.name] }],
  };
  const network = spec.hostNetwork === true ? ADDED : ADDED.slice(0, -1);
  return {
    spec: {
      ...structuredClone(spec),
      tolerations: [...(spec.tolerations ?? []), ...network],
      affinity: {
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } },
      },
    },
  };
}

function reconcile(context: ControllerContext, set: WorkloadObject): void {
  const { store } = context;
  const { name, namespace, uid } = set.metadata;
  const own = store.list('pods', namespace).filter((pod) => controllerOf(pod)?.uid === uid);
  const nodeOf = (pod: PodObject): string | undefined =>
    pod.spec.nodeName ??
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]
      ?.matchFields?.[0]?.values?.[0];
  const status = { desired: 0, current: 0, ready: 0, misplaced: 0 };
  for (const node of store.list('nodes')) {
    const template = templateOf(set, node);
    const here = own.filter((pod) => nodeOf(pod) === node.metadata.name);
    const taints = node.spec.taints ?? [];
    const wanted = selects({ spec: { ...set.spec.template.spec } }, node);
    const mayStart = wanted && untolerated(template, taints, ['NoSchedule', 'NoExecute']) === undefined;
    const mayStay = wanted && untolerated(template, taints, ['NoExecute']) === undefined;
    if (mayStart) status.desired += 1;
    if (here.length > 0) status.current += 1;
    if (here.some(isReady)) status.ready += 1;
    if (!mayStay) {
      for (const pod of here) {
        if (pod.metadata.deletionTimestamp === undefined) store.remove('pods', pod.metadata.name, namespace);
      }
    }
    // While the one before is ending there is no second: it holds the node's ports.
    if (mayStart && here.length === 0) {
      store.create('pods', {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          generateName: `${name}-`,
          namespace: namespace ?? 'default',
          labels: { ...set.spec.template.metadata?.labels, 'controller-revision-hash': '5f8c9c7b6d' },
          ...(set.spec.template.metadata?.annotations === undefined
            ? {}
            : { annotations: set.spec.template.metadata.annotations }),
          ownerReferences: [
            {
              apiVersion: 'apps/v1',
              kind: 'DaemonSet',
              name,
              uid,
              controller: true,
              blockOwnerDeletion: true,
            },
          ],
        },
        ...template,
        status: { phase: 'Pending' },
      });
    }
  }
  store.change('daemonsets', name, namespace, (draft) => {
    draft.status = {
      observedGeneration: draft.metadata.generation ?? 1,
      desiredNumberScheduled: status.desired,
      currentNumberScheduled: status.current,
      updatedNumberScheduled: status.current,
      numberReady: status.ready,
      numberAvailable: status.ready,
      numberMisscheduled: status.misplaced,
    };
  });
}
