/**
 * A small Kubernetes client over the `http` port: published types, several servers, errors as values.
 *
 * Reads go to the next server when one does not answer, once. A change is only sent to another server when the
 * first cannot have seen it: whether it happened otherwise is for the next observation to tell.
 */
import type { Clock, Http, Run, Wait } from '../../../ports/ports.ts';
import { createTransport } from './transport.ts';
import type { KubeFailure, KubeResult } from './transport.ts';
import type { KubeTarget } from './kubeconfig.ts';

export { maybe, must } from './transport.ts';
export type { KubeFailure, KubeResult } from './transport.ts';

export type PatchKind = 'strategic' | 'merge' | 'json';

export interface DeleteOptions {
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  gracePeriodSeconds?: number | undefined;
}

export interface ListQuery {
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Objects a page; 500 unless told. */
  limit?: number | undefined;
}

export interface KubeList<T> {
  items: T[];
  resourceVersion: string;
}

/** Paths are those of the API, such as `/api/v1/nodes/n1`. */
export interface KubeApi {
  readonly servers: readonly string[];
  get<T>(path: string, wait: Wait): Promise<KubeResult<T>>;
  /** All pages. A page token that expired (410) starts the list again, once. */
  list<T>(path: string, wait: Wait, query?: ListQuery): Promise<KubeResult<KubeList<T>>>;
  create<T>(path: string, body: unknown, wait: Wait): Promise<KubeResult<T>>;
  replace<T>(path: string, body: unknown, wait: Wait): Promise<KubeResult<T>>;
  patch<T>(path: string, kind: PatchKind, body: unknown, wait: Wait): Promise<KubeResult<T>>;
  delete<T>(path: string, wait: Wait, options?: DeleteOptions): Promise<KubeResult<T>>;
  /** One eviction by the served `policy` version. 2xx is accepted, 429 refused by a budget. */
  evict(
    pod: { namespace: string; name: string; uid?: string | undefined },
    wait: Wait,
    options?: { gracePeriodSeconds?: number | undefined; dryRun?: boolean | undefined },
  ): Promise<KubeResult<unknown>>;
  /** Group versions that the server has, such as `policy/v1beta1`. Asked once. */
  groupVersions(wait: Wait): Promise<KubeResult<ReadonlySet<string>>>;
  /** The text of a path such as `/readyz`; `server` asks that one only. */
  text(path: string, wait: Wait, server?: string): Promise<KubeResult<string>>;
  /** Requests sent, and how many of them were sent again to another server. */
  readonly counts: Readonly<{ requests: number; retried: number }>;
}

export interface KubePorts {
  http: Http;
  clock: Clock;
  /** Needed when the target has an exec plugin. */
  run?: Run | undefined;
  /** The exec plugin's environment. */
  env?: Record<string, string> | undefined;
}

export interface KubeApiOptions {
  /** `node-cycle` unless given. */
  userAgent?: string | undefined;
  /** Longest time that one server may take before the next is asked. 15,000 unless given. */
  serverMs?: number | undefined;
}

const PATCH_TYPES: Record<PatchKind, string> = {
  strategic: 'application/strategic-merge-patch+json',
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
};

/** Objects a page, as kubectl asks. */
const PAGE = 500;

export function createKubeApi(ports: KubePorts, target: KubeTarget, options: KubeApiOptions = {}): KubeApi {
  const transport = createTransport(ports, target, options);
  const { json } = transport;
  let served: ReadonlySet<string> | undefined;

  const api: KubeApi = {
    servers: target.servers,
    counts: transport.counts,
    get: (path, wait) => json('GET', path, wait),
    create: (path, body, wait) => json('POST', path, wait, body),
    replace: (path, body, wait) => json('PUT', path, wait, body),
    patch: (path, kind, body, wait) => json('PATCH', path, wait, body, PATCH_TYPES[kind]),
    delete: (path, wait, deletion = {}) => json('DELETE', path, wait, deletionBody(deletion)),
    list: <T>(path: string, wait: Wait, query: ListQuery = {}) => listAll<T>(api, path, wait, query),
    text: (path, wait, server) => transport.text(path, wait, server),

    async groupVersions(wait) {
      if (served !== undefined) return { ok: true, status: 200, value: served };
      const answer = await json<{ groups?: { versions?: { groupVersion: string }[] }[] }>(
        'GET',
        '/apis',
        wait,
      );
      if (!answer.ok) return answer;
      const groups = answer.value.groups ?? [];
      served = new Set(
        groups.flatMap((group) => (group.versions ?? []).map((version) => version.groupVersion)),
      );
      return { ok: true, status: 200, value: served };
    },

    async evict(pod, wait, { gracePeriodSeconds, dryRun } = {}) {
      const versions = await api.groupVersions(wait);
      if (!versions.ok) return versions;
      const body = {
        apiVersion: versions.value.has('policy/v1') ? 'policy/v1' : 'policy/v1beta1',
        kind: 'Eviction',
        metadata: { namespace: pod.namespace, name: pod.name },
        deleteOptions: {
          ...(pod.uid === undefined ? {} : { preconditions: { uid: pod.uid } }),
          ...(gracePeriodSeconds === undefined || gracePeriodSeconds < 0 ? {} : { gracePeriodSeconds }),
          ...(dryRun === true ? { dryRun: ['All'] } : {}),
        },
      };
      return json('POST', `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/eviction`, wait, body);
    },
  };
  return api;
}

interface Page<T> {
  metadata?: { continue?: string; resourceVersion?: string };
  items?: T[] | null;
}

async function listAll<T>(
  api: KubeApi,
  path: string,
  wait: Wait,
  query: ListQuery,
): Promise<KubeResult<KubeList<T>>> {
  let expired: KubeFailure | undefined;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const items: T[] = [];
    let next = '';
    expired = undefined;
    do {
      const page = await api.get<Page<T>>(pagePath(path, query, next), wait);
      if (!page.ok) {
        if (page.status !== 410 || next === '') return page;
        expired = page;
        break;
      }
      items.push(...(page.value.items ?? []));
      next = page.value.metadata?.continue ?? '';
      if (next === '') {
        return {
          ok: true,
          status: 200,
          value: { items, resourceVersion: page.value.metadata?.resourceVersion ?? '' },
        };
      }
    } while (next !== '');
  }
  return expired as KubeFailure;
}

function pagePath(path: string, query: ListQuery, next: string): string {
  const asked = new URLSearchParams({ limit: String(query.limit ?? PAGE) });
  if (query.labelSelector !== undefined) asked.set('labelSelector', query.labelSelector);
  if (query.fieldSelector !== undefined) asked.set('fieldSelector', query.fieldSelector);
  if (next !== '') asked.set('continue', next);
  return `${path}?${asked.toString()}`;
}

function deletionBody(options: DeleteOptions): unknown {
  const { uid, resourceVersion, gracePeriodSeconds } = options;
  const preconditions = {
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
  return {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
  };
}
