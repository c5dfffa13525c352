/** The disruption controller: what each PodDisruptionBudget still allows. */
import type { BudgetObject, PodObject, WorkloadObject } from '../objects.ts';
import { budgetStatus, controllerOf, isReady } from '../objects.ts';
import { matches } from '../select.ts';
import type { Store } from '../store.ts';
import type { ControllerContext } from './controllers.ts';

/** An eviction whose pod did not begin to end within this time is forgotten. */
const DISRUPTION_KEPT_MS = 120_000;

export function watchBudgets(context: ControllerContext): () => void {
  const { store, timing } = context;
  const look = (): void =>
    context.later('budgets', timing.controller, () => {
      if (!context.runs('kube-controller-manager')) return;
      for (const budget of store.list('poddisruptionbudgets')) judge(context, budget);
    });
  store.on(({ resource }) => {
    if (['poddisruptionbudgets', 'pods', 'replicasets', 'deployments'].includes(resource)) look();
  });
  return look;
}

function judge({ store, world }: ControllerContext, budget: BudgetObject): void {
  const { name, namespace, generation = 1 } = budget.metadata;
  const pods = store
    .list('pods', namespace)
    .filter((pod) => matches(budget.spec.selector, pod.metadata.labels) && pod.status.phase !== 'Succeeded');
  const { expected, desired } = wantedHealthy(store, budget, pods);
  const nowMs = world.clock.nowMs();
  const disrupted = Object.fromEntries(
    Object.entries(budgetStatus(budget).disruptedPods ?? {}).filter(([podName, at]) => {
      const pod = pods.find(({ metadata }) => metadata.name === podName);
      return (
        pod !== undefined &&
        pod.metadata.deletionTimestamp === undefined &&
        Date.parse(at) + DISRUPTION_KEPT_MS > nowMs
      );
    }),
  );
  const healthy = pods.filter(
    (pod) =>
      isReady(pod) && pod.metadata.deletionTimestamp === undefined && !(pod.metadata.name in disrupted),
  ).length;
  store.change('poddisruptionbudgets', name, namespace, (draft) => {
    draft.status = {
      observedGeneration: generation,
      disruptionsAllowed: expected > 0 ? Math.max(0, healthy - desired) : 0,
      currentHealthy: healthy,
      desiredHealthy: desired,
      expectedPods: expected,
      ...(Object.keys(disrupted).length > 0 ? { disruptedPods: disrupted } : {}),
    };
  });
}

function wantedHealthy(
  store: Store,
  budget: BudgetObject,
  pods: PodObject[],
): { expected: number; desired: number } {
  const { minAvailable, maxUnavailable } = budget.spec;
  if (maxUnavailable !== undefined) {
    const expected = scaleOf(store, pods);
    return { expected, desired: Math.max(0, expected - portion(maxUnavailable, expected)) };
  }
  if (typeof minAvailable === 'number') return { expected: pods.length, desired: minAvailable };
  const expected = scaleOf(store, pods);
  return { expected, desired: portion(minAvailable ?? 1, expected) };
}

const portion = (value: number | string, of: number): number =>
  typeof value === 'number' ? value : Math.ceil((Number.parseFloat(value) / 100) * of);

/** What the controllers of these pods were asked for, each counted once. */
function scaleOf(store: Store, pods: PodObject[]): number {
  const owners = new Map<string, number>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (owner === undefined) continue;
    const resource =
      owner.kind === 'ReplicaSet' ? 'replicasets' : owner.kind === 'StatefulSet' ? 'statefulsets' : undefined;
    const set: WorkloadObject | undefined =
      resource === undefined ? undefined : store.get(resource, owner.name, pod.metadata.namespace);
    if (set === undefined) continue;
    const above = controllerOf(set);
    const top =
      above?.kind === 'Deployment' ? store.get('deployments', above.name, pod.metadata.namespace) : undefined;
    const counted = top ?? set;
    owners.set(counted.metadata.uid, counted.spec.replicas ?? 1);
  }
  return [...owners.values()].reduce((sum, replicas) => sum + replicas, 0);
}
