/** The checks of `doctor`: each looks at facts that were collected, and says what it found and what to do about it. */
import type { KeptCertificate } from '../certificates/client-certificates.ts';
import type { Guarded, Installation } from './facts.ts';
import { ok, warning, wrong } from './finding.ts';
import type { Finding } from './finding.ts';
import { windows } from './windows.ts';

export type Check = (facts: Installation) => Finding[];

const DAY_MS = 86_400_000;
/** The same time in which PlanCycle warns. */
export const SOON_DAYS = 30;
/** Clocks are set by seconds; more is a clock that was wrong, or that somebody set back. */
export const CLOCK_TOLERANCE_MS = 5 * 60_000;

const WRITABLE_BY_OTHERS = 0o022;
const OPEN_TO_OTHERS = 0o077;
/** In such a folder nobody replaces what is not his. */
const STICKY = 0o1000;

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

export const CHECKS: readonly Check[] = [
  readable,
  permissions,
  windows,
  serverCertificate,
  clientCertificates,
  strayCertificates,
  programs,
  scripts,
  log,
  clockOfHost,
  room,
  door,
];

function readable({ unreadable }: Installation): Finding[] {
  const remedy = 'Run doctor as the account that runs the bridge, and give that account the file.';
  return unreadable.map((what) => wrong(`Could not be looked at: ${what}`, remedy));
}

function permissions({ guarded, windows: asked }: Installation): Finding[] {
  if (asked !== undefined) return [];
  const there = guarded.filter(({ found }) => found?.mode !== undefined);
  if (there.length === 0)
    return [
      ok('Permissions: this system has no bits to look at; the folders need ACLs for administrators alone.'),
    ];
  const faults = there.flatMap((one) => faultOf(one) ?? []);
  return faults.length > 0
    ? faults
    : [ok(`Permissions: nobody else can write ${there.length} files and folders, or read what is secret.`)];
}

function faultOf({ what, path, secret, found }: Guarded): Finding | undefined {
  const mode = found?.mode ?? 0;
  const bits = (mode & 0o777).toString(8).padStart(4, '0');
  if ((mode & WRITABLE_BY_OTHERS) !== 0 && !(found?.folder === true && (mode & STICKY) !== 0))
    return wrong(
      `${what}, ${path}, can be written by others (${bits}): whoever can do that decides what the bridge does.`,
      `chmod ${secret ? 'go=' : 'go-w'} ${path}`,
    );
  if (!secret || (mode & OPEN_TO_OTHERS) === 0) return undefined;
  const says = `${what}, ${path}, is open to others (${bits}).`;
  const remedy = `chmod go= ${path}`;
  // A folder that others may enter holds files that are closed by themselves; a key must not be read.
  return found?.folder === true ? warning(says, remedy) : wrong(says, remedy);
}

function serverCertificate({ server, nowMs }: Installation): Finding[] {
  const { certificate, keyFits, next } = server;
  if (certificate === undefined) return [wrong('The server has no certificate.', 'Run bridge-admin init.')];
  const findings: Finding[] = [];
  if (!keyFits)
    findings.push(
      wrong(
        'The server’s key is not there or not the one of its certificate.',
        next === undefined
          ? 'Put the right key back, or remove server.key and server.crt from the folder keys and run bridge-admin init.'
          : 'Run bridge-admin rotate --finish again: it was broken off.',
      ),
    );
  const renew =
    next === undefined || next.endsMs <= certificate.endsMs
      ? 'Run bridge-admin rotate, put both fingerprints into the service connections, then rotate --finish.'
      : 'Put both fingerprints into the service connections, then run bridge-admin rotate --finish.';
  findings.push(timeOf('The server’s certificate', certificate, nowMs, renew));
  if (next !== undefined && next.fingerprint !== certificate.fingerprint)
    findings.push(
      warning(`The server has a next certificate, ${next.fingerprint}: a rotation is not finished.`, renew),
    );
  return findings;
}

function clientCertificates({ clients, nowMs }: Installation): Finding[] {
  return clients.flatMap(({ name, listed, kept }) => {
    if (listed.length === 0) return [ok(`${name} is not enrolled: it cannot connect.`)];
    const missing = listed.filter((print) => !kept.some(({ fingerprint }) => fingerprint === print));
    if (missing.length > 0)
      return [
        wrong(
          `bridge.yaml lists ${missing.join(' and ')} for ${name}, but the data folder has no such certificate.`,
          `Run bridge-admin enroll ${name}, or bridge revoke ${name}.`,
        ),
      ];
    const mine = kept.filter(({ fingerprint }) => listed.includes(fingerprint));
    if (mine.length > 1) {
      const latest = mine.reduce((a, b) => (b.endsMs > a.endsMs ? b : a));
      const finish = `When the service connection has the new one, run bridge-admin rotate ${name} --finish.`;
      return [
        timeOf(`The later certificate of ${name}`, latest, nowMs, `Run bridge-admin enroll ${name}.`),
        warning(`${name} has two certificates: a rotation is not finished.`, finish),
      ];
    }
    return mine.map((one) =>
      timeOf(`The certificate of ${name}`, one, nowMs, `Run bridge-admin rotate ${name}.`),
    );
  });
}

function timeOf(what: string, { startsMs, endsMs }: KeptCertificate, nowMs: number, remedy: string): Finding {
  if (nowMs > endsMs) return wrong(`${what} ended on ${day(endsMs)}.`, remedy);
  if (nowMs < startsMs)
    return wrong(
      `${what} is not good before ${day(startsMs)}; the host has ${day(nowMs)}.`,
      'Set the host’s clock.',
    );
  const days = Math.floor((endsMs - nowMs) / DAY_MS);
  return days < SOON_DAYS
    ? warning(`${what} ends on ${day(endsMs)}, in ${days} day(s).`, remedy)
    : ok(`${what} is good until ${day(endsMs)}.`);
}

function strayCertificates({ unlisted }: Installation): Finding[] {
  return unlisted.map(({ path, fingerprint }) =>
    warning(
      `${path} holds ${fingerprint}, which no client of bridge.yaml lists: it opens nothing.`,
      'Remove it.',
    ),
  );
}

function programs({ programs: all, relative }: Installation): Finding[] {
  const remedy = 'Correct its path in bridge.yaml, or install it.';
  return [
    ...all.map(({ what, path, there, executable }) =>
      !there
        ? wrong(`${what}, ${path}, is not there.`, remedy)
        : executable
          ? ok(`${what} is ${path}.`)
          : wrong(`${what}, ${path}, may not be started by this account.`, remedy),
    ),
    ...relative.map((path) =>
      wrong(
        `${path} is no absolute path: it depends on who starts the bridge.`,
        'Write it whole in bridge.yaml.',
      ),
    ),
  ];
}

function scripts({ missingScripts, scriptsDir }: Installation): Finding[] {
  return missingScripts.length === 0
    ? [ok(`All scripts in ${scriptsDir} are this version’s.`)]
    : [
        wrong(
          `Missing in ${scriptsDir}, or not this version’s: ${missingScripts.join(', ')}.`,
          'Run bridge-admin init, which writes the scripts, or correct scriptsDir in bridge.yaml.',
        ),
      ];
}

function log({ log: found, holder }: Installation): Finding[] {
  if (found.faults.length > 0)
    return found.faults.map((fault) =>
      wrong(
        `The log is broken: ${fault}`,
        'Keep the files, find out who changed them, and compare with the heads in the records of runs (audit verify --witness).',
      ),
    );
  if (found.files === 0) return [ok('There is no log yet: the bridge has not run.')];
  const whole = ok(`The log is whole: ${found.entries} entries in ${found.files} file(s).`);
  // A bridge that runs may be just writing its last line.
  return found.tornBytes === 0 || holder?.alive === true
    ? [whole]
    : [
        whole,
        warning(
          `The last line of the log is incomplete (${found.tornBytes} bytes): the bridge ended while it wrote.`,
          'Nothing to do: the next start cuts it and writes that down.',
        ),
      ];
}

function clockOfHost({ nowMs, log: { highestMs } }: Installation): Finding[] {
  const aheadMs = highestMs - nowMs;
  return aheadMs <= CLOCK_TOLERANCE_MS
    ? [ok(`The clock says ${new Date(nowMs).toISOString()}, which is not before the log.`)]
    : [
        wrong(
          `The log has an entry of ${new Date(highestMs).toISOString()}, but the clock says ${new Date(nowMs).toISOString()}.`,
          'Set the clock. If it was ahead before, budgets of that time stay spent until 24 hours after that entry.',
        ),
      ];
}

const GIGABYTE = 1024 ** 3;
const gigabytes = (bytes: number): string => `${(bytes / GIGABYTE).toFixed(1)} GB`;

function room({ disks }: Installation): Finding[] {
  return disks.map(({ what, path, freeBytes, leastBytes }) => {
    const says = `${what}, ${path}, has ${gigabytes(freeBytes)} free`;
    return freeBytes >= leastBytes
      ? ok(`${says}.`)
      : warning(
          `${says}, less than ${gigabytes(leastBytes)}: the bridge will refuse to begin work.`,
          'Free some.',
        );
  });
}

function door({ listen: { host, port, state }, holder }: Installation): Finding[] {
  const place = `${host}:${port}`;
  const pid = holder?.pid ?? 0;
  if (holder?.alive === true) {
    if (port === 0) return [ok(`The bridge runs with process id ${pid}, on a port that the system chose.`)];
    return state === 'taken'
      ? [ok(`The bridge runs with process id ${pid}, and ${place} is in use.`)]
      : [
          wrong(
            `The bridge runs with process id ${pid}, but nothing listens on ${place}.`,
            'Restart it: listen in bridge.yaml counts from the start on.',
          ),
        ];
  }
  const stale = holder === undefined ? '' : ` (its last process, ${pid}, ended without a clean stop)`;
  if (state === 'free') return [ok(`The bridge does not run${stale}; ${place} is free for it.`)];
  return [
    wrong(
      state === 'taken'
        ? `The bridge does not run${stale}, and another program listens on ${place}.`
        : `The bridge does not run${stale}, and ${place} cannot be listened on: ${state.failed}.`,
      'End the other program, or give another host or port at listen in bridge.yaml.',
    ),
  ];
}
