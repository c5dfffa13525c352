/** What a proof is: a claim that takes too long for every day, shown by figures that were measured now. */
import { availableParallelism, loadavg, totalmem } from 'node:os';

export interface ProofReport {
  tables: { title: string; head: string[]; rows: (string | number)[][] }[];
  /** What was claimed, and whether the figures say so. */
  claims: { claim: string; holds: boolean }[];
}

export interface Proof {
  /** Also the name of its page in docs/proof. */
  name: string;
  title: string;
  /** A paragraph: what is done, to what, and where the code is. */
  about: string;
  run(): Promise<ProofReport>;
}

const GIB = 1024 ** 3;

/** The page, in Markdown. Nothing of it names the machine: figures of two machines differ by what the third line says. */
export function page({ name, title, about }: Proof, { tables, claims }: ProofReport, tookMs: number): string {
  const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  const machine = `${availableParallelism()} cores, ${Math.round(totalmem() / GIB)} GB of memory, Node ${process.versions.node}`;
  return [
    `# ${title}`,
    about,
    `Measured on ${new Date().toISOString().slice(0, 10)} with ${machine}, ${process.platform}, in ${Math.round(tookMs / 1000)} s at a load of ${(loadavg()[1] ?? 0).toFixed(1)} (the proof’s own included), by \`npm run proof -- --only ${name}\`.`,
    [
      row(['claim', 'holds']),
      row(['---', '---']),
      ...claims.map(({ claim, holds }) => row([claim, holds ? 'yes' : '**no**'])),
    ].join('\n'),
    ...tables.flatMap(({ title: heading, head, rows }) => [
      `## ${heading}`,
      [
        row(head),
        row(head.map((_, n) => (rows.every((cells) => typeof cells[n] === 'number') ? '---:' : '---'))),
        ...rows.map(row),
      ].join('\n'),
    ]),
    '',
  ].join('\n\n');
}
