/** Nodes of the cluster: cordon, drain, taints, labels, and what rke left behind. */
import { CodedError } from '../../ports/errors.ts';
import { must } from '../cluster/kubernetes/api.ts';
import { cordon, drain, uncordon } from '../cluster/kubernetes/drain.ts';
import { LEAVING_TAINT, removeTaint, setLabels, setTaint } from '../cluster/kubernetes/endpoints.ts';
import { waitMs, type Context } from '../context.ts';
import { Refused } from '../step.ts';
import { refuseBy } from '../plan/etcd-path.ts';
import { removeOrphanMember } from './etcd.ts';
import { requireLock } from './facts.ts';

const ASK_MS = 20_000;

export async function setCordon(ctx: Context, node: string, on: boolean, signal: AbortSignal): Promise<void> {
  await requireLock(ctx, signal);
  await (on ? cordon : uncordon)(await ctx.cluster.kube(), node, waitMs(ASK_MS, signal));
}

export async function label(
  ctx: Context,
  node: string,
  labels: Record<string, string | null>,
  signal: AbortSignal,
): Promise<void> {
  await requireLock(ctx, signal);
  await setLabels(await ctx.cluster.kube(), node, labels, waitMs(ASK_MS, signal));
}

export async function setLeavingTaint(
  ctx: Context,
  node: string,
  on: boolean,
  signal: AbortSignal,
): Promise<void> {
  await requireLock(ctx, signal);
  const api = await ctx.cluster.kube();
  const wait = waitMs(ASK_MS, signal);
  if (on) await setTaint(api, node, LEAVING_TAINT, wait);
  else await removeTaint(api, node, LEAVING_TAINT, wait);
}

export async function drainNode(ctx: Context, node: string, signal: AbortSignal): Promise<void> {
  await requireLock(ctx, signal);
  const { kubernetes, pace } = ctx.config;
  const result = await drain(
    { api: await ctx.cluster.kube(), clock: ctx.ports.clock },
    node,
    {
      allowUnmanaged: kubernetes.allowUnmanagedPods,
      pollMs: pace.pollMs,
      retryMs: Math.min(5_000, pace.pollMs * 5),
    },
    waitMs(kubernetes.drainSeconds * 1000, signal),
    ({ kind, pod, message }) => ctx.say(`drain ${kind}${pod === undefined ? '' : ` ${pod}`}: ${message}`),
  );
  if (result.outcome === 'drained') return;
  const blocked = refuseBy(result.blockers);
  if (result.outcome === 'refused' && blocked !== undefined) throw new Refused(blocked);
  const stuck = result.pods.filter((pod) => pod.outcome !== 'gone');
  throw new CodedError(
    'NC1254',
    `The drain of ${node} ended as ${result.outcome}: ${result.message}`,
    stuck.map((pod) => `${pod.pod}: ${pod.outcome}`),
  );
}

/** The etcd member and the Node of a machine that rke no longer has in its state, and would leave for ever. */
export async function removeOrphan(ctx: Context, node: string, signal: AbortSignal): Promise<void> {
  await requireLock(ctx, signal);
  await removeOrphanMember(ctx, node, signal);
  const api = await ctx.cluster.kube();
  const gone = await api.delete(`/api/v1/nodes/${node}`, waitMs(ASK_MS, signal));
  if (!gone.ok && gone.status !== 404) must(gone, `delete the Node ${node}`);
}
