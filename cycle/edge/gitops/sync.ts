/**
 * Whether the cluster runs a commit of the GitOps repository: pure judgement over what Argo CD or Flux say of
 * themselves. Waiting for "healthy" alone would pass on the old revision, so the revision is always part of it,
 * and a descendant of our commit is as good as ours: someone else may push in between.
 */

/** Published fields of an Argo CD Application that are read. */
export interface ArgoApplication {
  spec?: {
    source?: { repoURL?: string };
    sources?: { repoURL?: string }[];
    syncPolicy?: { automated?: unknown };
  };
  status?: {
    sync?: { status?: string; revision?: string; revisions?: string[] };
    health?: { status?: string; message?: string };
    operationState?: { phase?: string; message?: string };
    conditions?: { type?: string; message?: string }[];
  };
}

/** Published fields of a Flux Kustomization that are read. */
export interface FluxKustomization {
  metadata?: { generation?: number };
  spec?: { suspend?: boolean };
  status?:
    | {
        observedGeneration?: number;
        lastAppliedRevision?: string;
        lastAttemptedRevision?: string;
        conditions?: { type?: string; status?: string; message?: string }[];
      }
    | undefined;
}

export type SyncObserved =
  | { tool: 'none' }
  /** `undefined`: there is no such object. `repository`: which of several sources is ours. */
  | {
      tool: 'argocd';
      name: string;
      application: ArgoApplication | undefined;
      repository?: string | undefined;
    }
  | { tool: 'flux'; name: string; kustomization: FluxKustomization | undefined };

export type SyncJudgement =
  | { synced: true }
  /** `request`: nothing will happen by itself; the sync has to be asked for. */
  | { synced: false; reason: string; request: boolean };

/** The commits that the tool says it has applied: which of them contain ours is what `judgeSync` needs to know. */
export function revisionsOf(observed: SyncObserved): string[] {
  if (observed.tool === 'none') return [];
  const found =
    observed.tool === 'flux'
      ? [observed.kustomization?.status?.lastAppliedRevision]
      : argoRevisions(observed.application, observed.repository);
  return found.flatMap((revision) => shaOf(revision) ?? []);
}

/** `contains(revision)`: that commit is ours or a descendant of it. */
export function judgeSync(
  observed: SyncObserved,
  commit: string,
  contains: (revision: string) => boolean,
): SyncJudgement {
  if (observed.tool === 'none') return { synced: true };
  return observed.tool === 'argocd'
    ? judgeArgo(observed, commit, contains)
    : judgeFlux(observed, commit, contains);
}

const short = (revision: string | undefined) => (revision ? revision.slice(0, 10) : 'no revision');
const no = (reason: string, request = false): SyncJudgement => ({ synced: false, reason, request });

function judgeArgo(
  observed: Extract<SyncObserved, { tool: 'argocd' }>,
  commit: string,
  contains: (revision: string) => boolean,
): SyncJudgement {
  const { application, name } = observed;
  if (!application) return no(`Argo CD has no Application ${name}`);
  const { sync, health, operationState, conditions } = application.status ?? {};
  const wrong = conditions?.find((condition) => condition.type?.endsWith('Error'));
  if (wrong) return no(`Application ${name}: ${wrong.type}: ${wrong.message ?? ''}`);
  const revisions = argoRevisions(application, observed.repository);
  const manual = application.spec?.syncPolicy?.automated === undefined;
  if (!revisions.some((revision) => matches(revision, commit, contains))) {
    return no(
      `Application ${name} is at ${revisions.map(short).join(', ') || 'no revision'}, not at ${short(commit)} or later`,
    );
  }
  if (operationState?.phase === 'Failed' || operationState?.phase === 'Error') {
    return no(
      `Application ${name}: the last sync ${operationState.phase.toLowerCase()}: ${operationState.message ?? ''}`,
    );
  }
  if (sync?.status !== 'Synced') {
    return no(
      `Application ${name} is ${sync?.status ?? 'of unknown sync state'}${manual ? ', and auto-sync is off' : ''}`,
      manual,
    );
  }
  if (operationState?.phase === 'Running') return no(`Application ${name}: a sync is running`);
  if (health?.status !== 'Healthy') {
    return no(
      `Application ${name} is ${health?.status ?? 'of unknown health'}${health?.message ? `: ${health.message}` : ''}`,
    );
  }
  return { synced: true };
}

function judgeFlux(
  observed: Extract<SyncObserved, { tool: 'flux' }>,
  commit: string,
  contains: (revision: string) => boolean,
): SyncJudgement {
  const { kustomization, name } = observed;
  if (!kustomization) return no(`Flux has no Kustomization ${name}`);
  if (kustomization.spec?.suspend === true) return no(`Kustomization ${name} is suspended`);
  const { status } = kustomization;
  const ready = status?.conditions?.find((condition) => condition.type === 'Ready');
  const [applied, attempted] = [shaOf(status?.lastAppliedRevision), shaOf(status?.lastAttemptedRevision)];
  if (!matches(applied, commit, contains)) {
    const failing = attempted !== undefined && attempted !== applied && ready?.status === 'False';
    return no(
      `Kustomization ${name} has applied ${short(applied)}, not ${short(commit)} or later${failing ? `; ${short(attempted)} failed: ${ready.message ?? ''}` : ''}`,
    );
  }
  if (status?.observedGeneration !== kustomization.metadata?.generation) {
    return no(`Kustomization ${name} has not seen its own latest generation yet`);
  }
  if (ready?.status !== 'True')
    return no(`Kustomization ${name} is not ready: ${ready?.message ?? 'no condition'}`);
  return { synced: true };
}

/** With several sources, those of our repository; all of them when none is told apart. */
function argoRevisions(application: ArgoApplication | undefined, repository: string | undefined): string[] {
  const { sync } = application?.status ?? {};
  if (!sync?.revisions) return sync?.revision ? [sync.revision] : [];
  const sources = application?.spec?.sources ?? [];
  const ours = sync.revisions.filter((_one, index) => sameRepository(sources[index]?.repoURL, repository));
  return ours.length > 0 ? ours : sync.revisions;
}

function sameRepository(a: string | undefined, b: string | undefined): boolean {
  const plain = (url: string) =>
    url
      .replace(/\/+$/, '')
      .replace(/\.git$/, '')
      .toLowerCase();
  return a !== undefined && b !== undefined && plain(a) === plain(b);
}

/** Flux writes `main@sha1:<sha>`, older ones `main/<sha>`; Argo CD the sha itself (or a chart's version, which is none). */
function shaOf(revision: string | undefined): string | undefined {
  return /(?:^|[:/])([0-9a-f]{40}(?:[0-9a-f]{24})?)$/.exec(revision ?? '')?.[1];
}

function matches(
  revision: string | undefined,
  commit: string,
  contains: (revision: string) => boolean,
): boolean {
  const sha = shaOf(revision);
  return sha !== undefined && (sha === commit || contains(sha));
}

/** Merge patch that makes Argo CD compare with the repository at once. */
export const ARGO_REFRESH = { metadata: { annotations: { 'argocd.argoproj.io/refresh': 'hard' } } } as const;

/** Merge patch that asks Argo CD for one sync; several sources take `revisions`, which the Application's own targets give. */
export function argoSyncPatch(commit: string, application: ArgoApplication): object {
  const many = (application.spec?.sources ?? []).length > 0;
  return { operation: { initiatedBy: { username: 'node-cycle' }, sync: many ? {} : { revision: commit } } };
}

/** Merge patch that makes Flux reconcile now. */
export function fluxReconcilePatch(nowIso: string): object {
  return { metadata: { annotations: { 'reconcile.fluxcd.io/requestedAt': nowIso } } };
}
