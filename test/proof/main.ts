/**
 * The long proofs: `npm run proof -- --only NAME --out FOLDER`, by hand. They run the code of the everyday tests (which
 * live in the folders that they test) at its full size, for minutes, and write what they measured to docs/proof. Exit 0
 * when every claim holds.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { page } from './proof.ts';
import type { Proof } from './proof.ts';

const PAGES = join(import.meta.dirname, '..', '..', 'docs', 'proof');
const { values } = parseArgs({ options: { only: { type: 'string' }, out: { type: 'string' } } });
const out = values.out ?? PAGES;

/** Every file of `proofs/` exports one as `proof`. */
async function proofs(): Promise<Proof[]> {
  const dir = join(import.meta.dirname, 'proofs');
  const files = readdirSync(dir).filter((file) => file.endsWith('.ts'));
  const modules = files
    .sort()
    .map(async (file) => (await import(pathToFileURL(join(dir, file)).href)) as { proof: Proof });
  return (await Promise.all(modules)).map(({ proof }) => proof);
}

const all = await proofs();
const chosen = all.filter(({ name }) => name === (values.only ?? name));
if (chosen.length === 0) {
  process.stderr.write(
    `there is no proof ${values.only}; there are ${all.map(({ name }) => name).join(', ')}\n`,
  );
  process.exit(2);
}
let failed = false;
for (const proof of chosen) {
  const fromMs = performance.now();
  const report = await proof.run();
  const path = join(out, `${proof.name}.md`);
  const config = await resolveConfig(join(PAGES, `${proof.name}.md`));
  const text = await format(page(proof, report, performance.now() - fromMs), {
    ...config,
    parser: 'markdown',
  });
  mkdirSync(out, { recursive: true });
  writeFileSync(path, text);
  process.stdout.write(text);
  failed ||= report.claims.some(({ holds }) => !holds);
}
process.exit(failed ? 1 : 0);
