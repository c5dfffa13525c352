/** The product's pipeline and tasks as they stand in the repository; shared by the tests of this folder. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expandPipeline, type ExpandedPipeline } from '../../lab/runner/run.ts';
import type { Plain } from '../../lab/runner/tree.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const PIPELINE = 'pipelines/cycle.yml';
export const GATES = ['environment', 'manual', 'none'] as const;
/** Stages of one slot, in the order of the design. */
export const STAGES = [
  ...['plan', 'provision', 'remove_dead', 'join', 'traffic'],
  ...['controlplane', 'etcd', 'node', 'delete'],
] as const;
export const GATED: readonly string[] = ['remove_dead', 'controlplane', 'etcd', 'node'];

export interface Manifest {
  name: string;
  version: { Major: number };
  inputs: {
    name: string;
    type: string;
    required?: boolean;
    defaultValue?: string;
    options?: Record<string, string>;
  }[];
  outputVariables?: { name: string }[];
}

export const TASK_NAMES: readonly string[] = readdirSync(join(ROOT, 'tasks'), { withFileTypes: true })
  .filter((entry) => existsSync(join(ROOT, 'tasks', entry.name, 'task.json')))
  .map((entry) => entry.name);

export function manifest(name: string): Manifest {
  return JSON.parse(readFileSync(join(ROOT, 'tasks', name, 'task.json'), 'utf8')) as Manifest;
}

/** All files of the pipeline, by their path in the repository. */
export function pipelineFiles(): Record<string, string> {
  const templates = readdirSync(join(ROOT, 'pipelines/templates')).map((name) => `pipelines/templates/${name}`);
  return Object.fromEntries(
    [PIPELINE, ...templates].map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]),
  );
}

export function expand(parameters: Record<string, Plain> = {}): Promise<ExpandedPipeline> {
  const files = pipelineFiles();
  return expandPipeline({
    readPipelineFile: (path) => Promise.resolve(files[path]),
    pipelinePath: PIPELINE,
    parameters,
  });
}
