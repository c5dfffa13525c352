/**
 * YAML text → tree with positions. Refuses what the service refuses: anchors, aliases, tags, duplicate keys,
 * more than one document, keys that are not text.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, type Node } from 'yaml';
import { refusal, sameName, type Entry, type Leaf, type Position, type Tree } from './tree.ts';

/** facts/azure-pipelines.md: object depth of 100. */
const MAX_DEPTH = 100;

/** @throws CodedError NC9101 with file:line:column. */
export function parseTree(text: string, file: string): Tree {
  const lineCounter = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { file, line, column: col };
  };
  // The failsafe schema leaves every scalar as the text that was written.
  const documents = parseAllDocuments(text, { schema: 'failsafe', lineCounter, uniqueKeys: false });
  if (!Array.isArray(documents) || documents.length === 0) {
    throw refusal('NC9101', { file, line: 1, column: 1 }, 'the file is empty.');
  }
  const [document, second] = documents;
  if (document === undefined) throw refusal('NC9101', { file, line: 1, column: 1 }, 'the file is empty.');
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const [message = ''] = problem.message.split('\n');
    throw refusal('NC9101', at(problem.pos[0]), `not valid YAML: ${message.replace(/ at line \d+.*$/, '')}.`);
  }
  if (second !== undefined) {
    throw refusal('NC9101', at(second.range[0]), 'a second YAML document; a pipeline file holds one.');
  }
  if (document.contents === null) throw refusal('NC9101', at(0), 'the file is empty.');
  return convert(document.contents, at, 0);
}

function convert(node: Node, at: (offset: number) => Position, depth: number): Tree {
  const here = at(node.range?.[0] ?? 0);
  if (depth > MAX_DEPTH) {
    throw refusal('NC9101', here, `nested deeper than ${MAX_DEPTH} levels.`);
  }
  if (isAlias(node)) {
    throw refusal('NC9101', here, `the alias *${node.source}: the service knows no YAML anchors.`);
  }
  const anchor = (node as { anchor?: string }).anchor;
  if (anchor !== undefined) {
    throw refusal('NC9101', here, `the anchor &${anchor}: the service knows no YAML anchors.`);
  }
  const tag = (node as { tag?: string }).tag;
  if (tag !== undefined && !tag.startsWith('tag:yaml.org,2002:')) {
    throw refusal('NC9101', here, `the tag ${tag}: tags are not known.`);
  }
  if (isScalar(node))
    return { kind: 'leaf', text: typeof node.value === 'string' ? node.value : '', at: here };
  if (isSeq(node)) {
    const items = node.items.map((item) => convert(item as Node, at, depth + 1));
    return { kind: 'sequence', items, at: here };
  }
  if (isMap(node)) {
    const entries: Entry[] = [];
    for (const pair of node.items) {
      const key = keyOf(pair.key as Node | null, at, here);
      const twin = entries.find((entry) => sameName(entry.key.text, key.text));
      if (twin !== undefined) {
        throw refusal('NC9101', key.at, `duplicate key '${key.text}', first in line ${twin.key.at.line}.`);
      }
      const value: Tree =
        pair.value === null || pair.value === undefined
          ? { kind: 'leaf', text: '', at: key.at }
          : convert(pair.value as Node, at, depth + 1);
      entries.push({ key, value });
    }
    return { kind: 'mapping', entries, at: here };
  }
  throw refusal('NC9101', here, 'a YAML construct that is neither scalar, list nor mapping.');
}

function keyOf(node: Node | null, at: (offset: number) => Position, mapping: Position): Leaf {
  if (node === null) throw refusal('NC9101', mapping, 'a key is missing.');
  const key = convert(node, at, 0);
  if (key.kind !== 'leaf') throw refusal('NC9101', key.at, 'a key must be text.');
  if (key.text === '<<') throw refusal('NC9101', key.at, "the merge key '<<' is not known.");
  return key;
}
