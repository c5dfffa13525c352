/** A PowerShell that stays open, as a session needs it. It is told constant texts only: a value is never part of one. */

export interface Shell {
  /** `NO_ROOT` when it could not be started or has ended. */
  readonly pid: number;
  /**
   * Gives what was printed while the command ran. Throws when the shell ends before the command does, cannot be
   * started, or prints more than `limitBytes` for it. One command at a time.
   */
  run(command: string): Promise<Printed>;
  /** Takes no more commands and reads no more output; the process is the caller's to end. */
  close(): void;
}

export interface Printed {
  stdout: Uint8Array;
  stderr: Uint8Array;
}

export interface ShellStart {
  file: string;
  /** What comes before `-Command -`. */
  args: readonly string[];
  /** The whole environment. */
  env: Record<string, string>;
  limitBytes: number;
}

export type OpenShell = (start: ShellStart) => Promise<Shell>;
