/**
 * Empties a node by the eviction API, with kubectl's semantics: a budget's 429 is tried again, a pod that is not
 * there is gone, anything else is final for that pod. Unlike kubectl, an API server that restarts is waited out.
 */
import type { Pod } from 'kubernetes-types/core/v1';
import type { Clock, Wait } from '../../../ports/ports.ts';
import type { Finding } from '../finding.ts';
import { must } from './api.ts';
import type { KubeApi, KubeFailure } from './api.ts';
import { DRAIN_DEFAULTS, planDrain, podObjection, skipped } from './drain-plan.ts';
import type { DrainOptions } from './drain-plan.ts';
import { observeKube, podName, podOf } from './observe.ts';
import type { KubePod } from './observe.ts';

export { DRAIN_DEFAULTS, isStructural, planDrain } from './drain-plan.ts';
export type { DrainOptions, DrainPlan } from './drain-plan.ts';

export interface PodOutcome {
  /** `namespace/name`. */
  pod: string;
  outcome: 'gone' | 'blocked' | 'stuckTerminating' | 'failed';
  /** Evictions asked for. */
  tries: number;
  message: string;
}

export interface DrainResult {
  outcome: 'drained' | 'refused' | 'failed' | 'timeout' | 'aborted';
  pods: PodOutcome[];
  /** Set when it was refused before anything was touched. */
  blockers: Finding[];
  message: string;
}

export interface DrainProgress {
  kind: 'cordoned' | 'evicted' | 'refusedByBudget' | 'gone' | 'failed';
  pod?: string | undefined;
  message: string;
}

/** Longest time for one request of a drain. */
const REQUEST_MS = 30_000;

interface Tracked {
  pod: KubePod;
  tries: number;
  /** The eviction was accepted; now it terminates. */
  accepted: boolean;
  failed: boolean;
  gone: boolean;
  nextTryMs: number;
  message: string;
}

/**
 * Cordons, evicts, and waits until the pods are gone and no new ones came. Refuses, with nothing touched, what
 * `planDrain` says can never succeed. What the cluster answers is in the result; it throws nothing for it.
 */
export async function drain(
  ports: { api: KubeApi; clock: Clock },
  node: string,
  options: Partial<DrainOptions>,
  wait: Wait,
  onProgress: (progress: DrainProgress) => void = () => undefined,
): Promise<DrainResult> {
  const { api, clock } = ports;
  const settings = { ...DRAIN_DEFAULTS, ...options };
  const deadlineMs = clock.now() + wait.deadlineMs;
  const left = (): Wait => ({
    deadlineMs: Math.max(1, Math.min(REQUEST_MS, deadlineMs - clock.now())),
    signal: wait.signal,
  });
  const tracked = new Map<string, Tracked>();
  const result = (
    outcome: DrainResult['outcome'],
    message: string,
    blockers: Finding[] = [],
  ): DrainResult => ({
    outcome,
    message,
    blockers,
    pods: [...tracked.values()].map(outcomeOf),
  });

  try {
    const plan = planDrain(await observeKube(api, { wait: left(), nowMs: clock.now() }), node, settings);
    if (plan.blockers.length > 0) {
      return result('refused', plan.blockers.map(({ message }) => message).join(' '), plan.blockers);
    }
    await cordon(api, node, left());
    onProgress({ kind: 'cordoned', message: `node ${node} takes no new pods` });

    for (;;) {
      const present = await podsOn(api, node, left());
      if (present !== undefined) {
        const open = note(tracked, present, settings, onProgress);
        if (open.length === 0) return result('drained', `node ${node} is empty`);
        await evictDue(ports, open, settings, left, onProgress);
        const moving = open.filter((one) => !one.failed);
        if (moving.length === 0)
          return result('failed', `${open.length} pods of ${node} could not be evicted`);
      }
      if (clock.now() >= deadlineMs) return result('timeout', `not empty within ${wait.deadlineMs} ms`);
      await clock.sleep(Math.min(settings.pollMs, Math.max(1, deadlineMs - clock.now())), wait.signal);
    }
  } catch (error) {
    if (wait.signal?.aborted === true) return result('aborted', `the drain of ${node} was aborted`);
    return result('failed', (error as Error).message);
  }
}

/** Sets spec.unschedulable. */
export function cordon(api: KubeApi, node: string, wait: Wait): Promise<void> {
  return schedulable(api, node, false, wait);
}

/** Who had cordoned the node before is the caller's to know. */
export function uncordon(api: KubeApi, node: string, wait: Wait): Promise<void> {
  return schedulable(api, node, true, wait);
}

async function schedulable(api: KubeApi, node: string, yes: boolean, wait: Wait): Promise<void> {
  const body = { spec: { unschedulable: yes ? null : true } };
  must(
    await api.patch(`/api/v1/nodes/${node}`, 'merge', body, wait),
    `${yes ? 'uncordon' : 'cordon'} node ${node}`,
  );
}

/** undefined: nobody could say now. */
async function podsOn(api: KubeApi, node: string, wait: Wait): Promise<KubePod[] | undefined> {
  const found = await api.list<Pod>('/api/v1/pods', wait, { fieldSelector: `spec.nodeName=${node}` });
  if (!found.ok && passing(found)) return undefined;
  return must(found, `pods of node ${node}`).items.map(podOf);
}

/** Takes in what is on the node now; gives the pods that still have to go. */
function note(
  tracked: Map<string, Tracked>,
  present: readonly KubePod[],
  settings: DrainOptions,
  onProgress: (progress: DrainProgress) => void,
): Tracked[] {
  const here = new Set(present.map((pod) => pod.uid));
  for (const one of tracked.values()) {
    if (one.gone || here.has(one.pod.uid)) continue;
    one.gone = true;
    onProgress({ kind: 'gone', pod: podName(one.pod), message: `${podName(one.pod)} is gone` });
  }
  for (const pod of present) {
    const why = skipped(pod);
    if (why === 'mirror' || why === 'daemonSet') continue;
    const known = tracked.get(pod.uid);
    if (known !== undefined) {
      known.pod = pod;
      continue;
    }
    const objection = podObjection(pod, settings);
    const fresh = { pod, tries: 0, gone: false, nextTryMs: 0, accepted: why === 'deleting' };
    tracked.set(pod.uid, { ...fresh, failed: objection !== undefined, message: objection?.message ?? '' });
  }
  return [...tracked.values()].filter((one) => !one.gone).sort((a, b) => a.pod.priority - b.pod.priority);
}

async function evictDue(
  ports: { api: KubeApi; clock: Clock },
  open: readonly Tracked[],
  settings: DrainOptions,
  left: () => Wait,
  onProgress: (progress: DrainProgress) => void,
): Promise<void> {
  const due = open.filter((one) => !one.accepted && !one.failed && one.nextTryMs <= ports.clock.now());
  const worker = async () => {
    for (let one = due.shift(); one !== undefined; one = due.shift()) {
      await evictOne(ports, one, settings, left(), onProgress);
    }
  };
  await Promise.all(Array.from({ length: Math.min(settings.parallel, due.length) }, worker));
}

async function evictOne(
  { api, clock }: { api: KubeApi; clock: Clock },
  one: Tracked,
  settings: DrainOptions,
  wait: Wait,
  onProgress: (progress: DrainProgress) => void,
): Promise<void> {
  const { pod } = one;
  const name = podName(pod);
  one.tries += 1;
  const answer = await api.evict(pod, wait, { gracePeriodSeconds: settings.gracePeriodSeconds });
  if (answer.ok) {
    one.accepted = true;
    onProgress({ kind: 'evicted', pod: name, message: `${name} is asked to leave` });
    return;
  }
  one.message = `${answer.status} ${answer.reason}: ${answer.message}`;
  // 404: gone. 409: another pod has the name now. Both show in the next list.
  if (answer.status === 404 || answer.status === 409) return;
  if (passing(answer)) {
    one.nextTryMs = clock.now() + settings.retryMs;
    const budgets = answer.causes.map((cause) => cause.message ?? '').filter(Boolean);
    const message = [`${name} may not leave now: ${answer.message}`, ...budgets].join(' ');
    onProgress({ kind: 'refusedByBudget', pod: name, message });
    return;
  }
  one.failed = true;
  onProgress({ kind: 'failed', pod: name, message: `${name} cannot be evicted: ${one.message}` });
}

/** May pass by itself: a budget, an API server that restarts, a namespace that ends. */
function passing(answer: KubeFailure): boolean {
  if (answer.failure === 'aborted') return false;
  if (answer.status === 403) return answer.causes.some((cause) => cause.reason === 'NamespaceTerminating');
  return [0, 429, 502, 503, 504].includes(answer.status);
}

function outcomeOf({ pod, tries, gone, failed, accepted, message }: Tracked): PodOutcome {
  const name = podName(pod);
  if (gone) return { pod: name, outcome: 'gone', tries, message: '' };
  if (failed) return { pod: name, outcome: 'failed', tries, message };
  if (!accepted && !pod.deleting) return { pod: name, outcome: 'blocked', tries, message };
  const held = pod.finalizers.length === 0 ? 'no finalizer' : `finalizers ${pod.finalizers.join(', ')}`;
  return { pod: name, outcome: 'stuckTerminating', tries, message: `evicted, and still there (${held})` };
}
