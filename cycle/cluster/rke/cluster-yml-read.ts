/** cluster.yml as a tree with places. A plan asks for the same few texts dozens of times: the last ones are kept. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Document, YAMLMap, YAMLSeq } from 'yaml';
import { CodedError } from '../../../ports/errors.ts';
import { finding } from '../finding.ts';
import type { Finding } from '../finding.ts';

/** Shared between all who read the same text: nobody changes it, edits are made on the text. */
export interface ParsedYml {
  readonly doc: Document.Parsed;
  readonly seq: YAMLSeq;
  readonly lines: LineCounter;
  /** The values without places. */
  readonly plain: Readonly<Record<string, unknown>>;
}

/** The text at the branch's tip, and what is left of it after each edit of one cycle: joined, two roles, gone. */
const KEPT_TEXTS = 5;
const kept = new Map<string, ParsedYml>();

/**
 * rke takes duplicate keys, the last wins: they are read, and `duplicateKeys` lists them.
 * @throws CodedError NC3201 when the text is not YAML or has no list of nodes.
 */
export function readYml(text: string): ParsedYml {
  const known = kept.get(text);
  if (known !== undefined) {
    kept.delete(text);
    kept.set(text, known);
    return known;
  }
  const parsed = parse(text);
  kept.set(text, parsed);
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT_TEXTS) break;
    kept.delete(oldest);
  }
  return parsed;
}

function parse(text: string): ParsedYml {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, uniqueKeys: false, merge: true });
  const error = doc.errors[0];
  if (error !== undefined) throw new CodedError('NC3201', error.message.split('\n')[0] ?? error.message);
  const seq = isMap(doc.contents) ? nodesOf(doc.contents) : undefined;
  if (seq === undefined)
    throw new CodedError('NC3201', 'Expected a list under the key `nodes`; there is none.');
  return { doc, seq, lines, plain: recordOf(doc.toJS()) };
}

function nodesOf(map: YAMLMap): YAMLSeq | undefined {
  const value: unknown = map.get('nodes', true);
  return isSeq(value) && !isAlias(value) ? value : undefined;
}

export function duplicateKeys({ doc, lines }: ParsedYml): Finding[] {
  const found: Finding[] = [];
  visit(doc, {
    Map: (_key, map) => {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          const { line, col } = lines.linePos(key.range?.[0] ?? 0);
          const where = `${String(key.value)} at line ${line}, column ${col}`;
          found.push(finding('NC3202', `A key is there twice; rke takes the last: ${where}.`));
        }
        seen.add(key.value);
      }
    },
  });
  return found;
}

export function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
