/** A new entry of cluster.yml, written as the entry that it is like: same keys, order, indentation and quotes. */
import { isAlias, isCollection, isMap, isScalar, isSeq, stringify, visit } from 'yaml';
import type { Document, Pair, YAMLMap, YAMLSeq } from 'yaml';
import type { NewNode } from './cluster-yml-edit.ts';
import type { ParsedYml } from './cluster-yml-read.ts';
import { contentEnd, eolOf, keyOf, lineEnd, lineStart, rangeOf } from './cluster-yml-source.ts';

/** The text with the entry behind the last one, and the entry as it must read. */
export function entryLike(
  text: string,
  { doc, seq, plain }: ParsedYml,
  index: number,
  node: NewNode,
): { after: string; expected: Record<string, unknown> } {
  const like = seq.items[index];
  const pattern = (plain as { nodes?: Record<string, unknown>[] }).nodes?.[index] ?? {};
  const expected = wantedEntry(pattern, node);
  const last = seq.items.at(-1);
  const eol = eolOf(text);
  if (seq.flow === true) {
    const [, end] = rangeOf(last);
    const before = seq.items.at(-2);
    const gap =
      before === undefined ? ' ' : text.slice(rangeOf(before)[1], rangeOf(last)[0]).replace(/^[^,]*,/, '');
    const written = flowEntry(text, doc, like, expected);
    return {
      after: `${text.slice(0, end)},${gap.includes('#') ? ' ' : gap}${written}${text.slice(end)}`,
      expected,
    };
  }
  const [start] = rangeOf(like);
  const dash = text.lastIndexOf('-', start);
  const indent = text.slice(lineStart(text, dash), dash);
  const flow = isMap(like) && like.flow === true;
  const lines = flow
    ? [`${indent}- ${flowEntry(text, doc, like, expected)}`]
    : blockEntry(text, doc, like, expected, dash);
  const at = lineEnd(text, contentEnd(text, last));
  const cut = text[at - 1] === '\r' ? at - 1 : at;
  const spaced = seq.items.length > 1 && blankBetween(text, seq) ? eol : '';
  return { after: `${text.slice(0, cut)}${eol}${spaced}${lines.join(eol)}${text.slice(cut)}`, expected };
}

/** Keys keep their places; new ones follow the address. */
function wantedEntry(pattern: Record<string, unknown>, node: NewNode): Record<string, unknown> {
  const internal = pattern['internal_address'] === undefined ? undefined : node.address;
  const given: Record<string, unknown> = {
    address: node.address,
    internal_address: node.internalAddress ?? internal,
    hostname_override: node.hostnameOverride,
    role: node.roles === undefined ? pattern['role'] : sameList(pattern['role'], node.roles),
    labels: node.labels === undefined ? pattern['labels'] : orNothing(node.labels),
    taints:
      node.taints === undefined ? pattern['taints'] : orNothing(node.taints.map((taint) => ({ ...taint }))),
  };
  const entry: Record<string, unknown> = {};
  for (const key of Object.keys(pattern)) {
    if (!(key in given)) entry[key] = pattern[key];
    else if (given[key] !== undefined) entry[key] = given[key];
  }
  for (const key of Object.keys(given)) if (given[key] !== undefined) entry[key] ??= given[key];
  return entry;
}

/** The pattern's own order when the roles are the same. */
function sameList(pattern: unknown, roles: readonly string[]): unknown {
  if (!Array.isArray(pattern)) return [...roles];
  return pattern.map(String).sort().join() === [...roles].sort().join() ? pattern : [...roles];
}

function orNothing<T extends object>(value: T): T | undefined {
  return Object.keys(value).length === 0 ? undefined : value;
}

function blockEntry(
  text: string,
  doc: Document.Parsed,
  like: unknown,
  entry: Record<string, unknown>,
  dash: number,
): string[] {
  const indent = text.slice(lineStart(text, dash), dash);
  const map = isMap(like) ? like : undefined;
  const firstKey = map?.items[0]?.key;
  const keyAt = firstKey === undefined ? dash + 2 : rangeOf(firstKey)[0];
  const oneLine = firstKey !== undefined && lineStart(text, keyAt) === lineStart(text, dash);
  const gap = oneLine ? text.slice(dash + 1, keyAt) : ' ';
  const step = /^ +$/.test(gap) ? gap : ' ';
  const column = ' '.repeat(indent.length + 1 + step.length);
  const lines = keysOf(doc, map, entry).flatMap((key) => pairLines(text, map, key, entry[key], column));
  return lines.map((line, i) => (i === 0 ? `${indent}-${step}${line.trimStart()}` : line));
}

/** The like entry's keys in its order (a merge key included), then those that it lacks. */
function keysOf(doc: Document.Parsed, map: YAMLMap | undefined, entry: Record<string, unknown>): string[] {
  const own = map === undefined ? [] : map.items.map(keyOf);
  const given = map === undefined ? {} : inherited(doc, map);
  const kept = own.filter((key) => key === '<<' || key in entry);
  const rest = Object.keys(entry).filter(
    (key) => !own.includes(key) && JSON.stringify(given[key]) !== JSON.stringify(entry[key]),
  );
  const order = ['address', 'internal_address', 'hostname_override', 'role'];
  const ranked = rest.sort((a, b) => rank(order, a) - rank(order, b));
  const at = kept.indexOf('address') + 1;
  return [...kept.slice(0, at), ...ranked, ...kept.slice(at)];
}

function rank(order: readonly string[], key: string): number {
  const at = order.indexOf(key);
  return at < 0 ? order.length : at;
}

/** What merge keys of the like entry already give. */
function inherited(doc: Document.Parsed, map: YAMLMap): Record<string, unknown> {
  const own: Record<string, unknown> = {};
  for (const pair of map.items) {
    if (keyOf(pair) !== '<<') continue;
    const sources = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const source of sources.toReversed()) {
      const target = isAlias(source) ? source.resolve(doc) : source;
      if (isMap(target)) Object.assign(own, target.toJS(doc));
    }
  }
  return own;
}

/** Lines of one pair: the like entry's own text where the value is the same, else the same style with another value. */
function pairLines(
  text: string,
  map: YAMLMap | undefined,
  key: string,
  value: unknown,
  column: string,
): string[] {
  const pair = map?.items.find((one) => keyOf(one) === key);
  if (pair === undefined) return freshLines(key, value, column);
  if (key === '<<' || (sameAs(pair, value) && !hasAnchor(pair.value))) return ownLines(text, pair, column);
  const old = pair.value;
  if (isScalar(old) && typeof value === 'string') {
    return [`${column}${key}: ${quotedLike(text.slice(...rangeOf(old)), value)}`];
  }
  if (isSeq(old) && Array.isArray(value) && old.flow === true) {
    const inner = text.slice(...rangeOf(old));
    const pad = /^\[\s/.test(inner) ? ' ' : '';
    return [
      `${column}${key}: [${pad}${value.map((item) => stringify(item, { collectionStyle: 'flow' }).trim()).join(', ')}${pad}]`,
    ];
  }
  if (isSeq(old) && Array.isArray(value) && value.every((item) => typeof item === 'string')) {
    const [start] = rangeOf(old.items[0]);
    const prefix = text.slice(lineStart(text, start), start);
    return [`${column}${key}:`, ...value.map((item) => prefix + item)];
  }
  return freshLines(key, value, column);
}

function sameAs(pair: Pair, value: unknown): boolean {
  const json: unknown = isCollection(pair.value) || isScalar(pair.value) ? pair.value.toJSON() : undefined;
  return JSON.stringify(json) === JSON.stringify(value) || isAlias(pair.value);
}

function hasAnchor(value: unknown): boolean {
  let found = false;
  if (isCollection(value) || isScalar(value)) {
    visit(value, { Value: (_key, one) => void (found ||= one.anchor !== undefined) });
  }
  return found;
}

/** The pair's own text without comments, its first line moved to the column. */
function ownLines(text: string, pair: Pair, column: string): string[] {
  const [start] = rangeOf(pair.key);
  const end = contentEnd(text, pair);
  const cut = (from: number, to: number) => text.slice(from, to);
  const comments = commentRanges(text, start, Math.max(end, start), pair.value);
  let written = '';
  let at = start;
  for (const [from, to] of comments) {
    written += cut(at, from).replace(/[ \t]+$/, '');
    at = to;
  }
  written += cut(at, end);
  const lines = written
    .split(/\r?\n/)
    .filter((line, i) => i === 0 || line.trim() !== '' || !isCollection(pair.value));
  return lines.map((line, i) => (i === 0 ? column + line : line));
}

/** Where comments stand between the values of a collection: only outside scalars is `#` one. */
function commentRanges(text: string, start: number, end: number, value: unknown): [number, number][] {
  const scalars: [number, number][] = [];
  if (isCollection(value)) visit(value, { Scalar: (_key, one) => void scalars.push(rangeOf(one)) });
  else scalars.push(rangeOf(value));
  const found: [number, number][] = [];
  for (const match of text.slice(start, end).matchAll(/(?<=\s)#[^\r\n]*/g)) {
    const at = start + match.index;
    if (!scalars.some(([from, to]) => at >= from && at < to)) found.push([at, at + match[0].length]);
  }
  return found;
}

function freshLines(key: string, value: unknown, column: string): string[] {
  const lines = stringify({ [key]: value }, { lineWidth: 0 })
    .trimEnd()
    .split('\n');
  return lines.map((line) => column + line);
}

function flowEntry(
  text: string,
  doc: Document.Parsed,
  like: unknown,
  entry: Record<string, unknown>,
): string {
  const map = isMap(like) && like.flow === true ? like : undefined;
  const pad = map !== undefined && /^\{\s/.test(text.slice(...rangeOf(map))) ? ' ' : '';
  const pairs = keysOf(doc, map, entry).map((key) => {
    const own = map?.items.find((pair) => keyOf(pair) === key);
    if (own !== undefined && (key === '<<' || (sameAs(own, entry[key]) && !hasAnchor(own.value)))) {
      return ownLines(text, own, '')
        .map((line) => line.trim())
        .join(' ');
    }
    const old = own?.value;
    if (isScalar(old) && typeof entry[key] === 'string') {
      return `${key}: ${quotedLike(text.slice(...rangeOf(old)), entry[key])}`;
    }
    return stringify({ [key]: entry[key] }, { collectionStyle: 'flow', lineWidth: 0 })
      .trim()
      .replace(/^\{\s*|\s*\}$/g, '');
  });
  return `{${pad}${pairs.join(', ')}${pad}}`;
}

function quotedLike(source: string, value: string): string {
  if (source.startsWith('"')) return JSON.stringify(value);
  if (source.startsWith("'")) return `'${value.replaceAll("'", "''")}'`;
  return stringify(value, { lineWidth: 0 }).trim();
}

function blankBetween(text: string, seq: YAMLSeq): boolean {
  const [previous, last] = seq.items.slice(-2);
  return /\n[ \t]*\r?\n/.test(text.slice(contentEnd(text, previous), rangeOf(last)[0]));
}
