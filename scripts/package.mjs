/**
 * The bridge's package, and one VSIX of the tasks in dist/. The VSIX is made with tfx-cli, which only warns about what
 * the marketplace refuses: any warning fails here, and what tfx does not look at is checked afterwards in the VSIX.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeBridgePackage } from './bridge-package.mjs';
import { readVsix } from './vsix.mjs';

/** Files a task may have in the VSIX: its bundle, task.json, icon, and room for two. */
const MOST_FILES = 5;
/** What it is now and a little more: growth fails. The aim is below the peers, 1.40 MB (GitTools). */
const LARGEST_BYTES = 2_400_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stage = join(root, 'dist', 'extension');
const manifest = JSON.parse(readFileSync(join(root, 'vss-extension.json'), 'utf8'));
const target = join(root, 'dist', `node-cycle-${manifest.version}.vsix`);
const wanted = manifest.contributions
  .filter(({ type }) => type === 'ms.vss-distributed-task.task')
  .map(({ properties }) => properties.name);

const unbuilt = wanted.filter((path) => !existsSync(join(root, 'dist', path, 'index.js')));
if (unbuilt.length > 0) fail(`no bundle for ${unbuilt.join(', ')}: run npm run build`);

rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
for (const path of wanted) cpSync(join(root, 'dist', path), join(stage, path), { recursive: true });
for (const path of ['vss-extension.json', 'images', 'docs/overview.md', 'LICENSE'])
  cpSync(join(root, path), join(stage, path), { recursive: true });
rmSync(target, { force: true });

const tfx = join(root, 'node_modules', 'tfx-cli', '_build', 'tfx-cli.js');
const run = spawnSync(
  process.execPath,
  [tfx, 'extension', 'create', '--root', stage, '--manifest-globs', 'vss-extension.json'].concat([
    '--output-path',
    target,
    '--no-prompt',
    '--no-color',
  ]),
  { cwd: stage, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } },
);
const output = `${run.stdout ?? ''}${run.stderr ?? ''}`;
if (run.status !== 0 || /warning:/i.test(output) || !existsSync(target))
  fail(`tfx did not accept the extension:\n${output.trim()}`);

const files = readVsix(readFileSync(target));
const faults = [];
for (const path of wanted) {
  const names = [...files.keys()].filter((name) => name.startsWith(`${path}/`));
  if (names.length > MOST_FILES)
    faults.push(`${path} has ${names.length} files, at most ${MOST_FILES} are allowed`);
  for (const file of ['index.js', 'task.json', 'icon.png']) {
    const inside = files.get(`${path}/${file}`);
    const built = join(root, 'dist', path, file);
    if (inside === undefined) faults.push(`${path}/${file} is missing`);
    else if (!existsSync(built) || !readFileSync(built).equals(inside))
      faults.push(`${path}/${file} differs from dist/`);
    else if (file === 'icon.png' && !isPng(inside)) faults.push(`${path}/${file} is not a PNG`);
  }
}
const icon = files.get(manifest.icons.default);
if (icon === undefined || !isPng(icon))
  faults.push(`the icon ${manifest.icons.default} is missing or not a PNG`);
const stray = readdirSync(join(root, 'dist', 'tasks'), { withFileTypes: true })
  .filter((each) => each.isDirectory() && !wanted.includes(`tasks/${each.name}`))
  .map(({ name }) => name);
if (stray.length > 0) faults.push(`tasks without a contribution in vss-extension.json: ${stray.join(', ')}`);
const bytes = statSync(target).size;
if (bytes > LARGEST_BYTES) faults.push(`${bytes} bytes, at most ${LARGEST_BYTES} are allowed`);
if (faults.length > 0) fail(faults.join('\n'));
console.log(
  `package: dist/node-cycle-${manifest.version}.vsix, ${wanted.length} tasks, ${files.size} files, ${Math.round(bytes / 1024)} KB`,
);
const bridge = writeBridgePackage();
console.log(
  `package: ${bridge.path}, ${bridge.files} files, ${Math.round(bridge.bytes / 1024)} KB, SHA-256 ${bridge.sha256}`,
);

function isPng(data) {
  return data.subarray(0, 8).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]));
}

function fail(message) {
  console.error(`package: ${message}`);
  process.exit(1);
}
