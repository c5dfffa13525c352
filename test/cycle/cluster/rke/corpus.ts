/** Logs of rke as data: the project's own in test/corpus/rke, and those of the real program where a folder of them is named. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  FailureCause,
  FalseSuccess,
  RunExpectation,
  RunOutcome,
} from '../../../../cycle/cluster/rke/judge-run.ts';

export interface CorpusCase {
  name: string;
  lines: string[];
  exit: number | null;
  signal?: string;
  expectation: RunExpectation;
  outcome: RunOutcome['outcome'];
  /** Of a failed run. */
  cause?: FailureCause;
  hosts?: string[];
  /** Of a false success. */
  kinds?: FalseSuccess[];
  /** How many, of a success. */
  notes?: number;
}

const OWN = new URL('../../../corpus/rke/', import.meta.url).pathname;

export function ownCorpus(): CorpusCase[] {
  const cases = JSON.parse(readFileSync(join(OWN, 'cases.json'), 'utf8')) as Record<
    string,
    Omit<CorpusCase, 'name' | 'lines'>
  >;
  return Object.entries(cases).map(([name, one]) => ({
    ...one,
    name,
    lines: linesOf(join(OWN, `${name}.log`)),
  }));
}

export interface RealLog {
  name: string;
  lines: string[];
  exit: number | null;
  signal: string | null;
}

/** The folder that NODE_CYCLE_RKE_LOGS names; none where it names none. */
export function realLogs(): RealLog[] {
  const folder = process.env['NODE_CYCLE_RKE_LOGS'] ?? '';
  if (folder === '' || !existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.out'))
    .map((file) => {
      const name = file.replace(/\.out$/, '');
      // Negative: the number of the signal. Nothing: it was not noted.
      const code = Number(readFileSync(join(folder, `${name}.exit`), 'utf8').trim() || '1');
      const signal = code < 0 ? 'SIGTERM' : null;
      return { name, lines: linesOf(join(folder, file)), exit: signal === null ? code : null, signal };
    });
}

function linesOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}
