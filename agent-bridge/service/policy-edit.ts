/**
 * Edits of `bridge.yaml` by source ranges: one client's `fingerprint` is set or taken away, every other byte stays.
 * The text is read again afterwards and must mean just that; a layout in which it does not is a person's to edit.
 */
import { isDeepStrictEqual } from 'node:util';
import { isCollection, isMap, isPair, isSeq, parseDocument } from 'yaml';
import type { Pair, YAMLMap, YAMLSeq } from 'yaml';
import { CodedError } from '../../ports/errors.ts';

interface Edit {
  from: number;
  to: number;
  text: string;
}

interface Entry {
  name?: unknown;
  fingerprint?: unknown;
}
type File = { clients?: Entry[] };

/** The newest fingerprint last. A client that was not there gets an entry without grants. Throws NC2010. */
export function withFingerprints(source: string, name: string, fingerprints: readonly string[]): string {
  const { root, clients, client, value } = found(source, name);
  const meaning = fingerprints.length === 1 ? fingerprints[0] : [...fingerprints];
  // In quotes: 64 digits without a letter would be a number.
  const quoted = fingerprints.map((print) => `'${print}'`);
  const written = fingerprints.length === 1 ? (quoted[0] ?? '') : `[${quoted.join(', ')}]`;
  const fresh = { name, fingerprint: meaning, clusters: [], operations: [] };
  const entry = [`name: ${name}`, `fingerprint: ${written}`, 'clusters: []', 'operations: []'];
  const place = (): Edit => {
    const old = client && pairOf(client, 'fingerprint');
    if (old) return valueEdit(source, old, written);
    if (client) return besideName(source, client, written);
    if (clients) return newEntry(source, clients, entry);
    return newList(source, root, entry);
  };
  return edited(source, place(), (file) => {
    file.clients ??= [];
    const mine = file.clients.find((one) => one.name === value);
    if (mine) mine.fingerprint = meaning;
    else file.clients.push(fresh);
  });
}

/** The grants stay, for the day that the client is enrolled again. undefined: no such client. Throws NC2010. */
export function withoutFingerprint(source: string, name: string): string | undefined {
  const { client, value } = found(source, name);
  if (!client) return undefined;
  const pair = pairOf(client, 'fingerprint');
  if (!pair) return source;
  const edit = client.flow === true ? flowRemoval(source, client, pair) : blockRemoval(source, pair);
  return edited(source, edit, (file) => {
    delete file.clients?.find((one) => one.name === value)?.fingerprint;
  });
}

interface Found {
  root: YAMLMap;
  clients: YAMLSeq | undefined;
  client: YAMLMap | undefined;
  /** The name as the file's own value. */
  value: string;
}

function found(source: string, name: string): Found {
  const { contents: root } = parseDocument(source);
  if (!isMap(root)) throw byHand('the file is no mapping');
  const listed = root.get('clients', true);
  if (root.has('clients') && !isSeq(listed)) throw byHand('clients is no list');
  const clients = isSeq(listed) ? listed : undefined;
  const client = clients?.items.find((item) => isMap(item) && item.get('name') === name);
  return { root, clients, client: isMap(client) ? client : undefined, value: name };
}

function edited(source: string, { from, to, text }: Edit, change: (file: File) => void): string {
  const result = source.slice(0, from) + text + source.slice(to);
  const wanted = parseDocument(source).toJS() as File;
  change(wanted);
  const now = parseDocument(result);
  if (now.errors.length > 0 || !isDeepStrictEqual(now.toJS(), wanted))
    throw byHand('the place of the fingerprint is not one that can be edited alone');
  return result;
}

const byHand = (why: string): CodedError =>
  new CodedError('NC2010', `bridge.yaml cannot be edited here (${why}): write the entry by hand.`);

function valueEdit(source: string, { key, value }: Pair, written: string): Edit {
  const [from] = rangeOf(value);
  const to = contentEnd(source, value);
  const [, keyEnd] = rangeOf(key);
  // A block list may begin further left than a scalar of the same key could: it moves up behind the colon.
  const between = /^[ ]*:(?=\s*$)/.exec(source.slice(keyEnd, from));
  if (!isSeq(value) || value.flow === true || between === null) return { from, to, text: written };
  return { from: keyEnd + between[0].length, to, text: ` ${written}` };
}

function besideName(source: string, client: YAMLMap, written: string): Edit {
  const name = pairOf(client, 'name');
  const end = contentEnd(source, name);
  if (client.flow === true) return insertion(end, `, fingerprint: ${written}`);
  const indent = ' '.repeat(columnOf(source, rangeOf(name?.key)[0]));
  return insertion(lineEnd(source, end), `${eolOf(source)}${indent}fingerprint: ${written}`);
}

function newEntry(source: string, clients: YAMLSeq, entry: readonly string[]): Edit {
  const [start, end] = rangeOf(clients);
  if (clients.flow !== true) {
    const last = lineEnd(source, contentEnd(source, clients));
    return insertion(last, blockEntry(source, ' '.repeat(columnOf(source, start)), entry));
  }
  const item = `{ ${entry.join(', ')} }`;
  const last = clients.items.at(-1);
  if (last !== undefined) return insertion(contentEnd(source, last), `, ${item}`);
  // An empty list becomes a block, which is where a person goes on to write; one line holds it alone, or it stays.
  const inside = source.slice(start + 1, end - 1);
  const before = source.slice(lineStart(source, start), start);
  const key = /^([ ]*)(?:clients|'clients'|"clients")[ ]*:(?=[ ])/.exec(before.replace(/^\uFEFF/, ''));
  const after = source.slice(end, lineEnd(source, end));
  if (key === null || inside.trim() !== '' || !/^\s*(#|$)/.test(after))
    return insertion(end - 1, `${/\n[ ]*$/.test(inside) ? '' : ' '}${item} `);
  const from = start - (before.length - before.trimEnd().length);
  const indent = `${key[1] ?? ''}  `;
  return {
    from,
    to: lineEnd(source, end),
    text: `${after.trimEnd()}${blockEntry(source, indent, entry)}`,
  };
}

function newList(source: string, root: YAMLMap, entry: readonly string[]): Edit {
  if (root.flow === true) {
    const end = contentEnd(source, root.items.at(-1));
    return insertion(end, `, clients: [{ ${entry.join(', ')} }]`);
  }
  const indent = ' '.repeat(columnOf(source, rangeOf(root)[0]));
  const end = lineEnd(source, contentEnd(source, root));
  return insertion(end, `${eolOf(source)}${indent}clients:${blockEntry(source, `${indent}  `, entry)}`);
}

/** Begins with the end of the line before it. */
const blockEntry = (source: string, indent: string, entry: readonly string[]): string =>
  entry.map((line, at) => `${eolOf(source)}${indent}${at === 0 ? '- ' : '  '}${line}`).join('');

function blockRemoval(source: string, pair: Pair): Edit {
  const [key] = rangeOf(pair.key);
  const start = lineStart(source, key);
  const end = Math.min(source.length, lineEnd(source, contentEnd(source, pair)) + eolAt(source, pair));
  if (source.slice(start, key).trim() === '') return { from: start, to: end, text: '' };
  // It stands behind the dash of its entry: what comes next takes its place.
  return { from: key, to: end + leading(source.slice(end)), text: '' };
}

function flowRemoval(source: string, client: YAMLMap, pair: Pair): Edit {
  const [key] = rangeOf(pair.key);
  const end = contentEnd(source, pair);
  const at = client.items.indexOf(pair);
  const before = client.items[at - 1];
  const comma = /^\s*,[ ]*/.exec(source.slice(end));
  if (comma && at < client.items.length - 1) {
    const to = end + comma[0].length;
    const start = lineStart(source, key);
    const alone =
      source.slice(start, key).trim() === '' && source.slice(to, lineEnd(source, to)).trim() === '';
    return alone
      ? { from: start, to: lineEnd(source, to) + eolAt(source, pair), text: '' }
      : { from: key, to, text: '' };
  }
  const previous = before === undefined ? key : contentEnd(source, before);
  const onlyComma = /^\s*,\s*$/.test(source.slice(previous, key));
  return { from: onlyComma ? previous : key, to: end, text: '' };
}

const pairOf = (map: YAMLMap, key: string): Pair | undefined =>
  map.items.find((pair) => String(pair.key) === key);

const insertion = (at: number, text: string): Edit => ({ from: at, to: at, text });

/** Start and end of the value itself, without what follows it. */
function rangeOf(node: unknown): [start: number, end: number] {
  const range = (node as { range?: [number, number, number] | null } | null | undefined)?.range;
  if (!range) throw byHand('a key has no value');
  return [range[0], range[1]];
}

/** Behind the last character of its own; the range of a block collection runs on over comments and empty lines. */
function contentEnd(source: string, node: unknown): number {
  if (isPair(node)) return node.value === null ? rangeOf(node.key)[1] : contentEnd(source, node.value);
  if (isCollection(node) && node.flow !== true && node.items.length > 0)
    return contentEnd(source, node.items.at(-1));
  const [start, end] = rangeOf(node);
  return start + source.slice(start, end).trimEnd().length;
}

const lineStart = (source: string, at: number): number =>
  at === 0 ? 0 : source.lastIndexOf('\n', at - 1) + 1;

/** In front of the characters that end the line. */
function lineEnd(source: string, at: number): number {
  const end = source.indexOf('\n', at);
  if (end === -1) return source.length;
  return source[end - 1] === '\r' && end > at ? end - 1 : end;
}

const columnOf = (source: string, at: number): number =>
  source.slice(lineStart(source, at), at).replace(/^\uFEFF/, '').length;

const eolOf = (source: string): string => (/^[^\n]*\r\n/.test(source) ? '\r\n' : '\n');

/** Length of the line's end behind a pair. */
function eolAt(source: string, pair: Pair): number {
  const end = lineEnd(source, contentEnd(source, pair));
  return source.startsWith('\r\n', end) ? 2 : 1;
}

const leading = (text: string): number => text.length - text.trimStart().length;
