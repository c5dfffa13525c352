/**
 * The node lifecycle: a silent kubelet makes its node Unknown, taints follow conditions and cordon, NoExecute taints
 * evict without asking any budget, and pods of a Node that is gone are collected.
 */
import type { Condition, NodeObject, PodObject, Taint } from '../objects.ts';
import { iso } from '../store.ts';
import { tolerationFor } from '../select.ts';
import type { ControllerContext } from './controllers.ts';
import { NOT_READY_TAINT } from './kubelet.ts';

const UNREACHABLE_TAINT = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE_TAINT = 'node.kubernetes.io/unschedulable';
const OURS = [NOT_READY_TAINT, UNREACHABLE_TAINT, UNSCHEDULABLE_TAINT];
/** Admission gives every pod this much time on a node that is not ready. */
const DEFAULT_TOLERATION_SECONDS = 300;

export function watchNodes(context: ControllerContext): void {
  const { store, timing, world } = context;
  /** When a pod was first seen under a taint that it does not tolerate for ever. */
  const underTaint = new Map<string, number>();
  const orphanedAtMs = new Map<string, number>();
  const look = (): void => {
    if (!context.runs('kube-controller-manager')) return;
    for (const node of store.list('nodes')) judge(context, node);
    evictTainted(context, underTaint);
    collectOrphans(context, orphanedAtMs);
  };
  const tick = (): void =>
    context.later('nodes/tick', timing.heartbeat, () => {
      look();
      tick();
    });
  tick();
  store.on(({ resource, type, before, object }) => {
    if (resource !== 'nodes') return;
    const seen = (node: unknown) =>
      JSON.stringify([(node as NodeObject).spec, (node as NodeObject).status.conditions]);
    if (type !== 'MODIFIED' || seen(before) !== seen(object)) context.later('nodes', timing.controller, look);
  });
  world.on((event) => {
    if (event.kind === 'container.started') context.later('nodes', timing.controller, look);
  });
}

function judge(context: ControllerContext, node: NodeObject): void {
  const { store, timing, world } = context;
  const { name } = node.metadata;
  const nowMs = world.clock.nowMs();
  const lease = store.get('leases', name, 'kube-node-lease') as { spec?: { renewTime?: string } } | undefined;
  const renewedMs = Date.parse(lease?.spec?.renewTime ?? node.metadata.creationTimestamp);
  const ready = node.status.conditions?.find(({ type }) => type === 'Ready');
  const silent = nowMs - renewedMs > timing.notReadyAfter;
  const becomesUnknown = silent && ready?.status !== 'Unknown';
  const status = silent ? 'Unknown' : (ready?.status ?? 'Unknown');
  const wanted: Taint[] = [];
  if (node.spec.unschedulable === true) wanted.push({ key: UNSCHEDULABLE_TAINT, effect: 'NoSchedule' });
  if (status !== 'True') {
    const key = status === 'False' ? NOT_READY_TAINT : UNREACHABLE_TAINT;
    wanted.push({ key, effect: 'NoSchedule' }, { key, effect: 'NoExecute' });
  }
  store.change('nodes', name, undefined, (draft) => {
    if (becomesUnknown) draft.status.conditions = unknown(draft.status.conditions ?? [], iso(nowMs));
    const have = draft.spec.taints ?? [];
    const kept = have.filter((taint) => !OURS.includes(taint.key) || wanted.some((w) => same(w, taint)));
    const added = wanted
      .filter((taint) => !have.some((other) => same(other, taint)))
      .map((taint) => ({ ...taint, timeAdded: iso(nowMs) }));
    const taints = [...kept, ...added];
    if (taints.length > 0) draft.spec.taints = taints;
    else delete draft.spec.taints;
  });
  if (becomesUnknown) markPodsNotReady(context, name);
}

const same = (a: Taint, b: Taint): boolean => a.key === b.key && a.effect === b.effect;

function unknown(conditions: Condition[], now: string): Condition[] {
  return conditions.map((condition) =>
    condition.type === 'NetworkUnavailable'
      ? condition
      : {
          type: condition.type,
          status: 'Unknown',
          reason: 'NodeStatusUnknown',
          message: 'Kubelet stopped posting node status.',
          lastTransitionTime: now,
        },
  );
}

function markPodsNotReady({ store }: ControllerContext, nodeName: string): void {
  for (const pod of store.list('pods')) {
    if (pod.spec.nodeName !== nodeName) continue;
    store.change('pods', pod.metadata.name, pod.metadata.namespace, (draft) => {
      for (const condition of draft.status.conditions ?? [])
        if (condition.type === 'Ready') condition.status = 'False';
    });
  }
}

/** How long the pod may stay under this taint, in seconds; undefined: for ever. */
function allowance(pod: PodObject, taint: Taint): number | undefined {
  const toleration = tolerationFor(pod, taint);
  if (toleration !== undefined) return toleration.tolerationSeconds;
  return taint.key === NOT_READY_TAINT || taint.key === UNREACHABLE_TAINT ? DEFAULT_TOLERATION_SECONDS : 0;
}

function evictTainted(context: ControllerContext, underTaint: Map<string, number>): void {
  const { store, timing, world } = context;
  const nowMs = world.clock.nowMs();
  const taintsOf = new Map(
    store
      .list('nodes')
      .map((node) => [node.metadata.name, (node.spec.taints ?? []).filter((t) => t.effect === 'NoExecute')]),
  );
  for (const pod of store.list('pods')) {
    const taints = taintsOf.get(pod.spec.nodeName ?? '') ?? [];
    const seconds = taints.map((taint) => allowance(pod, taint)).filter((value) => value !== undefined);
    const { uid, name, namespace } = pod.metadata;
    if (seconds.length === 0) {
      underTaint.delete(uid);
      continue;
    }
    const sinceMs = underTaint.get(uid) ?? nowMs;
    underTaint.set(uid, sinceMs);
    if (pod.metadata.deletionTimestamp !== undefined) continue;
    if (nowMs - sinceMs >= Math.min(...seconds) * timing.tolerationSecond)
      store.remove('pods', name, namespace);
  }
}

function collectOrphans(
  { store, timing, world }: ControllerContext,
  orphanedAtMs: Map<string, number>,
): void {
  const nowMs = world.clock.nowMs();
  const names = new Set(store.list('nodes').map(({ metadata }) => metadata.name));
  for (const pod of store.list('pods')) {
    const { uid, name, namespace } = pod.metadata;
    if (pod.spec.nodeName === undefined || names.has(pod.spec.nodeName)) {
      orphanedAtMs.delete(uid);
      continue;
    }
    const sinceMs = orphanedAtMs.get(uid) ?? nowMs;
    orphanedAtMs.set(uid, sinceMs);
    if (nowMs - sinceMs < timing.podCollect) continue;
    orphanedAtMs.delete(uid);
    store.remove('pods', name, namespace, { graceSeconds: 0 });
  }
}
