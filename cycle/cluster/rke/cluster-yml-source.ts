/** Places in the source text of a YAML document: lines, ends of what is written, and a diff of two texts. */
import { isCollection, isPair, isScalar } from 'yaml';
import type { Pair } from 'yaml';

type Range = [start: number, end: number];

export function lineStart(text: string, at: number): number {
  return at === 0 ? 0 : text.lastIndexOf('\n', at - 1) + 1;
}

/** Index of the line's end, or the text's. */
export function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

export function eolOf(text: string): string {
  return /^[^\n]*\r\n/.test(text) ? '\r\n' : '\n';
}

/** Start and end of the value itself, without what follows it. */
export function rangeOf(node: unknown): Range {
  const range = (node as { range?: [number, number, number] | null } | null | undefined)?.range;
  return range === null || range === undefined ? [0, 0] : [range[0], range[1]];
}

/** A pair's key as text: the parser reads a merge key as a symbol. */
export function keyOf({ key }: Pair): string {
  const value = isScalar(key) ? key.value : undefined;
  return typeof value === 'symbol' ? (value.description ?? '') : typeof value === 'string' ? value : '';
}

/** Behind the last character that the node itself has in the text; a block collection's own range runs on past it. */
export function contentEnd(text: string, node: unknown): number {
  if (isPair(node)) return Math.max(contentEnd(text, node.key), contentEnd(text, node.value));
  if (isCollection(node) && node.flow !== true && node.items.length > 0)
    return contentEnd(text, node.items.at(-1));
  const [start, end] = rangeOf(node);
  return start + text.slice(start, end).trimEnd().length;
}

/** Index up to which two lists of lines are equal from their start. */
function commonStart(one: readonly string[], other: readonly string[]): number {
  let at = 0;
  while (at < one.length && at < other.length && one[at] === other[at]) at += 1;
  return at;
}

const CONTEXT = 3;

/** A unified diff with one hunk around everything that changed; empty when nothing did. */
export function diffLines(before: string, after: string, name = 'cluster.yml'): string {
  if (before === after) return '';
  const old = before.split('\n');
  const now = after.split('\n');
  const start = commonStart(old, now);
  const tail = Math.min(
    commonStart([...old].reverse(), [...now].reverse()),
    old.length - start,
    now.length - start,
  );
  const from = Math.max(0, start - CONTEXT);
  const oldEnd = Math.min(old.length, old.length - tail + CONTEXT);
  const nowEnd = Math.min(now.length, now.length - tail + CONTEXT);
  const mark = (sign: string) => (line: string) => sign + line.replace(/\r$/, '');
  return [
    `--- a/${name}`,
    `+++ b/${name}`,
    `@@ -${from + 1},${oldEnd - from} +${from + 1},${nowEnd - from} @@`,
    ...old.slice(from, start).map(mark(' ')),
    ...old.slice(start, old.length - tail).map(mark('-')),
    ...now.slice(start, now.length - tail).map(mark('+')),
    ...old.slice(old.length - tail, oldEnd).map(mark(' ')),
    '',
  ].join('\n');
}
