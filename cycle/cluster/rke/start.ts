/**
 * How rke is started: under a file lock, and so that it cannot outlive its task. A shell does both and then becomes
 * rke, in the same process, so that a parent-death signal which was set before still holds.
 */
import type { RunRequest } from '../../../ports/ports.ts';

/** Exit codes of the shell before it becomes rke, which itself ends with 0 to 3. */
export const LOCKED = 75;
export const NO_LOCK_PROGRAM = 76;
/** A shell's own: found and not to be run, and not found. */
export const NOT_STARTED: readonly number[] = [126, 127];

/**
 * The kernel gives the lock back when rke's process ends, however it ends: there is no stale lock to judge. The
 * file's text only says who holds it. The watcher beside it ends rke when the task has gone: for machines without
 * `setpriv`, and for a task that dies before `setpriv` has set the signal. It holds neither the lock nor a pipe.
 */
const BOUND = `
lock=$1 task=$PPID
shift
command -v flock >/dev/null || exit ${NO_LOCK_PROGRAM}
exec 9>>"$lock"
flock -n 9 || exit ${LOCKED}
echo "process $$ of task $task, since $(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$lock"
(
  while kill -0 "$$" && kill -0 "$task"; do sleep 0.5 || sleep 1; done
  kill -0 "$task" || kill -KILL "$$"
) </dev/null >/dev/null 2>&1 9>&- &
exec "$@"
`;

/** The request for `program`, of which one at a time runs with this lock file. */
export function bound(lock: string, program: RunRequest): RunRequest {
  return {
    ...program,
    file: 'sh',
    args: ['-c', BOUND, 'rke', lock, program.file, ...program.args],
    dieWithParent: true,
  };
}
