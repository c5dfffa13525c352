/**
 * Sets one version everywhere: `node scripts/versions.mjs 0.2.0`. Agents cache a task by its version, so code
 * that changes without it never runs.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const version = process.argv[2] ?? '';
const [, major, minor, patch] = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/.exec(version) ?? [];
if (major === undefined) {
  console.error('versions: expected three numbers such as 0.2.0, found ' + JSON.stringify(version));
  process.exit(1);
}
const tasks = readdirSync(join(root, 'tasks')).map((name) => `tasks/${name}/task.json`);

edit('package.json', [[/("version": )"[^"]*"/, `$1"${version}"`]]);
edit('package-lock.json', [
  [/("version": )"[^"]*"/, `$1"${version}"`],
  [/("packages": \{\s*"": \{\s*"name": "node-cycle",\s*"version": )"[^"]*"/, `$1"${version}"`],
]);
edit('vss-extension.json', [[/("version": )"[^"]*"/, `$1"${version}"`]]);
edit('agent-bridge/service/bridge.ts', [[/(BRIDGE_VERSION = )'[^']*'/, `$1'${version}'`]]);
for (const path of tasks)
  edit(path, [
    [/("Major": )"?\d+"?/, `$1${major}`],
    [/("Minor": )"?\d+"?/, `$1${minor}`],
    [/("Patch": )"?\d+"?/, `$1${patch}`],
  ]);

function edit(path, changes) {
  const file = join(root, path);
  if (!existsSync(file)) return;
  const before = readFileSync(file, 'utf8');
  const after = changes.reduce((text, [pattern, replacement]) => {
    if (!pattern.test(text)) throw new Error(`${path}: no place for the version (${pattern.source})`);
    return text.replace(pattern, replacement);
  }, before);
  if (after !== before) writeFileSync(file, after);
  console.log(`versions: ${path} ${after === before ? 'is' : 'set to'} ${version}`);
}
