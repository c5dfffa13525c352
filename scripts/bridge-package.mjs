/**
 * The bridge for a host, one file: `dist/node-cycle-bridge-<version>.zip` with its bundles, its scripts, its licence
 * and those of the libraries inside, and SHA256SUMS. The same source gives the same bytes, wherever it is built.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zip } from './zip.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const BUNDLES = ['bridge.cjs', 'bridge-admin.cjs'];
const SCRIPTS = 'agent-bridge/host/scripts';
const INSTALLER = 'agent-bridge/install';
/** Libraries whose package has no licence text, though their repository has one: the text, kept here. */
const TEXTS_KEPT = new Map(
  ['accumulate-stream', 'child-shell', 'node-powershell', 'trim-buffer'].map((name) => [
    name,
    'scripts/licences/node-powershell.txt',
  ]),
);

/** Reads `dist/`, so the build comes first. Gives what it wrote. */
export function writeBridgePackage() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const files = new Map();
  for (const name of BUNDLES) files.set(name, readFileSync(join(root, 'dist/agent-bridge', name)));
  for (const name of readdirSync(join(root, SCRIPTS)).filter((each) => each.endsWith('.ps1')))
    files.set(`scripts/${name}`, readFileSync(join(root, SCRIPTS, name)));
  for (const name of readdirSync(join(root, INSTALLER)).filter((each) => each.endsWith('.ps1')))
    files.set(name, readFileSync(join(root, INSTALLER, name)));
  files.set('LICENSE', readFileSync(join(root, 'LICENSE')));
  files.set('THIRD-PARTY-LICENSES.txt', Buffer.from(licences()));
  files.set('SHA256SUMS', Buffer.from(sums(files)));

  const bytes = zip(files);
  const path = `dist/node-cycle-bridge-${version}.zip`;
  writeFileSync(join(root, path), bytes);
  return { path, files: files.size, bytes: bytes.length, sha256: sha256(bytes) };
}

/** Every library of which a byte is in a bundle, as esbuild says. */
function licences() {
  const madeOf = JSON.parse(readFileSync(join(root, 'dist/made-of.json'), 'utf8'));
  const dirs = new Set(BUNDLES.flatMap((name) => Object.keys(madeOf[`dist/agent-bridge/${name}`].libraries)));
  const chapters = [...dirs].sort().map((dir) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, dir, 'package.json'), 'utf8'));
    const texts = readdirSync(join(root, dir))
      .filter((file) => /^(licen[cs]e|copying|notice)(\.|$)/i.test(file))
      .sort()
      .map((file) => join(dir, file))
      .concat(TEXTS_KEPT.get(name) ?? [])
      .map((path) => readFileSync(join(root, path), 'utf8').replaceAll('\r\n', '\n').trim());
    if (typeof license !== 'string' || texts.length === 0)
      throw new Error(`${dir} has no licence in its package.json, or no text of it`);
    return [`${name} ${version} (${license})`, ...texts].join('\n\n');
  });
  return `Libraries that are part of bridge.cjs or bridge-admin.cjs.\n\n${chapters.join(`\n\n${'-'.repeat(72)}\n\n`)}\n`;
}

/** As `sha256sum --check` reads it. */
function sums(files) {
  return [...files.keys()]
    .sort()
    .map((name) => `${sha256(files.get(name))}  ${name}\n`)
    .join('');
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { path, files, bytes, sha256: hash } = writeBridgePackage();
  console.log(`package: ${path}, ${files} files, ${Math.round(bytes / 1024)} KB, SHA-256 ${hash}`);
}
