/** What a run is started with, and what its parts share while it goes on. */
import type { Masks } from './masks.ts';
import type { Pipeline } from './pipeline.ts';
import type { ApprovalAnswer, ApprovalRequest, RunnerEvent, UntimedEvent } from './results.ts';
import type { Endpoint } from './task-inputs.ts';
import type { TaskManifest } from './task-manifest.ts';
import type { CancelLadder } from './task-process.ts';
import type { Variables } from './variables.ts';

export interface RunOptions {
  /** The text of a file at the queued commit, by its path in the repository; undefined when there is none. */
  readPipelineFile(path: string): Promise<string | undefined>;
  /** For example `pipelines/cycle.yml`. */
  pipelinePath: string;
  parameters: Record<string, string | number | boolean>;
  /** Variables of the queue dialogue and of variable groups. */
  variables?: Record<string, string>;
  /** Secret variables: not in the environment of tasks, masked in every event. */
  secrets?: Record<string, string>;
  /** A git URL or path, and the commit that the run was queued at. */
  checkout: { repository: string; commit: string };
  /** Holds `<TaskName>/task.json` and the bundle that it names. */
  tasksDir: string;
  /** The agent's `_work`: an empty or new folder; wiped before each job. */
  workRoot: string;
  /**
   * Service connections by name. A task gets those that its inputs name, and always `SystemVssConnection`,
   * whose AccessToken is also the variable System.AccessToken.
   */
  endpoints: Record<string, Endpoint>;
  /** `programs`: folders whose programs go before those of this machine. */
  agent: { name: string; capabilities: Record<string, string>; programs?: readonly string[] | undefined };
  approve(request: ApprovalRequest): Promise<ApprovalAnswer>;
  /** Environments with an approval check; `all` is the default. */
  environmentsWithApproval?: readonly string[] | 'all';
  /** How long an environment's approval may take; the service's default is 30 days. */
  approvalMinutes?: number;
  /** Stages that a person skips by hand. Refused where `isSkippable: false`. */
  skipStages?: readonly string[];
  runId: string;
  buildNumber: string;
  organisationUrl: string;
  project: string;
  pipelineName: string;
  definitionId: string;
  /** Default `Manual`. */
  reason?: 'Manual' | 'Schedule';
  /** Default `refs/heads/main`. */
  sourceBranch?: string;
  onEvent(event: RunnerEvent): void;
  /** Fires when a person cancels the run. */
  signal?: AbortSignal;
  /** Node's executable for tasks; default: the one that runs this. */
  node?: string;
  /** Right after a task's process was started. */
  onTaskSpawn?(info: { task: string; stage: string; job: string; attempt: number; pid: number }): void;
  /** The length of a pipeline's minute; default 60000. Scales time-outs and the waits between attempts. */
  minuteMs?: number;
  /** Default: the agent's, 7.5 s and 2.5 s. Not scaled by `minuteMs`. */
  cancelLadder?: CancelLadder;
}

export interface RunContext {
  options: RunOptions;
  pipeline: Pipeline;
  minuteMs: number;
  ladder: CancelLadder;
  masks: Masks;
  emit(event: UntimedEvent): void;
  manifests: ReadonlyMap<string, TaskManifest>;
  /** Predefined, queued and pipeline-level variables. */
  variables: Variables;
  /** Fires when a person cancels; never, when nobody can. */
  canceled: AbortSignal;
  /** One agent: jobs that need it run one after the other. */
  onAgent<T>(work: () => Promise<T>): Promise<T>;
}
