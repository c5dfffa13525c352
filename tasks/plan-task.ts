/** PlanCycle as a task: the decision as outputs and as a table, the lock, and its release. */
import { annotateFacts, release, takeTheLock } from '../cycle/acts/facts.ts';
import { withdrawAll } from '../cycle/acts/git.ts';
import { bridgeOn } from '../cycle/hosts.ts';
import type { Because } from '../cycle/plan/due.ts';
import { mentionNotes } from '../cycle/plan/mentions.ts';
import { endingSoon } from '../cycle/plan/expiry.ts';
import { renderPath } from '../cycle/plan/path.ts';
import { releaseAddress } from '../cycle/acts/reservations.ts';
import {
  decide,
  duePlanReleases,
  planPlanCycle,
  type Decision,
  type PlanActs,
  type PlanInput,
  type PlanWorld,
} from '../cycle/steps/plan-cycle.ts';
import { converge } from '../cycle/step.ts';
import { observePlanWorld, snapshotOf } from '../cycle/observe-plan.ts';
import { oneOf } from './inputs.ts';
import type { Task, TaskOutcome } from './run.ts';

/** A dry run asks for reasons only. */
const NO_ACTS: PlanActs = {
  takeLock: () => Promise.reject(new Error('a dry run takes no lock')),
  writeAllFacts: () => Promise.reject(new Error('a dry run writes nothing')),
  releaseAddress: () => Promise.reject(new Error('a dry run releases nothing')),
  withdrawProposals: () => Promise.reject(new Error('a dry run withdraws nothing')),
};

const BECAUSE = ['any', 'age', 'image'] as const satisfies readonly Because[];

export async function planCycle(task: Task): Promise<TaskOutcome> {
  const { agent, config, ctx, signal } = task;
  task.begin('PlanCycle');
  const named = agent.input('node') ?? 'any';
  const input: PlanInput = {
    node: named === 'any' ? undefined : named,
    because: oneOf('because', agent.input('because') ?? 'any', BECAUSE),
    direction: oneOf('direction', agent.input('direction') ?? 'forward', ['forward', 'back'] as const),
    scheduled: ctx.run.scheduled,
    me: ctx.me,
  };
  const dryRun = agent.input('dryRun')?.toLowerCase() === 'true';
  if (dryRun) {
    const world = await observePlanWorld(ctx, input, signal);
    for (const { id, reason } of duePlanReleases(config, input, NO_ACTS, world))
      agent.line(`PlanCycle itself would do ${id}: ${reason}`);
    return finish(task, decide(config, input, world), world, true);
  }
  let last: Decision | undefined;
  const outcome = await converge<PlanWorld>(
    {
      name: 'PlanCycle',
      observe: (stop) => observePlanWorld(ctx, input, stop),
      plan: (world) => {
        last ??= decide(config, input, world);
        return planPlanCycle(
          config,
          input,
          {
            takeLock: (seen, annotations, stop) => takeTheLock(ctx, seen, annotations, stop),
            writeAllFacts: (facts, stop) => annotateFacts(ctx, facts, stop),
            releaseAddress: (name, mac, stop) => releaseAddress(ctx, name, mac, stop),
            withdrawProposals: (stop) => withdrawAll(ctx, stop),
          },
          world,
        );
      },
    },
    {
      clock: ctx.ports.clock,
      record: ctx.record,
      signal,
      pollMs: config.pace.pollMs,
      observeMs: config.pace.settleSeconds * 5000,
    },
  );
  if (outcome.kind === 'refused') return outcome;
  // Taken only to give addresses back: nothing follows that would need it.
  if (last?.kind === 'nothing' && outcome.actions.includes('lock.take')) await release(ctx, signal);
  const now = decide(config, input, outcome.observed);
  // The first decision saw the cycle begin; the one that is reported also saw the lock and the facts written.
  return finish(
    task,
    last?.kind === 'cycle' && now.kind === 'cycle' && !last.resumed
      ? { ...now, reason: last.reason, resumed: false }
      : now,
    outcome.observed,
    false,
  );
}

function finish(task: Task, decision: Decision, world: PlanWorld, dryRun: boolean): TaskOutcome {
  const { agent, config, ctx } = task;
  if (decision.kind === 'refusal') return { kind: 'refused', refusal: decision, actions: [] };
  ctx.record({ kind: 'before', world: snapshotOf(config, world) });
  warnOfEnds(task, world);
  if (decision.kind === 'nothing') {
    agent.line(`Nothing is due: ${decision.reason}.`);
    setOutputs(task, { due: 'false', reason: decision.reason });
    ctx.record({ kind: 'outcome', outcome: 'nothingDue', reason: decision.reason });
    return { kind: 'done', message: `Nothing is due: ${decision.reason}` };
  }
  ctx.record({ kind: 'pair', oldNode: decision.leaving, newNode: decision.staying });
  for (const line of renderPath(decision.path)) agent.line(line);
  const { old } = decision.facts;
  if (old !== undefined && decision.facts.direction === 'forward')
    for (const message of mentionNotes(config, world, old)) agent.warning({ message });
  if (dryRun) {
    setOutputs(task, { due: 'false', reason: `dry run: ${decision.reason}` });
    return {
      kind: 'done',
      message: `Dry run: ${decision.leaving} would be replaced by ${decision.staying}: ${decision.reason}`,
    };
  }
  // A dead node leaves whole: no role of it can be removed alone.
  const has = (role: 'controlplane' | 'etcd' | 'worker') =>
    String(!decision.dead && decision.facts.old?.roles.includes(role) === true);
  const address = config.addresses.source === 'static' ? decision.facts.successor?.address : undefined;
  setOutputs(task, {
    due: 'true',
    oldNode: decision.leaving,
    oldNodeState: decision.dead ? 'dead' : 'alive',
    newNode: decision.staying,
    hasControlPlane: has('controlplane'),
    hasEtcd: has('etcd'),
    hasWorker: has('worker'),
    reason: decision.reason,
    ...(address === undefined ? {} : { address }),
  });
  return {
    kind: 'done',
    message: `${decision.leaving} is replaced by ${decision.staying}: ${decision.reason}`,
  };
}

function warnOfEnds({ agent, ctx }: Task, { hosts, nowMs }: PlanWorld): void {
  const certificates = hosts.flatMap(({ host, certificateExpiresAt }) => [
    {
      what: `The certificate of the bridge on ${host}`,
      endsMs: Date.parse(certificateExpiresAt),
      remedy: 'Make a new one on the host, and put its fingerprint into the service connection.',
    },
    {
      what: `The agent's certificate for the bridge on ${host}`,
      endsMs: bridgeOn(ctx.bridges, host).client.certificateEndsMs,
      remedy: 'Run bridge-admin enroll on the host again, and renew the service connection.',
    },
  ]);
  for (const message of endingSoon(certificates, nowMs)) agent.warning({ message });
}

function setOutputs(task: Task, outputs: Record<string, string>): void {
  for (const [name, value] of Object.entries(outputs)) task.agent.setOutput(name, value);
}

/** Also the last look at the world, for the record; without it the lock is released all the same. */
export async function releaseLock(task: Task): Promise<TaskOutcome> {
  const { ctx, config, signal } = task;
  task.begin('Release');
  const input: PlanInput = {
    node: undefined,
    because: 'any',
    direction: 'forward',
    scheduled: false,
    me: ctx.me,
  };
  await observePlanWorld(ctx, input, signal).then(
    (world) => ctx.record({ kind: 'after', world: snapshotOf(config, world) }),
    (error: unknown) => task.agent.line(`The world after the run could not be read: ${String(error)}`),
  );
  const released = await release(task.ctx, task.signal);
  return {
    kind: 'done',
    message: released === 'released' ? 'The lock is released.' : 'This run did not hold the lock.',
  };
}
