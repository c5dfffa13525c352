/**
 * Room on the disk that is held back for endings. A job may begin only while it is held, so that its end, its
 * record and its clean-up can be written when something else has filled the disk.
 */
import type { Clock, Random } from '../../ports/ports.ts';
import { isDiskFull } from './disk.ts';
import type { Disk } from './disk.ts';

/** The ends of three running jobs with their records are some 20 KB; the rest is for ends of queued and cancelled ones. */
export const RESERVE_BYTES = 1024 * 1024;
/** How often a full disk is asked whether it has room again. */
const AGAIN_MS = 1_000;

export interface Reserve {
  /** Whether the room is held, taken again when it can be. */
  ready(): boolean;
  /** Writes an ending; on a full disk the room is given up for it and it is written once more. */
  spend<T>(write: () => T): T;
}

/** `path` is the file that holds the room. */
export function openReserve(
  path: string,
  { disk, clock, random }: { disk: Disk; clock: Clock; random: Random },
): Reserve {
  let held = disk.size(path) === RESERVE_BYTES;
  let askedMs = -Infinity;
  return {
    ready() {
      const nowMs = clock.now();
      if (held || (nowMs >= askedMs && nowMs - askedMs < AGAIN_MS)) return held;
      askedMs = nowMs;
      try {
        // Random, since a disk that compresses would give zeros no room.
        disk.write(path, random.bytes(RESERVE_BYTES));
        held = true;
      } catch (error) {
        if (!isDiskFull(error)) throw error;
      }
      return held;
    },
    spend(write) {
      try {
        return write();
      } catch (error) {
        if (!held || !isDiskFull(error)) throw error;
        disk.remove(path);
        held = false;
        return write();
      }
    },
  };
}
