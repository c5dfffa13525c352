/** task.json as the agent reads it: which file runs, which inputs there are, which variables may be set. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { refusal, type Position } from './tree.ts';

export interface TaskManifest {
  name: string;
  majorVersion: number;
  /** Path of the bundle of the handler that the agent would choose. */
  bundle: string;
  /** The folder of the task. */
  folder: string;
  inputs: TaskInput[];
  /** Undefined when the task may set every variable. */
  settableVariables: readonly string[] | undefined;
  minimumAgentVersion: string | undefined;
}

export interface TaskInput {
  name: string;
  aliases?: readonly string[];
  type: string;
  defaultValue?: string | boolean | number;
  required?: boolean;
  options?: Readonly<Record<string, string>>;
  visibleRule?: string;
  properties?: Readonly<Record<string, string>>;
}

interface TaskFile {
  name: string;
  version: { Major: number | string };
  minimumAgentVersion?: string;
  inputs?: TaskInput[];
  execution?: Record<string, { target?: string }>;
  restrictions?: { settableVariables?: { allowed?: string[] } };
}

/** In the order in which the agent prefers them. Node 20 runs both (facts/azure-pipelines.md). */
const HANDLERS = ['Node24', 'Node20_1'];

/** @throws CodedError NC9105 */
export async function readTaskManifest(tasksDir: string, task: string, at: Position): Promise<TaskManifest> {
  const folder = join(tasksDir, task);
  let file: TaskFile;
  try {
    file = JSON.parse(await readFile(join(folder, 'task.json'), 'utf8')) as TaskFile;
  } catch (error) {
    throw refusal(
      'NC9105',
      at,
      `the task '${task}' has no readable task.json: ${(error as Error).message}`,
      error,
    );
  }
  if (file.name !== task)
    throw refusal('NC9105', at, `the task.json of '${task}' has the name '${file.name}'.`);
  const declared = Object.keys(file.execution ?? {});
  const handler = HANDLERS.find((name) => declared.includes(name));
  const target = handler && file.execution?.[handler]?.target;
  if (!target) {
    const hint = declared.includes('Node20') ? " ('Node20' silently gets Node 16; the name is Node20_1)" : '';
    throw refusal(
      'NC9105',
      at,
      `'${task}' declares the handlers ${declared.join(', ') || 'none'}${hint}; expected ${HANDLERS.join(' or ')}.`,
    );
  }
  const bundle = join(folder, target);
  if (!(await stat(bundle).catch(() => undefined))?.isFile()) {
    throw refusal('NC9105', at, `the file '${target}' of the task '${task}' is missing; build first.`);
  }
  return {
    name: task,
    majorVersion: Number(file.version.Major),
    bundle,
    folder,
    inputs: file.inputs ?? [],
    settableVariables: file.restrictions?.settableVariables?.allowed,
    minimumAgentVersion: file.minimumAgentVersion,
  };
}
