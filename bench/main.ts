/**
 * The bench: `npm run bench -- --only PREFIX --json FILE --rounds N`. Prints a table; exit 0 when every chosen
 * figure was measured, whether or not it meets its goal.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { judge, table, unmeasured } from './figure.ts';
import type { Figure, FigureResult } from './figure.ts';

const { values } = parseArgs({
  options: { only: { type: 'string' }, json: { type: 'string' }, rounds: { type: 'string' } },
});

/** Every file of `figures/` exports one as `figure`. */
async function figures(): Promise<Figure[]> {
  const dir = join(dirname(fileURLToPath(import.meta.url)), 'figures');
  const files = readdirSync(dir)
    .filter((file) => file.endsWith('.ts'))
    .sort();
  const modules = files.map(
    async (file) => (await import(pathToFileURL(join(dir, file)).href)) as { figure: Figure },
  );
  return (await Promise.all(modules)).map(({ figure }) => figure);
}

async function measure(figure: Figure, rounds: number | undefined): Promise<FigureResult> {
  try {
    return judge(figure, await figure.measure(rounds ?? figure.rounds));
  } catch (error) {
    return unmeasured(figure, error instanceof Error ? error.message : String(error));
  }
}

const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
  process.stderr.write(`--rounds expects a whole number above 0, found ${values.rounds}\n`);
  process.exit(2);
}
const all = await figures();
const chosen = all.filter(({ name }) => name.startsWith(values.only ?? ''));
if (chosen.length === 0) {
  process.stderr.write(
    `no figure begins with ${values.only}; there are ${all.map(({ name }) => name).join(', ')}\n`,
  );
  process.exit(2);
}
const results: FigureResult[] = [];
for (const figure of chosen) results.push(await measure(figure, rounds));
process.stdout.write(`${table(results)}\n`);
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ figures: results }, undefined, 2)}\n`);
process.exit(results.some(({ problem }) => problem !== undefined) ? 1 : 0);
