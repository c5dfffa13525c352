/** A repository, an agent's folder and a runner with short minutes; one builder for all tests of the runner. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runPipeline, type RunnerEvent, type RunOptions, type RunResult } from '../../../lab/runner/run.ts';

export const TASKS = fileURLToPath(new URL('./fixtures/tasks', import.meta.url));

export interface World {
  root: string;
  repository: string;
  commit(file: string, text: string): string;
  /** Runs the YAML; a map of files when there are templates (the first one is the pipeline). */
  run(files: string | Record<string, string>, options?: Partial<RunOptions>): Promise<Ran>;
  end(): void;
}

export interface Ran {
  result: RunResult;
  events: RunnerEvent[];
  /** All lines of the log, in order. */
  lines: string[];
  /** `stage=result` in order. */
  stages: string;
}

export function createWorld(): World {
  const root = mkdtempSync(join(tmpdir(), 'runner-'));
  const repository = join(root, 'repository');
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {
      cwd: root,
      encoding: 'utf8',
    }).trim();
  git('init', '--quiet', '--initial-branch=main', repository);
  const commit = (file: string, text: string): string => {
    writeFileSync(join(repository, file), text);
    git('-C', repository, 'add', file);
    git('-C', repository, 'commit', '--quiet', '-m', `change ${file}`);
    return git('-C', repository, 'rev-parse', 'HEAD');
  };
  const first = commit('file.txt', 'as queued\n');
  let runs = 0;
  return {
    root,
    repository,
    commit,
    end: () => rmSync(root, { recursive: true, force: true }),
    run: async (files, options = {}) => {
      runs += 1;
      const all: Record<string, string> = typeof files === 'string' ? { 'pipeline.yml': files } : files;
      const events: RunnerEvent[] = [];
      const result = await runPipeline({
        readPipelineFile: (path) => Promise.resolve(all[path]),
        pipelinePath: Object.keys(all)[0] ?? '',
        parameters: {},
        checkout: { repository, commit: first },
        tasksDir: TASKS,
        workRoot: join(root, `work-${runs}`),
        endpoints: {},
        agent: { name: 'agent-1', capabilities: { 'Agent.Version': '4.255.0', cluster: 'one' } },
        approve: () => Promise.resolve('approve'),
        ...{ runId: '42', buildNumber: '20260102.1', organisationUrl: 'https://dev.example/org' },
        ...{ project: 'cluster', pipelineName: 'cycle', definitionId: '7' },
        onEvent: (event) => events.push(event),
        minuteMs: 600,
        ...options,
      });
      return {
        result,
        events,
        lines: events.flatMap((event) => (event.type === 'log' ? event.line : [])),
        stages: result.stages.map((stage) => `${stage.name}=${stage.result}`).join(' '),
      };
    },
  };
}

/** A stage with one job and one step that runs `code`. */
export function stageOf(name: string, code: string, extra = ''): string {
  return `
- stage: ${name}
${extra.replace(/^(?=.)/gm, '  ')}
  jobs:
  - job: J
    steps:
    - checkout: none
    - task: Play@1
      name: S
      inputs:
        code: ${JSON.stringify(code)}
`;
}
