/**
 * The text of the live view and of the plain lines. Pure: the state is folded from events, and a state with a
 * time and a width gives lines.
 */
import { inWords } from '../../cycle/record.ts';
import type { FinalTable, ViewEvent } from './events.ts';

export interface ViewState {
  startedMs: number;
  stage: string;
  step: string;
  action: { id: string; reason: string; irreversible: boolean; wait: boolean; startedMs: number } | undefined;
  stagesDone: string[];
  traffic: { total: number; failed: number; perSecond: number; p99Ms: number } | undefined;
  vms: { running: number; steady: number } | undefined;
  approval: { stage: string; lines: string[] } | undefined;
}

export function initialState(startedMs: number): ViewState {
  const none = { action: undefined, traffic: undefined, vms: undefined, approval: undefined };
  return { startedMs, stage: '', step: '', stagesDone: [], ...none };
}

export function fold(state: ViewState, event: ViewEvent, nowMs: number): ViewState {
  switch (event.kind) {
    case 'stage.started':
      return { ...state, stage: event.stage, step: '', action: undefined };
    case 'stage.ended': {
      const stagesDone = event.result === 'skipped' ? state.stagesDone : [...state.stagesDone, event.stage];
      return { ...state, stagesDone, step: '', action: undefined };
    }
    case 'step.started':
      return { ...state, stage: event.stage, step: event.step, action: undefined };
    case 'step.ended':
      return { ...state, action: undefined };
    case 'action.started': {
      const { id, reason, irreversible, wait } = event;
      return { ...state, action: { id, reason, irreversible, wait, startedMs: nowMs } };
    }
    case 'action.done':
      return { ...state, action: undefined };
    case 'traffic': {
      const { total, failed, perSecond, p99Ms } = event;
      return { ...state, traffic: { total, failed, perSecond, p99Ms } };
    }
    case 'vms':
      return { ...state, vms: { running: event.running, steady: event.steady } };
    case 'approval.asked':
      return { ...state, approval: { stage: event.stage, lines: event.lines } };
    case 'approval.answered':
      return { ...state, approval: undefined };
    default:
      return state;
  }
}

/** Colours by meaning; `plain` for NO_COLOR, files and CI. */
export interface Paint {
  strong(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
}

const same = (text: string): string => text;
export const plain: Paint = { strong: same, dim: same, good: same, bad: same, warn: same };

const code = (on: number, off: number) => (text: string) => `\u001b[${on}m${text}\u001b[${off}m`;
export const coloured: Paint = {
  strong: code(1, 22),
  dim: code(2, 22),
  good: code(32, 39),
  bad: code(31, 39),
  warn: code(33, 39),
};

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const SPIN_MS = 100;

/** The lines that are redrawn in place, none wider than `columns`. */
export function liveLines(state: ViewState, nowMs: number, columns: number, paint: Paint): string[] {
  const width = Math.max(20, columns - 1);
  const elapsed = inWords(nowMs - state.startedMs);
  const spin = SPINNER[Math.floor(nowMs / SPIN_MS) % SPINNER.length] ?? '';
  const where = [state.stage, state.step].filter((part) => part !== '').join(' › ');
  const { action } = state;
  const doing =
    action === undefined
      ? ''
      : `${action.wait ? 'waits for' : 'does'} ${action.id} · ${inWords(nowMs - action.startedMs)} · ${action.reason}`;
  const lines = [
    paint.strong(cut(`${spin} ${where === '' ? 'starting' : where}`, width)),
    cut(`  ${action?.irreversible === true ? 'cannot be taken back: ' : ''}${doing}`, width),
    figures(state, elapsed, width, paint),
  ];
  const asked = state.approval;
  if (asked === undefined) return lines;
  return [
    ...asked.lines.map((line) => cut(`  ${line}`, width)),
    ...lines.slice(2),
    paint.warn(cut(`${asked.stage} waits for approval. Go on? [y/n] `, width)),
  ];
}

function figures(state: ViewState, elapsed: string, width: number, paint: Paint): string {
  const { traffic, vms } = state;
  const parts = [elapsed];
  if (traffic !== undefined) {
    parts.push(
      `${traffic.perSecond} requests/s`,
      `${traffic.total} in all`,
      `p99 ${traffic.p99Ms.toFixed(1)} ms`,
    );
  }
  if (vms !== undefined) parts.push(`${vms.running} VMs running (steady ${vms.steady})`);
  const failed = traffic === undefined ? '' : `${traffic.failed} failed`;
  const text = cut(`  ${parts.join(' · ')}`, Math.max(0, width - failed.length - 3));
  if (traffic === undefined) return paint.dim(text);
  return `${paint.dim(`${text} · `)}${traffic.failed === 0 ? paint.good(failed) : paint.bad(failed)}`;
}

function cut(text: string, width: number): string {
  const clean = printable(text);
  return clean.length <= width ? clean : `${clean.slice(0, Math.max(0, width - 1))}…`;
}

/** Foreign text cannot move the cursor, colour the terminal or make a second line. */
export function printable(text: string): string {
  return text.replace(/\u001b\[[0-9;?]*[a-zA-Z]/g, '').replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}

/** The lines that an event leaves behind in plain mode; the time is since the start. */
export function plainLines(event: ViewEvent, sinceMs: number, paint: Paint): string[] {
  const line = (text: string): string[] => [`${paint.dim(clock(sinceMs))} ${text}`];
  switch (event.kind) {
    case 'component':
      return [`${event.real ? 'real     ' : 'stand-in '} ${printable(`${event.name} ${event.version}`)}`];
    case 'stage.started':
      return line(paint.strong(`stage ${printable(event.stage)}`));
    case 'stage.ended':
      if (event.result === 'succeeded') return [];
      return line(`stage ${printable(event.stage)}: ${paint.warn(event.result)}`);
    case 'step.ended': {
      const result = event.result === 'succeeded' ? paint.good(event.result) : paint.bad(event.result);
      return line(`  ${printable(event.step)}: ${result} in ${inWords(event.durationMs)}`);
    }
    case 'step.started':
      return line(`  ${printable(event.step)}`);
    case 'action.started': {
      const mark = event.irreversible ? '! ' : event.wait ? '… ' : '';
      return line(`    ${mark}${printable(event.id)} – ${printable(event.reason)}`);
    }
    case 'log':
      return line(paint.dim(`      ${printable(event.text)}`));
    case 'issue': {
      const tint = event.level === 'error' ? paint.bad : paint.warn;
      return line(tint(`${event.level}: ${printable(event.text)}`));
    }
    case 'approval.asked':
      return [
        ...line(paint.warn(`${printable(event.stage)} waits for approval`)),
        ...event.lines.map((text) => `  ${printable(text)}`),
      ];
    case 'approval.answered':
      return line(
        `${printable(event.stage)} ${event.approved ? 'approved' : 'rejected'} by ${printable(event.by)}`,
      );
    case 'ended':
      return finalTable(event.outcome, event.table, paint);
    default:
      return [];
  }
}

function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}

export function finalTable(outcome: string, table: FinalTable, paint: Paint): string[] {
  const rows = table.tasks.map((task) => [
    task.stage,
    task.name,
    task.result,
    `${task.actions}`,
    inWords(task.durationMs),
  ]);
  const { requests } = table;
  const verdict = outcome === 'succeeded' || outcome === 'nothingDue' ? paint.good : paint.bad;
  const failed = requests.failed === 0 ? paint.good('0 failed') : paint.bad(`${requests.failed} failed`);
  const times = `p50 ${requests.p50Ms.toFixed(1)} ms, p99 ${requests.p99Ms.toFixed(1)} ms`;
  const idle = `${requests.resetOnIdle} resets of idle connections, ${requests.apiRetried} API reads tried again`;
  return [
    '',
    ...columns([['stage', 'task', 'result', 'actions', 'time'], ...rows], paint),
    '',
    `${verdict(paint.strong(outcome === 'nothingDue' ? 'nothing due' : outcome))} in ${inWords(table.durationMs)}`,
    ...table.replaced.map((pair) => `${printable(pair.old)} → ${printable(pair.new)}`),
    `${requests.total} requests, ${failed}, ${idle}, ${times}`,
    `VMs running: ${table.vmPeak} at most, ${table.vmSteady} steady`,
    ...(table.report === undefined ? [] : [`report: ${table.report}`]),
  ];
}

function columns(rows: readonly (readonly string[])[], paint: Paint): string[] {
  const clean = rows.map((row) => row.map(printable));
  const widths = (clean[0] ?? []).map((_, at) => Math.max(...clean.map((row) => (row[at] ?? '').length)));
  return clean.map((row, index) => {
    const text = row
      .map((cell, at) => (at >= 3 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ');
    return index === 0 ? paint.dim(text) : text;
  });
}
