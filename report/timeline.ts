/**
 * The run's timeline as one figure: a row for each step with its actions as bars, and the traffic below on the
 * same axis. Colours come from the page's style; shape and text say the same for those who do not see them.
 */
import { inWords } from '../cycle/record.ts';
import type { ActionSummary, StepSummary } from '../cycle/record.ts';
import type { ReportData, ReportTraffic } from './data.ts';
import { html } from './html.ts';
import type { Html } from './html.ts';
import { latency, number, plural } from './words.ts';

const WIDTH = 1_120;
/** Room for the stage's and the step's name. */
const LEFT = 332;
const STEP_X = 90;
const RIGHT = 12;
const TOP = 26;
const ROW = 24;
const BAR = 12;
const RATE_HEIGHT = 76;
const LATENCY_HEIGHT = 38;
const GAP = 26;

interface Axis {
  startedMs: number;
  endedMs: number;
  x(atMs: number): number;
}

export function timeline(data: ReportData): Html {
  const axis = axisOf(data);
  const { steps } = data.run;
  const rowsEnd = TOP + steps.length * ROW;
  const rateTop = rowsEnd + GAP;
  const latencyTop = rateTop + RATE_HEIGHT + GAP;
  const end = data.traffic === undefined ? rowsEnd : latencyTop + LATENCY_HEIGHT;
  const marks = steps.flatMap((step) => step.actions.filter((action) => action.irreversible));
  return html`<svg
    class="timeline"
    viewBox="0 0 ${WIDTH} ${end + 10}"
    role="img"
    aria-labelledby="timeline-title timeline-text"
  >
    <title id="timeline-title">Timeline of the run</title>
    <desc id="timeline-text">${inText(data)}</desc>
    ${grid(axis, end)} ${steps.map((step, index) => row(step, steps[index - 1], TOP + index * ROW, axis))}
    ${marks.map((action) => {
      const x = round(axis.x(action.startedMs));
      return html`<line class="mark" x1="${x}" x2="${x}" y1="${TOP}" y2="${end}" />`;
    })}
    ${data.traffic && rates(data.traffic, rateTop, axis)}
    ${data.traffic && latencies(data.traffic, latencyTop, axis)}
  </svg>`;
}

/** What the figure shows, in words. */
export function inText(data: ReportData): string {
  const steps = data.run.steps.map((step) => {
    const took = inWords(step.endedMs - step.startedMs);
    return `${step.step}: ${plural(step.actions.length, 'action')} in ${took}, ${step.outcome}`;
  });
  const text = `${plural(steps.length, 'step')} in order of time. ${steps.join('; ')}.`;
  const { traffic } = data;
  if (traffic === undefined) return text;
  const perSecond = traffic.perSecond.slice(1, -1).map((second) => second.ok + second.failed);
  const range =
    perSecond.length === 0
      ? ''
      : ` between ${Math.min(...perSecond)} and ${Math.max(...perSecond)} a second,`;
  const { total, failed } = traffic.requests;
  return `${text} Meanwhile ${plural(total, 'request')},${range} of which ${number(failed)} failed.`;
}

function axisOf(data: ReportData): Axis {
  const startedMs = data.startedMs;
  const endedMs = Math.max(data.endedMs, startedMs + 1_000);
  const scale = (WIDTH - LEFT - RIGHT) / (endedMs - startedMs);
  const x = (atMs: number): number =>
    LEFT + Math.min(Math.max(atMs - startedMs, 0), endedMs - startedMs) * scale;
  return { startedMs, endedMs, x };
}

const TICKS_S = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400];
const MOST_TICKS = 10;

/** Seconds between two ticks, so that there are at most ten. */
export function tickSeconds(durationMs: number): number {
  const seconds = durationMs / 1_000;
  return (
    TICKS_S.find((tick) => seconds / tick <= MOST_TICKS) ?? Math.ceil(seconds / MOST_TICKS / 86_400) * 86_400
  );
}

function grid(axis: Axis, bottom: number): Html[] {
  const tick = tickSeconds(axis.endedMs - axis.startedMs);
  const count = Math.floor((axis.endedMs - axis.startedMs) / 1_000 / tick);
  return Array.from({ length: count + 1 }, (_, index) => {
    const x = round(axis.x(axis.startedMs + index * tick * 1_000));
    return html`<line class="grid" x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${bottom}" />
      <text class="tick" x="${x}" y="${TOP - 12}" text-anchor="middle">${tickLabel(index * tick)}</text>`;
  });
}

function tickLabel(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round((seconds / 60) * 10) / 10} min`;
  return `${Math.round((seconds / 3_600) * 10) / 10} h`;
}

function row(step: StepSummary, before: StepSummary | undefined, y: number, axis: Axis): Html {
  const newStage = step.stage !== undefined && step.stage !== before?.stage;
  const middle = y + ROW / 2;
  const from = axis.x(step.startedMs);
  const width = Math.max(axis.x(step.endedMs) - from, 2);
  const line = newStage
    ? html`<line class="stage-line" x1="0" x2="${WIDTH}" y1="${y}" y2="${y}" />`
    : undefined;
  const name = newStage
    ? html`<text class="stage" x="0" y="${middle + 4}">${shorten(step.stage ?? '', 13)}</text>`
    : undefined;
  return html`<g class="step ${step.outcome}">
    ${line} ${name}
    <text class="label" x="${STEP_X}" y="${middle + 4}"
      >${shorten(step.step, 34)}<title>${step.step}</title></text
    >
    <rect class="span" x="${round(from)}" y="${middle - 1}" width="${round(width)}" height="2" />
    ${step.actions.map((action) => bar(action, middle, axis))} ${endMark(step, middle, axis)}
  </g>`;
}

function bar(action: ActionSummary, middle: number, axis: Axis): Html {
  const from = axis.x(action.startedMs);
  const width = Math.max(axis.x(action.endedMs) - from - 0.6, 1.8);
  const kind = action.irreversible ? 'irreversible' : action.wait ? 'wait' : 'act';
  const x = round(from);
  const state = action.state === 'done' ? '' : ` ${action.state}`;
  const size = 3.6;
  const diamond = action.irreversible
    ? html`<path
        class="diamond"
        d="M${x} ${middle - BAR / 2 - 5.2}l${size} ${size}l-${size} ${size}l-${size} -${size}z"
      />`
    : undefined;
  const told = `${action.id} – ${action.reason} (${inWords(action.endedMs - action.startedMs)}${state})`;
  return html`<g
    ><title>${told}</title
    ><rect
      class="bar ${kind}${state}"
      x="${x}"
      y="${middle - BAR / 2}"
      width="${round(width)}"
      height="${BAR}"
      rx="1.5"
    />${diamond}</g
  >`;
}

/** A step that did not succeed ends with a cross. */
function endMark(step: StepSummary, middle: number, axis: Axis): Html | undefined {
  if (step.outcome === 'succeeded' || step.outcome === 'nothingDue') return undefined;
  const x = Math.min(axis.x(step.endedMs) + 6, WIDTH - 6);
  return html`<path class="cross" d="M${round(x - 4)} ${middle - 4}l8 8m0 -8l-8 8"
    ><title>${step.outcome}</title></path
  >`;
}

function rates(traffic: ReportTraffic, top: number, axis: Axis): Html {
  const most = Math.max(1, ...traffic.perSecond.map((second) => second.ok + second.failed));
  const y = (count: number): number => top + RATE_HEIGHT - (count / most) * RATE_HEIGHT;
  const area = steppedArea(traffic, axis, top + RATE_HEIGHT, (second) => y(second.ok + second.failed));
  const failed = traffic.perSecond.filter((second) => second.failed > 0);
  return html`<g>
    <text class="label" x="0" y="${top + 12}">Requests a second</text>
    <text class="note" x="0" y="${top + 29}">${plural(traffic.requests.total, 'request')} in all</text>
    <text class="note ${traffic.requests.failed > 0 ? 'bad' : ''}" x="0" y="${top + 45}"
      >${number(traffic.requests.failed)} failed</text
    >
    <text class="tick" x="${LEFT - 6}" y="${top + 9}" text-anchor="end">${number(most)}</text>
    <text class="tick" x="${LEFT - 6}" y="${top + RATE_HEIGHT}" text-anchor="end">0</text>
    <path class="rate" d="${area}" />
    <line
      class="base"
      x1="${LEFT}"
      x2="${WIDTH - RIGHT}"
      y1="${top + RATE_HEIGHT}"
      y2="${top + RATE_HEIGHT}"
    />
    ${failed.map((second) => {
      const from = axis.x(second.t);
      const width = round(Math.max(axis.x(second.t + 1_000) - from, 2));
      const height = Math.max(RATE_HEIGHT - (y(second.failed) - top), 5);
      const x = round(from);
      const peak = round(from + width / 2);
      return html`<g class="lost"
        ><title>${second.failed} failed</title
        ><rect
          x="${x}"
          y="${round(top + RATE_HEIGHT - height)}"
          width="${width}"
          height="${round(height)}" /><path d="M${peak} ${top - 2}l-4 -7h8z"
      /></g>`;
    })}
  </g>`;
}

function latencies(traffic: ReportTraffic, top: number, axis: Axis): Html {
  const most = Math.max(1, ...traffic.perSecond.map((second) => second.p99Ms));
  const height = (ms: number): number => top + LATENCY_HEIGHT - (ms / most) * LATENCY_HEIGHT;
  const bottom = top + LATENCY_HEIGHT;
  return html`<g>
    <text class="label" x="0" y="${top + 12}">Slowest 1 % a second</text>
    <text class="note" x="0" y="${top + 29}">milliseconds</text>
    <text class="tick" x="${LEFT - 6}" y="${top + 9}" text-anchor="end">${latency(most)}</text>
    <text class="tick" x="${LEFT - 6}" y="${bottom}" text-anchor="end">0</text>
    <path class="latency" d="${steppedArea(traffic, axis, bottom, (second) => height(second.p99Ms))}" />
    <line class="base" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${bottom}" y2="${bottom}" />
  </g>`;
}

type Second = ReportTraffic['perSecond'][number];

/** Seconds that lie wholly before or after the run are left out. */
function steppedArea(
  traffic: ReportTraffic,
  axis: Axis,
  bottom: number,
  y: (second: Second) => number,
): string {
  const inside = traffic.perSecond.filter(({ t }) => t + 1_000 > axis.startedMs && t < axis.endedMs);
  const [first] = inside;
  const last = inside.at(-1);
  if (first === undefined || last === undefined) return '';
  const tops = inside.map((second) => `V${round(y(second))}H${round(axis.x(second.t + 1_000))}`);
  return `M${round(axis.x(first.t))} ${bottom}${tops.join('')}V${bottom}Z`;
}

function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
