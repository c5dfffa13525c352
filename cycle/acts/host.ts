/** Changes on a host, through its bridge: each is a job that outlives this process and is joined again. */
import { jobKey, targetOf } from '../../agent-bridge/client/client.ts';
import type { ChangeName, Params, Result } from '../../agent-bridge/protocol/operations.ts';
import { RESULT_PREFIX } from '../../agent-bridge/protocol/wire.ts';
import { CodedError } from '../../ports/errors.ts';
import { waitMs, type Context } from '../context.ts';
import { bridgeOn, naming, readAllVms, type HostBridge } from '../hosts.ts';
import { forgetAddress, pinHost } from '../plan/known-hosts.ts';
import type { VmPlace } from '../steps/delete-vm.ts';
import type { ProvisionActs } from '../steps/provision-node.ts';
import { requireLock } from './facts.ts';
import { editFile } from './git.ts';

const SUBMIT_MS = 20_000;

export type HostOutcome<O extends ChangeName> =
  { kind: 'done'; result: Result<O> } | { kind: 'failed'; code: string; evidence: string[] };

/**
 * Submits a change, or joins the job that is already at it, and waits for its end. The fence is no part of what
 * makes two jobs the same: a run that was queued again has a higher one.
 */
export async function changeOnHost<O extends ChangeName>(
  ctx: Context,
  bridge: HostBridge,
  op: O,
  params: Params<O>,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<HostOutcome<O>> {
  const { config } = ctx;
  const { client } = bridge;
  const target = targetOf(op, params);
  const { jobs } = await client.read('vm.read', { cluster: config.cluster }, waitMs(SUBMIT_MS, signal));
  const ours = jobs.filter((job) => job.op === op && job.target === target);
  const running = ours.find((job) => job.endedAt === undefined);
  const finished = ours.find((job) => job.endedAt !== undefined);
  const handle =
    running === undefined
      ? await client.submit(
          op,
          params,
          jobKey(op, params, config.cluster, finished?.id),
          waitMs(SUBMIT_MS, signal),
        )
      : { op, id: running.id, state: running.state };
  if (running !== undefined)
    ctx.say(`The job ${running.id} of an earlier run is already at it; its end is awaited.`);
  const ended = await client.waitFor(handle, {
    ...waitMs(deadlineMs, signal),
    onLog: (line) => {
      if (line.trim() !== '' && !line.startsWith(RESULT_PREFIX)) ctx.say(`${bridge.host ?? 'host'}: ${line}`);
    },
  });
  const [entries, hash] = client.lastHead()?.split(':') ?? [];
  if (entries !== undefined && hash !== undefined)
    ctx.record({ kind: 'logHead', host: bridge.host ?? bridge.url, entries: Number(entries), hash });
  if (ended.kind === 'done') return { kind: 'done', result: ended.result };
  return {
    kind: 'failed',
    code: ended.error,
    evidence: [`job ${ended.job.id} of ${op} ended as ${ended.job.state}`],
  };
}

/** Throws CodedError NC1253 when the job failed; whether it is tried again is the engine's to say. */
async function change<O extends ChangeName>(
  ctx: Context,
  host: string,
  op: O,
  params: Params<O>,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<Result<O>> {
  const bridge = bridgeOn(ctx.bridges, host);
  const ended = await naming(bridge, changeOnHost(ctx, bridge, op, params, deadlineMs, signal));
  if (ended.kind === 'done') return ended.result;
  throw new CodedError('NC1253', `${op} on ${host}: ${ended.code}.`, ended.evidence);
}

export async function createVm(
  ctx: Context,
  host: string,
  order: Parameters<ProvisionActs['createVm']>[1],
  signal: AbortSignal,
): Promise<void> {
  const fence = await requireLock(ctx, signal);
  const { cluster, vm } = ctx.config;
  const made = await change(
    ctx,
    host,
    'vm.create',
    { cluster, ...order, fence },
    vm.bootMinutes * 60_000,
    signal,
  );
  ctx.record({
    kind: 'evidence',
    subject: order.node,
    facts: { vm: made.id, host: made.host, mac: made.mac, image: order.image },
  });
}

export async function buildImage(
  ctx: Context,
  host: string,
  image: string,
  signal: AbortSignal,
): Promise<void> {
  await requireLock(ctx, signal);
  await change(ctx, host, 'image.build', { image }, ctx.config.vm.buildMinutes * 60_000, signal);
}

export async function stopVm(ctx: Context, { id, host }: VmPlace, signal: AbortSignal): Promise<void> {
  const fence = await requireLock(ctx, signal);
  await change(ctx, host, 'vm.stop', { cluster: ctx.config.cluster, id, fence }, 600_000, signal);
}

export async function deleteVm(ctx: Context, { id, host }: VmPlace, signal: AbortSignal): Promise<void> {
  const fence = await requireLock(ctx, signal);
  await change(ctx, host, 'vm.delete', { cluster: ctx.config.cluster, id, fence }, 1_200_000, signal);
}

export async function pinHostKeys(
  ctx: Context,
  node: string,
  address: string,
  port: number,
  signal: AbortSignal,
): Promise<void> {
  const vms = await readAllVms(ctx.bridges, ctx.config.cluster, waitMs(SUBMIT_MS, signal));
  const keys =
    vms.find((vm) => vm.marker?.cluster === ctx.config.cluster && vm.marker.node === node && !vm.setAside)
      ?.sshHostKeys ?? [];
  if (keys.length === 0) return;
  await editFile(
    ctx,
    {
      repo: ctx.repo,
      review: ctx.reviews.cluster,
      path: ctx.config.ssh.knownHosts,
      edit: (text) => pinHost(text, address, port, keys),
      message: `Pin the SSH host key of ${node} (${address})`,
      before: async () => {
        await requireLock(ctx, signal);
      },
    },
    signal,
  );
}

export async function forgetHostKeys(
  ctx: Context,
  node: string,
  address: string,
  signal: AbortSignal,
): Promise<void> {
  await editFile(
    ctx,
    {
      repo: ctx.repo,
      review: ctx.reviews.cluster,
      path: ctx.config.ssh.knownHosts,
      edit: (text) => forgetAddress(text, address),
      message: `Forget the SSH host key of ${node} (${address})`,
      before: async () => {
        await requireLock(ctx, signal);
      },
    },
    signal,
  );
}
