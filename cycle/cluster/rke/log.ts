/** Reads rke's output in both of its forms: `time="…" level=info msg="…"`, and `INFO[0018] …` on a terminal. */

export { judgeRun } from './judge-run.ts';
export type { FailureCause, FalseSuccess, RunExpectation, RunOutcome } from './judge-run.ts';

export type RkeLevel = 'debug' | 'info' | 'warning' | 'error' | 'fatal' | 'plain';

export interface RkeLine {
  /** `plain`: not a log line (usage text, a version, a panic). */
  level: RkeLevel;
  message: string;
  /** Milliseconds since 1970; only in the text form. */
  atMs?: number | undefined;
  /** Seconds since the start; only in the terminal form. */
  atSecond?: number | undefined;
  /** What stands before the log line on the same line: a prompt, or a part of another line. */
  before?: string | undefined;
}

export type RkeEvent =
  | { kind: 'phase'; phase: string }
  | { kind: 'tunnelFailed'; host: string; reason: string }
  | { kind: 'hostDropped'; host: string }
  | { kind: 'memberRemoval'; member: string }
  | { kind: 'memberAddition'; member: string }
  | { kind: 'nodeDeleted'; host: string }
  | { kind: 'hostCleaned'; host: string }
  | { kind: 'notCleaned'; host: string; plane: string; reason: string }
  | { kind: 'newCluster' }
  | { kind: 'stateWritten' }
  | { kind: 'etcdHealthy'; host: string; healthy: boolean }
  | { kind: 'addonFailed'; reason: string }
  | { kind: 'finished' };

/** The first line of every run, and one that stands behind every preparation, in all versions that are known. */
export const FIRST_LINE = /^Running RKE version: /;
export const RECONCILING_LINE = '[reconcile] Reconciling cluster state';
export const SUCCESS_LINE = 'Finished building Kubernetes cluster successfully';

const LEVELS: Record<string, RkeLevel> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warning: 'warning',
  warn: 'warning',
  error: 'error',
  fatal: 'fatal',
  panic: 'fatal',
  TRAC: 'debug',
  DEBU: 'debug',
  INFO: 'info',
  WARN: 'warning',
  ERRO: 'error',
  FATA: 'fatal',
  PANI: 'fatal',
};

// A prompt has no newline, so a log line may begin in the middle (ran).
const TEXT_FORM = /^(.*?)time="([^"]*)" level=(\w+) msg=(?:"((?:[^"\\]|\\.)*)"|(\S*))\s*$/;
const TERMINAL_FORM = /^(TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)\[(\d+)\] ?(.*)$/;
const COLOUR = /\u001b\[[0-9;]*m/g;

export function parseLine(line: string): RkeLine {
  const plain = line.replace(COLOUR, '').trimEnd();
  const text = TEXT_FORM.exec(plain);
  if (text !== null) {
    const [, before = '', time = '', level = '', quoted, bare = ''] = text;
    const atMs = Date.parse(time);
    return {
      level: LEVELS[level] ?? 'plain',
      message: quoted === undefined ? bare : unquoted(quoted),
      atMs: Number.isNaN(atMs) ? undefined : atMs,
      ...(before === '' ? {} : { before }),
    };
  }
  const terminal = TERMINAL_FORM.exec(plain);
  if (terminal !== null) {
    const [, level = '', second, message = ''] = terminal;
    return { level: LEVELS[level] ?? 'plain', message: message.trimEnd(), atSecond: Number(second) };
  }
  return { level: 'plain', message: plain };
}

const EVENTS: [RegExp, (groups: string[]) => RkeEvent][] = [
  [/^Finished building Kubernetes cluster successfully$/, () => ({ kind: 'finished' })],
  [
    /^Failed to set up SSH tunneling for host \[([^\]]+)\]: (.*)$/s,
    ([host = '', reason = '']) => ({ kind: 'tunnelFailed', host, reason }),
  ],
  [/^Removing host \[([^\]]+)\] from node lists/, ([host = '']) => ({ kind: 'hostDropped', host })],
  [
    /^\[remove\/etcd\] Removing member \[([^\]]+)\] from etcd cluster/,
    ([member = '']) => ({ kind: 'memberRemoval', member }),
  ],
  [
    /^\[add\/etcd\] Adding member \[([^\]]+)\] to etcd cluster/,
    ([member = '']) => ({ kind: 'memberAddition', member }),
  ],
  [
    /^\[hosts\] Successfully deleted host \[([^\]]+)\] from the cluster/,
    ([host = '']) => ({ kind: 'nodeDeleted', host }),
  ],
  [/^\[hosts\] Successfully cleaned up host \[([^\]]+)\]/, ([host = '']) => ({ kind: 'hostCleaned', host })],
  [
    /^\[reconcile\] Couldn't clean up (\S+) node \[([^\]]+)\]: (.*)$/s,
    ([plane = '', host = '', reason = '']) => ({ kind: 'notCleaned', host, plane, reason }),
  ],
  [/^\[reconcile\] This is newly generated cluster/, () => ({ kind: 'newCluster' })],
  [/^Successfully Deployed state file at/, () => ({ kind: 'stateWritten' })],
  [
    /^\[etcd\] etcd host \[([^\]]+)\] reported healthy=(true|false)/,
    ([host = '', healthy]) => ({ kind: 'etcdHealthy', host, healthy: healthy === 'true' }),
  ],
  [/^(Failed to deploy addon.*)$/s, ([reason = '']) => ({ kind: 'addonFailed', reason })],
  [
    /^(Initiating Kubernetes cluster|Building Kubernetes cluster|Pre-pulling kubernetes images)/,
    ([phase = '']) => ({ kind: 'phase', phase }),
  ],
  [/^\[(reconcile)\] (Reconciling cluster state)/, ([, phase = '']) => ({ kind: 'phase', phase })],
  [
    /^\[(etcd|controlplane|worker)\] ((?:Building up|Upgrading|Tearing down) .*)$/,
    ([, phase = '']) => ({ kind: 'phase', phase }),
  ],
  [/^\[(network|ingress)\] (Setting up .*)$/, ([, phase = '']) => ({ kind: 'phase', phase })],
];

/** What a line means for the run; undefined for the many that only tell of work. */
export function eventOf(line: RkeLine): RkeEvent | undefined {
  for (const [pattern, make] of EVENTS) {
    const match = pattern.exec(line.message);
    if (match !== null) return make(match.slice(1));
  }
  return undefined;
}

function unquoted(text: string): string {
  return text.replace(/\\(["\\])/g, '$1');
}
