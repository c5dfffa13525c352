/** Argo CD for one Application: looks at its repository when it is asked to refresh, and applies what it finds. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { LabWorld } from '../world/create.ts';

const REFRESH = 'argocd.argoproj.io/refresh';
const git = promisify(execFile);

export interface Argo {
  syncs(): number;
}

/** Creates the Application, synced to what the repository holds now. */
export async function startArgo(
  world: LabWorld,
  options: { name: string; namespace: string; repository: string },
): Promise<Argo> {
  const { store } = world.kube;
  const { name, namespace, repository } = options;
  let syncs = 0;
  const tip = async () =>
    (await git('git', ['-C', repository, 'rev-parse', 'refs/heads/main'])).stdout.trim();
  const status = (revision: string) => ({
    sync: { status: 'Synced', revision },
    health: { status: 'Healthy' },
  });
  if (store.get('namespaces', namespace) === undefined) {
    store.create('namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
      status: { phase: 'Active' },
    });
  }
  store.create('applications', {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Application',
    metadata: { name, namespace },
    spec: { source: { repoURL: repository, targetRevision: 'main' }, syncPolicy: { automated: {} } },
    status: status(await tip()),
  } as never);
  store.on(({ resource, type, object }) => {
    if (resource !== 'applications' || type !== 'MODIFIED' || object.metadata.name !== name) return;
    if (object.metadata.annotations?.[REFRESH] === undefined) return;
    store.change('applications', name, namespace, (draft) => {
      delete draft.metadata.annotations?.[REFRESH];
    });
    world.clock.after(world.timing.argoSync, () => {
      void tip().then((revision) => {
        syncs += 1;
        store.change('applications', name, namespace, (draft) => {
          (draft as unknown as { status: unknown }).status = status(revision);
        });
      });
    });
  });
  return { syncs: () => syncs };
}
