/**
 * Bundles what runs outside this repository: each task to one CommonJS file, the bridge, and the executables
 * of the lab. The same source gives the same bytes; a file is written only when its bytes differ.
 */
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** [source, bundle]; executables of the lab are started by their path. */
const BRIDGE = [
  ['agent-bridge/service/main.ts', 'dist/agent-bridge/bridge.cjs'],
  ['agent-bridge/service/admin.ts', 'dist/agent-bridge/bridge-admin.cjs'],
];
const LAB = [
  ['lab/servers/rke-main.ts', 'dist/lab/rke.cjs'],
  ['lab/servers/engine.ts', 'dist/lab/engine.cjs'],
  ['lab/traffic/main.ts', 'dist/lab/traffic.cjs'],
];

/** ssh2 tries two native modules and goes on without them: a bundle that runs on any agent has neither. */
const withoutNative = {
  name: 'without-native',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /\.node$|^cpu-features$/ }, ({ path }) => ({ path, namespace: 'native' }));
    onLoad({ filter: /.*/, namespace: 'native' }, () => ({
      contents: 'throw new Error("native modules are not bundled");',
      loader: 'js',
    }));
  },
};

const started = process.hrtime.bigint();
const tasks = existsSync(join(root, 'tasks'))
  ? readdirSync(join(root, 'tasks')).filter((name) => existsSync(join(root, 'tasks', name, 'main.ts')))
  : [];
const entries = [
  ...tasks.sort().map((name) => [`tasks/${name}/main.ts`, `dist/tasks/${name}/index.js`]),
  ...BRIDGE,
  ...LAB,
];

removeStale();
const results = await Promise.allSettled(entries.map(([source, target]) => bundle(source, target)));
const built = results.map((result) => (result.status === 'fulfilled' ? result.value : undefined));
// esbuild has printed what is wrong; the other bundles are written all the same.
const broken = entries.filter((_, at) => results[at].status === 'rejected').map(([source]) => source);
for (const name of tasks)
  for (const file of ['task.json', 'icon.png']) {
    const from = join(root, 'tasks', name, file);
    if (existsSync(from)) put(`dist/tasks/${name}/${file}`, readFileSync(from));
  }
// index.js is CommonJS, while the package around it says module.
if (tasks.length > 0) put('dist/tasks/package.json', '{ "type": "commonjs" }\n');
const bundles = Object.fromEntries(built.filter(Boolean).map(({ target, sha256 }) => [target, sha256]));
put('dist/bundles.json', `${JSON.stringify(bundles, undefined, 2)}\n`);

if (!process.argv.includes('--quiet'))
  for (const each of built.filter(Boolean))
    console.log(`build: ${each.target} ${kilobytes(each.size)} (gzip ${kilobytes(each.gzip)})`);
const absent = entries.map(([source]) => source).filter((source) => !existsSync(join(root, source)));
if (absent.length > 0) console.log(`build: no source, left out: ${absent.join(', ')}`);
console.log(
  `build: ${Object.keys(bundles).length} bundles in ${(process.hrtime.bigint() - started) / 1_000_000n} ms`,
);

if (broken.length > 0) {
  console.error(`build: FAILED: ${broken.join(', ')}`);
  process.exit(1);
}

async function bundle(source, target) {
  if (!existsSync(join(root, source))) return undefined;
  const result = await build({
    absWorkingDir: root,
    entryPoints: [source],
    outfile: target,
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minify: true,
    charset: 'utf8',
    legalComments: 'eof',
    mainFields: ['module', 'main'],
    conditions: ['node', 'import'],
    define: { 'import.meta.url': '__moduleUrl' },
    banner: {
      js: `${source.startsWith('lab/') ? '#!/usr/bin/env node\n' : ''}const __moduleUrl=require("node:url").pathToFileURL(__filename).href;`,
    },
    plugins: [withoutNative],
    logLevel: 'warning',
  });
  const bytes = result.outputFiles[0].contents;
  put(target, bytes, 0o755);
  return {
    target,
    size: bytes.length,
    gzip: gzipSync(bytes).length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}

function put(path, bytes, mode = 0o644) {
  const file = join(root, path);
  const wanted = Buffer.from(bytes);
  if (existsSync(file) && readFileSync(file).equals(wanted)) return;
  mkdirSync(dirname(file), { recursive: true });
  const next = `${file}.${process.pid}`;
  writeFileSync(next, wanted);
  chmodSync(next, mode);
  renameSync(next, file);
}

function removeStale() {
  const dir = join(root, 'dist', 'tasks');
  if (!existsSync(dir)) return;
  for (const each of readdirSync(dir, { withFileTypes: true }))
    if (each.isDirectory() && !tasks.includes(each.name)) rmSync(join(dir, each.name), { recursive: true });
}

function kilobytes(bytes) {
  return `${Math.round(bytes / 1024)} KB`;
}
