/**
 * As much of HCL2 as it takes to say where a template's provisioners stand: blocks with their labels, and attributes
 * that are a text or a list of texts. Other expressions are passed over.
 */
export interface HclText {
  text: string;
  /** From 1. */
  line: number;
}

export interface HclBlock {
  type: string;
  labels: string[];
  line: number;
  /** undefined for an expression that has to be evaluated. */
  attributes: Map<string, HclText[] | undefined>;
  blocks: HclBlock[];
}

type Token = { kind: 'word' | 'text' | 'mark' | 'end'; text: string; line: number };

/** Blocks of the file; a fault in it ends the list, Packer itself tells what it is. */
export function hclBlocks(source: string): HclBlock[] {
  const file: HclBlock = { type: '', labels: [], line: 1, attributes: new Map(), blocks: [] };
  body(file, cursor(tokens(source)));
  return file.blocks;
}

interface Cursor {
  peek(): Token | undefined;
  next(): Token | undefined;
}

function cursor(all: readonly Token[]): Cursor {
  let at = 0;
  return { peek: () => all[at], next: () => all[at++] };
}

const isMark = (token: Token | undefined, ...texts: string[]): boolean =>
  token?.kind === 'mark' && texts.includes(token.text);

function body(into: HclBlock, from: Cursor): void {
  for (let token = from.next(); token !== undefined && !isMark(token, '}'); token = from.next()) {
    if (token.kind !== 'word') continue;
    if (isMark(from.peek(), '=')) {
      from.next();
      into.attributes.set(token.text, texts(from));
      continue;
    }
    const labels: string[] = [];
    while (from.peek()?.kind === 'text' || from.peek()?.kind === 'word') labels.push(from.next()?.text ?? '');
    if (!isMark(from.peek(), '{')) continue;
    from.next();
    const block: HclBlock = { type: token.text, labels, line: token.line, attributes: new Map(), blocks: [] };
    into.blocks.push(block);
    body(block, from);
  }
}

/** Reads an expression to its end: the line's, outside of brackets, or the block's closing brace. */
function texts(from: Cursor): HclText[] | undefined {
  const found: HclText[] = [];
  let depth = 0;
  let simple = true;
  for (;;) {
    const token = from.peek();
    if (token === undefined) break;
    if (depth === 0 && (token.kind === 'end' || isMark(token, '}'))) break;
    from.next();
    if (isMark(token, '[', '{', '(')) {
      simple &&= token.text === '[' && depth === 0 && found.length === 0;
      depth += 1;
    } else if (isMark(token, ']', '}', ')')) depth -= 1;
    else if (token.kind === 'text') found.push({ text: token.text, line: token.line });
    else if (token.kind !== 'end' && !isMark(token, ',')) simple = false;
  }
  return simple ? found : undefined;
}

const HEREDOC = /<<-?([A-Za-z_][\w-]*)\r?\n/y;
const SKIPPED = /[ \t\r]+|#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
const WORD = /[A-Za-z_][\w.-]*|\d[\w.]*/y;

function tokens(source: string): Token[] {
  const found: Token[] = [];
  let line = 1;
  const linesIn = (text: string) => text.split('\n').length - 1;
  for (let at = 0; at < source.length;) {
    const taken = (pattern: RegExp) => {
      pattern.lastIndex = at;
      return pattern.exec(source);
    };
    const skipped = taken(SKIPPED)?.[0];
    const heredoc = taken(HEREDOC);
    const word = taken(WORD)?.[0];
    if (skipped !== undefined) {
      line += linesIn(skipped);
      at += skipped.length;
    } else if (heredoc) {
      const start = at + heredoc[0].length;
      const close = new RegExp(`^[ \\t]*${heredoc[1] ?? ''}[ \\t]*\\r?$`, 'm').exec(source.slice(start));
      const length = close?.index ?? source.length - start;
      found.push({
        kind: 'text',
        text: source.slice(start, start + length).replace(/\n$/, ''),
        line: line + 1,
      });
      line += 1 + linesIn(source.slice(start, start + length));
      at = start + length + (close?.[0].length ?? 0);
    } else if (source[at] === '"') {
      const end = endOfText(source, at + 1);
      const raw = source.slice(at + 1, end);
      found.push({ kind: 'text', text: unescaped(raw), line });
      line += linesIn(raw);
      at = end + 1;
    } else if (word !== undefined) {
      found.push({ kind: 'word', text: word, line });
      at += word.length;
    } else {
      const mark = source[at] ?? '';
      found.push({ kind: mark === '\n' ? 'end' : 'mark', text: mark, line });
      line += mark === '\n' ? 1 : 0;
      at += 1;
    }
  }
  return found;
}

/** Index of the closing quote; `${"…"}` inside may hold quotes of its own. */
function endOfText(source: string, from: number): number {
  let depth = 0;
  for (let at = from; at < source.length; at += 1) {
    const two = source.slice(at, at + 2);
    if (depth === 0 && source[at] === '\\') at += 1;
    else if (two === '${' || two === '%{') {
      depth += 1;
      at += 1;
    } else if (depth > 0 && source[at] === '}') depth -= 1;
    else if (source[at] === '"') {
      if (depth === 0) return at;
      at = endOfText(source, at + 1);
    }
  }
  return source.length;
}

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t' };
const unescaped = (raw: string): string =>
  raw.replace(/\\(.)/g, (_whole, letter: string) => ESCAPES[letter] ?? letter);
