/** What came of a session: the outcome in one word, the JSON for programs, the data of the report. */
import { summarise } from '../cycle/record.ts';
import type { ReportData } from '../report/data.ts';
import { replacedBy } from './replaced.ts';
import type { Session } from './session.ts';
import type { FinalTable } from './view/events.ts';

export type LabOutcome = 'succeeded' | 'failed' | 'refused' | 'nothingDue';

export interface Verdict {
  outcome: LabOutcome;
  /** One sentence. */
  reason: string;
  replaced: { old: string; new: string }[];
}

export function judge(session: Session): Verdict {
  const last = session.runs.at(-1);
  const replaced = session.runs.flatMap(replacedBy);
  const { failed } = session.traffic.requests;
  const [broken] = session.broken;
  if (broken !== undefined)
    return { outcome: 'failed', reason: `An invariant was broken: ${broken}.`, replaced };
  if (failed > 0) return { outcome: 'failed', reason: `${failed} requests failed.`, replaced };
  const refusal = last?.events.find((event) => event.kind === 'refusal');
  if (last?.result.outcome !== 'succeeded' && last?.result.outcome !== 'succeededWithIssues') {
    if (refusal?.kind === 'refusal')
      return { outcome: 'refused', reason: `${refusal.code} ${refusal.what}`, replaced };
    const rejected = last?.result.stages.find((stage) => stage.cause === 'rejected');
    if (rejected !== undefined)
      return { outcome: 'failed', reason: `The gate of ${rejected.name} was rejected.`, replaced };
    return { outcome: 'failed', reason: last?.issues[0]?.message ?? 'The run did not succeed.', replaced };
  }
  if (replaced.length > 0)
    return {
      outcome: 'succeeded',
      reason: replaced.map((pair) => `${pair.old} was replaced by ${pair.new}`).join(', '),
      replaced,
    };
  // A dry run that shows a cycle has done what was asked for.
  if (session.settings.dryRun && last.events.some((event) => event.kind === 'pair'))
    return { outcome: 'succeeded', reason: last.outputs['plan_1.reason'] ?? '', replaced };
  return { outcome: 'nothingDue', reason: last.outputs['plan_1.reason'] ?? 'nothing is due', replaced };
}

export function tasksOf(
  session: Session,
): { name: string; stage: string; result: string; durationMs: number; actions: string[] }[] {
  return session.runs.flatMap((run) =>
    run.result.stages.flatMap((stage) =>
      stage.jobs.flatMap((job) =>
        job.steps
          .filter((step) => step.task !== undefined)
          .map((step) => ({
            name: step.task ?? '',
            stage: stage.name,
            result: step.result,
            durationMs: step.durationMs,
            actions: run.byTask
              .filter(
                (one) =>
                  one.stage === stage.name && (one.step === step.name || one.step === step.displayName),
              )
              .flatMap((one) =>
                one.events.flatMap((event) => (event.kind === 'action.done' ? [event.id] : [])),
              ),
          })),
      ),
    ),
  );
}

export function jsonOf(session: Session, verdict: Verdict): unknown {
  const { total, failed, resetOnIdle, apiRetried, p50Ms, p99Ms } = session.traffic.requests;
  return {
    outcome: verdict.outcome,
    reason: verdict.reason,
    requests: { total, failed, resetOnIdle, apiRetried, p50Ms, p99Ms },
    vmPeak: session.vmPeak,
    vmSteady: session.vmSteady,
    replaced: verdict.replaced,
    tasks: tasksOf(session),
    components: session.components,
    servedBy: session.traffic.servedBy,
    classes: session.traffic.classes,
    failures: session.traffic.failures,
    bundles: session.bundles,
    brokenInvariants: session.broken,
    durationMs: session.endedMs - session.startedMs,
  };
}

export function tableOf(session: Session, verdict: Verdict, report: string | undefined): FinalTable {
  return {
    tasks: tasksOf(session).map((task) => ({ ...task, actions: task.actions.length })),
    replaced: verdict.replaced,
    requests: session.traffic.requests,
    vmPeak: session.vmPeak,
    vmSteady: session.vmSteady,
    durationMs: session.endedMs - session.startedMs,
    report,
  };
}

export function reportOf(session: Session, verdict: Verdict, cluster: string): ReportData {
  const { traffic } = session;
  return {
    cluster,
    outcome: verdict.outcome,
    reason: verdict.reason,
    startedMs: session.startedMs,
    endedMs: session.endedMs,
    replaced: verdict.replaced,
    run: summarise(session.events),
    stages: session.stages,
    traffic: {
      requests: traffic.requests,
      classes: traffic.classes,
      servedBy: traffic.servedBy,
      perSecond: traffic.perSecond,
      failures: traffic.failures,
    },
    vms: { peak: session.vmPeak, steady: session.vmSteady },
    components: session.components,
    settings: [
      { name: 'seed', value: String(session.settings.seed) },
      { name: 'nodes', value: String(session.settings.nodes) },
      { name: 'approve', value: session.settings.approve.how },
      ...(session.settings.kill === undefined ? [] : [{ name: 'kill', value: session.settings.kill }]),
      ...(session.settings.deadNode ? [{ name: 'dead-node', value: 'yes' }] : []),
    ],
  };
}
