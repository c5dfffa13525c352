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
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { hostScripts } from './host-scripts.mjs';

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

/** A module that is left out: it loads, and says what it is when something of it is called after all. */
const absent = (name) =>
  `module.exports = new Proxy({}, { get: (_, key) => function () {
    throw new Error(String(key) + ' of ${name} is left out of this bundle: scripts/build.mjs');
  } });`;

/**
 * What libraries of the tasks load at their start although no task calls it; each task would pay for it in bytes
 * and in time. [the file, below node_modules; what stands in for it].
 */
const LEFT_OUT = [
  // Tasks read inputs and write commands; they start no tools with this library and match no patterns.
  ['azure-pipelines-task-lib/toolrunner.js', absent('the tool runner')],
  ['azure-pipelines-task-lib/externaloutput.js', absent('the external output')],
  ['minimatch/minimatch.js', absent('minimatch')],
  // The library asks whether Node is older than 4.2, and whether the agent is older than x.y.z.
  [
    'semver/semver.js',
    `const parts = (version) => version.split('.').map((part) => parseInt(part, 10));
    exports.lt = (a, b) => {
      const [one, other] = [parts(a), parts(b)];
      const at = one.findIndex((part, index) => part !== other[index]);
      return at >= 0 && one[at] < other[at];
    };`,
  ],
  // Its messages in ten languages; the log is English.
  ['azure-pipelines-task-lib/lib-resource.js', (file) => onlyMessages(file)],
  // ssh2 as a client that runs commands: no server, no SFTP, no agent, no key with a passphrase (bcrypt).
  ['ssh2/lib/index.js', `exports.Client = require('./client.js');`],
  ['ssh2/lib/protocol/SFTP.js', absent('SFTP')],
  ['ssh2/lib/agent.js', 'exports.isAgent = () => false;'],
  ['bcrypt-pbkdf/index.js', absent('bcrypt')],
  // execa as ports/run.ts uses it: no messages to a child, no synchronous call, no pipe into another child, no
  // stream that stands for a child, no log of its own.
  [
    'execa/index.js',
    `import { createExeca } from './lib/methods/create.js'; export const execa = createExeca(() => ({}));`,
  ],
  [
    'execa/lib/methods/main-sync.js',
    `export const execaCoreSync = () => { throw new Error('execaSync is left out: scripts/build.mjs'); };`,
  ],
  ['execa/lib/ipc/methods.js', 'export const addIpcMethods = () => {};'],
  [
    'execa/lib/ipc/ipc-input.js',
    'export const sendIpcInput = async () => {}; export const validateIpcInputOption = () => {};',
  ],
  [
    'execa/lib/ipc/buffer-messages.js',
    `export const waitForIpcOutput = async ({ ipcOutput }) => ipcOutput;
    export const getBufferedIpcOutput = async (_promise, ipcOutput) => ipcOutput;`,
  ],
  [
    'execa/lib/ipc/graceful.js',
    `export const sendAbort = () => { throw new Error('gracefulCancel is left out: scripts/build.mjs'); };`,
  ],
  ['execa/lib/convert/add.js', 'export const addConvertedStreams = () => {};'],
  [
    'execa/lib/pipe/setup.js',
    `export const pipeToSubprocess = () => { throw new Error('pipe is left out: scripts/build.mjs'); };`,
  ],
  ['figures/index.js', 'export default {};'],
  ['pretty-ms/index.js', 'export default String;'],
];
const leftOut = new Set();

const onlyWhatTasksUse = {
  name: 'only-what-tasks-use',
  setup({ onLoad, onResolve }) {
    for (const [file, contents] of LEFT_OUT)
      onLoad({ filter: new RegExp(`/node_modules/${file.replaceAll('.', '\\.')}$`) }, ({ path }) => {
        leftOut.add(file);
        return {
          contents: typeof contents === 'string' ? contents : contents(path),
          loader: 'js',
          resolveDir: dirname(path),
        };
      });
    // Only the tool runner and rmRF start processes.
    onResolve({ filter: /^child_process$/ }, ({ importer }) =>
      importer.includes('azure-pipelines-task-lib')
        ? { path: 'child_process', namespace: 'absent' }
        : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({ contents: absent(path), loader: 'js' }));
    // The package's ES modules: what is not imported is left out. Under the condition `node` it is one CommonJS whole.
    onResolve({ filter: /^yaml$/ }, () => ({ path: join(root, 'node_modules/yaml/browser/dist/index.js') }));
    // No file of ours does anything when it is imported but a task's main.ts, which nobody imports.
    onResolve({ filter: /^\.\.?\/.*\.ts$/ }, ({ path, resolveDir, kind }) =>
      kind === 'import-statement' ? { path: join(resolveDir, path), sideEffects: false } : undefined,
    );
  },
};

/**
 * What node-powershell brings along and a session never uses: converters of values, time limits, sizes. `debug` would
 * print what guests have said to the service's output when the environment has DEBUG.
 */
const STAND_INS = new Map([
  ['debug', 'const none = () => Object.assign(() => {}, { extend: none }); module.exports = none;'],
  ['is-wsl', 'module.exports = false;'],
  ['p-timeout', `module.exports = Object.assign(${refusal('p-timeout')}, { TimeoutError: Error });`],
  ...['bytes', 'kind-of', 'ms'].map((name) => [name, `module.exports = ${refusal(name)};`]),
]);
const stoodIn = new Set();

const onlyWhatSessionsUse = {
  name: 'only-what-sessions-use',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^[a-z-]+$/ }, ({ path }) =>
      STAND_INS.has(path) ? { path, namespace: 'stand-in' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'stand-in' }, ({ path }) => {
      stoodIn.add(path);
      return { contents: STAND_INS.get(path), loader: 'js' };
    });
  },
};

function refusal(name) {
  return `() => { throw new Error('${name} is left out of this bundle: scripts/build.mjs'); }`;
}

function onlyMessages(file) {
  const { messages } = createRequire(file)(file);
  return `module.exports = ${JSON.stringify({ messages })};`;
}

const started = process.hrtime.bigint();
const tasks = existsSync(join(root, 'tasks'))
  ? readdirSync(join(root, 'tasks')).filter((name) => existsSync(join(root, 'tasks', name, 'main.ts')))
  : [];
/** Bundles that are made in one go: what they share is read once. */
const groups = [
  {
    entries: tasks.sort().map((name) => [`tasks/${name}/main.ts`, `dist/tasks/${name}/index.js`]),
    plugins: [withoutNative, onlyWhatTasksUse],
    firstLine: '',
  },
  { entries: BRIDGE, plugins: [withoutNative, onlyWhatSessionsUse], firstLine: '', define: hostScripts() },
  { entries: LAB, plugins: [withoutNative], firstLine: '#!/usr/bin/env node\n' },
];
const entries = groups.flatMap((group) => group.entries);

removeStale();
const results = await Promise.allSettled(groups.map(bundles));
const built = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
// esbuild has printed what is wrong; the other groups are written all the same.
const broken = groups.filter((_, at) => results[at].status === 'rejected');
for (const name of tasks)
  for (const file of ['task.json', 'icon.png']) {
    const from = join(root, 'tasks', name, file);
    if (existsSync(from)) put(`dist/tasks/${name}/${file}`, readFileSync(from));
  }
// index.js is CommonJS, while the package around it says module.
if (tasks.length > 0) put('dist/tasks/package.json', '{ "type": "commonjs" }\n');
const hashes = Object.fromEntries(built.map(({ target, sha256 }) => [target, sha256]));
put('dist/bundles.json', `${JSON.stringify(hashes, undefined, 2)}\n`);
const madeOf = Object.fromEntries(built.map(({ target, parts }) => [target, parts]));
put('dist/made-of.json', `${JSON.stringify(madeOf, undefined, 2)}\n`);

if (!process.argv.includes('--quiet'))
  for (const each of built)
    console.log(`build: ${each.target} ${kilobytes(each.size)} (gzip ${kilobytes(each.gzip)})`);
const missing = entries.map(([source]) => source).filter((source) => !existsSync(join(root, source)));
if (missing.length > 0) console.log(`build: no source, left out: ${missing.join(', ')}`);
console.log(`build: ${built.length} bundles in ${(process.hrtime.bigint() - started) / 1_000_000n} ms`);

// A library that was rearranged would silently come back whole.
const unmet = [
  ...LEFT_OUT.map(([file]) => file).filter((file) => tasks.length > 0 && !leftOut.has(file)),
  ...[...STAND_INS.keys()].filter((name) => !stoodIn.has(name)),
];
if (broken.length === 0 && unmet.length > 0) {
  console.error(`build: FAILED: no bundle holds what is to be left out: ${unmet.join(', ')}`);
  process.exit(1);
}
if (broken.length > 0) {
  console.error(
    `build: FAILED, one of: ${broken.flatMap((group) => group.entries.map(([source]) => source)).join(', ')}`,
  );
  process.exit(1);
}

async function bundles({ entries: wanted, plugins, firstLine, define = {} }) {
  const present = wanted.filter(([source]) => existsSync(join(root, source)));
  const result = await build({
    absWorkingDir: root,
    entryPoints: present.map(([source, target]) => ({ in: source, out: target.replace(/\.c?js$/, '') })),
    outdir: '.',
    write: false,
    metafile: true,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minify: true,
    // V8 reads a source of one-byte characters in half the time.
    charset: 'ascii',
    legalComments: 'eof',
    mainFields: ['module', 'main'],
    conditions: ['node', 'import'],
    define: { 'import.meta.url': '__moduleUrl', ...define },
    banner: {
      js: `${firstLine}const __moduleUrl=require("node:url").pathToFileURL(__filename).href;`,
    },
    plugins,
    logLevel: 'warning',
  });
  return present.map(([, target]) => {
    const path = join(root, target).replace(/\.cjs$/, '.js');
    const bytes = result.outputFiles.find((file) => file.path === path).contents;
    put(target, bytes, 0o755);
    const output = Object.entries(result.metafile.outputs).find(([name]) => join(root, name) === path);
    return {
      target,
      parts: partsOf(output[1].inputs),
      size: bytes.length,
      gzip: gzipSync(bytes).length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    };
  });
}

/** What a bundle is made of, in bytes of the bundle: our files, and libraries by their folder. */
function partsOf(inputs) {
  const own = {};
  const libraries = {};
  for (const [input, { bytesInOutput }] of Object.entries(inputs)) {
    if (bytesInOutput === 0) continue;
    const [library] = /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(input) ?? [];
    if (library === undefined) own[input] = bytesInOutput;
    else libraries[library] = (libraries[library] ?? 0) + bytesInOutput;
  }
  return { own, libraries };
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
