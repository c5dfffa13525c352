/**
 * The Kubernetes API over the store: one request in, one response out. A watch answers with a stream. The socket,
 * TLS and who may call are not decided here.
 */
import { apiVersions, groupList, groupOf, health, resourceList, versionInfo } from './discovery.ts';
import { evict } from './evict.ts';
import type { KubeObject, Meta, NewObject, Resource, WorkloadObject } from './objects.ts';
import { applyPatch } from './patch.ts';
import { readCollection } from './read.ts';
import { groupVersion } from './resources.ts';
import type { Route } from './route.ts';
import { routeOf } from './route.ts';
import { failures, KubeFailure } from './status.ts';
import type { Store } from './store.ts';
import { asTable } from './table.ts';
import type { WorldClock } from '../world.ts';

export interface KubeRequest {
  method: string;
  /** Path and query, as in the request line. */
  url: string;
  /** Lower-case names. */
  headers?: Record<string, string | undefined> | undefined;
  body?: string | undefined;
}

/** Where a watch writes: one line each. */
export interface Sink {
  write(line: string): void;
  end(): void;
}

export interface KubeResponse {
  status: number;
  headers: Record<string, string>;
  body: string;
  /** A watch: starts it; the result stops it. */
  stream?: ((sink: Sink) => () => void) | undefined;
}

export interface HandlerContext {
  store: Store;
  version: string;
  storageOk: () => boolean;
  nowMs: () => number;
  after: WorldClock['after'];
}

/** One request, with its URL taken apart. */
export interface Call {
  context: HandlerContext;
  route: Route;
  query: URLSearchParams;
  headers: Record<string, string | undefined>;
  body: string;
}

const NAME = /^[a-z0-9]([a-z0-9.:-]{0,251}[a-z0-9])?$/;

export function handleRequest(context: HandlerContext, request: KubeRequest): KubeResponse {
  try {
    return answer(context, request);
  } catch (error) {
    if (!(error instanceof KubeFailure)) throw error;
    const response = json(error.code, error.status());
    return { ...response, headers: { ...response.headers, ...error.headers } };
  }
}

export function json(status: number, body: unknown): KubeResponse {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

function answer(context: HandlerContext, request: KubeRequest): KubeResponse {
  const { pathname, searchParams: query } = new URL(request.url, 'https://kubernetes');
  const healthy = health(pathname, query.has('verbose'), context.storageOk());
  if (healthy !== undefined) {
    return {
      status: healthy.status,
      headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
      body: healthy.text,
    };
  }
  const about = describe(context, pathname);
  if (about !== undefined) return json(200, about);
  const route = routeOf(pathname);
  if (route === undefined) throw failures.noSuchPath();
  if (!context.storageOk()) throw failures.storage();
  return dispatch(
    { context, route, query, headers: request.headers ?? {}, body: request.body ?? '' },
    request.method,
  );
}

function describe(context: HandlerContext, path: string): unknown {
  const plain = path.replace(/\/$/, '');
  if (plain === '/version') return versionInfo(context.version);
  if (plain === '/api') return apiVersions();
  if (plain === '/apis') return groupList();
  const parts = plain.split('/').slice(1);
  if (parts[0] === 'api' && parts.length === 2) return resourceList(parts[1] ?? '');
  if (parts[0] === 'apis' && parts.length === 2) return groupOf(parts[1] ?? '');
  if (parts[0] === 'apis' && parts.length === 3) return resourceList(`${parts[1]}/${parts[2]}`);
  return undefined;
}

function dispatch(call: Call, method: string): KubeResponse {
  const { name, subresource } = call.route;
  if (name === undefined) {
    if (method === 'GET') return readCollection(call);
    if (method === 'POST') return create(call);
    if (method === 'DELETE') return removeCollection(call);
    throw failures.methodNotAllowed();
  }
  if (subresource === 'eviction' && call.route.type.resource === 'pods') return evictPod(call, method, name);
  if (subresource === 'scale' && call.route.type.scale === true) return scale(call, method, name);
  if (subresource !== undefined && !(subresource === 'status' && call.route.type.status))
    throw failures.noSuchPath();
  if (method === 'GET') return shown(call, 200, existing(call, name));
  if (method === 'PUT') return write(call, name, parse(call.body) as KubeObject);
  if (method === 'PATCH') {
    const { type } = call.route;
    const patched = applyPatch(
      call.headers['content-type'] ?? '',
      existing(call, name),
      parse(call.body),
      type.group.includes('.') && !type.group.endsWith('k8s.io'),
    ) as KubeObject;
    return write(call, name, patched, true);
  }
  if (method === 'DELETE') return remove(call, name);
  throw failures.methodNotAllowed();
}

function existing(call: Call, name: string): KubeObject {
  const { type, namespace } = call.route;
  const found = call.context.store.get(type.resource, name, namespace);
  if (found === undefined) throw failures.notFound(type.resource, type.group, name);
  return found;
}

/** One object, as JSON or as the table that the client asked for. */
function shown(call: Call, status: number, object: KubeObject): KubeResponse {
  if (call.headers['accept']?.includes('as=Table') !== true) return json(status, object);
  return json(status, asTable([object], object.kind, {}, call.context.nowMs()));
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw failures.badRequest(`error decoding request: ${(error as Error).message}`);
  }
}

const isDryRun = (call: Call): boolean => {
  const asked = call.query.getAll('dryRun');
  const wrong = asked.find((value) => value !== 'All');
  if (wrong !== undefined)
    throw failures.badRequest(`dryRun: Unsupported value: "${wrong}": supported values: "All"`);
  return asked.length > 0;
};

function create(call: Call): KubeResponse {
  const { type, namespace } = call.route;
  const object = { metadata: {}, ...(parse(call.body) as Partial<NewObject>) } as NewObject;
  checkIdentity(call, object, undefined);
  if (type.namespaced) {
    const within = namespace ?? 'default';
    if (call.context.store.get('namespaces', within) === undefined)
      throw failures.notFound('namespaces', '', within);
    object.metadata = { ...object.metadata, namespace: within };
  }
  // Only the server says when something began.
  delete object.metadata.creationTimestamp;
  const made = call.context.store.create(type.resource, defaulted(type.resource, object), {
    dryRun: isDryRun(call),
  });
  return shown(call, 201, made);
}

function checkIdentity(
  call: Call,
  object: { apiVersion?: string; kind?: string; metadata?: Partial<Meta> },
  name: string | undefined,
): void {
  const { type, namespace } = call.route;
  const expected = groupVersion(type);
  if (
    (object.kind !== undefined && object.kind !== type.kind) ||
    (object.apiVersion !== undefined && object.apiVersion !== expected)
  ) {
    throw failures.badRequest(
      `${type.kind} in version "${expected}" cannot be handled as a ${object.kind ?? type.kind}: no kind "${object.kind ?? ''}" is registered for version "${object.apiVersion ?? ''}"`,
    );
  }
  const given = object.metadata?.name;
  if (name !== undefined && given !== undefined && given !== name) {
    throw failures.badRequest(
      `the name of the object (${given}) does not match the name on the URL (${name})`,
    );
  }
  if (given !== undefined && !NAME.test(given)) {
    throw failures.invalid(
      type.kind,
      given,
      `metadata.name: Invalid value: "${given}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character`,
    );
  }
  const within = object.metadata?.namespace;
  if (within !== undefined && namespace !== undefined && within !== namespace) {
    throw failures.badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
}

/** What admission adds to a pod that does not say otherwise. */
function defaulted(resource: Resource, object: NewObject): NewObject {
  if (resource === 'pods') return { ...object, status: { phase: 'Pending' } };
  if (resource === 'nodes') return { spec: {}, ...object, status: object.status ?? {} };
  return object;
}

function write(call: Call, name: string, given: KubeObject, patched = false): KubeResponse {
  const object = { ...given, metadata: { ...given.metadata } };
  const { type, namespace, subresource } = call.route;
  checkIdentity(call, object, name);
  const resourceVersion = object.metadata.resourceVersion;
  if (type.conditionalOnly === true && !patched && !resourceVersion) {
    throw failures.invalid(
      type.kind,
      name,
      'metadata.resourceVersion: Invalid value: 0x0: must be specified for an update',
    );
  }
  const named = {
    ...object,
    metadata: { ...object.metadata, name, ...(namespace === undefined ? {} : { namespace }) },
  };
  const written = call.context.store.replace(type.resource, named, {
    status: subresource === 'status',
    dryRun: isDryRun(call),
  });
  return shown(call, 200, written);
}

interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: string;
  preconditions?: { uid?: string; resourceVersion?: string };
  dryRun?: string[];
}

function deleteOptions(call: Call, body: DeleteOptions) {
  const grace = call.query.get('gracePeriodSeconds');
  return {
    graceSeconds: body.gracePeriodSeconds ?? (grace === null ? undefined : Number(grace)),
    uid: body.preconditions?.uid,
    resourceVersion: body.preconditions?.resourceVersion,
    orphan: (body.propagationPolicy ?? call.query.get('propagationPolicy')) === 'Orphan',
    dryRun: isDryRun(call) || body.dryRun?.includes('All') === true,
  };
}

function remove(call: Call, name: string): KubeResponse {
  const { type, namespace } = call.route;
  const options = deleteOptions(call, (call.body === '' ? {} : parse(call.body)) as DeleteOptions);
  const before = existing(call, name);
  const gone = call.context.store.remove(type.resource, name, namespace, options);
  const stays = options.dryRun || call.context.store.get(type.resource, name, namespace) !== undefined;
  if (stays || type.resource === 'pods') return json(200, gone);
  return json(200, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name,
      kind: type.resource,
      uid: before.metadata.uid,
      ...(type.group === '' ? {} : { group: type.group }),
    },
  });
}

function removeCollection(call: Call): KubeResponse {
  const { type } = call.route;
  const list = JSON.parse(readCollection({ ...call, headers: {} }).body) as { items: KubeObject[] };
  const options = deleteOptions(call, (call.body === '' ? {} : parse(call.body)) as DeleteOptions);
  for (const { metadata } of list.items) {
    call.context.store.remove(type.resource, metadata.name, metadata.namespace, options);
  }
  return json(200, list);
}

function evictPod(call: Call, method: string, name: string): KubeResponse {
  if (method !== 'POST') throw failures.methodNotAllowed();
  const body = parse(call.body) as {
    kind?: string;
    apiVersion?: string;
    metadata?: { name?: string };
    deleteOptions?: DeleteOptions;
  };
  // policy/v1 came with 1.22; an older server does not know the kind.
  if (body.kind !== 'Eviction' || body.apiVersion !== 'policy/v1beta1') {
    throw failures.badRequest(
      `no kind "${body.kind ?? ''}" is registered for version "${body.apiVersion ?? ''}" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"`,
    );
  }
  if (body.metadata?.name !== undefined && body.metadata.name !== name) {
    throw failures.badRequest('name in URL does not match name in Eviction object');
  }
  const { graceSeconds, uid, resourceVersion, dryRun } = deleteOptions(call, body.deleteOptions ?? {});
  evict(call.context.store, call.context.nowMs(), {
    namespace: call.route.namespace ?? 'default',
    name,
    graceSeconds,
    uid,
    resourceVersion,
    dryRun,
  });
  return json(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

function scale(call: Call, method: string, name: string): KubeResponse {
  const { type, namespace } = call.route;
  const view = (object: WorkloadObject) => ({
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { ...object.metadata, ownerReferences: undefined },
    spec: { replicas: object.spec.replicas ?? 1 },
    status: { replicas: (object as Partial<WorkloadObject>).status?.['replicas'] ?? 0 },
  });
  const current = existing(call, name) as WorkloadObject;
  if (method === 'GET') return json(200, view(current));
  if (method !== 'PUT' && method !== 'PATCH') throw failures.methodNotAllowed();
  const wanted = (
    method === 'PUT'
      ? parse(call.body)
      : applyPatch(call.headers['content-type'] ?? '', view(current), parse(call.body), false)
  ) as { metadata?: { resourceVersion?: string }; spec: { replicas: number } };
  const stale = wanted.metadata?.resourceVersion;
  if (stale && stale !== current.metadata.resourceVersion)
    throw failures.conflict(type.resource, type.group, name);
  const written = call.context.store.replace(
    type.resource,
    {
      ...current,
      metadata: { ...current.metadata, ...(namespace === undefined ? {} : { namespace }) },
      spec: { ...current.spec, replicas: wanted.spec.replicas },
    },
    { dryRun: isDryRun(call) },
  ) as WorkloadObject;
  return json(200, view(written));
}
