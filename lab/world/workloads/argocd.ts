/**
 * Argo CD, as far as a sync is seen from outside: an Application follows its branch when it is told to look, says
 * OutOfSync before it says Synced, and shows the old revision until it has applied the new one.
 */
import type { Timer } from '../world.ts';
import type { LabWorld } from '../create.ts';
import { INGRESS } from './manifests.ts';

export const REFRESH = 'argocd.argoproj.io/refresh';

export interface ArgoSource {
  namespace: string;
  application: string;
  /** The commit at the branch's tip, and the ingress addresses that its values file asks for. */
  tip(): Promise<{ revision: string; externalIPs: string[] }>;
  /** How often it looks by itself (3 minutes in reality). Never, when absent. */
  pollMs?: number | undefined;
}

/** Creates the Application and keeps it. Gives a function that ends it. */
export function runArgo(world: LabWorld, source: ArgoSource): () => void {
  const { clock, timing } = world;
  const { store } = world.kube;
  const { namespace, application } = source;
  let timer: Timer | undefined;
  let syncing = false;
  let again = false;
  let closed = false;

  const show = (status: Record<string, unknown>): void =>
    void store.change('applications', application, namespace, (draft) => {
      draft['status'] = { ...(draft['status'] as Record<string, unknown> | undefined), ...status };
    });
  const sync = async (): Promise<void> => {
    if (syncing) {
      again = true;
      return;
    }
    syncing = true;
    try {
      const { revision, externalIPs } = await source.tip();
      store.change('applications', application, namespace, (draft) => {
        delete draft.metadata.annotations?.[REFRESH];
      });
      const known = (store.get('applications', application, namespace)?.['status'] ?? {}) as {
        sync?: { revision?: string };
      };
      if (known.sync?.revision !== revision) {
        show({ sync: { status: 'OutOfSync', revision: known.sync?.revision ?? '' } });
        await new Promise<void>((resolve) => (timer = clock.after(timing.argoSync, resolve)));
        store.change('services', INGRESS.service, INGRESS.namespace, (draft) => {
          draft.spec.externalIPs = externalIPs;
        });
      }
      const at = new Date(clock.nowMs()).toISOString();
      show({
        sync: { status: 'Synced', revision },
        health: { status: 'Healthy' },
        reconciledAt: at,
        operationState: { phase: 'Succeeded', finishedAt: at, syncResult: { revision } },
      });
    } finally {
      syncing = false;
    }
    if (again && !closed) {
      again = false;
      await sync();
    }
  };
  const look = (): void =>
    void sync().catch((error: unknown) =>
      show({ conditions: [{ type: 'ComparisonError', message: String(error) }] }),
    );
  const poll = (): void => {
    if (source.pollMs === undefined || closed) return;
    clock.after(source.pollMs, () => {
      if (!closed) look();
      poll();
    });
  };

  if (store.get('namespaces', namespace) === undefined) {
    store.create('namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  }
  store.create('applications', {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Application',
    metadata: { name: application, namespace },
    spec: {
      project: 'default',
      destination: { server: 'https://kubernetes.default.svc', namespace: INGRESS.namespace },
      syncPolicy: { automated: { prune: true } },
    },
  });
  const stop = store.on(({ resource, object }) => {
    if (resource !== 'applications' || object.metadata.name !== application) return;
    if (object.metadata.annotations?.[REFRESH] !== undefined) look();
  });
  look();
  poll();
  return () => {
    closed = true;
    timer?.cancel();
    stop();
  };
}
