/**
 * The supervisor: a small process of its own for one attempt of one job. It owns the child's pipes, masks and caps
 * the log, ends the tree, and leaves the outcome in a file. It speaks to nobody, so the bridge may die and come back.
 */
import type { Clock } from '../../ports/ports.ts';
import { isDiskFull } from '../log/disk.ts';
import type { Disk } from '../log/disk.ts';
import { EXIT_ROOM_BYTES, inAttempt, logOfAttempt, markOf, readJson } from './files.ts';
import type { Claim, Exit, Spec, Stdin } from './files.ts';
import { capped, maskFilter, resultFinder } from './output.ts';
import { JOB_MARK, NO_ROOT } from './processes.ts';
import type { ProcessId, Processes } from './processes.ts';

/** How soon a cancel is seen. */
const CANCEL_POLL_MS = 100;

export interface SupervisePorts {
  disk: Disk;
  processes: Processes;
  clock: Clock;
}

/** Gives false when somebody else has the claim: then nothing was run. */
export async function supervise(dir: string, { disk, processes, clock }: SupervisePorts): Promise<boolean> {
  const files = inAttempt(dir);
  const spec = readJson<Spec>(disk, files.spec);
  if (!spec) return false;
  const claim: Claim = { by: 'supervisor', process: processes.self() };
  if (!disk.createExclusive(files.claim, JSON.stringify(claim))) return false;

  const stdin = readJson<Stdin>(disk, files.stdin);
  disk.remove(files.stdin);
  const cancelAsked = () => disk.size(files.cancel) !== undefined;
  const nothing = { exitCode: null, signal: null, timedOut: false, survivors: 0 };
  if (!stdin || cancelAsked()) {
    leave(disk, files, {
      ...nothing,
      cancelled: cancelAsked(),
      ...(stdin ? {} : { failed: 'no input' }),
    });
    return true;
  }

  const log = disk.openAppend(logOfAttempt(dir), false);
  const store = capped(spec.logLimitBytes, (bytes) => {
    try {
      log.append(bytes);
    } catch {
      // A full disk costs log lines, not the job: the child must still be drained and ended in order.
    }
  });
  const secrets = [...stdin.secrets, stdin.nonce];
  const out = maskFilter(secrets);
  const err = maskFilter(secrets);
  const finder = resultFinder(stdin.nonce);
  const mark = markOf(spec.jobId, spec.attempt);
  const child = processes.startChild({
    file: spec.file,
    args: spec.args,
    env: { ...spec.env, [JOB_MARK]: mark },
    stdin: stdin.text,
    onStdout(chunk) {
      finder.push(chunk);
      store(out.push(chunk));
    },
    onStderr: (chunk) => store(err.push(chunk)),
  });
  const started = processes.identify(child.pid);
  if (started) noteChild(disk, files.child, started);

  const deadline = clock.now() + spec.deadlineMs;
  let ended: Awaited<typeof child.ended> | undefined;
  void child.ended.then((value) => (ended = value));
  let timedOut = false;
  let cancelled = false;
  let survivors = 0;
  const stop = new AbortController();
  void child.ended.then(() => stop.abort());
  while (ended === undefined) {
    cancelled = cancelAsked();
    timedOut = !cancelled && clock.now() >= deadline;
    if (cancelled || timedOut) {
      survivors = await processes.endTree(child.pid, mark);
      break;
    }
    await clock.sleep(CANCEL_POLL_MS, stop.signal).catch(() => {});
  }
  const end = survivors > 0 ? { exitCode: null, signal: null } : await child.ended;
  // What the child left behind goes too: a job that has ended has no processes.
  survivors = await processes.endTree(NO_ROOT, mark);
  store(out.end());
  store(err.end());
  log.close();
  const frame = finder.frame();
  const exit: Exit = { ...end, timedOut, cancelled, survivors, ...(frame === undefined ? {} : { frame }) };
  leave(disk, files, exit);
  return true;
}

const write = (disk: Disk, path: string, value: unknown): void => disk.write(path, JSON.stringify(value));

/** Without it the child is found by its mark: a full disk is no reason to leave it alone with its pipes. */
function noteChild(disk: Disk, path: string, child: ProcessId): void {
  try {
    write(disk, path, child);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  }
}

/** A disk that is full has the room that was held for this; a result that does not fit there is not kept. */
function leave(disk: Disk, { exit: path, room }: ReturnType<typeof inAttempt>, exit: Exit): void {
  try {
    write(disk, path, exit);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    disk.remove(room);
    const { frame, ...rest } = exit;
    const fits = (frame?.length ?? 0) < EXIT_ROOM_BYTES / 2;
    write(disk, path, fits ? exit : rest);
  }
  disk.remove(room);
}
