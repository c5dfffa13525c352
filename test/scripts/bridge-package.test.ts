/** The bridge's package, made twice of two copies of the source that differ in everything but the source. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { readVsix } from '../../scripts/vsix.mjs';
import { BRIDGE_VERSION } from '../../agent-bridge/service/bridge.ts';
import { filesBelow, ROOT, textOf } from '../repository/tree.ts';

const SOURCE = ['agent-bridge', 'ports', 'scripts', 'LICENSE', 'package.json'];
/** What the build of the bridge needs besides. */
const MODULES = ['esbuild', '@esbuild', 'yaml', 'zod'].concat([
  'node-powershell',
  'child-shell',
  'accumulate-stream',
  'trim-buffer',
  'p-queue',
  'eventemitter3',
  'nanoid',
]);
/** Whose package has no text of its licence: it is kept in scripts/licences. */
const KEPT = ['accumulate-stream', 'child-shell', 'node-powershell', 'trim-buffer'];
const { version } = JSON.parse(textOf('package.json')) as { version: string };
const PACKAGE = `dist/node-cycle-bridge-${version}.zip`;

interface MadeOf {
  own: Record<string, number>;
  libraries: Record<string, number>;
}

describe('the package of the bridge', function () {
  this.timeout(60_000);
  const dir = mkdtempSync(join(tmpdir(), 'package-'));
  let one: Buffer;
  let other: Buffer;
  let files: Map<string, Buffer>;
  let madeOf: Record<string, MadeOf>;

  before(() => {
    const first = copied('first');
    const second = copied(join('at', 'another', 'and a longer path'));
    everyFile(second, (path) => {
      chmodSync(path, 0o700);
      utimesSync(path, 1_000_000_000, 1_000_000_000);
    });
    one = built(first, '022', { TZ: 'UTC' });
    other = built(second, '077', { TZ: 'Asia/Tokyo', LANG: 'de_DE.UTF-8' });
    files = readVsix(one);
    madeOf = JSON.parse(readFileSync(join(first, 'dist', 'made-of.json'), 'utf8')) as Record<string, MadeOf>;
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('is byte for byte the same from another place, umask, time and time zone', () => {
    assert.ok(one.length > 100_000);
    assert.ok(one.equals(other));
  });

  it('holds the bundles, the scripts, the installer, the licences and their sums, and nothing else', () => {
    const installer = filesBelow('agent-bridge/install').filter((path) => path.endsWith('.ps1'));
    assert.equal(installer.length, 2);
    const scripts = filesBelow('agent-bridge/host/scripts').filter((path) => path.endsWith('.ps1'));
    assert.ok(scripts.length > 10);
    assert.deepEqual(
      [...files.keys()],
      [
        'LICENSE',
        'SHA256SUMS',
        'THIRD-PARTY-LICENSES.txt',
        'bridge-admin.cjs',
        'bridge.cjs',
        ...installer.map((path) => path.replace('agent-bridge/install/', '')).sort(),
        ...scripts.map((path) => path.replace('agent-bridge/host/', '')),
      ],
    );
    for (const path of scripts)
      assert.equal(files.get(path.replace('agent-bridge/host/', ''))?.toString(), textOf(path));
    for (const path of installer)
      assert.equal(files.get(path.replace('agent-bridge/install/', ''))?.toString(), textOf(path));
  });

  it('has the sum of every file but the list of sums', () => {
    const lines = inside('SHA256SUMS').trimEnd().split('\n');
    assert.equal(lines.length, files.size - 1);
    for (const line of lines) {
      const [sum, name = ''] = line.split('  ');
      const bytes = files.get(name);
      assert.ok(bytes, name);
      assert.equal(createHash('sha256').update(bytes).digest('hex'), sum, name);
    }
  });

  it('is a zip that can also be read from its beginning', () => {
    let at = 0;
    for (const [name, bytes] of files) {
      assert.equal(one.readUInt32LE(at), 0x04034b50, name);
      assert.equal(one.readUInt32LE(at + 14), crc32(bytes), name);
      assert.equal(one.readUInt32LE(at + 22), bytes.length, name);
      const start = at + 30 + one.readUInt16LE(at + 26);
      assert.equal(one.toString('utf8', at + 30, start), name);
      assert.ok(one.subarray(start, start + bytes.length).equals(bytes), name);
      at = start + bytes.length;
    }
    assert.equal(one.readUInt32LE(at), 0x02014b50);
  });

  it('has the licence text of each library that has a byte in a bundle', () => {
    const dirs = bundles().flatMap(({ libraries }) => Object.keys(libraries));
    assert.ok(dirs.length > 0);
    const text = inside('THIRD-PARTY-LICENSES.txt');
    for (const library of dirs) {
      const {
        name,
        version: its,
        license,
      } = JSON.parse(textOf(`${library}/package.json`)) as {
        name: string;
        version: string;
        license: string;
      };
      assert.ok(text.includes(`${name} ${its} (${license})`), name);
      const place = KEPT.includes(name) ? 'scripts/licences/node-powershell.txt' : licenceOf(library);
      assert.ok(text.includes(textOf(place).trim()), name);
    }
  });

  it('has no library but those of decision 0010, of about the size that it says', () => {
    const rows = [
      ...textOf('docs/decisions/0010-few-dependencies-on-the-host.md').matchAll(
        /^\| ([a-z0-9@/-]+) \| (\S+) \| (\S+) \| ([\d.]+) KB \|/gm,
      ),
    ];
    assert.deepEqual(
      rows.map(([, name]) => `node_modules/${name ?? ''}`).sort(),
      [...new Set(bundles().flatMap(({ libraries }) => Object.keys(libraries)))].sort(),
    );
    const serving = madeOf['dist/agent-bridge/bridge.cjs'];
    for (const [, name = '', stated, licence, kilobytes] of rows) {
      const { version: its, license } = JSON.parse(textOf(`node_modules/${name}/package.json`)) as {
        version: string;
        license: string;
      };
      assert.deepEqual([stated, licence], [its, license], name);
      const is = (serving?.libraries[`node_modules/${name}`] ?? 0) / 1024;
      assert.ok(Math.abs(is - Number(kilobytes)) < is / 10, `${name} is ${is} KB, stated ${kilobytes ?? ''}`);
    }
  });

  it('makes certificates in the bundle of the admin commands, and has nothing that could in the one that serves', () => {
    const [serving, admin] = bundles().map(({ own }) => Object.keys(own));
    const makers = ['issue', 'der', 'enroll', 'rotate'].map(
      (name) => `agent-bridge/service/certificates/${name}.ts`,
    );
    for (const maker of makers) {
      assert.ok(admin?.includes(maker), maker);
      assert.ok(!serving?.includes(maker), maker);
    }
    // Whatever file it stood in: a key is made with one of these, and a certificate signed with the other.
    for (const call of ['generateKeyPair', 'createSign', 'BEGIN CERTIFICATE REQUEST'])
      assert.ok(!inside('bridge.cjs').includes(call), call);
    assert.ok(inside('bridge-admin.cjs').includes('generateKeyPairSync'));
  });

  it('is named and says itself the version of package.json', () => {
    assert.equal(BRIDGE_VERSION, version);
    assert.ok(inside('bridge.cjs').includes(version));
    assert.ok(textOf('README.md').includes(`\`${PACKAGE}\``));
  });

  const inside = (name: string): string => files.get(name)?.toString() ?? '';
  const bundles = (): MadeOf[] =>
    ['bridge.cjs', 'bridge-admin.cjs'].map((name) => {
      const parts = madeOf[`dist/agent-bridge/${name}`];
      assert.ok(parts, name);
      return parts;
    });

  function copied(place: string): string {
    const root = join(dir, place);
    mkdirSync(join(root, 'node_modules'), { recursive: true });
    for (const path of [...SOURCE, ...MODULES.map((name) => `node_modules/${name}`)])
      cpSync(join(ROOT, path), join(root, path), { recursive: true });
    return root;
  }
});

function licenceOf(library: string): string {
  const file = readdirSync(join(ROOT, library)).find((name) => /^licen[cs]e/i.test(name));
  assert.ok(file, library);
  return `${library}/${file}`;
}

function built(root: string, umask: string, env: Record<string, string>): Buffer {
  for (const script of ['build.mjs', 'bridge-package.mjs'])
    execFileSync('sh', ['-c', `umask ${umask} && exec "$0" "scripts/${script}"`, process.execPath], {
      ...{ cwd: root, stdio: ['ignore', 'ignore', 'inherit'], env: { PATH: process.env['PATH'], ...env } },
    });
  return readFileSync(join(root, PACKAGE));
}

function everyFile(folder: string, change: (path: string) => void): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) everyFile(path, change);
    else change(path);
  }
}
