/**
 * The seven tasks without their work: PlanCycle says what the test tells it to, every task logs one line that
 * begins with `did`. They are shell scripts with our real task.json, so a run costs no Node process a step.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runPipeline, type RunnerEvent, type RunOptions, type RunResult } from '../../lab/runner/run.ts';
import { manifest, pipelineFiles, PIPELINE, STAGES, TASK_NAMES } from './files.ts';

/** Outputs of PlanCycle by slot. */
export type Plans = Record<number, Record<string, string>>;

export interface Ran {
  result: RunResult;
  events: RunnerEvent[];
  /** `stage task detail (old>new)` of every task that ran, in order, repeated attempts too. */
  did: string[];
  /** Stages whose jobs ran a task, in order. */
  worked: string[];
}

export type ToyOptions = Partial<RunOptions> & {
  /** Every task of this stage fails. */
  failing?: string;
  /** With the files' own `checkout: self`, which has tests elsewhere and takes most of a run. */
  checkOut?: boolean;
};

export interface ToyTasks {
  run(plans: Plans, options: ToyOptions): Promise<Ran>;
  end(): void;
}

/** Builtins of the shell only: a run has many tasks. */
const SCRIPT = `
folder="\${0%/*}"
run="\${folder%/*/*}/run"
echo "did $SYSTEM_STAGENAME \${folder##*/} $INPUT_MODE$INPUT_CHANGE$INPUT_SIDE$INPUT_ROLE ($INPUT_OLDNODE>$INPUT_NEWNODE)"
if [ "$INPUT_MODE" = plan ]; then
  while read -r line; do echo "$line"; done <"$run/$SYSTEM_STAGENAME"
fi
[ ! -e "$run/failing-$SYSTEM_STAGENAME" ]
`;

const PARAMETERS = { cluster: 'one', maxNodes: 1 };
const CONNECTIONS = ['node-cycle-bridge', 'node-cycle-nodes', 'node-cycle-proxy', 'node-cycle-tsig'];

export function createToyTasks(): ToyTasks {
  const root = mkdtempSync(join(tmpdir(), 'toy-tasks-'));
  const tasksDir = join(root, 'tasks/all');
  for (const name of TASK_NAMES) {
    mkdirSync(join(tasksDir, name), { recursive: true });
    writeFileSync(join(tasksDir, name, 'task.json'), JSON.stringify(manifest(name)));
    writeFileSync(join(tasksDir, name, 'index.js'), SCRIPT);
  }
  const runDir = join(root, 'tasks/run');
  const repository = join(root, 'repository');
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {
      encoding: 'utf8',
    }).trim();
  git('init', '--quiet', '--initial-branch=main', repository);
  git('-C', repository, 'commit', '--quiet', '--allow-empty', '--message', 'as queued');
  const commit = git('-C', repository, 'rev-parse', 'HEAD');
  const endpoints = Object.fromEntries(
    CONNECTIONS.map((name) => [name, { id: name, url: 'https://localhost/', scheme: 'None', authParameters: {} }]),
  );
  let runs = 0;
  return {
    end: () => rmSync(root, { recursive: true, force: true }),
    run: async (plans, { failing, checkOut = false, ...options }) => {
      runs += 1;
      rmSync(runDir, { recursive: true, force: true });
      mkdirSync(runDir);
      for (const [slot, outputs] of Object.entries(plans)) {
        const lines = Object.entries(outputs).map(
          ([name, value]) => `##vso[task.setvariable variable=${name};isOutput=true]${value}\n`,
        );
        writeFileSync(join(runDir, `plan_${slot}`), lines.join(''));
      }
      if (failing !== undefined) writeFileSync(join(runDir, `failing-${failing}`), '');
      const files = pipelineFiles();
      const events: RunnerEvent[] = [];
      const result = await runPipeline({
        readPipelineFile: (path) =>
          Promise.resolve(checkOut ? files[path] : files[path]?.replaceAll('checkout: self', 'checkout: none')),
        pipelinePath: PIPELINE,
        checkout: { repository, commit },
        tasksDir,
        workRoot: join(root, `work-${runs}`),
        endpoints,
        node: '/bin/sh',
        agent: { name: 'agent-1', capabilities: { 'nodeCycle.cluster': 'one', 'Agent.Version': '4.261.0' } },
        approve: () => Promise.resolve('approve'),
        ...{ runId: '42', buildNumber: '1', organisationUrl: 'https://dev.example/org' },
        ...{ project: 'cluster', pipelineName: 'cycle', definitionId: '7' },
        onEvent: (event) => events.push(event),
        // A job of 15 minutes may then last 3 seconds; the wait before a second attempt is short.
        minuteMs: 200,
        ...options,
        parameters: { ...PARAMETERS, ...options.parameters },
      });
      const lines = events.flatMap((event) => (event.type === 'log' ? event.line : []));
      const did = lines.filter((line) => line.startsWith('did ')).map((line) => line.slice('did '.length));
      const worked = [...new Set(did.map((line) => line.split(' ')[0] ?? ''))];
      return { result, events, did, worked };
    },
  };
}

export const NOTHING_DUE = { due: 'false', reason: 'nothing is old enough' };

/** What PlanCycle says of a node with these roles. */
export function due(roles: string, state: 'alive' | 'dead' = 'alive', slot = 1): Record<string, string> {
  const has = (role: string): string => String(state === 'alive' && roles.includes(role));
  return {
    ...{ due: 'true', oldNode: `old-${slot}`, oldNodeState: state, newNode: `new-${slot}`, reason: 'age' },
    ...{ hasControlPlane: has('controlplane'), hasEtcd: has('etcd'), hasWorker: has('worker') },
  };
}

/** The stages of a node without faults. */
export function wayOf(roles: string, state: 'alive' | 'dead'): string[] {
  const lacks = (name: string): boolean =>
    (name === 'remove_dead' && state === 'alive') ||
    (['controlplane', 'etcd'].includes(name) && (state === 'dead' || !roles.includes(name)));
  return STAGES.filter((name) => !lacks(name));
}
