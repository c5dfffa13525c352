/** Refusals in the log: each client may fill a few lines a minute; equal ones beyond that are merged into a count. */
import type { Clock } from '../../ports/ports.ts';
import type { AuditLog } from '../log/log.ts';
import type { Refusal } from '../protocol/wire.ts';

const LINES_A_MINUTE = 10;
const MINUTE_MS = 60_000;
/** Different refusals that are counted per client; the number of codes times fields is smaller. */
const KINDS_LIMIT = 256;

export function refusalLog(
  log: AuditLog,
  clock: Clock,
): (client: string, op: string, refusal: Refusal) => void {
  const clients = new Map<string, { since: number; lines: number; merged: Map<string, number> }>();
  return (client, op, { code, field = '' }) => {
    const nowMs = clock.now();
    let mine = clients.get(client);
    if (!mine || nowMs - mine.since >= MINUTE_MS || nowMs < mine.since) {
      mine = { since: nowMs, lines: 0, merged: mine?.merged ?? new Map<string, number>() };
      clients.set(client, mine);
    }
    const kind = `${op} ${code} ${field}`;
    const count = (mine.merged.get(kind) ?? 0) + 1;
    if (mine.lines >= LINES_A_MINUTE) {
      if (mine.merged.has(kind) || mine.merged.size < KINDS_LIMIT) mine.merged.set(kind, count);
      return;
    }
    mine.lines += 1;
    mine.merged.delete(kind);
    log.append({ event: 'refused', client, op, code, field, count });
  };
}
