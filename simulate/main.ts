/**
 * `npm run simulate -- --seeds N --from SEED [--json FILE] [--jobs N]`, or `--replay SEED [--without ID]… [--calls]`:
 * plays seeds in processes of their own, prints what occurred how often, and tells the story of each seed that broke
 * something, made as short as it can be.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleSimulation } from './bundle.ts';
import { playInProcesses, type Played } from './processes.ts';
import { missing, renderTables, tally } from './report.ts';
import { shrink } from './shrink.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Shrinking one story plays it some dozen times; the first few stories are what a person reads. */
const STORIES = 5;
/** From so many seeds on, a kind of fault or an invariant that never occurred is a failure itself. */
const WHOLE = 5_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    json: { type: 'string' },
    replay: { type: 'string' },
    without: { type: 'string', multiple: true, default: [] },
    calls: { type: 'boolean', default: false },
  },
});

const bundle = join(ROOT, 'dist', 'simulate', 'worker.mjs');
mkdirSync(dirname(bundle), { recursive: true });
await bundleSimulation(ROOT, bundle);
process.exitCode = values.replay === undefined ? await playAll() : await replay(Number(values.replay));

async function replay(seed: number): Promise<number> {
  const [played] = await playInProcesses(
    { bundle, root: ROOT, jobs: 1, without: values.without, all: values.calls },
    [seed],
  );
  if (played === undefined) throw new Error(`seed ${seed} gave no result`);
  tell(played);
  return played.violations.length === 0 ? 0 : 1;
}

async function playAll(): Promise<number> {
  const from = Number(values.from);
  const seeds = Array.from({ length: Number(values.seeds) }, (_, at) => from + at);
  const startedMs = Date.now();
  const around = { bundle, root: ROOT, jobs: Number(values.jobs), without: [], all: false };
  let seen = 0;
  const played = await playInProcesses(around, seeds, (one) => {
    seen += 1;
    if (one.violations.length > 0) console.log(`seed ${one.seed}: ${one.violations[0] ?? ''}`);
    else if (seen % 250 === 0) console.log(`${seen} of ${seeds.length} seeds`);
  });
  const seconds = (Date.now() - startedMs) / 1000;
  const table = tally(played);
  console.log(renderTables(table, seconds));
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      `${JSON.stringify({ seconds, ...table, seeds: played.map(withoutStory) }, undefined, 2)}\n`,
    );

  const failed = played.filter(({ violations }) => violations.length > 0);
  for (const one of failed.slice(0, STORIES)) {
    const again = async (without: string[]) =>
      (await playInProcesses({ ...around, jobs: 1, without }, [one.seed]))[0];
    tell(await shrink(one, again));
  }
  if (failed.length > 0)
    console.log(`${failed.length} seeds broke something: ${failed.map(({ seed }) => seed).join(', ')}`);
  const absent = seeds.length >= WHOLE ? missing(table) : [];
  for (const name of absent) console.log(`never occurred: ${name}`);
  return failed.length + absent.length === 0 ? 0 : 1;
}

function tell({ seed, hash, verdict, reason, violations, without, told }: Played): void {
  const left = (without ?? []).map((id) => ` --without '${id}'`).join('');
  console.log(`\nSeed ${seed}: ${verdict} ${reason}`.trimEnd());
  console.log(`trace ${hash}; again with: npm run simulate -- --replay ${seed}${left}`);
  for (const violation of violations) console.log(`  broken: ${violation}`);
  console.log(told.join('\n'));
}

function withoutStory({ told: _told, ...rest }: Played): Omit<Played, 'told'> {
  return rest;
}
