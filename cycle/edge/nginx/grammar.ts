/**
 * nginx's configuration grammar, lossless: every byte of a file is in exactly one token, so that what is not
 * changed is written back as it was. The rules are those of nginx's own token reader (`#` starts a comment
 * only where a word could start, `${` does not open a block, a closing quote needs a separator after it), and
 * of the Lua module, whose `*_by_lua_block` bodies follow Lua's quoting instead.
 */
import { CodedError } from '../../../ports/errors.ts';

export type TokenKind = 'space' | 'comment' | 'word' | 'open' | 'close' | 'semicolon' | 'lua';

export interface Token {
  kind: TokenKind;
  /** The bytes as they stand, quotes included. */
  text: string;
  /** Position in the file's text. */
  start: number;
  /** 1-based line of the first character. */
  line: number;
}

export interface Word {
  /** What nginx sees: quotes taken off, escapes resolved. */
  value: string;
  start: number;
  end: number;
  line: number;
}

export interface Directive {
  name: string;
  args: Word[];
  /** From the first character of the name … */
  start: number;
  /** … to just behind the semicolon or the closing brace. */
  end: number;
  line: number;
  /** Present when the directive has a block. */
  children?: Directive[];
  /** Position of the opening brace and of the closing one, for blocks. */
  open?: number;
  close?: number;
}

export interface Document {
  text: string;
  tokens: Token[];
  body: Directive[];
}

/** Parses one file. `file` is only for messages. Throws NC4001 with file and line. */
export function parseNginx(text: string, file: string): Document {
  const tokens = tokenize(text, file);
  return { text, tokens, body: build(tokens, file) };
}

/** The file's text again: the tokens in order and nothing else. */
export function writeNginx(document: Document): string {
  return document.tokens.map((token) => token.text).join('');
}

/** Calls `visit` for each directive, outer ones first, with the names of the blocks around it. */
export function walk(
  directives: readonly Directive[],
  visit: (directive: Directive, path: readonly string[]) => void,
  path: readonly string[] = [],
): void {
  for (const directive of directives) {
    visit(directive, path);
    if (directive.children) walk(directive.children, visit, [...path, directive.name]);
  }
}

const isSpace = (ch: string): boolean => ch === ' ' || ch === '\t' || ch === '\r' || ch === '\n';

function tokenize(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let wordsSinceEnd = 0;
  let firstWord = '';
  const fail = (what: string): never => {
    throw new CodedError('NC4001', `${file}:${line}: ${what}`);
  };
  const push = (kind: TokenKind, end: number): void => {
    const body = text.slice(at, end);
    tokens.push({ kind, text: body, start: at, line });
    for (const ch of body) if (ch === '\n') line++;
    at = end;
  };
  while (at < text.length) {
    const ch = text.charAt(at);
    if (isSpace(ch)) {
      let end = at + 1;
      while (end < text.length && isSpace(text.charAt(end))) end++;
      push('space', end);
    } else if (ch === '#') {
      const newline = text.indexOf('\n', at);
      push('comment', newline < 0 ? text.length : newline);
    } else if (ch === ';') {
      if (wordsSinceEnd === 0) fail('found ";" where a directive was expected');
      push('semicolon', at + 1);
      wordsSinceEnd = 0;
    } else if (ch === '{') {
      if (wordsSinceEnd === 0) fail('found "{" where a directive was expected');
      push('open', at + 1);
      wordsSinceEnd = 0;
      if (firstWord.endsWith('_by_lua_block')) {
        const end = luaEnd(text, at);
        if (end === undefined) fail(`the Lua block of ${firstWord} does not end`);
        else if (end > at) push('lua', end);
      }
    } else if (ch === '}') {
      if (wordsSinceEnd > 0) fail('found "}" where ";" was expected');
      push('close', at + 1);
    } else {
      const end = wordEnd(text, at, fail);
      if (wordsSinceEnd === 0) firstWord = text.slice(at, end);
      wordsSinceEnd++;
      push('word', end);
    }
  }
  if (wordsSinceEnd > 0) fail('the file ends inside a directive: ";" or "{" was expected');
  return tokens;
}

/** Where the word that starts at `start` ends, by nginx's rules for quoted and plain words. */
function wordEnd(text: string, start: number, fail: (what: string) => never): number {
  const quote = text.charAt(start);
  let at = start;
  if (quote === '"' || quote === "'") {
    at++;
    while (at < text.length && text.charAt(at) !== quote) at += text.charAt(at) === '\\' ? 2 : 1;
    if (at >= text.length) fail(`a string that starts with ${quote} does not end`);
    at++;
    const after = text.charAt(at);
    // nginx lets a ")" follow a string at once, for `if ($x = "y")`: it is a word of its own there.
    if (after !== '' && !isSpace(after) && after !== ';' && after !== '{' && after !== ')') {
      fail(`unexpected ${JSON.stringify(after)} right behind a closing quote`);
    }
    return at;
  }
  let afterDollar = false;
  while (at < text.length) {
    const ch = text.charAt(at);
    if (ch === '{' && afterDollar) {
      afterDollar = false;
    } else if (isSpace(ch) || ch === ';' || ch === '{') {
      return at;
    } else {
      afterDollar = ch === '$';
      if (ch === '\\') at++;
    }
    at++;
  }
  return Math.min(at, text.length);
}

/** The position of the brace that ends a Lua body starting at `start`; undefined when there is none. */
function luaEnd(text: string, start: number): number | undefined {
  let at = start;
  let depth = 0;
  while (at < text.length) {
    const ch = text.charAt(at);
    if (ch === '{') depth++;
    else if (ch === '}') {
      if (depth === 0) return at;
      depth--;
    } else if (ch === '"' || ch === "'") {
      at++;
      while (at < text.length && text.charAt(at) !== ch && text.charAt(at) !== '\n') {
        at += text.charAt(at) === '\\' ? 2 : 1;
      }
    } else if (ch === '-' && text.charAt(at + 1) === '-') {
      const long = longBracketEnd(text, at + 2);
      if (long !== undefined) {
        at = long;
        continue;
      }
      const newline = text.indexOf('\n', at);
      if (newline < 0) return undefined;
      at = newline;
    } else if (ch === '[') {
      const long = longBracketEnd(text, at);
      if (long !== undefined) {
        at = long;
        continue;
      }
    }
    at++;
  }
  return undefined;
}

/** Just behind `[[ … ]]` or `[=[ … ]=]` at `at`; undefined when no long bracket starts there. */
function longBracketEnd(text: string, at: number): number | undefined {
  if (text.charAt(at) !== '[') return undefined;
  let level = 0;
  while (text.charAt(at + 1 + level) === '=') level++;
  if (text.charAt(at + 1 + level) !== '[') return undefined;
  const close = `]${'='.repeat(level)}]`;
  const end = text.indexOf(close, at + level + 2);
  return end < 0 ? text.length : end + close.length;
}

function build(tokens: readonly Token[], file: string): Directive[] {
  const root: Directive[] = [];
  const stack: { directive: Directive; list: Directive[] }[] = [];
  let list = root;
  let words: Word[] = [];
  const finish = (end: number): Directive => {
    const [first, ...args] = words as [Word, ...Word[]];
    words = [];
    const directive: Directive = { name: first.value, args, start: first.start, end, line: first.line };
    list.push(directive);
    return directive;
  };
  for (const token of tokens) {
    const end = token.start + token.text.length;
    if (token.kind === 'word') {
      words.push({ value: wordValue(token.text), start: token.start, end, line: token.line });
    } else if (token.kind === 'semicolon') {
      finish(end);
    } else if (token.kind === 'open') {
      const directive = finish(end);
      directive.children = [];
      directive.open = token.start;
      stack.push({ directive, list });
      list = directive.children;
    } else if (token.kind === 'close') {
      const outer = stack.pop();
      if (!outer) throw new CodedError('NC4001', `${file}:${token.line}: found "}" without a block.`);
      outer.directive.end = end;
      outer.directive.close = token.start;
      list = outer.list;
    }
  }
  const open = stack.at(-1);
  if (open) {
    throw new CodedError(
      'NC4001',
      `${file}:${open.directive.line}: the block of "${open.directive.name}" does not end: "}" was expected.`,
    );
  }
  return root;
}

const ESCAPES: Record<string, string> = { '"': '"', "'": "'", '\\': '\\', t: '\t', r: '\r', n: '\n' };

function wordValue(raw: string): string {
  const quote = raw.charAt(0);
  const inner = quote === '"' || quote === "'" ? raw.slice(1, -1) : raw;
  return inner.replace(/\\(["'\\trn])/g, (_all, ch: string) => ESCAPES[ch] ?? ch);
}
