/** Refusals in the log: each client may fill a few lines a minute; equal ones beyond that are merged into a count. */
import type { Clock } from '../../ports/ports.ts';
import type { AuditLog } from '../log/log.ts';
import type { Refusal, RefusalCode } from '../protocol/wire.ts';

/** Enough to see what a client tries; a day at this pace is some 5 MB, a third of a file of the log. */
const LINES_A_MINUTE = 10;
const MINUTE_MS = 60_000;
/** Different refusals that are counted per client; the number of codes times fields is smaller. */
const KINDS_LIMIT = 256;

export interface RefusalLog {
  note(client: string, op: string, refusal: Refusal): void;
  /** Writes what was merged, one entry a kind. */
  flush(): void;
}

interface Kind {
  op: string;
  code: RefusalCode;
  field: string;
}

interface Merged {
  kind: Kind;
  count: number;
}

export function refusalLog(log: AuditLog, clock: Clock): RefusalLog {
  const clients = new Map<string, { since: number; lines: number; merged: Map<string, Merged> }>();
  return {
    note(client, op, { code, field = '' }) {
      const nowMs = clock.now();
      let mine = clients.get(client);
      if (!mine || nowMs - mine.since >= MINUTE_MS || nowMs < mine.since) {
        mine = { since: nowMs, lines: 0, merged: mine?.merged ?? new Map<string, Merged>() };
        clients.set(client, mine);
      }
      const kind = { op, code, field };
      const key = `${op} ${code} ${field}`;
      const count = (mine.merged.get(key)?.count ?? 0) + 1;
      if (mine.lines >= LINES_A_MINUTE) {
        if (mine.merged.has(key) || mine.merged.size < KINDS_LIMIT) mine.merged.set(key, { kind, count });
        return;
      }
      mine.lines += 1;
      mine.merged.delete(key);
      log.append({ event: 'refused', client, ...kind, count });
    },
    flush() {
      for (const [client, { merged }] of clients)
        for (const [key, { kind, count }] of merged) {
          log.append({ event: 'refused', client, ...kind, count });
          merged.delete(key);
        }
    },
  };
}
