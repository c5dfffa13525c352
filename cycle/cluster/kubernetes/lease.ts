/**
 * The cluster's lock: one coordination.k8s.io Lease, changed only over the version that was read.
 *
 * It does not expire by missed renewals, since a run may wait days at a gate. Each take-over raises the fence,
 * so that whoever was paused in the meantime can see that its turn is over.
 */
import type { Lease } from 'kubernetes-types/coordination/v1';
import type { Wait } from '../../../ports/ports.ts';
import { maybe, must } from './api.ts';
import type { KubeApi } from './api.ts';

export const FENCE_ANNOTATION = 'node-cycle/fence';
export const LOCK_NAMESPACE = 'kube-system';

export interface ObservedLock {
  name: string;
  /** undefined: nobody holds it. */
  holder: string | undefined;
  /** 0 before the first holder; raised each time that it is taken. */
  fence: number;
  /** Milliseconds since 1970. */
  acquiredAtMs: number | undefined;
  annotations: Record<string, string>;
  resourceVersion: string;
}

export type LockJudgement =
  | 'mine'
  | 'free'
  | 'takeOver'
  /** `untilMs`: when `lock.limit` lets it be taken over. */
  | { heldBy: string; sinceMs: number | undefined; untilMs: number | undefined };

export type LockChange =
  | { ok: true; lock: ObservedLock }
  /** `moved`: it changed since it was read. `held`: another one has it, or the fence is not ours. */
  | { ok: false; why: 'moved' | 'held'; lock: ObservedLock | undefined };

/** null removes an annotation. */
export type AnnotationChange = Record<string, string | null>;

/** A cluster's name as a Kubernetes name: lower case, at most 63 characters with the prefix. */
export function lockName(cluster: string): string {
  const plain = cluster.toLowerCase().replace(/[^a-z0-9-]+/g, '-');
  return `node-cycle-${plain}`.slice(0, 63).replace(/-+$/, '');
}

/** undefined: there is no Lease yet. */
export async function readLock(api: KubeApi, cluster: string, wait: Wait): Promise<ObservedLock | undefined> {
  const found = maybe(await api.get<Lease>(pathOf(cluster), wait), `read the lock ${lockName(cluster)}`);
  return found === undefined ? undefined : lockOf(found);
}

/** `runEnded`: the service says that the holder's run has ended. */
export function judgeLock(
  observed: ObservedLock | undefined,
  me: string,
  nowMs: number,
  limitMs: number,
  runEnded = false,
): LockJudgement {
  if (observed?.holder === undefined) return 'free';
  if (observed.holder === me) return 'mine';
  const { holder, acquiredAtMs } = observed;
  const untilMs = acquiredAtMs === undefined ? undefined : acquiredAtMs + limitMs;
  if (runEnded || (untilMs !== undefined && nowMs >= untilMs)) return 'takeOver';
  return { heldBy: holder, sinceMs: acquiredAtMs, untilMs };
}

/**
 * Takes the lock as it was judged (`free` or `takeOver`), over `observed` only: of two that read the same, one
 * gets it. The fence rises; annotations stay unless told otherwise.
 */
export async function takeLock(
  api: KubeApi,
  cluster: string,
  observed: ObservedLock | undefined,
  me: string,
  nowMs: number,
  wait: Wait,
  annotations: AnnotationChange = {},
): Promise<LockChange> {
  if (observed?.holder === me) return { ok: true, lock: observed };
  const fence = (observed?.fence ?? 0) + 1;
  const wanted: ObservedLock = {
    name: lockName(cluster),
    holder: me,
    fence,
    acquiredAtMs: nowMs,
    annotations: changed(observed?.annotations ?? {}, { ...annotations, [FENCE_ANNOTATION]: String(fence) }),
    resourceVersion: observed?.resourceVersion ?? '',
  };
  return write(api, cluster, wanted, observed === undefined, wait);
}

/** Writes facts, only while `me` holds the lock with this fence. */
export async function annotateLock(
  api: KubeApi,
  cluster: string,
  me: string,
  fence: number,
  annotations: AnnotationChange,
  wait: Wait,
): Promise<LockChange> {
  return change(api, cluster, wait, (lock) => {
    if (lock.holder !== me || lock.fence !== fence) return undefined;
    return { ...lock, annotations: changed(lock.annotations, annotations) };
  });
}

/** Gives the lock back: no holder, the fence stays. `annotations` usually clears the facts of a finished cycle. */
export async function releaseLock(
  api: KubeApi,
  cluster: string,
  me: string,
  wait: Wait,
  annotations: AnnotationChange = {},
): Promise<LockChange> {
  return change(api, cluster, wait, (lock) => {
    if (lock.holder === undefined && Object.keys(annotations).length === 0) return lock;
    if (lock.holder !== undefined && lock.holder !== me) return undefined;
    return {
      ...lock,
      holder: undefined,
      acquiredAtMs: undefined,
      annotations: changed(lock.annotations, annotations),
    };
  });
}

/** Somebody may only have touched the object: as long as the lock is ours, it is read and written again. */
const TRIES = 5;

async function change(
  api: KubeApi,
  cluster: string,
  wait: Wait,
  edit: (lock: ObservedLock) => ObservedLock | undefined,
): Promise<LockChange> {
  let last: LockChange = { ok: false, why: 'moved', lock: undefined };
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const lock = await readLock(api, cluster, wait);
    if (lock === undefined) return { ok: false, why: 'held', lock };
    const wanted = edit(lock);
    if (wanted === undefined) return { ok: false, why: 'held', lock };
    if (same(wanted, lock)) return { ok: true, lock };
    last = await write(api, cluster, wanted, false, wait);
    if (last.ok) return last;
  }
  return last;
}

async function write(
  api: KubeApi,
  cluster: string,
  wanted: ObservedLock,
  fresh: boolean,
  wait: Wait,
): Promise<LockChange> {
  const body = leaseOf(wanted);
  const answer = fresh
    ? await api.create<Lease>(collection(), body, wait)
    : await api.replace<Lease>(pathOf(cluster), body, wait);
  if (answer.ok) return { ok: true, lock: lockOf(answer.value) };
  // No answer, or a conflict that may be with our own write: only the object itself can tell.
  if (answer.status !== 0 && answer.status !== 409 && answer.status !== 404) must(answer, 'write the lock');
  if (answer.status === 0 && !answer.sent) must(answer, 'write the lock');
  const lock = await readLock(api, cluster, wait);
  if (lock !== undefined && same(lock, wanted)) return { ok: true, lock };
  return { ok: false, why: 'moved', lock };
}

function same(one: ObservedLock, other: ObservedLock): boolean {
  const facts = ({ holder, fence, acquiredAtMs, annotations }: ObservedLock) =>
    JSON.stringify([holder ?? '', fence, acquiredAtMs ?? 0, Object.entries(annotations).sort()]);
  return facts(one) === facts(other);
}

function changed(annotations: Record<string, string>, change: AnnotationChange): Record<string, string> {
  const after = { ...annotations };
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete after[key];
    else after[key] = value;
  }
  return after;
}

function collection(): string {
  return `/apis/coordination.k8s.io/v1/namespaces/${LOCK_NAMESPACE}/leases`;
}

function pathOf(cluster: string): string {
  return `${collection()}/${lockName(cluster)}`;
}

function lockOf(lease: Lease): ObservedLock {
  const annotations = lease.metadata?.annotations ?? {};
  const holder = lease.spec?.holderIdentity as string | null | undefined;
  const acquired = Date.parse(lease.spec?.acquireTime ?? '');
  return {
    name: lease.metadata?.name ?? '',
    holder: holder === undefined || holder === null || holder === '' ? undefined : holder,
    fence: Number(annotations[FENCE_ANNOTATION] ?? 0) || 0,
    acquiredAtMs: Number.isNaN(acquired) ? undefined : acquired,
    annotations,
    resourceVersion: lease.metadata?.resourceVersion ?? '',
  };
}

function leaseOf(lock: ObservedLock): Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: lock.name,
      namespace: LOCK_NAMESPACE,
      annotations: lock.annotations,
      ...(lock.resourceVersion === '' ? {} : { resourceVersion: lock.resourceVersion }),
    },
    spec: {
      ...(lock.holder === undefined ? {} : { holderIdentity: lock.holder }),
      ...(lock.acquiredAtMs === undefined ? {} : { acquireTime: microTime(lock.acquiredAtMs) }),
    },
  };
}

/** A MicroTime has six digits of the second; the API server refuses fewer. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, '000Z');
}
