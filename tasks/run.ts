/**
 * The one wrapper around every task: inputs, configuration, cancellation, errors and the record. A task's own
 * main.ts says only which work is run.
 */
import { setMaxListeners } from 'node:events';
import { loadConfig, renderErrors } from '../cycle/config.ts';
import type { Config } from '../cycle/config.ts';
import type { Context } from '../cycle/context.ts';
import type { RunEvent, RunEventBody } from '../cycle/record.ts';
import type { Refusal } from '../cycle/step.ts';
import { clock } from '../ports/clock.ts';
import { CodedError, ERRORS } from '../ports/errors.ts';
import { files } from '../ports/files.ts';
import { PortError } from '../ports/ports.ts';
import type { PipelineAgent } from './agent.ts';
import { azureAgent } from './azure.ts';
import type { Link } from './links/link.ts';

/** After SIGINT the agent waits 7.5 s before it ends the process, whatever it is doing. */
const CANCEL_MS = 6_500;

export interface Task {
  agent: PipelineAgent;
  config: Config;
  ctx: Context;
  signal: AbortSignal;
  /** Opens the step in the record, under its full name. */
  begin(step: string): void;
}

export type TaskOutcome =
  { kind: 'done'; message: string } | { kind: 'refused'; refusal: Refusal; actions: readonly string[] };

/** What a task consists of: `tasks/<Task>/work.ts`. Nothing of it is loaded before the configuration is valid. */
export interface Work {
  /** What it talks to besides the bridges, the repositories and the cluster. */
  links: readonly Link[];
  run(task: Task): Promise<TaskOutcome>;
}

/** Runs a task to its end and ends the process: the task library would keep it alive after an exception. */
export async function runTask(name: string, load: () => Promise<{ work: Work }>): Promise<never> {
  const agent = azureAgent();
  const cancel = new AbortController();
  // Every request that is under way listens to it.
  setMaxListeners(0, cancel.signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      cancel.abort();
      void clock.sleep(CANCEL_MS).then(() => process.exit(1));
    });
  }
  const events: RunEvent[] = [];
  let close: (() => Promise<void>) | undefined;
  let exitCode = 0;
  try {
    const config = await readConfig(agent);
    if (config !== undefined) {
      const [{ work }, { openContext }] = await Promise.all([load(), import('./open.ts')]);
      const record = (event: RunEventBody) => {
        events.push({ ...event, atMs: clock.now() });
        narrate(agent, event);
      };
      const opened = await openContext(agent, config, cancel.signal, record, work.links);
      close = opened.close;
      const begin = (step: string) =>
        record({ kind: 'step.started', step, task: name, stage: agent.variable('System.StageName') });
      const outcome = await work.run({ agent, config, ctx: opened.ctx, signal: cancel.signal, begin });
      report(agent, outcome, record);
    }
  } catch (error) {
    exitCode = cancel.signal.aborted ? 1 : 0;
    fail(agent, error, cancel.signal.aborted);
    events.push({
      kind: 'outcome',
      outcome: cancel.signal.aborted ? 'cancelled' : 'failed',
      reason: messageOf(error),
      atMs: clock.now(),
    });
  }
  await close?.().catch(() => undefined);
  await keepRecord(agent, name, events).catch((error: unknown) =>
    agent.line(`The record could not be kept: ${messageOf(error)}`),
  );
  // Output to a pipe is asynchronous: what is still in it would be lost by exit().
  process.stdout.write('', () => process.exit(exitCode));
  return new Promise<never>(() => undefined);
}

async function readConfig(agent: PipelineAgent): Promise<Config | undefined> {
  const path = agent.required('config');
  let text: string;
  try {
    text = Buffer.from(await files.read(path)).toString('utf8');
  } catch (error) {
    throw new CodedError('NC1002', `Expected the configuration at ${path}: ${messageOf(error)}`);
  }
  const file = path.split(/[\\/]/).pop() ?? path;
  const loaded = loadConfig(text, file);
  if ('config' in loaded) {
    agent.line(`Configuration ${file} is valid.`);
    return loaded.config;
  }
  for (const line of renderErrors(loaded.errors).split('\n')) agent.line(line);
  for (const error of loaded.errors) agent.error({ code: error.code, message: renderErrors([error]) });
  agent.complete('Failed', `NC1001 ${file} has ${loaded.errors.length} faults.`);
  return undefined;
}

/** The log as a story: what is planned, what is done and why, what was waited for. */
function narrate(agent: PipelineAgent, event: RunEventBody): void {
  switch (event.kind) {
    case 'plan':
      agent.line(`Plan of ${event.step}: ${event.actions.length === 0 ? 'nothing is missing' : ''}`);
      for (const action of event.actions)
        agent.line(`  ${action.irreversible ? '!' : '-'} ${action.id}: ${action.reason}`);
      break;
    case 'action.started':
      agent.group(`${event.wait ? 'Waiting' : 'Doing'}: ${event.id}`);
      agent.line(`because ${event.reason}`);
      break;
    case 'wait':
      agent.line(`not to be seen yet: ${event.what}`);
      break;
    case 'action.failed':
      agent.line(`${event.id} failed: ${event.error}`);
      break;
    case 'action.done':
      agent.endGroup();
      agent.line(`Done: ${event.id} (${(event.durationMs / 1000).toFixed(1)} s)`);
      break;
    default:
  }
}

function report(agent: PipelineAgent, outcome: TaskOutcome, record: (event: RunEventBody) => void): void {
  if (outcome.kind === 'done') {
    agent.complete('Succeeded', outcome.message);
    record({ kind: 'outcome', outcome: 'succeeded', reason: outcome.message });
    return;
  }
  const { code, what, evidence, remedy } = outcome.refusal;
  agent.endGroup();
  for (const line of evidence) agent.line(`  evidence: ${line}`);
  agent.line(`  what you can do: ${remedy}`);
  if (outcome.actions.length > 0) agent.line(`  already done, and it stays: ${outcome.actions.join(', ')}`);
  agent.error({ code, message: `${code} Refused: ${what} ${remedy} (docs/errors.md#${code.toLowerCase()})` });
  agent.complete('Failed', `${code} Refused: ${what}`);
  record({ kind: 'refusal', code, what, evidence, remedy });
  record({ kind: 'outcome', outcome: 'refused', reason: what });
}

function fail(agent: PipelineAgent, error: unknown, cancelled: boolean): void {
  agent.endGroup();
  if (error instanceof CodedError) {
    for (const line of error.evidence) agent.line(`  evidence: ${line}`);
    agent.error({
      code: error.code,
      message: `${error.message} ${ERRORS[error.code].remedy} (docs/errors.md#${error.code.toLowerCase()})`,
    });
  } else if (error instanceof PortError) {
    agent.error({ code: 'NC1011', message: `NC1011 ${error.port} ${error.kind}: ${error.message}` });
  } else {
    agent.error({ message: messageOf(error) });
    if (error instanceof Error && error.stack !== undefined) agent.line(error.stack);
  }
  agent.complete(cancelled ? 'Cancelled' : 'Failed', messageOf(error));
}

/** The events go to the run's tab as an attachment, also after a failure. */
async function keepRecord(agent: PipelineAgent, name: string, events: readonly RunEvent[]): Promise<void> {
  const folder = agent.variable('Agent.TempDirectory');
  if (folder === undefined || events.length === 0) return;
  const { encodeEvents } = await import('../cycle/record.ts');
  const path = `${folder}/node-cycle-${name.replace(/[^A-Za-z0-9-]+/g, '-')}-${clock.now()}.ndjson`;
  await files.write(path, encodeEvents(events), 0o600);
  agent.attach('node-cycle.record', path.split('/').pop() ?? name, path);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
