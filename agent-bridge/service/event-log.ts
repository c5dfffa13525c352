/**
 * A copy of what the audit log says in the Windows Event Log: a witness that the bridge's account cannot rewrite. It is
 * only a copy. Whatever is wrong with it is said once, and never keeps the bridge from acting.
 */
import type { Clock } from '../../ports/ports.ts';
import type { Processes } from '../jobs/processes.ts';
import type { Entry } from '../log/chain.ts';

/** As install.ps1 registers it. */
export const EVENT_SOURCE = 'NodeCycleBridge';

/** WriteEntry takes 31,839 characters; an entry is cut, its number and hash are not. */
const TEXT_LIMIT = 30_000;
/** As many entries wait; more are counted, and the count is written. At the busiest hour a bridge writes some hundred. */
export const WAITING_LIMIT = 1_000;
/** Written within the time below on a slow host, and read at once from the child's stdin. */
const BATCH_LIMIT = 200;
/** A start of PowerShell costs half a second of a core: entries that come together are written together. */
const GATHER_MS = 2_000;
/** A start of PowerShell on a busy host, and as many writes; then the child is ended. */
const BATCH_MS = 60_000;
/** A service of Windows that restarts is back within seconds. */
const RETRY_FIRST_MS = 5_000;
/** What stays broken is asked rarely: each try starts a PowerShell. */
const RETRY_MOST_MS = 300_000;
/** How long a stop waits for what was not written yet. */
const STOP_MS = 5_000;
/** As much of what the child says is kept as tells why it failed. */
const OUTPUT_LIMIT = 2_000;

/** What is copied, under which event id, and how it looks in the list. */
const COPIED: { readonly [name in Entry['event']]?: { id: number; type: EventType } } = {
  boot: { id: 1000, type: 'Information' },
  torn: { id: 1001, type: 'Warning' },
  policy: { id: 1002, type: 'Information' },
  admin: { id: 1003, type: 'Information' },
  fenceSet: { id: 1004, type: 'Warning' },
  accepted: { id: 1010, type: 'Information' },
  ended: { id: 1011, type: 'Information' },
  refused: { id: 1012, type: 'Warning' },
};
/** Beside the others, so that a filter on the list above leaves it out. */
const LEFT_OUT_ID = 1099;

type EventType = 'Information' | 'Warning' | 'Error';
export interface WindowsEvent {
  id: number;
  type: EventType;
  text: string;
}

/** undefined: not one that is copied. `line` is the entry as it stands in the log. */
export function windowsEvent(entry: Entry, line: string): WindowsEvent | undefined {
  const kind = COPIED[entry.event];
  if (kind === undefined) return undefined;
  const failed = entry.event === 'ended' && entry.state === 'failed';
  const whole = line.trimEnd();
  const shown = whole.length > TEXT_LIMIT ? `${whole.slice(0, TEXT_LIMIT)} (cut)` : whole;
  return { id: kind.id, type: failed ? 'Warning' : kind.type, text: `${entry.seq}:${entry.hash}\n${shown}` };
}

/** `seq:hash` at the beginning of a copied entry. */
export function headIn(text: string): { seq: number; hash: string } | undefined {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})\s/.exec(text) ?? [];
  return seq === undefined || hash === undefined ? undefined : { seq: Number(seq), hash };
}

/** Constant text; what it writes comes on stdin, one JSON document a line. Without double quotes: they are for argv. */
export const WRITER = [
  `$ErrorActionPreference = 'Stop'`,
  '$in = New-Object System.IO.StreamReader([Console]::OpenStandardInput(), (New-Object System.Text.UTF8Encoding($false)))',
  '$written = 0',
  'while ($null -ne ($line = $in.ReadLine())) {',
  `    if ($line -eq '') { continue }`,
  '    $event = ConvertFrom-Json -InputObject $line',
  '    $type = [System.Diagnostics.EventLogEntryType] [string] $event.type',
  `    [System.Diagnostics.EventLog]::WriteEntry('${EVENT_SOURCE}', [string] $event.text, $type, [int] $event.id)`,
  '    $written += 1',
  `    [Console]::Out.WriteLine('##NC-COPIED ' + $written)`,
  '}',
].join('\n');

export interface EventLogCopy {
  /** Never throws, never waits. */
  offer(entry: Entry, line: string): void;
  /** Settles when what was offered is written, or after a few seconds. */
  stop(): Promise<void>;
}

export interface EventLogPorts {
  processes: Pick<Processes, 'startChild' | 'endTree'>;
  clock: Clock;
  /** PowerShell by its absolute path, and its whole environment. */
  powershell: { file: string; env: Record<string, string> };
  say(event: string, fields?: object): void;
}

export function eventLogCopy({ processes, clock, powershell, say }: EventLogPorts): EventLogCopy {
  const waiting: WindowsEvent[] = [];
  const stopping = new AbortController();
  let leftOut = 0;
  let failures = 0;
  let pumping: Promise<void> | undefined;

  /** Gives how many of them were written, and what was wrong when not all were. */
  async function write(events: readonly WindowsEvent[]): Promise<{ written: number; fault?: string }> {
    const said = { out: '', err: '' };
    const tail = (key: 'out' | 'err') => (chunk: Uint8Array) => {
      said[key] = (said[key] + Buffer.from(chunk).toString('utf8')).slice(-OUTPUT_LIMIT);
    };
    const child = processes.startChild({
      file: powershell.file,
      args: ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command', WRITER],
      env: powershell.env,
      stdin: events.map((event) => `${JSON.stringify(event)}\n`).join(''),
      onStdout: tail('out'),
      onStderr: tail('err'),
    });
    const late = new AbortController();
    const end = await Promise.race([
      child.ended,
      clock.sleep(BATCH_MS, late.signal).then(
        () => 'late' as const,
        () => 'late' as const,
      ),
    ]);
    late.abort();
    if (end === 'late') {
      await processes.endTree(child.pid, '');
      await child.ended;
    }
    const counts = [...said.out.matchAll(/^##NC-COPIED (\d+)\r?$/gm)].map(([, count]) => Number(count));
    const written = Math.min(counts.at(-1) ?? 0, events.length);
    if (end === 'late') return { written, fault: `no end within ${BATCH_MS} ms` };
    if (end.exitCode === 0 && written === events.length) return { written };
    const why = end.failed ?? (said.err.trim().split('\n')[0] || `exit code ${String(end.exitCode)}`);
    return { written, fault: why };
  }

  async function pump(): Promise<void> {
    // A failed try is not worth waiting for when the bridge stops.
    while (waiting.length > 0 && !(stopping.signal.aborted && failures > 0)) {
      const pauseMs =
        failures === 0 ? GATHER_MS : Math.min(RETRY_FIRST_MS * 2 ** (failures - 1), RETRY_MOST_MS);
      await clock.sleep(pauseMs, stopping.signal).catch(() => {});
      if (leftOut > 0) {
        const text = `${leftOut} entries were not copied: the Event Log could not be written, or not as fast.`;
        waiting.push({ id: LEFT_OUT_ID, type: 'Warning', text });
        leftOut = 0;
      }
      const { written, fault } = await write(waiting.slice(0, BATCH_LIMIT));
      waiting.splice(0, written);
      if (fault === undefined && failures > 0) say('eventLogWritten', { after: failures });
      if (fault !== undefined && failures === 0) say('eventLogFailed', { fault, waiting: waiting.length });
      failures = fault === undefined ? 0 : failures + 1;
    }
  }

  function wake(): void {
    pumping ??= pump()
      .catch((error: unknown) => say('eventLogFailed', { fault: String(error) }))
      .finally(() => {
        pumping = undefined;
      });
  }

  return {
    offer(entry, line) {
      const event = windowsEvent(entry, line);
      if (event === undefined) return;
      if (waiting.length >= WAITING_LIMIT) leftOut += 1;
      else waiting.push(event);
      wake();
    },
    async stop() {
      stopping.abort();
      const late = new AbortController();
      await Promise.race([pumping, clock.sleep(STOP_MS, late.signal).catch(() => {})]);
      late.abort();
    },
  };
}
