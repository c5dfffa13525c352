/**
 * Controls that must fail: the product with one precaution taken out, to show that the lab would notice. Nothing
 * that ships knows of them; a snippet that is no longer in its source is an error, so that no control can rot.
 */
import { cpSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Sabotage } from './options.ts';
import { DIST, ROOT } from './start.ts';

interface Snippet {
  file: string;
  find: string;
  put: string;
}

export const SNIPPETS: Readonly<Record<Sabotage, readonly Snippet[]>> = {
  'skip-drain': [
    {
      file: 'cycle/steps/leave-node.ts',
      find: 'if (node !== undefined && !dead) actions.push(...emptyNode(config, input, acts, world));',
      put: 'void emptyNode;',
    },
  ],
  'empty-alias': [
    {
      file: 'cycle/acts/edges.ts',
      find: 'ctx.dns.swap(change, ',
      put: 'ctx.dns.swap(change.expect.length === 0 ? change : { ...change, add: [], remove: change.expect }, ',
    },
  ],
  'dns-no-ttl-wait': [
    {
      file: 'cycle/steps/swap-dns.ts',
      find: 'waits.push(ttlWait(alias, key, ttl, settleMs));',
      put: 'void ttlWait;',
    },
  ],
  // The pipeline's order is changed too: see sabotagedPipeline. Without these the step itself refuses that order.
  'old-out-first': [
    {
      file: 'cycle/steps/update-ingress.ts',
      find: 'if (unready !== undefined) {',
      put: 'if (unready !== undefined && process.argv.length === 0) {',
    },
    {
      file: 'cycle/steps/update-ingress.ts',
      find: 'if (!isOff(way.config, world, way.names.leaving) && !addresses.includes(staying))',
      put: 'if (process.argv.length === 0)',
    },
  ],
};

/** Resolvers then still hold the old answer when the old node has gone. */
export const LONG_TTL_SECONDS = 90;

/** A folder of tasks like dist/tasks, with the precaution taken out. */
export async function sabotagedTasks(sabotage: Sabotage, dir: string): Promise<string> {
  const tasks = join(dir, 'sabotaged-tasks');
  mkdirSync(tasks, { recursive: true });
  cpSync(join(DIST, 'tasks'), tasks, { recursive: true });
  const snippets = SNIPPETS[sabotage];
  const names = readdirSync(tasks, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [entry.name] : [],
  );
  await Promise.all(
    names.map((name) =>
      build({
        absWorkingDir: ROOT,
        entryPoints: [join(ROOT, 'tasks', name, 'main.ts')],
        outfile: join(tasks, name, 'index.js'),
        bundle: true,
        platform: 'node',
        target: 'node20',
        format: 'cjs',
        logLevel: 'error',
        external: ['cpu-features', '*.node'],
        plugins: [
          {
            name: 'sabotage',
            setup(plugin) {
              plugin.onLoad({ filter: /\.ts$/ }, ({ path }) => {
                const mine = snippets.filter(({ file }) => join(ROOT, file) === path);
                return mine.length === 0 ? undefined : { contents: without(mine), loader: 'ts' };
              });
            },
          },
        ],
      }),
    ),
  );
  return tasks;
}

/** The source of one file without what its snippets take out. */
export function without(snippets: readonly Snippet[]): string {
  const file = snippets[0]?.file ?? '';
  return snippets.reduce(
    (text, { find, put }) => {
      if (!text.includes(find)) throw new Error(`${file} no longer has what this control takes out: ${find}`);
      return text.replaceAll(find, put);
    },
    readFileSync(join(ROOT, file), 'utf8'),
  );
}

/** The pipeline's files with the old address taken out before the new one is in. */
export function sabotagedPipeline(
  sabotage: Sabotage | undefined,
  files: Record<string, string>,
): Record<string, string> {
  if (sabotage !== 'old-out-first') return files;
  const path = 'pipelines/templates/cycle-one.yml';
  const text = files[path] ?? '';
  const first = text.indexOf('side: in');
  const last = text.lastIndexOf('side: out');
  if (first < 0 || last < first) throw new Error(`${path} no longer moves traffic in, then out.`);
  const swapped = `${text.slice(0, first)}side: out${text.slice(first + 'side: in'.length, last)}side: in${text.slice(last + 'side: out'.length)}`;
  return { ...files, [path]: swapped };
}
