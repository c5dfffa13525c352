/**
 * What a figure of the bench is: ours and a peer's, measured in turn in the same run so that a busy machine
 * slows both, and a goal.
 */

export interface Measured {
  ours: number[];
  /** Empty for a figure without a peer. */
  peer: number[];
}

export interface Figure {
  /** `task.coldStart`: `--only task` chooses by prefix. */
  name: string;
  unit: string;
  peerName: string | undefined;
  /** The most that is good; undefined for a figure that is only shown beside its peer. */
  goal: number | undefined;
  /** What the goal bounds. */
  goalOn: 'ratio' | 'ours';
  /** How often each side is measured when nothing else is said. */
  rounds: number;
  measure(rounds: number): Promise<Measured>;
}

/** A line of the result. `ours`, `peer` and `ratio` are null when they could not or need not be measured. */
export interface FigureResult {
  name: string;
  unit: string;
  ours: number | null;
  peer: number | null;
  peerName: string | null;
  ratio: number | null;
  goal: number | null;
  met: boolean;
  /** Why it could not be measured. */
  problem?: string;
}

export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  const lower = sorted.length % 2 === 0 ? sorted[middle - 1] : upper;
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

export function judge(figure: Figure, measured: Measured): FigureResult {
  const { name, unit, goal, goalOn } = figure;
  const ours = median(measured.ours) ?? null;
  const peer = median(measured.peer) ?? null;
  const ratio = ours === null || peer === null || peer === 0 ? null : ours / peer;
  const judged = goalOn === 'ratio' ? ratio : ours;
  const met = judged !== null && (goal === undefined || judged <= goal);
  const peerName = figure.peerName ?? null;
  return {
    name,
    unit,
    ours: rounded(ours),
    peer: rounded(peer),
    peerName,
    ratio: rounded(ratio),
    goal: goal ?? null,
    met,
  };
}

export function unmeasured({ name, unit, goal, peerName }: Figure, problem: string): FigureResult {
  const nothing = { ours: null, peer: null, ratio: null, met: false };
  return { name, unit, ...nothing, peerName: peerName ?? null, goal: goal ?? null, problem };
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1_000) / 1_000;
}

const HEADS = ['figure', 'ours', 'peer', 'ratio', 'goal', ''];

export function table(results: readonly FigureResult[]): string {
  const rows = results.map((result) => [
    result.name,
    value(result.ours, result.unit),
    result.peer === null ? '–' : `${value(result.peer, result.unit)} (${result.peerName ?? ''})`,
    result.ratio === null ? '–' : result.ratio.toFixed(2),
    result.goal === null ? '–' : `≤ ${result.goal}`,
    result.problem ?? (result.goal === null ? 'shown' : result.met ? 'met' : 'not met'),
  ]);
  const all = [HEADS, ...rows];
  const widths = HEADS.map((_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function value(amount: number | null, unit: string): string {
  return amount === null ? '–' : `${amount >= 100 ? amount.toFixed(0) : amount.toFixed(2)} ${unit}`;
}
