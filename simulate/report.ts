/** What occurred how often over all seeds, as tables; and what never did. */
import { CALL_FAULTS, EVENTS, GATES } from './faults/script.ts';
import { INVARIANTS, WATCHED } from './judge/invariants.ts';
import type { Played } from './processes.ts';

export interface Tally {
  seeds: number;
  /** By table, then by name. */
  counts: Record<string, Record<string, number>>;
  violations: Record<string, number>;
  cpuSeconds: number;
  virtualHours: number;
  events: number;
}

export function tally(played: readonly Played[]): Tally {
  const counts: Tally['counts'] = {};
  const violations: Tally['violations'] = {};
  for (const one of played) {
    for (const [table, names] of Object.entries(one.counts))
      for (const [name, count] of Object.entries(names)) {
        const rows = (counts[table] ??= {});
        rows[name] = (rows[name] ?? 0) + count;
      }
    for (const name of new Set(one.violations.map((line) => line.split(':')[0] ?? '')))
      violations[name] = (violations[name] ?? 0) + 1;
  }
  const sum = (of: (one: Played) => number) => played.reduce((total, one) => total + of(one), 0);
  return {
    seeds: played.length,
    counts,
    violations,
    cpuSeconds: sum(({ cpuMs }) => cpuMs) / 1000,
    virtualHours: sum(({ virtualMs }) => virtualMs) / 3_600_000,
    events: sum(({ events }) => events),
  };
}

/** Rows that must not be zero in a whole run. */
const EXPECTED: Record<string, readonly string[]> = {
  fault: [...CALL_FAULTS, ...EVENTS, ...GATES],
  precondition: [...Object.keys(INVARIANTS), ...WATCHED],
};

export function missing({ counts }: Tally): string[] {
  return Object.entries(EXPECTED).flatMap(([table, names]) =>
    names.filter((name) => (counts[table]?.[name] ?? 0) === 0).map((name) => `${table}: ${name}`),
  );
}

const TITLES: Record<string, string> = {
  outcome: 'How the seeds ended',
  fault: 'What went wrong outside',
  refusal: 'Runs that refused, by code',
  truth: 'Reasons given at the end, against the world',
  failure: 'Runs that failed, by code',
  action: 'Actions that were done',
  change: 'Changes that reached the world',
  task: 'Tasks that were started',
  precondition: 'How often an invariant had something to judge',
  trouble: 'What the bridge said of itself',
};

export function renderTables(table: Tally, seconds: number): string {
  const lines: string[] = [];
  for (const [name, title] of Object.entries(TITLES)) {
    const rows = {
      ...Object.fromEntries((EXPECTED[name] ?? []).map((row) => [row, 0])),
      ...table.counts[name],
    };
    lines.push('', title);
    for (const [row, count] of Object.entries(rows).sort(([, a], [, b]) => b - a))
      lines.push(`  ${String(count).padStart(8)}  ${row}`);
  }
  lines.push('', 'Broken');
  const broken = Object.entries(table.violations);
  for (const [name, count] of broken) lines.push(`  ${String(count).padStart(8)}  ${name}`);
  if (broken.length === 0) lines.push('         0  nothing');
  const finished =
    (table.counts['outcome']?.['finished'] ?? 0) + (table.counts['outcome']?.['went back'] ?? 0);
  lines.push(
    '',
    `${table.seeds} seeds in ${seconds.toFixed(1)} s (${(table.seeds / seconds).toFixed(2)} seeds/s, ${((table.cpuSeconds * 1000) / table.seeds).toFixed(0)} ms of CPU each); ` +
      `${table.virtualHours.toFixed(1)} h of their time, ${table.events} events; ${((100 * finished) / table.seeds).toFixed(1)} % finished or went back`,
  );
  return lines.join('\n');
}
