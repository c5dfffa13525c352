/** What the bridge's bundles are built with: the scripts of the host, as they are in this tree. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dir = join(dirname(dirname(fileURLToPath(import.meta.url))), 'agent-bridge', 'host', 'scripts');

/** For esbuild's `define`; see agent-bridge/host/script-texts.ts. */
export function hostScripts() {
  const files = readdirSync(dir)
    .filter((name) => name.endsWith('.ps1'))
    .sort();
  const texts = Object.fromEntries(files.map((name) => [name, readFileSync(join(dir, name), 'utf8')]));
  return { HOST_SCRIPTS: JSON.stringify(texts) };
}
