/**
 * Processes as the bridge needs them. A process is known by its pid and its start time together: a pid alone may
 * belong to somebody else after a restart.
 */
export interface ProcessId {
  pid: number;
  /** As the system gives it; compared for equality only. */
  startTime: string;
}

export interface ChildStart {
  file: string;
  args: readonly string[];
  /** The whole environment. */
  env: Record<string, string>;
  cwd?: string;
  stdin: string;
  onStdout(chunk: Uint8Array): void;
  onStderr(chunk: Uint8Array): void;
}

export interface Child {
  pid: number;
  /** Settles when the process has ended and its pipes are drained, or `PIPE_GRACE_MS` after its end. */
  ended: Promise<{ exitCode: number | null; signal: string | null; failed?: string }>;
}

/** Name of the variable that marks every process of one job, so that strays are found without their parent. */
export const JOB_MARK = 'NODE_CYCLE_JOB';

export const NO_ROOT = -1;

export interface Processes {
  self(): ProcessId;
  /** undefined when no such process lives. */
  identify(pid: number): ProcessId | undefined;
  startChild(start: ChildStart): Child;
  /** Detached, without pipes, in a group of its own: it outlives the bridge. `ended` fires when this process saw it end. */
  startSupervisor(jobDir: string, mark: string): { pid: number; ended: Promise<void> };
  /** How this bundle is started with a word of its own. */
  ownCommand(word: string): { file: string; args: string[] };
  isAlive(id: ProcessId): boolean;
  /**
   * Ends the tree below `root` and every process that carries `mark`, this one excepted; gives the number that is
   * left after some tries. `NO_ROOT` when the root has ended: its pid may be somebody else's by now.
   */
  endTree(root: number, mark: string): Promise<number>;
}
