/**
 * The text of node-cycle.yml as data, with a way back from each value to its line and column. YAML 1.2, one
 * document, no tags of its own: what cannot be read is said with its place, and everything else is data.
 */
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseAllDocuments, visit } from 'yaml';
import type { Document, Node, Pair, YAMLError } from 'yaml';

/** Largest file that is read, in characters: a real one has a few thousand. */
export const LONGEST_TEXT = 256 * 1024;

/** Values that aliases may copy; a text of a few lines can otherwise become gigabytes. */
const MOST_ALIASES = 50;

export interface Place {
  /** 1 for the first line. */
  line: number;
  /** 1 for the first column. */
  column: number;
}

export type Path = readonly (string | number)[];

export interface SourceProblem extends Place {
  code: 'NC1101' | 'NC1102';
  path: string;
  expected: string;
  found: string;
}

export interface Source {
  data: unknown;
  problems: SourceProblem[];
  /** Where a value stands; for a value that is absent, the key or the start of the group that lacks it. */
  valueAt(path: Path): Place;
  /** Where a key stands, the start of its group when it is not there. */
  keyAt(path: Path): Place;
}

export function readSource(text: string): Source {
  const lines = new LineCounter();
  const start: Place = { line: 1, column: 1 };
  const nowhere = { data: undefined, valueAt: () => start, keyAt: () => start };
  const unusable = (place: Place, expected: string, found: string): Source => ({
    ...nowhere,
    problems: [{ code: 'NC1101', path: '', expected, found, ...place }],
  });
  if (text.length > LONGEST_TEXT)
    return unusable(start, `at most ${LONGEST_TEXT} characters`, `${text.length} characters`);

  const parsed = parseAllDocuments(text, {
    lineCounter: lines,
    version: '1.2',
    uniqueKeys: true,
    prettyErrors: false,
  });
  const documents: Document.Parsed[] = Array.isArray(parsed) ? parsed : [];
  const doc = documents[0];
  if (doc === undefined || doc.contents === null)
    return unusable(
      start,
      'the settings of a cluster, at least cluster, rke, addresses and vm',
      'an empty file',
    );
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const problems: SourceProblem[] = [];
  for (const error of documents.flatMap((each) => [...each.errors, ...each.warnings])) {
    const place = placeOf(error.pos[0]);
    // The reader goes on after a fault and trips over the rest of the line.
    if (problems.some((earlier) => earlier.line === place.line)) continue;
    problems.push({ path: '', ...inWords(error, text), ...place });
  }
  if (problems.length === 0)
    visit(doc, {
      Alias: (_, alias) => {
        if (alias.resolve(doc) === undefined)
          problems.push({
            code: 'NC1101',
            path: '',
            expected: 'an alias to an anchor above it',
            found: `*${alias.source}, which no anchor defines`,
            ...placeOf(offsetOf(alias, 0)),
          });
      },
    });
  const second = documents[1];
  if (second !== undefined)
    problems.push({
      code: 'NC1101',
      path: '',
      expected: 'one document in the file',
      found: `${documents.length} documents, separated by ---`,
      ...placeOf(second.range[0]),
    });
  let data: unknown;
  try {
    if (problems.length === 0) data = doc.toJS({ maxAliasCount: MOST_ALIASES });
  } catch {
    return unusable(start, 'values that use each anchor a few times', 'aliases that multiply each other');
  }
  return {
    data,
    problems,
    valueAt: (path) => placeOf(find(doc, path).value),
    keyAt: (path) => placeOf(find(doc, path).key),
  };
}

/** Offsets of the deepest part of a path that exists: its key and its value. */
function find(doc: Document.Parsed, path: Path): { key: number; value: number } {
  let node: Node | null | undefined = doc.contents;
  let at = { key: offsetOf(node, 0), value: offsetOf(node, 0) };
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(doc);
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part),
      );
      if (pair === undefined) return at;
      const key = offsetOf(pair.key as Node, at.key);
      node = pair.value as Node | null;
      at = { key, value: isEmpty(node) || isMap(node) ? key : offsetOf(node, key) };
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part] as Node | undefined;
      if (node === undefined) return at;
      at = { key: offsetOf(node, at.key), value: offsetOf(node, at.value) };
    } else return at;
  }
  return at;
}

/** A key without a value has an empty node whose offset may lie on a later line. */
function isEmpty(node: Node | null | undefined): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null && !node.source);
}

function offsetOf(node: Node | null | undefined, fallback: number): number {
  return node?.range?.[0] ?? fallback;
}

/** What the YAML reader means, in the words of somebody who looks at the file. */
function inWords(error: YAMLError, text: string): Pick<SourceProblem, 'code' | 'expected' | 'found'> {
  const detail = error.message.split('\n')[0] ?? error.message;
  switch (error.code) {
    case 'DUPLICATE_KEY':
      return {
        code: 'NC1102',
        expected: 'each key once in its group',
        found: `"${/^[^:\s]*/.exec(text.slice(error.pos[0]))?.[0] ?? ''}" a second time`,
      };
    case 'TAB_AS_INDENT':
      return { code: 'NC1101', expected: 'spaces as indentation', found: 'a tab' };
    case 'BAD_INDENT':
      return { code: 'NC1101', expected: 'the keys of a group at one indentation', found: detail };
    case 'MISSING_CHAR':
      return {
        code: 'NC1101',
        expected: 'the quote, bracket or separator that is still open',
        found: detail,
      };
    case 'TAG_RESOLVE_FAILED':
      return { code: 'NC1101', expected: 'plain values without a tag', found: detail };
    default:
      return { code: 'NC1101', expected: 'valid YAML', found: detail };
  }
}
