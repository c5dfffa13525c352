/** A small Kubernetes API on the `http` port: objects by path, versions, field selector, paging, evictions. */
import { PortError } from '../../../../ports/ports.ts';
import type { Http, HttpRequest } from '../../../../ports/ports.ts';

export interface KubeObject {
  metadata: { name: string; namespace?: string; resourceVersion?: string; [key: string]: unknown };
  spec?: Record<string, unknown>;
  [key: string]: unknown;
}

interface Answer {
  status: number;
  body: unknown;
}

export interface KubeDouble {
  http: Http;
  objects: Map<string, KubeObject>;
  /** `METHOD path` of each request. */
  seen: HttpRequest[];
  put(path: string, object: KubeObject): void;
  /** Answers before the double does; undefined leaves it to the double. */
  before: ((request: HttpRequest, path: string) => Answer | 'reset' | undefined) | undefined;
  /** Called for an accepted eviction; the pod goes at once unless it says otherwise. */
  evicted: (path: string) => boolean;
  groupVersions: string[];
}

export function kubeDouble(): KubeDouble {
  const objects = new Map<string, KubeObject>();
  let version = 100;
  const double: KubeDouble = {
    objects,
    seen: [],
    before: undefined,
    evicted: () => true,
    groupVersions: ['policy/v1', 'discovery.k8s.io/v1', 'apps/v1', 'coordination.k8s.io/v1'],
    put: (path, object) => {
      version += 1;
      objects.set(path, { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
    },
    http: async (request) => {
      double.seen.push(request);
      const url = new URL(request.url);
      const early = double.before?.(request, url.pathname);
      if (early === 'reset') throw new PortError('closed', 'http', 'reset', true);
      const { status, body } = early ?? answer(request, url);
      async function* bytes() {
        yield new TextEncoder().encode(JSON.stringify(body));
      }
      return { status, headers: { 'content-type': 'application/json' }, body: bytes() };
    },
  };

  function failed(status: number, reason: string): Answer {
    return { status, body: { kind: 'Status', status: 'Failure', reason, message: reason, code: status } };
  }

  function answer(request: HttpRequest, url: URL): Answer {
    const path = url.pathname;
    const sent =
      request.body === undefined
        ? undefined
        : (JSON.parse(Buffer.from(request.body).toString()) as KubeObject);
    if (path === '/apis') {
      return {
        status: 200,
        body: { groups: [{ versions: double.groupVersions.map((groupVersion) => ({ groupVersion })) }] },
      };
    }
    if (request.method === 'GET')
      return objects.has(path) ? { status: 200, body: objects.get(path) } : list(url);
    if (path.endsWith('/eviction')) return evict(path.replace(/\/eviction$/, ''));
    if (request.method === 'POST' && sent !== undefined) {
      const at = `${path}/${sent.metadata.name}`;
      if (objects.has(at)) return failed(409, 'AlreadyExists');
      double.put(at, sent);
      return { status: 201, body: objects.get(at) };
    }
    const held = objects.get(path);
    if (held === undefined) return failed(404, 'NotFound');
    const wanted = (sent as Partial<KubeObject> | undefined)?.metadata?.resourceVersion;
    if (wanted !== undefined && wanted !== held.metadata.resourceVersion) return failed(409, 'Conflict');
    if (request.method === 'DELETE') {
      objects.delete(path);
      return { status: 200, body: {} };
    }
    if (sent !== undefined && request.method === 'PUT') double.put(path, sent);
    if (sent !== undefined && request.method === 'PATCH') double.put(path, merged(held, sent) as KubeObject);
    return { status: 200, body: objects.get(path) };
  }

  function list(url: URL): Answer {
    const kind = url.pathname.split('/').at(-1) ?? '';
    if (!/s$/.test(kind)) return failed(404, 'NotFound');
    const node = /^spec.nodeName=(.*)$/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1];
    const all = [...objects].filter(([path]) => path.split('/').at(-2) === kind).map(([, object]) => object);
    const chosen = node === undefined ? all : all.filter((object) => object.spec?.['nodeName'] === node);
    const limit = Number(url.searchParams.get('limit'));
    const from = Number(url.searchParams.get('continue') ?? 0);
    const next = from + limit < chosen.length ? String(from + limit) : '';
    return {
      status: 200,
      body: { metadata: { resourceVersion: '1', continue: next }, items: chosen.slice(from, from + limit) },
    };
  }

  function evict(path: string): Answer {
    if (!objects.has(path)) return failed(404, 'NotFound');
    if (double.evicted(path)) objects.delete(path);
    return { status: 201, body: { kind: 'Status', status: 'Success' } };
  }
  return double;
}

function merged(held: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const after: Record<string, unknown> = { ...(held as Record<string, unknown>) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete after[key];
    else if (value !== undefined) after[key] = merged(after[key], value);
  }
  return after;
}
