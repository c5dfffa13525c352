/** From the files of a pipeline to its checked model; nothing runs here. */
import type { ReadPipelineFile } from './compile-scope.ts';
import { expandTree } from './expand.ts';
import { lintExpressions } from './lint.ts';
import { readPipeline, type Pipeline } from './pipeline.ts';
import { MANUAL_VALIDATION, MANUAL_VALIDATION_INPUTS } from './server-job.ts';
import { resolveInputs, type Endpoint } from './task-inputs.ts';
import { readTaskManifest, type TaskManifest } from './task-manifest.ts';
import { plainOf, refusal, treeOf, type Mapping, type Plain } from './tree.ts';

export interface ExpandPipelineOptions {
  readPipelineFile: ReadPipelineFile;
  /** Relative to the repository. */
  pipelinePath: string;
  /** What a person chose when queueing; defaults fill the rest. Objects and lists are allowed. */
  parameters?: Record<string, Plain>;
  /** Predefined variables that `${{ variables['…'] }}` may use. */
  compileVariables?: Record<string, string>;
}

export interface ExpandedPipeline {
  /** The tree without templates and `${{ }}`: mappings, lists and texts. */
  plain: Plain;
  pipeline: Pipeline;
}

/**
 * Compile-time expansion and every check that needs no task: keys, names, dependencies, expressions.
 * @throws CodedError NC9101 to NC9104 with file:line:column.
 */
export async function expandPipeline(options: ExpandPipelineOptions): Promise<ExpandedPipeline> {
  const at = { file: '(parameters of the run)', line: 1, column: 1 };
  const tree = await expandTree({
    readPipelineFile: options.readPipelineFile,
    pipelinePath: options.pipelinePath,
    parameters: treeOf(options.parameters ?? {}, at) as Mapping,
    variables: treeOf(options.compileVariables ?? {}) as Mapping,
  });
  const pipeline = readPipeline(tree);
  lintExpressions(pipeline);
  return { plain: plainOf(tree), pipeline };
}

/**
 * Reads the task.json of every task that the pipeline names and checks each step against it, before anything runs.
 * @throws CodedError NC9105
 */
export async function loadTasks(
  pipeline: Pipeline,
  tasksDir: string,
  endpoints: Readonly<Record<string, Endpoint>>,
  agentVersion: string | undefined,
): Promise<Map<string, TaskManifest>> {
  const manifests = new Map<string, TaskManifest>();
  for (const job of pipeline.stages.flatMap((stage) => stage.jobs)) {
    for (const { action, at } of job.steps) {
      const isValidation = action.kind === 'task' && action.task === MANUAL_VALIDATION;
      if (job.pool.kind === 'server' && !isValidation) {
        throw refusal('NC9102', at, `a job in 'pool: server' runs ${MANUAL_VALIDATION}@1 only.`);
      }
      if (action.kind !== 'task') continue;
      if (isValidation) {
        if (job.pool.kind !== 'server' || action.majorVersion !== 1) {
          throw refusal('NC9102', at, `${MANUAL_VALIDATION}@1 runs in 'pool: server' only.`);
        }
        const stray = action.inputs.find(({ name }) => !MANUAL_VALIDATION_INPUTS.includes(name));
        if (stray)
          throw refusal('NC9105', stray.at, `unknown input '${stray.name}' of ${MANUAL_VALIDATION}.`);
        continue;
      }
      const manifest = manifests.get(action.task) ?? (await readTaskManifest(tasksDir, action.task, at));
      manifests.set(action.task, manifest);
      if (isOlder(agentVersion, manifest.minimumAgentVersion)) {
        throw refusal(
          'NC9105',
          at,
          `'${action.task}' needs agent ${manifest.minimumAgentVersion ?? ''}, this one is ${agentVersion ?? ''}.`,
        );
      }
      resolveInputs(manifest, action, endpoints, (text) => text, at);
    }
  }
  return manifests;
}

function isOlder(version: string | undefined, minimum: string | undefined): boolean {
  if (version === undefined || minimum === undefined) return false;
  const [have, want] = [version, minimum].map((text) => text.split('.').map(Number));
  for (let part = 0; part < 3; part += 1) {
    const difference = (have?.[part] ?? 0) - (want?.[part] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
