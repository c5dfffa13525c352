/** kube-scheduler: binds each pending pod to a node that fits, spreading what belongs together. */
import type { NodeObject, PodObject } from '../objects.ts';
import { controllerOf } from '../objects.ts';
import { expressionHolds, untolerated } from '../select.ts';
import { iso } from '../store.ts';
import type { ControllerContext } from './controllers.ts';

export function watchPending(context: ControllerContext): () => void {
  const { store, timing } = context;
  const look = (): void => context.later('scheduler', timing.controller, () => schedule(context));
  store.on(({ type, resource, object, before }) => {
    if (resource === 'pods') {
      // A pod that goes may make room; one that is new wants some.
      if (type !== 'MODIFIED' || (object as PodObject).spec.nodeName === undefined) look();
    } else if (resource === 'nodes') {
      const fits = (node: unknown) =>
        JSON.stringify([(node as NodeObject).spec, (node as NodeObject).metadata.labels]);
      if (before === undefined || fits(before) !== fits(object)) look();
    }
  });
  return look;
}

function schedule(context: ControllerContext): void {
  if (!context.runs('kube-scheduler')) return;
  const { store } = context;
  const pods = store.list('pods');
  const nodes = store.list('nodes');
  for (const pod of pods) {
    if (pod.spec.nodeName !== undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    const placed = store.list('pods').filter((other) => other.spec.nodeName !== undefined);
    const best = nodes
      .filter((node) => whyNot(pod, node, placed) === undefined)
      .map((node) => ({ node, cost: crowding(pod, node, placed) }))
      .sort((a, b) => a.cost - b.cost || (a.node.metadata.name < b.node.metadata.name ? -1 : 1))[0];
    const now = iso(context.world.clock.nowMs());
    store.change('pods', pod.metadata.name, pod.metadata.namespace, (draft) => {
      if (best !== undefined) {
        draft.spec.nodeName = best.node.metadata.name;
        draft.status.conditions = [{ type: 'PodScheduled', status: 'True', lastTransitionTime: now }];
        return;
      }
      if (draft.status.conditions?.some(({ reason }) => reason === 'Unschedulable') === true) return;
      draft.status.conditions = [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'Unschedulable',
          message: `0/${nodes.length} nodes are available.`,
          lastTransitionTime: now,
        },
      ];
    });
  }
}

/** Why this node does not take this pod; undefined when it does. */
export function whyNot(pod: PodObject, node: NodeObject, placed: PodObject[]): string | undefined {
  if (!selects(pod, node)) return 'node selector';
  const taint = untolerated(pod, node.spec.taints ?? [], ['NoSchedule', 'NoExecute']);
  if (taint !== undefined) return `taint ${taint.key}`;
  const ports = hostPorts(pod);
  if (ports.length > 0) {
    const taken = placed.filter(({ spec }) => spec.nodeName === node.metadata.name).flatMap(hostPorts);
    if (ports.some((port) => taken.includes(port))) return 'host port';
  }
  return undefined;
}

const hostPorts = (pod: PodObject): number[] =>
  pod.spec.containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort }) => (hostPort === undefined ? [] : [hostPort])),
  );

/** nodeSelector and required node affinity. */
export function selects(pod: Pick<PodObject, 'spec'>, node: NodeObject): boolean {
  const labels = node.metadata.labels ?? {};
  const plain = Object.entries(pod.spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const terms =
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  if (!plain || terms.length === 0) return plain;
  return terms.some(
    ({ matchExpressions = [], matchFields = [] }) =>
      matchExpressions.every((expression) => expressionHolds(expression, labels)) &&
      matchFields.every((expression) => expressionHolds(expression, { 'metadata.name': node.metadata.name })),
  );
}

/** First by siblings, then by all pods. */
function crowding(pod: PodObject, node: NodeObject, placed: PodObject[]): number {
  const here = placed.filter(({ spec }) => spec.nodeName === node.metadata.name);
  const owner = controllerOf(pod)?.uid;
  const siblings =
    owner === undefined ? 0 : here.filter((other) => controllerOf(other)?.uid === owner).length;
  return siblings * 1_000 + here.length;
}
