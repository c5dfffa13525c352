/**
 * What the bridge does without being asked, about once a second: it takes what admin commands did into the log,
 * purges set-aside VMs whose time has come, removes seeds that were read, forgets old jobs, and writes down what was
 * counted.
 */
import { join } from 'node:path';
import type { Clock } from '../../ports/ports.ts';
import { PURGE_OPERATION } from '../host/operations/vm-delete.ts';
import { ejectSeeds } from '../host/eject-seeds.ts';
import type { Host } from '../host/host.ts';
import { jobDir, logPath } from '../jobs/files.ts';
import { toForget } from '../jobs/retention.ts';
import { sha256Hex } from '../log/chain.ts';
import type { Disk } from '../log/disk.ts';
import { isFinished } from '../log/fold.ts';
import type { AuditLog } from '../log/log.ts';
import { canonicalJson } from '../protocol/canonical.ts';
import { acceptOwn } from '../server/accept.ts';
import type { AcceptPorts } from '../server/accept.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { text } from './text.ts';

/** How soon a set-aside VM's time and an admin command are seen. */
const PAUSE_MS = 1_000;
/** A purge that failed is tried again after this. */
const PURGE_RETRY_MS = 3_600_000;
/** How often counts are written and old jobs looked for. */
const MINUTE_MS = 60_000;
const MEGABYTE = 1024 * 1024;

export interface ChoreOptions {
  log: AuditLog;
  disk: Disk;
  clock: Clock;
  accepting: AcceptPorts;
  host: Host;
  policy(): BridgePolicy;
  /** Where admin commands leave what they did. */
  adminDir: string;
  /** Peers without a listed certificate since the last call. */
  strangers(): number;
  /** Writes the refusals that were merged. */
  flushRefusals(): void;
  report(line: string): void;
}

/** Settles when `signal` has aborted and the last round is over. */
export async function doChores(options: ChoreOptions, signal: AbortSignal): Promise<void> {
  const { log, clock, report } = options;
  const counted = () => {
    const count = options.strangers();
    if (count > 0) log.append({ event: 'strangers', count });
    options.flushRefusals();
  };
  const attempt = (chore: () => void) => {
    try {
      chore();
    } catch (error) {
      report(String(error));
    }
  };
  let minuteMs = clock.now();
  while (!signal.aborted) {
    attempt(() => takeAdminEntries(options));
    attempt(() => purgeDue(options));
    const nowMs = clock.now();
    if (nowMs - minuteMs >= MINUTE_MS || nowMs < minuteMs) {
      minuteMs = nowMs;
      attempt(() => forgetOld(options));
      attempt(counted);
      await ejectSeeds(options.host).catch((error: unknown) => report(String(error)));
    }
    await clock.sleep(PAUSE_MS, signal).catch(() => {});
  }
  attempt(counted);
}

function purgeDue({ log, clock, host, accepting }: ChoreOptions): void {
  const nowMs = clock.now();
  for (const { id, setAside } of host.records.all()) {
    if (!setAside || Date.parse(setAside.purgeAt) > nowMs) continue;
    const target = `purge:${id}`;
    const before = [...log.state.jobs.values()].filter((job) => job.target === target).at(-1);
    if (before && (!isFinished(before) || nowMs - Date.parse(before.endedAt ?? '') < PURGE_RETRY_MS))
      continue;
    acceptOwn(accepting, PURGE_OPERATION, 'vm', target, { id }, sha256Hex(canonicalJson({ id })));
  }
}

/** The entry first: a folder without a job is removed at the next start. */
function forgetOld({ log, disk, clock, accepting, policy }: ChoreOptions): void {
  const { keepJobsDays: days, keepJobsMb } = policy();
  const { jobsDir } = accepting;
  const jobIds = toForget(
    log.state.jobs.values(),
    clock.now(),
    (job) => disk.size(logPath(jobsDir, job.id)) ?? 0,
    { days, bytes: keepJobsMb * MEGABYTE },
  );
  if (jobIds.length === 0) return;
  log.append({ event: 'forgotten', jobIds });
  for (const id of jobIds) disk.remove(jobDir(jobsDir, id));
}

function takeAdminEntries({ adminDir, disk, log }: ChoreOptions): void {
  for (const name of disk.list(adminDir)) {
    if (!name.endsWith('.json')) continue;
    const path = join(adminDir, name);
    const entry = JSON.parse(text(disk, path) ?? '{}') as Record<string, unknown>;
    const said = (key: string) => (typeof entry[key] === 'string' ? entry[key] : '');
    const common = { cluster: said('cluster'), at: said('at') };
    if (typeof entry['fence'] === 'number') {
      log.append({ event: 'fenceSet', fence: entry['fence'], ...common });
    } else {
      log.append({ event: 'admin', what: said('what'), vmId: said('vmId'), node: said('node'), ...common });
    }
    disk.remove(path);
  }
}
