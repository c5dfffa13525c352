/**
 * Files of the corpora carry their own expectations: «…» is what comes in with the successor, ‹…› what marks the
 * old one, ⟦…⟧ what goes with it. Everything outside the marks must never change.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface Marked {
  before: string;
  /** With the successor. */
  added: string;
  /** With the successor, and the old one marked. */
  down: string;
  /** With the successor, without the old one. */
  out: string;
}

export function marked(text: string): Marked {
  const without = (from: string, pairs: string) =>
    from.replace(new RegExp(`${pairs.charAt(0)}[^${pairs.charAt(1)}]*${pairs.charAt(1)}`, 'g'), '');
  const plain = (from: string) => from.replace(/[«»‹›⟦⟧]/g, '');
  return {
    before: plain(without(without(text, '«»'), '‹›')),
    added: plain(without(text, '‹›')),
    down: plain(text),
    out: plain(without(text, '⟦⟧')),
  };
}

export function corpus(name: string): Map<string, string> {
  const dir = join(import.meta.dirname, '..', '..', 'corpus', name);
  const files = readdirSync(dir).filter((file) => !file.startsWith('.'));
  return new Map(files.sort().map((file) => [file, readFileSync(join(dir, file), 'utf8')]));
}
