/**
 * Writes what is derived from the source: the JSON Schemas for editors, the lists of keys, errors, task inputs
 * and operations. With `--check` it writes nothing and fails when a committed file differs.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import {
  bridgeJsonSchema,
  configDocument,
  configJsonSchema,
  errorsDocument,
  tasksDocument,
} from './documents.ts';
import type { TaskManifest } from './documents.ts';
import { operationsDocument } from './operations-document.ts';
import { proxyDocument } from './proxy-document.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Path in the repository → its text. */
export async function generated(): Promise<Record<string, string>> {
  const tasks = readdirSync(join(root, 'tasks'))
    .map((name) => join(root, 'tasks', name, 'task.json'))
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')) as TaskManifest);
  const files: Record<string, string> = {
    'schemas/node-cycle.schema.json': await json(configJsonSchema()),
    'schemas/bridge.schema.json': await json(bridgeJsonSchema()),
    'docs/config.md': configDocument(),
    'docs/errors.md': errorsDocument(),
    'docs/operations.md': operationsDocument(),
    'docs/proxy.md': proxyDocument(),
  };
  if (tasks.length > 0) files['docs/tasks.md'] = tasksDocument(tasks);
  return files;
}

const json = (schema: object): Promise<string> =>
  format(JSON.stringify(schema), { parser: 'json', printWidth: 110 });

async function main(check: boolean): Promise<void> {
  const stale: string[] = [];
  for (const [path, text] of Object.entries(await generated())) {
    const file = join(root, path);
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
    stale.push(path);
    if (check) continue;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    console.log(`generate: ${path}`);
  }
  if (check && stale.length > 0) {
    console.error(`generate: not as generated: ${stale.join(', ')}; run npm run generate`);
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.includes('--check'));
