/**
 * Judges a run of rke. Its exit code and its success line lie: warnings do not change them, a masked removal or
 * a skipped host ends in success (facts: what was run). So success is what is left when nothing speaks against
 * it, and text that cannot be read speaks against it.
 */
import { eventOf, FIRST_LINE, parseLine, RECONCILING_LINE, SUCCESS_LINE } from './log.ts';
import type { RkeEvent, RkeLine } from './log.ts';

export interface RunExpectation {
  /** The state file existed: a "newly generated cluster" is a disaster then. */
  existingCluster: boolean;
  /** Addresses that join with this run. */
  added?: readonly string[] | undefined;
  /** Addresses that leave with this run. */
  removed?: readonly string[] | undefined;
  /** Names of etcd members that leave with this run (`etcd-<hostname>`). */
  membersRemoved?: readonly string[] | undefined;
  /** Addresses that leave and are known to be dead: that they are not cleaned is expected. */
  dead?: readonly string[] | undefined;
}

export type FalseSuccess =
  | 'noSuccessLine'
  | 'removedHostUnreachable'
  | 'removalNotSeen'
  | 'additionNotSeen'
  | 'hostSkipped'
  | 'addonFailed'
  | 'reconcileWarning'
  | 'memberRemovalMasked'
  | 'memberRemovalNotSeen'
  | 'newlyGenerated'
  | 'failureInLog'
  | 'unexpectedWarning'
  | 'unreadableLog';

export type FailureCause =
  | 'config'
  | 'ssh'
  | 'runtimeVersion'
  | 'ports'
  | 'hostUnreachable'
  | 'etcd'
  | 'controlplane'
  | 'worker'
  | 'state'
  | 'certificates'
  | 'concurrentRun'
  | 'signal'
  | 'crash'
  | 'usage'
  | 'unknown';

export type RunOutcome =
  | { outcome: 'succeeded'; notes: string[] }
  /** `hosts`: those that the reason, or the warnings before it, name. */
  | { outcome: 'failed'; reason: string; hosts: string[]; cause: FailureCause }
  | { outcome: 'falseSuccess'; kinds: FalseSuccess[]; evidence: string[] };

export interface FinishedRun {
  lines: readonly string[];
  exitCode: number | null;
  signal: string | null;
}

export function judgeRun(run: FinishedRun, expectation: RunExpectation): RunOutcome {
  const lines = run.lines.map(parseLine);
  const events = lines.flatMap((line) => eventOf(line) ?? []);
  if (run.exitCode !== 0 || run.signal !== null) return failure(run, lines, events);
  const doubts = doubtsOf(run.lines, lines, events, expectation);
  if (doubts.size === 0) return { outcome: 'succeeded', notes: notesOf(events) };
  return {
    outcome: 'falseSuccess',
    kinds: [...doubts.keys()],
    evidence: [...new Set([...doubts.values()].flat())],
  };
}

/** Words of a level or a failure, also where a line was split or two were mixed: looked for without line ends. */
const WARNING = /level=warn(?:ing)?|WARN(?:\u001b\[0m)?\[\d/g;
const FAILURE =
  /level=(?:error|fatal|panic)|(?:ERRO|FATA|PANI)(?:\u001b\[0m)?\[\d|Failed to |cannot proceed|Provisioning incomplete|panic: /;

function doubtsOf(
  raw: readonly string[],
  lines: readonly RkeLine[],
  events: readonly RkeEvent[],
  expectation: RunExpectation,
): Map<FalseSuccess, string[]> {
  const doubts = new Map<FalseSuccess, string[]>();
  const doubt = (kind: FalseSuccess, evidence: string) =>
    doubts.set(kind, [...(doubts.get(kind) ?? []), evidence]);
  const last = lines.findLast((line) => line.message !== '');
  if (last?.level !== 'info' || last.message !== SUCCESS_LINE) {
    doubt('noSuccessLine', `the last line is ${JSON.stringify(last?.message.slice(0, 200) ?? 'none')}`);
  }
  for (const line of lines) {
    if (line.level === 'warning') judgeWarning(line, expectation, doubt);
    else if (line.level === 'error' || line.level === 'fatal') doubt('failureInLog', line.message);
  }
  for (const found of unreadable(raw, lines)) doubt('unreadableLog', found);
  for (const event of events) {
    if (event.kind === 'newCluster' && expectation.existingCluster) {
      doubt('newlyGenerated', 'rke took the existing cluster for a new one');
    }
    if (event.kind === 'hostDropped' || event.kind === 'tunnelFailed')
      doubt('hostSkipped', `${event.host} was left out`);
  }
  const whole = raw.join('');
  const warnings = whole.match(WARNING)?.length ?? 0;
  const read = lines.filter((line) => line.level === 'warning').length;
  if (warnings !== read) doubt('unreadableLog', `${warnings} warnings in the text, ${read} could be read`);
  const others = raw.filter((_line, at) => !isDeadHost(lines[at], expectation)).join('');
  const failed = FAILURE.exec(others);
  if (failed !== null) doubt('failureInLog', others.slice(failed.index, failed.index + 200));
  const whom = new Set(
    lines.map(({ message }) => /^\[dialer\] Setup tunnel for host \[([^\]]+)\]/.exec(message)?.[1]),
  );
  for (const address of expectation.added ?? []) {
    if (!whom.has(address)) doubt('additionNotSeen', `no line says that rke logged in to ${address}`);
  }
  expectRemovals(events, expectation, doubt);
  return doubts;
}

/**
 * Every line of a run that succeeded is a whole log line of one form, and it is the log of one run (logs of the real
 * program): with any other, what is missing or mixed may be the failure.
 */
function unreadable(raw: readonly string[], lines: readonly RkeLine[]): string[] {
  const odd = lines.flatMap((line, at) =>
    line.level === 'plain' || line.before !== undefined ? [JSON.stringify(raw[at]?.slice(0, 200))] : [],
  );
  const count = (holds: (line: RkeLine) => boolean) => lines.filter(holds).length;
  const found =
    odd.length === 0 ? [] : [`${odd.length} lines that are none of rke's, the first: ${odd[0] ?? ''}`];
  const terminal = count((line) => line.atSecond !== undefined);
  if (terminal > 0 && terminal < lines.length) found.push('lines of two forms');
  if (lines[0] === undefined || !FIRST_LINE.test(lines[0].message))
    found.push('it does not begin as a run does');
  const starts = count(({ message }) => FIRST_LINE.test(message));
  const reconciles = count(({ message }) => message === RECONCILING_LINE);
  const ends = count(({ message }) => message === SUCCESS_LINE);
  if (Math.max(starts, reconciles, ends) > 1) found.push('lines of more than one run');
  if (reconciles === 0) found.push(`no line ${JSON.stringify(RECONCILING_LINE)}`);
  return found;
}

/** The one warning that is expected: a dead host cannot be cleaned up. */
function isDeadHost(line: RkeLine | undefined, expectation: RunExpectation): boolean {
  const event = line === undefined ? undefined : eventOf(line);
  return event?.kind === 'notCleaned' && expectation.dead?.includes(event.host) === true;
}

type Doubt = (kind: FalseSuccess, evidence: string) => void;

function judgeWarning(line: RkeLine, expectation: RunExpectation, doubt: Doubt): void {
  const { message } = line;
  const event = eventOf(line);
  if (event?.kind === 'notCleaned') {
    if (!isDeadHost(line, expectation)) doubt('removedHostUnreachable', message);
  } else if (event?.kind === 'addonFailed') doubt('addonFailed', message);
  else if (event?.kind === 'tunnelFailed' || event?.kind === 'hostDropped') doubt('hostSkipped', message);
  else if (/etcd (node|member)/i.test(message) && /fail|couldn't|unable/i.test(message)) {
    doubt('memberRemovalMasked', message);
  } else if (/^\[reconcile\]/.test(message)) {
    // Before its first run a cluster has no API endpoint to reach.
    if (expectation.existingCluster || !/Kubernetes API endpoint/.test(message))
      doubt('reconcileWarning', message);
  } else doubt('unexpectedWarning', message);
}

/** The trap of a failed run in between: the later removal finds nothing to remove, warns of nothing, and succeeds. */
function expectRemovals(events: readonly RkeEvent[], expectation: RunExpectation, doubt: Doubt): void {
  const hosts = new Set(events.flatMap((event) => (event.kind === 'nodeDeleted' ? [event.host] : [])));
  const members = new Set(events.flatMap((event) => (event.kind === 'memberRemoval' ? [event.member] : [])));
  for (const address of expectation.removed ?? []) {
    if (!hosts.has(address)) doubt('removalNotSeen', `no line says that host ${address} was deleted`);
  }
  for (const member of expectation.membersRemoved ?? []) {
    if (!members.has(member)) doubt('memberRemovalNotSeen', `no line says that member ${member} was removed`);
  }
}

function notesOf(events: readonly RkeEvent[]): string[] {
  return events.flatMap((event) =>
    event.kind === 'notCleaned' ? [`${event.host} (${event.plane}) was not cleaned up, as it is dead`] : [],
  );
}

/** Where several fit, the first is the deeper cause. */
const CAUSES: [RegExp, FailureCause][] = [
  [/^Failed to (?:parse cluster file|classify hosts|validate cluster|resolve cluster file)/i, 'config'],
  [/is not in dotted-tri format/, 'config'],
  [/^Unsupported Docker version/, 'runtimeVersion'],
  [/\[network\] Host \[[^\]]+\] is not able to connect/, 'ports'],
  [/cert-deployer.*No such container|Certificates deployer container/, 'concurrentRun'],
  [/cannot be reached prior to upgrade|Provisioning incomplete/, 'hostUnreachable'],
  [/CA Certificate or Key is empty|state file|full cluster state/i, 'state'],
  [/at least one etcd plane host/, 'etcd'],
  [/etcd/i, 'etcd'],
  [/\[controlPlane\]|controlplane|kubernetes client/i, 'controlplane'],
  [/\[workerPlane\]|worker/i, 'worker'],
  [/certificate/i, 'certificates'],
  [/Incorrect Usage|flag provided but not defined|No help topic/, 'usage'],
];

function failure(run: FinishedRun, lines: readonly RkeLine[], events: readonly RkeEvent[]): RunOutcome {
  const fatal = lines.findLast((line) => line.level === 'fatal');
  const panic = lines.find((line) => line.message.startsWith('panic: '));
  const lastLine = lines.findLast((line) => line.message !== '');
  const tunnels = events.filter((event) => event.kind === 'tunnelFailed');
  const last = fatal ?? panic ?? lastLine;
  const how = run.signal === null ? `exit code ${run.exitCode ?? 'none'}` : `ended by ${run.signal}`;
  let reason = last === undefined ? `${how}, and no output` : last.message;
  if (fatal === undefined && panic === undefined && last !== undefined)
    reason = `${how}; the last line: ${last.message}`;
  let cause: FailureCause = CAUSES.find(([pattern]) => pattern.test(reason))?.[1] ?? 'unknown';
  if (run.signal !== null) cause = 'signal';
  else if (panic !== undefined) cause = 'crash';
  // "At least one etcd plane host" is what a failed login comes to; the warning before it tells why.
  if (cause === 'etcd' && tunnels.length > 0) {
    cause = 'ssh';
    reason = `${reason} (${tunnels.map((event) => `${event.host}: ${event.reason}`).join('; ')})`;
  }
  const named = [...reason.matchAll(/\[(\d+\.\d+\.\d+\.\d+)[^\]]*\]/g)].map((match) => match[1] ?? '');
  const dropped = events.flatMap((event) =>
    event.kind === 'tunnelFailed' || event.kind === 'hostDropped' ? [event.host] : [],
  );
  return { outcome: 'failed', reason, hosts: [...new Set([...named, ...dropped])], cause };
}
