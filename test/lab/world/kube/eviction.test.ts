import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { handleRequest } from '../../../../lab/world/kube/handle.ts';
import type { KubeResponse } from '../../../../lab/world/kube/handle.ts';
import { createStore } from '../../../../lab/world/kube/store.ts';
import type { Store } from '../../../../lab/world/kube/store.ts';

interface Budget {
  name: string;
  allowed: number;
  /** Looked at by the controller; default yes. */
  observed?: boolean;
}

interface Case {
  title: string;
  budgets: Budget[];
  pod?: 'Pending' | 'Succeeded' | 'terminating' | 'absent';
  version?: string;
  dryRun?: boolean;
  /** Status of each POST in turn. */
  codes: number[];
  message?: RegExp;
  /** What is left of the first budget. */
  left?: number;
}

const table: Case[] = [
  { title: 'a pod without a budget is let go', budgets: [], codes: [201] },
  {
    title: 'one budget is charged once, then it is empty',
    budgets: [{ name: 'a', allowed: 1 }],
    codes: [201, 429],
    left: 0,
  },
  {
    title: 'an empty budget refuses and says what it needs',
    budgets: [{ name: 'a', allowed: 0 }],
    codes: [429, 429],
    message: /violate the pod's disruption budget/,
    left: 0,
  },
  {
    title: 'a budget that no controller has looked at yet refuses',
    budgets: [{ name: 'a', allowed: 5, observed: false }],
    codes: [429],
    left: 5,
  },
  {
    title: 'two budgets on one pod are an internal error, whatever they allow',
    budgets: [
      { name: 'a', allowed: 5 },
      { name: 'b', allowed: 5 },
    ],
    codes: [500, 500],
    message: /more than one PodDisruptionBudget/,
    left: 5,
  },
  {
    title: 'a pending pod costs no budget',
    budgets: [{ name: 'a', allowed: 0 }],
    pod: 'Pending',
    codes: [201],
    left: 0,
  },
  {
    title: 'a finished pod costs no budget',
    budgets: [{ name: 'a', allowed: 0 }],
    pod: 'Succeeded',
    codes: [201],
    left: 0,
  },
  {
    title: 'a pod that is already ending costs no budget',
    budgets: [{ name: 'a', allowed: 0 }],
    pod: 'terminating',
    codes: [201],
    left: 0,
  },
  { title: 'a pod that is not there is not found', budgets: [], pod: 'absent', codes: [404] },
  {
    title: 'a dry run is judged and charges nothing',
    budgets: [{ name: 'a', allowed: 1 }],
    dryRun: true,
    codes: [201, 201],
    left: 1,
  },
  {
    title: 'a dry run of what would be refused is refused',
    budgets: [{ name: 'a', allowed: 0 }],
    dryRun: true,
    codes: [429],
    left: 0,
  },
  {
    title: 'policy/v1 is unknown to 1.20',
    budgets: [],
    version: 'policy/v1',
    codes: [400],
    message: /registered for version/,
  },
];

function build({ budgets, pod }: Case): Store {
  const store = createStore(
    () => 0,
    () => 0.5,
  );
  for (const name of ['default']) {
    store.create('namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  for (const name of pod === 'absent' ? [] : ['one', 'two']) {
    store.create('pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', labels: { app: 'x' } },
      spec: { nodeName: 'n', containers: [], terminationGracePeriodSeconds: 30 },
      status: { phase: pod === 'Pending' || pod === 'Succeeded' ? pod : 'Running' },
    });
    if (pod === 'terminating') store.remove('pods', name, 'default');
  }
  for (const { name, allowed, observed = true } of budgets) {
    store.create('poddisruptionbudgets', {
      apiVersion: 'policy/v1beta1',
      kind: 'PodDisruptionBudget',
      metadata: { name, namespace: 'default' },
      spec: { minAvailable: 1, selector: { matchLabels: { app: 'x' } } },
      status: {
        disruptionsAllowed: allowed,
        currentHealthy: 2,
        desiredHealthy: 2,
        expectedPods: 2,
        ...(observed ? { observedGeneration: 1 } : {}),
      },
    });
  }
  return store;
}

function evict(store: Store, name: string, { version = 'policy/v1beta1', dryRun }: Case): KubeResponse {
  return handleRequest(
    {
      store,
      version: 'v1.20.15',
      storageOk: () => true,
      nowMs: () => 0,
      after: () => ({ cancel: () => undefined }),
    },
    {
      method: 'POST',
      url: `/api/v1/namespaces/default/pods/${name}/eviction`,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        apiVersion: version,
        kind: 'Eviction',
        metadata: { name, namespace: 'default' },
        ...(dryRun === true ? { deleteOptions: { dryRun: ['All'] } } : {}),
      }),
    },
  );
}

describe('evictions and disruption budgets', () => {
  for (const row of table) {
    it(row.title, () => {
      const store = build(row);
      const answers = row.codes.map((_, at) => evict(store, at === 0 ? 'one' : 'two', row));
      assert.deepEqual(
        answers.map(({ status }) => status),
        row.codes,
      );
      if (row.message !== undefined) assert.match(answers[0]?.body ?? '', row.message);
      const [first] = row.budgets;
      if (first !== undefined) {
        assert.equal(
          store.get('poddisruptionbudgets', first.name, 'default')?.status.disruptionsAllowed,
          row.left,
        );
      }
      const leaves = store.get('pods', 'one', 'default')?.metadata.deletionTimestamp !== undefined;
      const ends = row.pod === 'terminating' || (row.codes[0] === 201 && row.dryRun !== true);
      // A finished pod's object goes at once.
      if (row.pod === 'Succeeded') assert.equal(store.get('pods', 'one', 'default'), undefined);
      else if (row.pod !== 'absent') assert.equal(leaves, ends);
    });
  }
});
