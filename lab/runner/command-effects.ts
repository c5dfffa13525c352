/** What a task's output does: plain lines go to the log, logging commands change the step and the job. */
import { readFileSync } from 'node:fs';
import { parseLoggingCommand, type LoggingCommand } from './logging-commands.ts';
import type { Masks } from './masks.ts';
import { worse, type Result, type UntimedEvent, type Where } from './results.ts';
import type { TaskVariable } from './task-environment.ts';
import type { Variables } from './variables.ts';

/** The agent keeps no more of each kind in a record. */
export const MAX_ISSUES = 10;
/** Variables of the service itself. */
const PREDEFINED = /^(agent|system|build|pipeline|environment|release)\./i;

export interface StepRecord {
  where: Where & { job: string };
  /** The `name:` of the step; outputs of a step without one cannot be referred to. */
  stepName: string | undefined;
  variables: Variables;
  /** `step.variable` → value, for other jobs. */
  outputs: Map<string, string>;
  taskVariables: Map<string, TaskVariable>;
  settableVariables: readonly string[] | undefined;
  masks: Masks;
  emit(event: UntimedEvent): void;
  /** Undefined until the task says something. */
  result: Result | undefined;
  issues: { error: number; warning: number };
}

export function handleLine(record: StepRecord, stream: 'stdout' | 'stderr', line: string): void {
  const command = parseLoggingCommand(line);
  if (!command) {
    record.emit({ type: 'log', ...record.where, stream, line });
    return;
  }
  const effect = EFFECTS.get(command.name);
  if (effect) effect(record, command);
  else addIssue(record, 'warning', `The logging command ##vso[${command.name}] is not known.`);
}

export function addIssue(record: StepRecord, severity: 'error' | 'warning', message: string): void {
  record.emit({ type: 'log', ...record.where, stream: 'agent', line: `##[${severity}]${message}` });
  record.issues[severity] += 1;
  if (record.issues[severity] <= MAX_ISSUES)
    record.emit({ type: 'issue', ...record.where, severity, message });
}

/** A command that cannot be done fails the task. */
function fail(record: StepRecord, command: LoggingCommand, why: string): void {
  addIssue(record, 'error', `Unable to process ##vso[${command.name}]: ${why}`);
  record.result = worse(record.result ?? 'succeeded', 'failed');
}

type Effect = (record: StepRecord, command: LoggingCommand) => void;

const isTrue = (text: string | undefined): boolean => text?.toLowerCase() === 'true';

function setVariable(record: StepRecord, command: LoggingCommand): void {
  const name = command.properties.get('variable');
  const secret = isTrue(command.properties.get('issecret'));
  const output = isTrue(command.properties.get('isoutput'));
  const value = command.message;
  if (name === undefined) return fail(record, command, 'the property variable is missing.');
  // Masked before anything is said about it.
  if (secret && value !== '') record.masks.add(value);
  if (record.settableVariables && !isSettable(name, record.settableVariables)) {
    return addIssue(record, 'warning', `'${name}' is not in the list of settable variables of this task.`);
  }
  if (secret && /[\r\n]/.test(value))
    return fail(record, command, `the secret '${name}' has more than one line.`);
  if (PREDEFINED.test(name) || record.variables.isReadonly(name)) {
    return addIssue(record, 'warning', `'${name}' is read-only and was not changed.`);
  }
  const readonly = isTrue(command.properties.get('isreadonly'));
  if (!output) record.variables.set(name, value, { secret, readonly });
  else if (record.stepName === undefined) {
    return addIssue(record, 'warning', `The output '${name}' is lost: the step has no name.`);
  } else {
    record.variables.set(`${record.stepName}.${name}`, value, { secret, readonly });
    record.outputs.set(`${record.stepName}.${name}`, value);
  }
  record.emit({
    ...{ type: 'variable', ...record.where, name, isOutput: output, isSecret: secret },
    value: secret ? '***' : value,
  });
}

function isSettable(name: string, allowed: readonly string[]): boolean {
  return allowed.some((pattern) => {
    const source = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
    return new RegExp(`^${source}$`, 'i').test(name);
  });
}

function complete(record: StepRecord, command: LoggingCommand): void {
  const word = command.properties.get('result')?.toLowerCase() ?? 'succeeded';
  const results: readonly Result[] = ['succeeded', 'succeededWithIssues', 'failed', 'canceled', 'skipped'];
  const result = results.find((candidate) => candidate.toLowerCase() === word);
  if (!result) return fail(record, command, `the result '${word}' is not known.`);
  if (command.message !== '') {
    record.emit({ type: 'log', ...record.where, stream: 'agent', line: command.message });
  }
  // Merged to the worst that was said.
  record.result = record.result === undefined ? result : worse(record.result, result);
}

function logIssue(record: StepRecord, command: LoggingCommand): void {
  const severity = command.properties.get('type')?.toLowerCase();
  if (severity !== 'error' && severity !== 'warning') {
    return fail(record, command, `the type '${severity ?? ''}' is neither error nor warning.`);
  }
  addIssue(record, severity, command.message);
}

function setSecret(record: StepRecord, command: LoggingCommand): void {
  record.masks.add(command.message);
  if (/[\r\n]/.test(command.message))
    fail(record, command, 'a secret of more than one line; register each line.');
}

function setTaskVariable(record: StepRecord, command: LoggingCommand): void {
  const name = command.properties.get('variable');
  if (name === undefined) return fail(record, command, 'the property variable is missing.');
  const secret = isTrue(command.properties.get('issecret'));
  if (secret && command.message !== '') record.masks.add(command.message);
  record.taskVariables.set(name.toLowerCase(), { value: command.message, secret });
}

/** The file is read now: the next job's wipe would take it away. */
function withFile(record: StepRecord, command: LoggingCommand, use: (content: Buffer) => void): void {
  let content: Buffer;
  try {
    content = readFileSync(command.message);
  } catch {
    return fail(record, command, `the file '${command.message}' cannot be read.`);
  }
  use(content);
}

function addAttachment(record: StepRecord, command: LoggingCommand): void {
  const kind = command.properties.get('type');
  const name = command.properties.get('name');
  if (kind === undefined || name === undefined) return fail(record, command, 'type or name is missing.');
  withFile(record, command, (content) =>
    record.emit({ type: 'attachment', ...record.where, kind, name, content }),
  );
}

const EFFECTS: ReadonlyMap<string, Effect> = new Map<string, Effect>([
  ['task.setvariable', setVariable],
  ['task.logissue', logIssue],
  // The task library's older name for the same command.
  ['task.issue', logIssue],
  ['task.complete', complete],
  ['task.setsecret', setSecret],
  ['task.settaskvariable', setTaskVariable],
  ['task.addattachment', addAttachment],
  [
    'task.uploadsummary',
    (record, command) =>
      withFile(record, command, (content) =>
        record.emit({ type: 'summary', ...record.where, text: content.toString('utf8') }),
      ),
  ],
  [
    'task.setprogress',
    (record, command) => {
      const percent = Number(command.properties.get('value') ?? Number.NaN);
      record.emit({
        ...{ type: 'progress', ...record.where, operation: command.message },
        percent: Number.isFinite(percent) ? percent : undefined,
      });
    },
  ],
  [
    'task.debug',
    (record, command) =>
      record.emit({ type: 'log', ...record.where, stream: 'agent', line: `##[debug]${command.message}` }),
  ],
  [
    'task.logdetail',
    (record, command) =>
      record.emit({
        ...{ type: 'detail', ...record.where, message: command.message },
        properties: Object.fromEntries(command.properties),
      }),
  ],
  [
    'build.addbuildtag',
    (record, command) => record.emit({ type: 'tag', ...record.where, tag: command.message }),
  ],
  [
    'build.updatebuildnumber',
    (record, command) => record.variables.set('Build.BuildNumber', command.message, { readonly: true }),
  ],
]);
