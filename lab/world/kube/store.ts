/**
 * The objects of the cluster and the rules that hold for all of them: versions rise with each write, a stale write
 * is refused, deletion waits for grace and finalizers, and everyone who watches sees each change once, in order.
 *
 * Objects are never changed in place: what was handed out stays as it was.
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject, Kinds, NewObject, Resource } from './objects.ts';
import { groupVersion, resourceType } from './resources.ts';
import { failures } from './status.ts';

export interface StoreEvent<R extends Resource = Resource> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  resource: R;
  object: Kinds[R];
  /** As it was before; absent for ADDED. */
  before?: Kinds[R];
  version: number;
}

export interface WriteOptions {
  /** Checked and answered, not stored. */
  dryRun?: boolean;
}

export interface RemoveOptions extends WriteOptions {
  /** Seconds; a pod's own when absent. 0: at once. */
  graceSeconds?: number | undefined;
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  /** Leaves what the object owns. */
  orphan?: boolean | undefined;
}

export interface Store {
  get<R extends Resource>(resource: R, name: string, namespace?: string): Kinds[R] | undefined;
  /** Sorted by namespace, then name. */
  list<R extends Resource>(resource: R, namespace?: string): Kinds[R][];
  /** Throws KubeFailure AlreadyExists. */
  create<R extends Resource>(resource: R, object: NewObject<Kinds[R]>, options?: WriteOptions): Kinds[R];
  /** The whole object (PUT). With a resourceVersion, Conflict when it is stale. `status` writes only the status. */
  replace<R extends Resource>(
    resource: R,
    object: Kinds[R],
    options?: WriteOptions & { status?: boolean },
  ): Kinds[R];
  /** Reads, lets `edit` change a copy (status included), writes. Undefined when there is no such object. */
  change<R extends Resource>(
    resource: R,
    name: string,
    namespace: string | undefined,
    edit: (draft: Kinds[R]) => void,
  ): Kinds[R] | undefined;
  /** Gives the object as it is afterwards: with a deletionTimestamp while grace or finalizers hold it. */
  remove<R extends Resource>(
    resource: R,
    name: string,
    namespace?: string,
    options?: RemoveOptions,
  ): Kinds[R];
  /** Called after each write, in order. Gives a function that ends it. */
  on(listener: (event: StoreEvent) => void): () => void;
  /** The version of the last write. */
  version(): number;
  /** Events after `version`, or 'expired' when they are no longer kept. */
  since(version: number): StoreEvent[] | 'expired';
}

const KEPT_EVENTS = 4_000;
/** A pod that nobody asked to end faster. */
const DEFAULT_GRACE_SECONDS = 30;

export const iso = (ms: number): string =>
  new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');

export function createStore(nowMs: () => number, random: () => number): Store {
  const tables = new Map<Resource, Map<string, KubeObject>>();
  const listeners = new Set<(event: StoreEvent) => void>();
  let history: StoreEvent[] = [];
  let version = 1_000;

  const table = (resource: Resource): Map<string, KubeObject> => {
    let found = tables.get(resource);
    if (found === undefined) tables.set(resource, (found = new Map<string, KubeObject>()));
    return found;
  };
  const keyOf = (resource: Resource, name: string, namespace?: string): string =>
    resourceType(resource).namespaced ? `${namespace ?? 'default'}/${name}` : name;
  const hex = (digits: number): string =>
    Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
  const uid = (): string => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;

  /** Listeners may write: what they cause is told after what caused it. */
  const pending: StoreEvent[] = [];
  let telling = false;
  const tell = (event: StoreEvent): void => {
    history.push(event);
    if (history.length > KEPT_EVENTS * 1.25) history = history.slice(-KEPT_EVENTS);
    pending.push(event);
    if (telling) return;
    telling = true;
    try {
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
        for (const listener of [...listeners]) listener(next);
      }
    } finally {
      telling = false;
    }
  };

  const write = (resource: Resource, key: string, object: KubeObject, before?: KubeObject): KubeObject => {
    version += 1;
    object.metadata.resourceVersion = String(version);
    table(resource).set(key, object);
    tell({
      type: before === undefined ? 'ADDED' : 'MODIFIED',
      resource,
      object: object,
      ...(before === undefined ? {} : { before: before }),
      version,
    });
    return object;
  };

  const drop = (resource: Resource, key: string, before: KubeObject, orphan: boolean): KubeObject => {
    version += 1;
    const object: KubeObject = {
      ...before,
      metadata: { ...before.metadata, resourceVersion: String(version) },
    };
    table(resource).delete(key);
    tell({ type: 'DELETED', resource, object: object, before: before, version });
    if (!orphan) collect(before.metadata.uid);
    return object;
  };

  /** The garbage collector: what the object owned goes with it. */
  const collect = (ownerUid: string): void => {
    for (const resource of tables.keys()) {
      for (const child of [...table(resource).values()]) {
        if (child.metadata.ownerReferences?.some((owner) => owner.uid === ownerUid) !== true) continue;
        if (child.metadata.deletionTimestamp !== undefined) continue;
        store.remove(resource, child.metadata.name, child.metadata.namespace);
      }
    }
  };

  const missing = (resource: Resource, name: string) =>
    failures.notFound(resource, resourceType(resource).group, name);

  const store: Store = {
    get: (resource, name, namespace) => table(resource).get(keyOf(resource, name, namespace)) as never,
    list(resource, namespace) {
      const rows = [...table(resource)].filter(
        ([, object]) => namespace === undefined || object.metadata.namespace === namespace,
      );
      return rows.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object) as never;
    },
    create(resource, object, options = {}) {
      const { namespaced, group, kind } = resourceType(resource);
      const named = { apiVersion: groupVersion(resourceType(resource)), kind };
      const draft = { ...named, ...structuredClone(object) } as unknown as KubeObject;
      const meta = draft.metadata;
      if (!meta.name && meta.generateName) meta.name = `${meta.generateName}${hex(5)}`;
      if (!meta.name)
        throw failures.invalid(kind, '', 'metadata.name: Required value: name or generateName is required');
      const key = keyOf(resource, meta.name, meta.namespace);
      if (table(resource).has(key)) throw failures.alreadyExists(resource, group, meta.name);
      if (namespaced) meta.namespace ??= 'default';
      else delete meta.namespace;
      meta.uid = uid();
      meta.creationTimestamp = iso(nowMs());
      if (object.metadata.creationTimestamp !== undefined)
        meta.creationTimestamp = object.metadata.creationTimestamp;
      delete meta.deletionTimestamp;
      if ('spec' in draft) meta.generation = 1;
      if (options.dryRun === true) return { ...draft, metadata: { ...meta, resourceVersion: '' } } as never;
      return write(resource, key, draft) as never;
    },
    replace(resource, object, options = {}) {
      const { name, namespace, resourceVersion } = object.metadata;
      const { group } = resourceType(resource);
      const key = keyOf(resource, name, namespace);
      const before = table(resource).get(key);
      if (before === undefined) throw missing(resource, name);
      if (resourceVersion && resourceVersion !== before.metadata.resourceVersion) {
        throw failures.conflict(resource, group, name);
      }
      if (object.metadata.uid && object.metadata.uid !== before.metadata.uid) {
        throw failures.conflict(
          resource,
          group,
          name,
          `Precondition failed: UID in precondition: ${object.metadata.uid}, UID in object meta: ${before.metadata.uid}`,
        );
      }
      return put(
        resource,
        key,
        before,
        merged(resource, before, object, options.status === true),
        options,
      ) as never;
    },
    change(resource, name, namespace, edit) {
      const key = keyOf(resource, name, namespace);
      const before = table(resource).get(key);
      if (before === undefined) return undefined;
      const draft = structuredClone(before);
      edit(draft as never);
      return put(resource, key, before, draft, {}) as never;
    },
    remove(resource, name, namespace, options = {}) {
      const { group } = resourceType(resource);
      const key = keyOf(resource, name, namespace);
      const before = table(resource).get(key);
      if (before === undefined) throw missing(resource, name);
      if (options.uid !== undefined && options.uid !== before.metadata.uid) {
        throw failures.conflict(
          resource,
          group,
          name,
          `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${before.metadata.uid}`,
        );
      }
      if (
        options.resourceVersion !== undefined &&
        options.resourceVersion !== before.metadata.resourceVersion
      ) {
        throw failures.conflict(resource, group, name);
      }
      const grace = graceOf(resource, before, options.graceSeconds);
      if (options.dryRun === true) return before as never;
      const held = (before.metadata.finalizers?.length ?? 0) > 0;
      if (grace <= 0 && !held) return drop(resource, key, before, options.orphan === true) as never;
      const { deletionTimestamp, deletionGracePeriodSeconds } = before.metadata;
      // A second delete may only shorten the grace.
      if (deletionTimestamp !== undefined && (deletionGracePeriodSeconds ?? 0) <= grace)
        return before as never;
      const draft = structuredClone(before);
      draft.metadata.deletionTimestamp = iso(nowMs() + grace * 1000);
      draft.metadata.deletionGracePeriodSeconds = grace;
      return write(resource, key, draft, before) as never;
    },
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    version: () => version,
    since(from) {
      if (from > version) return [];
      const oldest = history[0]?.version;
      if (oldest !== undefined && from < oldest - 1) return 'expired';
      return history.filter((event) => event.version > from);
    },
  };

  function put(
    resource: Resource,
    key: string,
    before: KubeObject,
    draft: KubeObject,
    options: WriteOptions,
  ): KubeObject {
    const same = {
      ...draft,
      metadata: { ...draft.metadata, resourceVersion: before.metadata.resourceVersion },
    };
    if (options.dryRun === true) return same;
    if (before.metadata.deletionTimestamp !== undefined && (draft.metadata.finalizers?.length ?? 0) === 0) {
      if ((before.metadata.finalizers?.length ?? 0) > 0) return drop(resource, key, before, false);
    }
    // A write that changes nothing makes no new version.
    if (isDeepStrictEqual(same, before)) return before;
    if (!isDeepStrictEqual(before.spec, draft.spec)) {
      draft.metadata.generation = (before.metadata.generation ?? 0) + 1;
    }
    return write(resource, key, draft, before);
  }

  return store;
}

/** What a PUT may change: never the identity, and either the status or everything else. */
function merged(resource: Resource, before: KubeObject, object: KubeObject, statusOnly: boolean): KubeObject {
  // A body may leave out what its URL says.
  const named: Partial<KubeObject> = { apiVersion: before.apiVersion, kind: before.kind };
  const draft: KubeObject = { ...named, ...structuredClone(object) };
  if (statusOnly) return { ...structuredClone(before), status: draft.status };
  const { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation } =
    before.metadata;
  Object.assign(draft.metadata, { uid, creationTimestamp });
  if (generation !== undefined) draft.metadata.generation = generation;
  if (deletionTimestamp !== undefined) {
    Object.assign(draft.metadata, { deletionTimestamp, deletionGracePeriodSeconds });
  }
  if (resourceType(resource).status) {
    if (before.status === undefined) delete draft.status;
    else draft.status = structuredClone(before.status);
  }
  return draft;
}

function graceOf(resource: Resource, object: KubeObject, asked: number | undefined): number {
  if (resource !== 'pods') return 0;
  const pod = object as Kinds['pods'];
  const phase = (pod as Partial<Kinds['pods']>).status?.phase;
  if (pod.spec.nodeName === undefined || phase === 'Succeeded' || phase === 'Failed') return 0;
  return asked ?? pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
}
