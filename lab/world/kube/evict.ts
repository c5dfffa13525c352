/**
 * The eviction subresource with PodDisruptionBudgets, as 1.20 decides it: pods that do not run are let go, one
 * budget is charged, two budgets are an error, and a budget that was not looked at yet counts as empty.
 */
import type { BudgetObject, PodObject } from './objects.ts';
import { budgetStatus } from './objects.ts';
import { matches } from './select.ts';
import { failures } from './status.ts';
import type { Store } from './store.ts';
import { iso } from './store.ts';

export interface EvictionRequest {
  namespace: string;
  name: string;
  graceSeconds?: number | undefined;
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  dryRun: boolean;
}

const STILL_PROCESSED_RETRY_SECONDS = 10;

/** Throws KubeFailure; when it returns, the pod is being deleted (or would be). */
export function evict(store: Store, nowMs: number, request: EvictionRequest): void {
  const { namespace, name, dryRun } = request;
  const pod = store.get('pods', name, namespace);
  if (pod === undefined) throw failures.notFound('pods', '', name);
  if (!ignoresBudgets(pod)) {
    const budgets = budgetsOf(store, pod);
    if (budgets.length > 1) {
      throw failures.internal(
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      );
    }
    const [budget] = budgets;
    if (budget !== undefined) charge(store, nowMs, budget, pod, dryRun);
  }
  const { graceSeconds, uid, resourceVersion } = request;
  store.remove('pods', name, namespace, { dryRun, graceSeconds, uid, resourceVersion });
}

export function budgetsOf(store: Store, pod: PodObject): BudgetObject[] {
  return store
    .list('poddisruptionbudgets', pod.metadata.namespace)
    .filter((budget) => matches(budget.spec.selector, pod.metadata.labels));
}

function ignoresBudgets(pod: PodObject): boolean {
  return pod.metadata.deletionTimestamp !== undefined || pod.status.phase !== 'Running';
}

function charge(store: Store, nowMs: number, budget: BudgetObject, pod: PodObject, dryRun: boolean): void {
  const { name, namespace, generation = 1 } = budget.metadata;
  const status = budgetStatus(budget);
  const cause = (message: string) => ({ causes: [{ reason: 'DisruptionBudget', message }] });
  if (status.observedGeneration === undefined || status.observedGeneration < generation) {
    throw failures.tooManyRequests(
      "Cannot evict pod as it would violate the pod's disruption budget.",
      cause(`The disruption budget ${name} is still being processed by the server.`),
      STILL_PROCESSED_RETRY_SECONDS,
    );
  }
  if ((status.disruptionsAllowed ?? 0) <= 0) {
    throw failures.tooManyRequests(
      "Cannot evict pod as it would violate the pod's disruption budget.",
      cause(
        `The disruption budget ${name} needs ${status.desiredHealthy ?? 0} healthy pods and has ${status.currentHealthy ?? 0} currently`,
      ),
    );
  }
  if (dryRun) return;
  store.change('poddisruptionbudgets', name, namespace, (draft) => {
    draft.status.disruptionsAllowed -= 1;
    draft.status.disruptedPods = { ...draft.status.disruptedPods, [pod.metadata.name]: iso(nowMs) };
  });
}
