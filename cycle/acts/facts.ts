/** The lock and the facts on the Lease: taken, checked, written. */
import { annotateLock, readLock, releaseLock, takeLock } from '../cluster/kubernetes/lease.ts';
import { waitMs, type Context } from '../context.ts';
import { factsFromAnnotations, factsToAnnotations, finished, NO_FACTS, type Facts } from '../facts.ts';
import type { PlanWorld } from '../steps/plan-cycle.ts';
import { Refused, refuse, type Refusal } from '../step.ts';

const LEASE_MS = 20_000;

/** Why this run may not act; undefined when it holds the lock. Read right before an act, never remembered. */
export async function whyNotMine(ctx: Context, signal: AbortSignal): Promise<Refusal | undefined> {
  const lock = await readLock(await ctx.cluster.kube(), ctx.config.cluster, waitMs(LEASE_MS, signal));
  if (lock?.holder === ctx.me) return undefined;
  return refuse('NC1013', `This run (${ctx.me}) does not hold the lock; ${lock?.holder ?? 'nobody'} does.`, [
    `Lease ${lock?.name ?? 'not there'}, fence ${lock?.fence ?? 0}`,
    'PlanCycle takes the lock; a lock that was taken over means that another run went on with this cycle.',
  ]);
}

/** @returns the fence with which this run holds the lock. Throws Refused. */
export async function requireLock(ctx: Context, signal: AbortSignal): Promise<number> {
  const lock = await readLock(await ctx.cluster.kube(), ctx.config.cluster, waitMs(LEASE_MS, signal));
  if (lock?.holder !== ctx.me)
    throw new Refused((await whyNotMine(ctx, signal)) ?? refuse('NC1013', 'The lock moved.'));
  return lock.fence;
}

export async function takeTheLock(
  ctx: Context,
  world: PlanWorld,
  annotations: Record<string, string | null>,
  signal: AbortSignal,
): Promise<void> {
  const api = await ctx.cluster.kube();
  const taken = await takeLock(
    api,
    ctx.config.cluster,
    world.lock,
    ctx.me,
    ctx.ports.clock.now(),
    waitMs(LEASE_MS, signal),
    annotations,
  );
  if (!taken.ok)
    throw new Refused(
      refuse('NC1013', `The lock went to ${taken.lock?.holder ?? 'somebody else'} at the same moment.`),
    );
}

/** Writes the change over the facts as they are now; the maps in it are merged. */
export async function writeFacts(
  ctx: Context,
  change: Partial<Facts> | 'clear',
  signal: AbortSignal,
): Promise<void> {
  const lock = await readLock(await ctx.cluster.kube(), ctx.config.cluster, waitMs(LEASE_MS, signal));
  const facts = factsFromAnnotations(lock?.annotations ?? {});
  const next =
    change === 'clear'
      ? { ...NO_FACTS, ...finished(facts) }
      : {
          ...facts,
          ...change,
          swapped: { ...facts.swapped, ...change.swapped },
          upstreams: { ...facts.upstreams, ...change.upstreams },
          // An entry that is set to undefined goes.
          ttls: { ...facts.ttls, ...change.ttls },
          reservations: { ...facts.reservations, ...change.reservations },
        };
  await annotateFacts(ctx, next, signal);
}

/** All facts at once, as this run's plan has them. Throws Refused when the lock is not this run's. */
export async function annotateFacts(ctx: Context, facts: Facts, signal: AbortSignal): Promise<void> {
  const fence = await requireLock(ctx, signal);
  const api = await ctx.cluster.kube();
  const written = await annotateLock(
    api,
    ctx.config.cluster,
    ctx.me,
    fence,
    factsToAnnotations(facts),
    waitMs(LEASE_MS, signal),
  );
  if (!written.ok)
    throw new Refused(
      refuse('NC1013', `The facts were not written: the lock is ${written.lock?.holder ?? 'nobody'}'s.`),
    );
}

/** Gives the lock back; the facts of an unfinished cycle stay. */
export async function release(ctx: Context, signal: AbortSignal): Promise<'released' | 'notOurs'> {
  const api = await ctx.cluster.kube();
  const wait = waitMs(LEASE_MS, signal);
  const lock = await readLock(api, ctx.config.cluster, wait);
  if (lock?.holder !== ctx.me) return 'notOurs';
  const released = await releaseLock(api, ctx.config.cluster, ctx.me, wait);
  return released.ok ? 'released' : 'notOurs';
}
