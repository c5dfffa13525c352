/**
 * The record of a run: what its tasks did, as a list of events, and those folded into what a person asks: which
 * steps ran, which actions each took and why, how long, how it ended. The same events feed the log, the Markdown
 * summary, the run's tab and the lab's report. Pure; whoever stores them appends `encodeEvent` lines to a file.
 */

/** How a step, or a whole run, ended. `unfinished`: its events stop before an outcome (killed, or still going). */
export type RunOutcome = 'succeeded' | 'nothingDue' | 'refused' | 'failed' | 'cancelled' | 'unfinished';

/** The part of the world that a person compares before and after. */
export interface WorldSnapshot {
  nodes: {
    name: string;
    roles: string[];
    ageDays: number;
    image: string;
    ready: boolean;
    /** Of its VM. */
    host?: string | undefined;
  }[];
  etcd: { name: string; healthy: boolean; leader: boolean }[];
  dns: { alias: string; members: string[] }[];
  upstreams: { proxy: string; upstream: string; servers: string[] }[];
  /** Addresses that the ingress is published on. */
  ingress: string[];
}

export interface PlannedAction {
  id: string;
  reason: string;
  irreversible: boolean;
}

export type RunEventBody =
  | { kind: 'step.started'; step: string; task: string; stage?: string | undefined }
  | { kind: 'plan'; step: string; actions: PlannedAction[] }
  | { kind: 'action.started'; id: string; reason: string; irreversible: boolean; wait: boolean }
  | { kind: 'action.failed'; id: string; error: string }
  | { kind: 'action.done'; id: string; durationMs: number }
  /** Something longer is awaited inside an action: said once, when it begins. */
  | { kind: 'wait'; what: string; deadlineMs: number }
  | { kind: 'refusal'; code: string; what: string; evidence: readonly string[]; remedy: string }
  | { kind: 'outcome'; outcome: RunOutcome; reason: string }
  | { kind: 'pair'; oldNode: string; newNode: string }
  | { kind: 'before' | 'after'; world: WorldSnapshot }
  /** Facts that prove something about a subject, such as the image and kernel of a new node. */
  | { kind: 'evidence'; subject: string; facts: Record<string, string> }
  /** The head of the bridge's chained log, to be compared with by `audit verify --witness`. */
  | { kind: 'logHead'; host: string; entries: number; hash: string };

/** An event with its time: milliseconds since 1970, UTC. */
export type RunEvent = RunEventBody & { atMs: number };

/** What the engine and the steps are given; it adds the time and stores the event. */
export type Recorder = (event: RunEventBody) => void;

type FieldType = 'string' | 'number' | 'boolean' | 'array' | 'object';

/** The fields without which an event cannot be shown. Records outlive the version that wrote them. */
const REQUIRED: Record<RunEventBody['kind'], Record<string, FieldType>> = {
  'step.started': { step: 'string', task: 'string' },
  plan: { step: 'string', actions: 'array' },
  'action.started': { id: 'string', reason: 'string', irreversible: 'boolean', wait: 'boolean' },
  'action.failed': { id: 'string', error: 'string' },
  'action.done': { id: 'string', durationMs: 'number' },
  wait: { what: 'string', deadlineMs: 'number' },
  refusal: { code: 'string', what: 'string', evidence: 'array', remedy: 'string' },
  outcome: { outcome: 'string', reason: 'string' },
  pair: { oldNode: 'string', newNode: 'string' },
  before: { world: 'object' },
  after: { world: 'object' },
  evidence: { subject: 'string', facts: 'object' },
  logHead: { host: 'string', entries: 'number', hash: 'string' },
};

/** One line, its end included. */
export function encodeEvent(event: RunEvent): string {
  return `${JSON.stringify(event)}\n`;
}

export function encodeEvents(events: readonly RunEvent[]): string {
  return events.map(encodeEvent).join('');
}

export interface Decoded {
  events: RunEvent[];
  /** The last line has no end: its writer was killed while it wrote, or is writing now. */
  cut: boolean;
  /** Whole lines that are no event of this version, by line number from 1. */
  unreadable: number[];
}

export function decodeEvents(text: string): Decoded {
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  const events: RunEvent[] = [];
  const unreadable: number[] = [];
  lines.forEach((line, index) => {
    if (line.trim() === '') return;
    const event = parseEvent(line);
    if (event === undefined) unreadable.push(index + 1);
    else events.push(event);
  });
  const last = parseEvent(rest);
  if (last !== undefined) events.push(last);
  return { events, cut: rest !== '' && last === undefined, unreadable };
}

function parseEvent(line: string): RunEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeOf(value) !== 'object') return undefined;
  const fields = value as Record<string, unknown>;
  const kind = fields['kind'];
  if (typeof fields['atMs'] !== 'number' || typeof kind !== 'string' || !Object.hasOwn(REQUIRED, kind)) {
    return undefined;
  }
  const required = Object.entries(REQUIRED[kind as RunEventBody['kind']]);
  if (!required.every(([name, type]) => typeOf(fields[name]) === type)) return undefined;
  if ('world' in fields && !isSnapshot(fields['world'])) return undefined;
  return value as RunEvent;
}

function isSnapshot(value: unknown): boolean {
  const world = value as Record<string, unknown>;
  return ['nodes', 'etcd', 'dns', 'upstreams', 'ingress'].every((part) => Array.isArray(world[part]));
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return value === null ? 'null' : typeof value;
}

export interface ActionSummary {
  id: string;
  reason: string;
  irreversible: boolean;
  /** Nothing was done; the world was watched until it was so. */
  wait: boolean;
  startedMs: number;
  /** For an unfinished action: the last moment that is known of its step. */
  endedMs: number;
  state: 'done' | 'failed' | 'unfinished';
  /** How often it was applied. */
  tries: number;
  errors: string[];
}

export interface RefusalSummary {
  step: string;
  code: string;
  what: string;
  evidence: readonly string[];
  remedy: string;
}

export interface StepSummary {
  step: string;
  task: string;
  stage: string | undefined;
  startedMs: number;
  endedMs: number;
  outcome: RunOutcome;
  reason: string;
  /** What the first look at the world found missing. */
  planned: PlannedAction[];
  actions: ActionSummary[];
}

export interface RunSummary {
  /** Both undefined when there are no events. */
  startedMs: number | undefined;
  endedMs: number | undefined;
  outcome: RunOutcome;
  /** In order of time; a step that was run again is there twice. */
  steps: StepSummary[];
  pairs: { oldNode: string; newNode: string }[];
  refusals: RefusalSummary[];
  before: WorldSnapshot | undefined;
  after: WorldSnapshot | undefined;
  evidence: { subject: string; facts: Record<string, string> }[];
  /** The last head of each host's log. */
  logHeads: { host: string; entries: number; hash: string }[];
}

/**
 * Events in order of time; a run that was killed and queued again gives one summary over both. Those before the first `step.started` belong to
 * a step without a name.
 */
export function summarise(events: readonly RunEvent[]): RunSummary {
  const summary: RunSummary = {
    startedMs: events[0]?.atMs,
    endedMs: events.at(-1)?.atMs,
    outcome: 'unfinished',
    steps: [],
    pairs: [],
    refusals: [],
    before: undefined,
    after: undefined,
    evidence: [],
    logHeads: [],
  };
  for (const event of events) fold(summary, event);
  summary.outcome = overall(summary.steps);
  return summary;
}

function fold(summary: RunSummary, event: RunEvent): void {
  const step = summary.steps.at(-1);
  if (step !== undefined && event.kind !== 'step.started') step.endedMs = event.atMs;
  switch (event.kind) {
    case 'step.started':
      summary.steps.push(openStep(event.step, event.task, event.stage, event.atMs));
      return;
    case 'pair':
      if (!summary.pairs.some((pair) => pair.oldNode === event.oldNode && pair.newNode === event.newNode)) {
        summary.pairs.push({ oldNode: event.oldNode, newNode: event.newNode });
      }
      return;
    case 'refusal':
      summary.refusals.push({
        step: step?.step ?? '',
        code: event.code,
        what: event.what,
        evidence: event.evidence,
        remedy: event.remedy,
      });
      return;
    case 'before':
      summary.before ??= event.world;
      return;
    case 'after':
      summary.after = event.world;
      return;
    case 'evidence':
      summary.evidence.push({ subject: event.subject, facts: event.facts });
      return;
    case 'logHead':
      summary.logHeads = summary.logHeads.filter((head) => head.host !== event.host);
      summary.logHeads.push({ host: event.host, entries: event.entries, hash: event.hash });
      return;
    case 'wait':
      return;
    default:
      foldIntoStep(step ?? nameless(summary, event.atMs), event);
  }
}

type StepEvent = Extract<
  RunEvent,
  { kind: 'plan' | 'action.started' | 'action.failed' | 'action.done' | 'outcome' }
>;

function foldIntoStep(step: StepSummary, event: StepEvent): void {
  if (event.kind === 'plan') {
    if (step.planned.length === 0) step.planned = event.actions;
    return;
  }
  if (event.kind === 'outcome') {
    step.outcome = event.outcome;
    step.reason = event.reason;
    for (const action of step.actions) if (action.state === 'unfinished') action.endedMs = event.atMs;
    return;
  }
  const open = step.actions.findLast((action) => action.id === event.id && action.state !== 'done');
  if (event.kind === 'action.started') {
    if (open !== undefined) {
      open.tries += 1;
      open.state = 'unfinished';
      open.endedMs = event.atMs;
      return;
    }
    const { id, reason, irreversible, wait, atMs } = event;
    step.actions.push({
      ...{ id, reason, irreversible, wait, startedMs: atMs, endedMs: atMs },
      ...{ state: 'unfinished', tries: 1, errors: [] },
    });
    return;
  }
  if (open === undefined) return;
  open.endedMs = event.atMs;
  if (event.kind === 'action.failed') {
    open.errors.push(event.error);
    open.state = 'failed';
  } else {
    open.state = 'done';
  }
}

function openStep(step: string, task: string, stage: string | undefined, atMs: number): StepSummary {
  return {
    ...{ step, task, stage, startedMs: atMs, endedMs: atMs },
    ...{ outcome: 'unfinished', reason: '', planned: [], actions: [] },
  };
}

function nameless(summary: RunSummary, atMs: number): StepSummary {
  const step = openStep('', '', undefined, atMs);
  summary.steps.push(step);
  return step;
}

const WORST_FIRST: RunOutcome[] = ['failed', 'refused', 'cancelled', 'unfinished'];

/** A step that was run again counts by its last run. Nothing due only when no step had anything to do. */
function overall(steps: readonly StepSummary[]): RunOutcome {
  const last = new Map<string, RunOutcome>();
  for (const step of steps) last.set(step.step, step.outcome);
  const outcomes = [...last.values()];
  if (outcomes.length === 0) return 'unfinished';
  const worst = WORST_FIRST.find((outcome) => outcomes.includes(outcome));
  if (worst !== undefined) return worst;
  const acted = steps.some((step) => step.actions.length > 0);
  return outcomes.includes('nothingDue') && !acted ? 'nothingDue' : 'succeeded';
}

const OUTCOME_WORDS: Record<RunOutcome, string> = {
  succeeded: 'Succeeded',
  nothingDue: 'Nothing was due',
  refused: 'Refused',
  failed: 'Failed',
  cancelled: 'Cancelled',
  unfinished: 'Not finished',
};

/** The Markdown that Azure Pipelines shows on the run's page. Foreign text is escaped. */
export function summaryMarkdown(events: readonly RunEvent[]): string {
  const summary = summarise(events);
  const lines = [`## ${OUTCOME_WORDS[summary.outcome]}`, ''];
  for (const pair of summary.pairs) lines.push(`${text(pair.oldNode)} → ${text(pair.newNode)}`, '');
  for (const step of summary.steps)
    if (step.reason !== '') lines.push(`${text(step.step)}: ${text(step.reason)}`, '');
  for (const refusal of summary.refusals) {
    lines.push(`### ${text(refusal.code)} ${text(refusal.what)}`, '');
    lines.push(
      ...refusal.evidence.map((item) => `- ${text(item)}`),
      '',
      `What to do: ${text(refusal.remedy)}`,
      '',
    );
  }
  const rows = summary.steps.flatMap((step) => step.actions.map((action) => actionRow(step, action)));
  if (rows.length > 0) {
    lines.push('| step | action | reason | time | |', '|---|---|---|---:|---|', ...rows, '');
  }
  for (const { subject, facts } of summary.evidence) {
    lines.push(`**${text(subject)}**`, '');
    lines.push(...Object.entries(facts).map(([name, value]) => `- ${text(name)}: ${text(value)}`), '');
  }
  for (const head of summary.logHeads) {
    lines.push(`Log of ${text(head.host)}: ${head.entries} entries, head ${text(head.hash)}`, '');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function actionRow(step: StepSummary, action: ActionSummary): string {
  const marks = [
    action.state === 'done' ? '' : action.state,
    action.irreversible ? 'irreversible' : '',
    action.wait ? 'wait' : '',
    action.tries > 1 ? `${action.tries} tries` : '',
  ].filter((mark) => mark !== '');
  const cells = [
    text(step.step),
    text(action.id),
    text(action.reason),
    inWords(action.endedMs - action.startedMs),
  ];
  return `| ${[...cells, marks.join(', ')].join(' | ')} |`;
}

/** A duration as a person reads it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 14 min`. */
export function inWords(durationMs: number): string {
  const seconds = Math.max(0, durationMs) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** One line of plain text for Markdown: no markup, table cell or HTML can begin in it. */
function text(value: string): string {
  return value
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/[\\`*_[\]|#!~]/g, (character) => `\\${character}`);
}
