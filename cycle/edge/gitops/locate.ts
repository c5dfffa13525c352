/**
 * Where in the source of a YAML file the value at a path stands. A string of YAML is opened as a document of
 * its own, and edits to it are carried back to the lines of the file that holds it.
 */
import { LineCounter, isAlias, isMap, isPair, isScalar, isSeq, parseAllDocuments, visit } from 'yaml';
import type { Document, Node, Scalar } from 'yaml';
import { CodedError } from '../../../ports/errors.ts';
import type { PathPart } from './yaml-path.ts';
import type { Edit } from './values.ts';

interface Found {
  /** Text that the ranges are in: the file, or the string of YAML in it. */
  source: string;
  start: number;
  end: number;
  /** The file's text after an edit in `source`. */
  splice(edit: Edit): string;
}

export type Place =
  | (Found & { kind: 'list'; flow: boolean; items: { value: string; start: number; end: number }[] })
  /** A scalar that holds addresses; `mayGrow`: a comma list may stand here (it already is one, or it is in a list of arguments). */
  | (Found & { kind: 'text'; mayGrow: boolean });

export function locate(text: string, parts: readonly PathPart[], path: string): Place {
  return locateIn(text, parts, path, (edit) => text.slice(0, edit.start) + edit.text + text.slice(edit.end));
}

function locateIn(
  source: string,
  parts: readonly PathPart[],
  path: string,
  splice: (edit: Edit) => string,
): Place {
  const inside = parts.findIndex((part) => part.kind === 'inside');
  const here = inside < 0 ? parts : parts.slice(0, inside);
  const node = nodeAt(source, here, path);
  if (inside >= 0) {
    if (!isScalar(node) || typeof node.value !== 'string')
      throw notThere(path, `a string of YAML was expected, found ${kindOf(node)}`);
    const inner = innerOf(source, node, path);
    return locateIn(inner.text, parts.slice(inside + 1), path, (edit) => splice(inner.outward(edit)));
  }
  const [start = 0, end = 0] = node.range ?? [];
  if (isSeq(node)) {
    const items = node.items.map((item) => {
      if (!isScalar(item) || typeof item.value !== 'string')
        throw notThere(path, `the list holds ${kindOf(item)}, not addresses`);
      const [from = 0, to = 0] = item.range ?? [];
      return { value: item.value, start: from, end: to };
    });
    return { kind: 'list', flow: node.flow === true, items, source, start, end, splice };
  }
  if (!isScalar(node) || typeof node.value !== 'string' || node.value.trim() === '') {
    throw notThere(path, `a list or a text was expected, found ${kindOf(node)}`);
  }
  const last = here.at(-1);
  const single = last?.kind === 'key' && /^(loadBalancerIP|ip|address)$/i.test(last.key);
  return { kind: 'text', mayGrow: node.value.includes(',') || !single, source, start, end, splice };
}

/** The one node at the path; in a file of several documents, only one may have it. */
function nodeAt(source: string, parts: readonly PathPart[], path: string): Node {
  const lines = new LineCounter();
  // All scalars as text: an address is never to become a number, and a tag never anything but a tag.
  const documents = parseAllDocuments(source, { schema: 'failsafe', lineCounter: lines, logLevel: 'silent' });
  const list: readonly Document[] = Array.isArray(documents) ? documents : [];
  const error = list.flatMap((document) => document.errors)[0];
  if (error) {
    const at = lines.linePos(error.pos[0]);
    throw new CodedError(
      'NC4021',
      `Line ${at.line}, column ${at.col}: ${error.message.split('\n')[0] ?? ''}`,
    );
  }
  for (const document of list) requireAnchors(document, path);
  const found = list
    .map((document) => descend(document.contents, parts, path))
    .filter((node) => node !== undefined);
  if (found.length > 1) throw notThere(path, `${found.length} documents of the file have this path`);
  if (!found[0]) throw notThere(path, 'nothing is there');
  return found[0];
}

/** The library minds an alias without its anchor only when it makes values; the next reader of the file would. */
function requireAnchors(document: Document, path: string): void {
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document) !== undefined) return;
      throw new CodedError('NC4021', `${path}: the alias *${alias.source} has no anchor in the file.`);
    },
  });
}

function descend(start: Node | null, parts: readonly PathPart[], path: string): Node | undefined {
  let node: unknown = start;
  for (const part of parts) {
    refuseAlias(node, path);
    if (part.kind === 'key') {
      const pair = isMap(node)
        ? node.items.find((one) => isScalar(one.key) && one.key.value === part.key)
        : undefined;
      node = pair && isPair(pair) ? pair.value : undefined;
    } else if (part.kind === 'index') {
      node = isSeq(node) ? node.items[part.index] : undefined;
    } else if (part.kind === 'where') {
      node = isSeq(node)
        ? node.items.find((item) => isMap(item) && item.get(part.key) === part.value)
        : undefined;
    }
    if (node === undefined || node === null) return undefined;
  }
  refuseAlias(node, path);
  return (node as Node | null) ?? undefined;
}

function refuseAlias(node: unknown, path: string): void {
  if (!isAlias(node)) return;
  throw new CodedError(
    'NC4022',
    `${path} goes through the alias *${node.source}; editing its anchor would change every place that uses it. Give the path of the anchor itself.`,
  );
}

/** The text inside a scalar, and how an edit in it becomes an edit around it. */
function innerOf(source: string, scalar: Scalar, path: string): { text: string; outward(edit: Edit): Edit } {
  const text = scalar.value as string;
  const [start = 0, end = 0] = scalar.range ?? [];
  if (scalar.type === 'BLOCK_LITERAL') return literal(source, text, start, end, path);
  if (scalar.type === 'QUOTE_DOUBLE' && !source.slice(start, end).includes('\n')) {
    // One line with escapes: it is one line of the file, so writing it anew touches nothing else.
    return {
      text,
      outward: (edit) => ({
        start,
        end,
        text: JSON.stringify(text.slice(0, edit.start) + edit.text + text.slice(edit.end)),
      }),
    };
  }
  throw new CodedError(
    'NC4022',
    `The YAML at ${path} is written as ${kindOf(scalar)}: lines in it cannot be told apart.`,
  );
}

/** A literal block (`|`): its lines are the text's lines behind an indentation. */
function literal(
  source: string,
  text: string,
  start: number,
  end: number,
  path: string,
): { text: string; outward(edit: Edit): Edit } {
  const header = source.indexOf('\n', start);
  const first = header + 1;
  const block = source.slice(first, end);
  const rows = block.split('\n');
  const eol = source.charAt(header - 1) === '\r' ? '\r\n' : '\n';
  const told = /^[|][+-]?(\d)/.exec(source.slice(start, header));
  const sample = rows.find((row) => row.trim() !== '') ?? '';
  const width = told
    ? sample.length -
      (text.split('\n').find((row) => row.trim() !== '') ?? '').length -
      (eol === '\r\n' ? 1 : 0)
    : (/^ */.exec(sample)?.[0].length ?? 0);
  const indent = ' '.repeat(width);
  // The text with its own line ends: what YAML makes of the block is only compared with it.
  const inner: string[] = [];
  const starts: number[] = [];
  let at = first;
  for (const row of rows) {
    const cut = Math.min(width, /^ */.exec(row)?.[0].length ?? 0);
    starts.push(at + cut);
    inner.push(row.slice(cut));
    at += row.length + 1;
  }
  const body = inner.join('\n');
  if (body.replace(/\r/g, '').trimEnd() !== text.trimEnd()) {
    throw new CodedError('NC4022', `The block at ${path} has lines that cannot be told apart.`);
  }
  const outer = (position: number): number => {
    let left = position;
    for (const [row, content] of inner.entries()) {
      if (left <= content.length) return (starts[row] ?? end) + left;
      left -= content.length + 1;
    }
    return end;
  };
  return {
    text: body,
    outward(edit) {
      const indented = edit.text
        .split(/\r?\n/)
        .map((row, index) => (index > 0 && row !== '' ? indent + row : row))
        .join(eol);
      const atLineStart = edit.start === 0 || body.charAt(edit.start - 1) === '\n';
      const endsAtLineStart = edit.end > 0 && body.charAt(edit.end - 1) === '\n' && edit.end < body.length;
      if (atLineStart && edit.text !== '' && edit.start === edit.end) {
        const from = outer(edit.start);
        const lineStart = source.lastIndexOf('\n', from - 1) + 1;
        return { start: lineStart, end: lineStart, text: indent + indented };
      }
      if (atLineStart && edit.text === '' && (endsAtLineStart || edit.end === body.length)) {
        const from = source.lastIndexOf('\n', outer(edit.start) - 1) + 1;
        const to = edit.end === body.length ? end : source.lastIndexOf('\n', outer(edit.end) - 1) + 1;
        return { start: from, end: to, text: '' };
      }
      return { start: outer(edit.start), end: outer(edit.end), text: indented };
    },
  };
}

function kindOf(node: unknown): string {
  if (isMap(node)) return 'a mapping';
  if (isSeq(node)) return 'a list';
  if (isScalar(node)) {
    const names: Record<string, string> = {
      BLOCK_FOLDED: 'a folded block (>)',
      QUOTE_SINGLE: 'a single-quoted text',
      PLAIN: 'a plain text',
      QUOTE_DOUBLE: 'a double-quoted text over several lines',
    };
    return node.value === '' || node.value === null ? 'an empty value' : (names[node.type ?? ''] ?? 'a text');
  }
  return 'nothing';
}

function notThere(path: string, what: string): CodedError {
  return new CodedError('NC4020', `${path}: ${what}.`);
}
