/** Copies of rke's state file, one before each run. They hold private keys, so they do not stay for ever. */
import type { Clock, Files, Random } from '../../../ports/ports.ts';

export interface Retention {
  /** The newest so many stay. Default 20. */
  keep?: number | undefined;
  /** None stays longer than this, but the newest. Default 90 days. */
  maxAgeMs?: number | undefined;
}

const KEEP = 20;
const DAY_MS = 24 * 3_600_000;
const MAX_AGE_MS = 90 * DAY_MS;
/** `20261122T163831123Z-a1b2c3-cluster.rkestate`: sorted by name is sorted by time. */
const NAME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-[0-9a-f]{6}-/;

/**
 * Copies `state` into `folder` and ends those that are past the retention.
 *
 * @returns the copy's path; undefined when there is no state file.
 */
export async function saveState(
  ports: { files: Files; clock: Clock; random: Random },
  state: string,
  folder: string,
  retention: Retention = {},
): Promise<string | undefined> {
  const { files, clock, random } = ports;
  if ((await files.stat(state)) === undefined) return undefined;
  const nowMs = clock.now();
  const time = new Date(nowMs).toISOString().replace(/[-:.]/g, '');
  const stem = state.slice(state.lastIndexOf('/') + 1);
  const copy = `${folder}/${time}-${Buffer.from(random.bytes(3)).toString('hex')}-${stem}`;
  await files.makeDir(folder, 0o700);
  await files.write(copy, await files.read(state), 0o600);
  const kept = (await files.list(folder)).filter((name) => NAME.test(name) && name.endsWith(`-${stem}`));
  for (const name of outdated(kept, nowMs, retention)) await files.remove(`${folder}/${name}`);
  return copy;
}

/** Which of the copies go; never the newest. */
export function outdated(names: readonly string[], nowMs: number, retention: Retention): string[] {
  const { keep = KEEP, maxAgeMs = MAX_AGE_MS } = retention;
  const newestFirst = [...names].sort().reverse();
  return newestFirst.filter((name, at) => at > 0 && (at >= keep || nowMs - madeAtMs(name) > maxAgeMs));
}

function madeAtMs(name: string): number {
  const [, year, month, day, hour, minute, second, ms] = (NAME.exec(name) ?? []).map(Number);
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second, ms);
}
