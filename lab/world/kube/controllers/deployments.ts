/** Deployments and ReplicaSets: the number of pods that was asked for, and a rollout that adds one before it takes one. */
import { createHash } from 'node:crypto';
import type { PodObject, WorkloadObject } from '../objects.ts';
import { controllerOf, isReady } from '../objects.ts';
import type { ControllerContext } from './controllers.ts';

const HASH_LABEL = 'pod-template-hash';

export function watchDeployments(context: ControllerContext): () => void {
  const { store, timing } = context;
  const look = (): void =>
    context.later('deployments', timing.controller, () => {
      if (!context.runs('kube-controller-manager')) return;
      for (const deployment of store.list('deployments')) reconcileDeployment(context, deployment);
      for (const set of store.list('replicasets')) reconcileSet(context, set);
    });
  store.on(({ resource, object }) => {
    if (resource === 'deployments' || resource === 'replicasets') look();
    else if (resource === 'pods' && controllerOf(object)?.kind === 'ReplicaSet') look();
  });
  return look;
}

const active = (pod: PodObject): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status.phase !== 'Failed' &&
  pod.status.phase !== 'Succeeded';

function podsOf({ store }: ControllerContext, owner: WorkloadObject): PodObject[] {
  return store
    .list('pods', owner.metadata.namespace)
    .filter((pod) => controllerOf(pod)?.uid === owner.metadata.uid);
}

function reconcileDeployment(context: ControllerContext, deployment: WorkloadObject): void {
  const { store } = context;
  const { name, namespace = 'default', uid } = deployment.metadata;
  const hash = createHash('sha256')
    .update(JSON.stringify(deployment.spec.template))
    .digest('hex')
    .slice(0, 10);
  const sets = store.list('replicasets', namespace).filter((set) => controllerOf(set)?.uid === uid);
  const wanted = deployment.spec.replicas ?? 1;
  let current = sets.find((set) => set.metadata.labels?.[HASH_LABEL] === hash);
  const older = sets.filter((set) => set !== current && (set.spec.replicas ?? 0) > 0);
  if (current === undefined) {
    const labels = { ...deployment.spec.template.metadata?.labels, [HASH_LABEL]: hash };
    current = store.create('replicasets', {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels,
        ownerReferences: [
          {
            apiVersion: 'apps/v1',
            kind: 'Deployment',
            name,
            uid,
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      },
      spec: {
        replicas: older.length === 0 ? wanted : 0,
        selector: { matchLabels: { ...deployment.spec.selector.matchLabels, [HASH_LABEL]: hash } },
        template: { ...deployment.spec.template, metadata: { ...deployment.spec.template.metadata, labels } },
      },
      status: {},
    });
  }
  const ready = podsOf(context, current).filter((pod) => active(pod) && isReady(pod)).length;
  const have = current.spec.replicas ?? 0;
  const target = older.length === 0 ? wanted : Math.min(wanted, ready + 1);
  if (have !== target) resize(context, current, target);
  const [oldest] = older;
  if (oldest !== undefined) {
    const inOld = older.reduce((sum, set) => sum + (set.spec.replicas ?? 0), 0);
    if (ready + inOld > wanted) resize(context, oldest, (oldest.spec.replicas ?? 0) - 1);
  }
  const pods = sets
    .concat(current)
    .filter((set, at, all) => all.findIndex((o) => o.metadata.uid === set.metadata.uid) === at)
    .flatMap((set) => podsOf(context, set))
    .filter(active);
  const available = pods.filter(isReady).length;
  store.change('deployments', name, namespace, (draft) => {
    draft.status = {
      observedGeneration: draft.metadata.generation ?? 1,
      replicas: pods.length,
      updatedReplicas: pods.filter((pod) => pod.metadata.labels?.[HASH_LABEL] === hash).length,
      readyReplicas: available,
      availableReplicas: available,
      unavailableReplicas: Math.max(0, wanted - available),
      conditions: [
        {
          type: 'Available',
          status: available >= Math.ceil(wanted * 0.75) ? 'True' : 'False',
          reason: 'MinimumReplicas',
        },
      ],
    };
  });
}

function resize({ store }: ControllerContext, set: WorkloadObject, replicas: number): void {
  store.change('replicasets', set.metadata.name, set.metadata.namespace, (draft) => {
    draft.spec.replicas = replicas;
  });
}

function reconcileSet(context: ControllerContext, set: WorkloadObject): void {
  const { store } = context;
  const { name, namespace = 'default', uid } = set.metadata;
  const pods = podsOf(context, set).filter(active);
  const wanted = set.spec.replicas ?? 1;
  for (let missing = wanted - pods.length; missing > 0; missing -= 1) {
    store.create('pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        generateName: `${name}-`,
        namespace,
        ...(set.spec.template.metadata?.labels === undefined
          ? {}
          : { labels: set.spec.template.metadata.labels }),
        ...(set.spec.template.metadata?.annotations === undefined
          ? {}
          : { annotations: set.spec.template.metadata.annotations }),
        ownerReferences: [
          {
            apiVersion: 'apps/v1',
            kind: 'ReplicaSet',
            name,
            uid,
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      },
      spec: structuredClone(set.spec.template.spec),
      status: { phase: 'Pending' },
    });
  }
  // Those that serve nobody go first.
  const surplus = [...pods].sort((a, b) => Number(isReady(a)) - Number(isReady(b)));
  for (const pod of surplus.slice(0, Math.max(0, pods.length - wanted))) {
    store.remove('pods', pod.metadata.name, namespace);
  }
  const ready = pods.filter(isReady).length;
  store.change('replicasets', name, namespace, (draft) => {
    draft.status = {
      observedGeneration: draft.metadata.generation ?? 1,
      replicas: Math.max(pods.length, wanted),
      readyReplicas: ready,
      availableReplicas: ready,
    };
  });
}
