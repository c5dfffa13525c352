/**
 * Asks the GitOps tool, over the Kubernetes API, whether the cluster runs a commit. Reads only; `requestSync`
 * is the change that goes with it.
 */
import type { Repo, Wait } from '../../../ports/ports.ts';
import { PortError } from '../../../ports/ports.ts';
import { maybe, must } from '../../cluster/kubernetes/api.ts';
import type { KubeApi } from '../../cluster/kubernetes/api.ts';
import type { Config } from '../../config/schema.ts';
import { ARGO_REFRESH, argoSyncPatch, fluxReconcilePatch, judgeSync, revisionsOf } from './sync.ts';
import type { ArgoApplication, FluxKustomization, SyncObserved } from './sync.ts';

type IngressConfig = NonNullable<Config['ingress']>;

/** The ingress part of the configuration, its repository, and the cluster's API. */
export interface SyncLink {
  ingress: IngressConfig;
  repo: Repo;
  api: () => Promise<KubeApi>;
}

/** Why the cluster does not run `commit` (or a descendant of it) yet; undefined when it does. */
export async function observeSync(link: SyncLink, commit: string, wait: Wait): Promise<string | undefined> {
  const observed = await readSync(link, wait);
  const containing = new Set<string>();
  for (const revision of revisionsOf(observed)) {
    if (revision !== commit && (await contains(link.repo, commit, revision, wait))) containing.add(revision);
  }
  const judged = judgeSync(observed, commit, (revision) => containing.has(revision));
  return judged.synced ? undefined : judged.reason;
}

/**
 * Asks the tool to look at the repository now, and, where it does not do so by itself, to apply it. Harmless to
 * repeat. `nowIso` only has to differ from the last one.
 */
export async function requestSync(link: SyncLink, commit: string, nowIso: string, wait: Wait): Promise<void> {
  const observed = await readSync(link, wait);
  const path = objectPath(link.ingress);
  if (path === undefined) return;
  const api = await link.api();
  if (observed.tool === 'flux') {
    must(
      await api.patch(path, 'merge', fluxReconcilePatch(nowIso), wait),
      `reconciliation of ${observed.name}`,
    );
  } else if (observed.tool === 'argocd' && observed.application) {
    must(await api.patch(path, 'merge', ARGO_REFRESH, wait), `refresh of ${observed.name}`);
    const judged = judgeSync(observed, commit, () => true);
    if (judged.synced || !judged.request) return;
    must(
      await api.patch(path, 'merge', argoSyncPatch(commit, observed.application), wait),
      `sync of ${observed.name}`,
    );
  }
}

async function readSync(link: SyncLink, wait: Wait): Promise<SyncObserved> {
  const { sync } = link.ingress;
  const path = objectPath(link.ingress);
  if (sync.tool === 'none' || path === undefined) return { tool: 'none' };
  const api = await link.api();
  if (sync.tool === 'flux') {
    const kustomization = maybe(
      await api.get<FluxKustomization>(path, wait),
      `Kustomization ${sync.kustomization}`,
    );
    return { tool: 'flux', name: sync.kustomization, kustomization };
  }
  const application = maybe(await api.get<ArgoApplication>(path, wait), `Application ${sync.application}`);
  return { tool: 'argocd', name: sync.application, application, repository: link.ingress.repository };
}

function objectPath({ sync }: IngressConfig): string | undefined {
  if (sync.tool === 'argocd') {
    return `/apis/argoproj.io/v1alpha1/namespaces/${sync.namespace}/applications/${sync.application}`;
  }
  if (sync.tool === 'flux') {
    return `/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/${sync.namespace}/kustomizations/${sync.kustomization}`;
  }
  return undefined;
}

/** A revision that git does not know here is of another branch or repository: it does not contain our commit. */
async function contains(repo: Repo, commit: string, revision: string, wait: Wait): Promise<boolean> {
  try {
    return await repo.isAncestor(commit, revision, wait);
  } catch (error) {
    if (error instanceof PortError && error.kind === 'notfound') return false;
    throw error;
  }
}
