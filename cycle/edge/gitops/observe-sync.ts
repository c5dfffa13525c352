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

/** What is taken from the steps' context. */
export interface SyncContext {
  config: Config;
  gitops: Repo | undefined;
  cluster: { kube(): Promise<KubeApi> };
  /** Where the GitOps tool itself runs, when that is another cluster with a kubeconfig of its own. */
  gitopsCluster?: { kube(): Promise<KubeApi> } | undefined;
}

/** One read of the tool's object or of git. */
const READ_MS = 20_000;

/** Why the cluster does not run `commit` (or a descendant of it) yet; undefined when it does. */
export async function observeSync(
  ctx: SyncContext,
  commit: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const wait: Wait = { deadlineMs: READ_MS, signal };
  const observed = await readSync(ctx, wait);
  const containing = new Set<string>();
  for (const revision of revisionsOf(observed)) {
    if (revision !== commit && (await contains(ctx.gitops, commit, revision, wait))) containing.add(revision);
  }
  const judged = judgeSync(observed, commit, (revision) => containing.has(revision));
  return judged.synced ? undefined : judged.reason;
}

/**
 * Asks the tool to look at the repository now, and, where it does not do so by itself, to apply it. Harmless to
 * repeat. `nowIso` only has to differ from the last one.
 */
export async function requestSync(
  ctx: SyncContext,
  commit: string,
  nowIso: string,
  signal: AbortSignal,
): Promise<void> {
  const wait: Wait = { deadlineMs: READ_MS, signal };
  const observed = await readSync(ctx, wait);
  const path = objectPath(ctx.config.ingress);
  if (path === undefined) return;
  const api = await (ctx.gitopsCluster ?? ctx.cluster).kube();
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

async function readSync(ctx: SyncContext, wait: Wait): Promise<SyncObserved> {
  const sync = ctx.config.ingress?.sync;
  const path = objectPath(ctx.config.ingress);
  if (sync === undefined || sync.tool === 'none' || path === undefined) return { tool: 'none' };
  const api = await (ctx.gitopsCluster ?? ctx.cluster).kube();
  if (sync.tool === 'flux') {
    const kustomization = maybe(
      await api.get<FluxKustomization>(path, wait),
      `Kustomization ${sync.kustomization}`,
    );
    return { tool: 'flux', name: sync.kustomization, kustomization };
  }
  const application = maybe(await api.get<ArgoApplication>(path, wait), `Application ${sync.application}`);
  return { tool: 'argocd', name: sync.application, application, repository: ctx.config.ingress?.repository };
}

function objectPath(ingress: IngressConfig | undefined): string | undefined {
  const sync = ingress?.sync;
  if (sync?.tool === 'argocd') {
    return `/apis/argoproj.io/v1alpha1/namespaces/${sync.namespace}/applications/${sync.application}`;
  }
  if (sync?.tool === 'flux') {
    return `/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/${sync.namespace}/kustomizations/${sync.kustomization}`;
  }
  return undefined;
}

/** A revision that git does not know here is of another branch or repository: it does not contain our commit. */
async function contains(
  repo: Repo | undefined,
  commit: string,
  revision: string,
  wait: Wait,
): Promise<boolean> {
  if (repo === undefined) return false;
  try {
    return await repo.isAncestor(commit, revision, wait);
  } catch (error) {
    if (error instanceof PortError && error.kind === 'notfound') return false;
    throw error;
  }
}
