/** What a drain of one node would evict, and why it could never succeed. Pure. */
import { finding } from '../finding.ts';
import type { Finding } from '../finding.ts';
import { budgetsOf, nodeByName, podName, tolerates } from './observation.ts';
import type { KubeBudget, KubeNode, KubeObservation, KubePod, Resources, Taint } from './observation.ts';

export interface DrainOptions {
  /** Pods without a controller are evicted too; they are lost. */
  allowUnmanaged: boolean;
  /** emptyDir volumes may be deleted with their pods. */
  deleteEmptyDir: boolean;
  /** PersistentVolumes whose node affinity names the node do not refuse. */
  allowLocalVolumes: boolean;
  /** Nodes besides the drained one that may be cordoned or NotReady (a dead node that is being replaced). */
  ignoreNodes: readonly string[];
  /** Refuse when the other nodes have less room than the pods request. */
  checkHeadroom: boolean;
  /** Seconds; -1: each pod's own. */
  gracePeriodSeconds: number;
  /** Between two tries of an eviction that a budget refused. kubectl waits 5,000. */
  retryMs: number;
  /** How often the node's pods are looked at. */
  pollMs: number;
  /** Evictions in flight at once. */
  parallel: number;
}

export const DRAIN_DEFAULTS: DrainOptions = {
  allowUnmanaged: false,
  deleteEmptyDir: true,
  allowLocalVolumes: false,
  ignoreNodes: [],
  checkHeadroom: true,
  gracePeriodSeconds: -1,
  retryMs: 5_000,
  pollMs: 1_000,
  parallel: 10,
};

export interface DrainPlan {
  node: string;
  /** Highest priority last, so that what others depend on goes last. */
  evict: KubePod[];
  /** `deleting` pods are not evicted again, but waited for. */
  skip: { pod: KubePod; why: 'daemonSet' | 'mirror' | 'deleting' }[];
  /** Why the drain cannot succeed; empty when it can. */
  blockers: Finding[];
  /** Worth a person's eye, no reason to refuse. */
  notes: Finding[];
}

export function planDrain(
  observation: KubeObservation,
  node: string,
  options: Partial<DrainOptions> = {},
): DrainPlan {
  const settings = { ...DRAIN_DEFAULTS, ...options };
  const leaving = nodeByName(observation, node);
  if (leaving === undefined) {
    const known = observation.nodes.map((one) => one.name);
    return {
      node,
      evict: [],
      skip: [],
      blockers: [finding('NC3027', `Expected a node ${node} to drain; it is not in the cluster.`, known)],
      notes: [],
    };
  }
  const plan: DrainPlan = { node, evict: [], skip: [], blockers: [], notes: [] };
  for (const pod of observation.pods) {
    if (pod.node !== node) continue;
    const why = skipped(pod);
    if (why === undefined) plan.evict.push(pod);
    else plan.skip.push({ pod, why });
  }
  plan.evict.sort((a, b) => a.priority - b.priority || podName(a).localeCompare(podName(b)));

  const moving = plan.evict.filter((pod) => !finished(pod));
  plan.blockers.push(
    ...troubledNodes(observation, node, settings.ignoreNodes),
    ...moving.flatMap((pod) => podObjection(pod, settings) ?? []),
    ...budgetBlocks(moving, observation.budgets),
    ...(settings.allowLocalVolumes ? [] : localVolumes(observation, leaving)),
    ...(settings.checkHeadroom ? headroom(observation, moving, node, settings.ignoreNodes) : []),
  );
  plan.notes.push(
    ...budgetNotes(moving, observation.budgets),
    ...dataNotes(moving),
    ...volumeNotes(observation, node),
  );
  return plan;
}

/** Why a pod is not evicted. kubectl's rules: a finished pod goes, whoever owns it. */
export function skipped(pod: KubePod): 'daemonSet' | 'mirror' | 'deleting' | undefined {
  if (pod.mirror) return 'mirror';
  if (pod.ownerKind === 'DaemonSet' && !finished(pod)) return 'daemonSet';
  return pod.deleting ? 'deleting' : undefined;
}

/** Why this one pod may not be evicted under these options. */
export function podObjection(
  pod: KubePod,
  options: Pick<DrainOptions, 'allowUnmanaged' | 'deleteEmptyDir'>,
): Finding | undefined {
  if (finished(pod)) return undefined;
  if (pod.ownerKind === undefined && !options.allowUnmanaged) {
    return finding('NC3022', `Pod ${podName(pod)} has no controller: nothing would make it again.`, [
      podName(pod),
    ]);
  }
  if (pod.emptyDir && !options.deleteEmptyDir) {
    return finding('NC3026', `Pod ${podName(pod)} has an emptyDir volume, which goes with it.`, [
      podName(pod),
    ]);
  }
  return undefined;
}

function finished(pod: KubePod): boolean {
  return pod.phase === 'Succeeded' || pod.phase === 'Failed';
}

function troubledNodes(observation: KubeObservation, node: string, ignore: readonly string[]): Finding[] {
  return observation.nodes
    .filter((other) => other.name !== node && !ignore.includes(other.name))
    .filter((other) => other.unschedulable || !other.ready)
    .map((other) => {
      const what = other.ready ? 'cordoned' : `not ready (${other.readyReason})`;
      return finding('NC3025', `Node ${other.name} is ${what}; one node at a time.`, [
        `${other.name}: ${what}`,
      ]);
    });
}

/**
 * A budget that allows no disruption although every pod it expects is healthy will never allow one. One whose
 * status is older than its spec says nothing yet.
 */
export function isStructural(budget: KubeBudget): boolean {
  return (
    budget.current &&
    budget.disruptionsAllowed === 0 &&
    budget.expectedPods > 0 &&
    budget.currentHealthy >= budget.expectedPods &&
    budget.currentHealthy <= budget.desiredHealthy
  );
}

function budgetBlocks(moving: readonly KubePod[], budgets: readonly KubeBudget[]): Finding[] {
  const found: Finding[] = [];
  const blocked = new Map<KubeBudget, KubePod[]>();
  for (const pod of moving) {
    const own = budgetsOf(pod, budgets);
    if (own.length > 1) {
      const names = own.map(podName).join(', ');
      found.push(
        finding(
          'NC3021',
          `Pod ${podName(pod)} is selected by ${own.length} budgets (${names}).`,
          own.map(describeBudget),
        ),
      );
    }
    for (const budget of own)
      if (isStructural(budget)) blocked.set(budget, [...(blocked.get(budget) ?? []), pod]);
  }
  for (const [budget, pods] of blocked) {
    const names = pods.map(podName);
    const what = `Budget ${podName(budget)} can never let ${names.join(', ')} go`;
    const change = `${budget.desiredHealthy + 1} healthy pods, or a lower minimum, would`;
    found.push(finding('NC3020', `${what}; ${change}.`, [describeBudget(budget), ...names]));
  }
  return found;
}

function budgetNotes(moving: readonly KubePod[], budgets: readonly KubeBudget[]): Finding[] {
  const waiting = new Set(
    moving
      .flatMap((pod) => budgetsOf(pod, budgets))
      .filter((one) => one.disruptionsAllowed === 0 && !isStructural(one)),
  );
  return [...waiting].map((budget) =>
    finding('NC3020', `Budget ${podName(budget)} allows no disruption at the moment.`, [
      describeBudget(budget),
    ]),
  );
}

function describeBudget(budget: KubeBudget): string {
  const { minAvailable, maxUnavailable, currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed } =
    budget;
  const rule =
    minAvailable === undefined ? `maxUnavailable ${maxUnavailable ?? '?'}` : `minAvailable ${minAvailable}`;
  const healthy = `healthy ${currentHealthy} of ${expectedPods}, wanted ${desiredHealthy}`;
  return `${podName(budget)}: ${rule}, ${healthy}, disruptions allowed ${disruptionsAllowed}`;
}

/** A volume that only the leaving node can serve is lost with it. */
function localVolumes(observation: KubeObservation, leaving: KubeNode): Finding[] {
  const hostOf = (node: KubeNode) => node.labels['kubernetes.io/hostname'] ?? node.name;
  const own = new Set([leaving.name, hostOf(leaving)]);
  const others = new Set(
    observation.nodes
      .filter((node) => node.name !== leaving.name)
      .flatMap((node) => [node.name, hostOf(node)]),
  );
  return observation.persistentVolumes
    .filter(({ nodes }) => nodes.some((name) => own.has(name)) && !nodes.some((name) => others.has(name)))
    .map((volume) => {
      const claim = volume.claim === undefined ? 'no claim' : `claim ${podName(volume.claim)}`;
      const what = `PersistentVolume ${volume.name} (${claim}) lives on ${leaving.name} alone.`;
      return finding('NC3023', what, [`${volume.name}: ${claim}, node affinity ${volume.nodes.join(', ')}`]);
    });
}

/** Two conditions without which no placement exists: room for the sum, and for each pod a node that could take it. */
function headroom(
  observation: KubeObservation,
  moving: readonly KubePod[],
  node: string,
  ignore: readonly string[],
): Finding[] {
  if (moving.length === 0) return [];
  const takers = observation.nodes.filter(
    (other) => other.name !== node && !ignore.includes(other.name) && other.ready && !other.unschedulable,
  );
  const free = new Map(takers.map((taker) => [taker.name, { ...taker.allocatable }]));
  for (const pod of observation.pods) {
    const room = free.get(pod.node);
    if (room !== undefined && !finished(pod)) subtract(room, pod.requests);
  }
  const homeless = moving.filter(
    (pod) => !takers.some((taker) => accepts(taker, pod) && fits(pod.requests, free.get(taker.name))),
  );
  const found = homeless.map((pod) =>
    finding('NC3024', `No other node can take pod ${podName(pod)} (${describe(pod.requests)}).`, [
      podName(pod),
      ...[...free].map(([name, room]) => `${name}: free ${describe(room)}`),
    ]),
  );
  const wanted: Resources = { cpuMillis: 0, memoryBytes: 0, pods: 0 };
  for (const pod of moving) subtract(wanted, pod.requests, -1);
  const left: Resources = { cpuMillis: 0, memoryBytes: 0, pods: 0 };
  for (const room of free.values()) subtract(left, nonNegative(room), -1);
  if (homeless.length === 0 && !fits(wanted, left)) {
    const evidence = [`wanted: ${describe(wanted)}`, `free on the others: ${describe(left)}`];
    found.push(
      finding('NC3024', `The pods of ${node} request more than the other nodes have left.`, evidence),
    );
  }
  return found;
}

function accepts(taker: KubeNode, pod: KubePod): boolean {
  if (!Object.entries(pod.nodeSelector).every(([key, value]) => taker.labels[key] === value)) return false;
  const repels = (taint: Taint) => taint.effect === 'NoSchedule' || taint.effect === 'NoExecute';
  return taker.taints.filter(repels).every((taint) => tolerates(pod, taint));
}

function fits(wanted: Resources, room: Resources | undefined): boolean {
  if (room === undefined) return false;
  const { cpuMillis, memoryBytes, pods } = room;
  return wanted.cpuMillis <= cpuMillis && wanted.memoryBytes <= memoryBytes && wanted.pods <= pods;
}

function subtract(from: Resources, amount: Resources, times = 1): void {
  from.cpuMillis -= amount.cpuMillis * times;
  from.memoryBytes -= amount.memoryBytes * times;
  from.pods -= amount.pods * times;
}

function nonNegative({ cpuMillis, memoryBytes, pods }: Resources): Resources {
  return {
    cpuMillis: Math.max(0, cpuMillis),
    memoryBytes: Math.max(0, memoryBytes),
    pods: Math.max(0, pods),
  };
}

function describe({ cpuMillis, memoryBytes, pods }: Resources): string {
  return `${cpuMillis}m CPU, ${Math.ceil(memoryBytes / 2 ** 20)} MiB, ${pods} pods`;
}

function dataNotes(moving: readonly KubePod[]): Finding[] {
  const note = (kind: string, pods: KubePod[]) =>
    pods.length === 0
      ? []
      : [finding('NC3026', `Pods with ${kind} volumes move without that data.`, pods.map(podName))];
  return [
    ...note(
      'emptyDir',
      moving.filter((pod) => pod.emptyDir),
    ),
    ...note(
      'hostPath',
      moving.filter((pod) => pod.hostPath),
    ),
  ];
}

function volumeNotes(observation: KubeObservation, node: string): Finding[] {
  const attached = observation.volumeAttachments.filter((one) => one.node === node);
  if (attached.length === 0) return [];
  const names = attached.map((one) => one.persistentVolume ?? one.name);
  return [
    finding('NC3023', `${attached.length} volumes must be detached from ${node} before it goes.`, names),
  ];
}
