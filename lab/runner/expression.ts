/**
 * The language of pipeline expressions: text → syntax tree.
 *
 * One grammar serves `${{ }}`, `$[ ]` and `condition:`; they differ in the names and functions that they may use.
 */
import { refusal, type Position } from './tree.ts';

/** facts/azure-pipelines.md: the service's own limits. */
const MAX_LENGTH = 21_000;
const MAX_DEPTH = 50;

export type Expression =
  | { kind: 'literal'; value: string | number | boolean | null }
  | { kind: 'name'; name: string; column: number }
  | { kind: 'index'; target: Expression; key: Expression }
  | { kind: 'call'; name: string; args: Expression[]; column: number };

interface Token {
  kind: 'string' | 'number' | 'word' | 'punctuation' | 'end';
  text: string;
  /** Offset in the expression. */
  offset: number;
}

const KEYWORDS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['false', false],
  ['null', null],
]);

/** @throws CodedError NC9103 with file:line:column of the expression and the offending word. */
export function parseExpression(text: string, at: Position): Expression {
  if (text.length > MAX_LENGTH) {
    throw refusal('NC9103', at, `the expression has ${text.length} characters; at most ${MAX_LENGTH}.`);
  }
  const tokens = tokenise(text, at);
  let next = 0;
  const peek = (): Token => tokens[next] as Token;
  const found = (token: Token): string => (token.kind === 'end' ? 'the end' : `'${token.text}'`);
  const fail = (token: Token, expected: string): never => {
    throw refusal(
      'NC9103',
      at,
      `expected ${expected}, found ${found(token)} at character ${token.offset + 1} of \`${text.trim()}\`.`,
    );
  };
  const take = (symbol: string): void => {
    const token = peek();
    if (token.kind !== 'punctuation' || token.text !== symbol) fail(token, `'${symbol}'`);
    next += 1;
  };
  const isNext = (symbol: string): boolean => peek().kind === 'punctuation' && peek().text === symbol;

  const parse = (depth: number): Expression => {
    if (depth > MAX_DEPTH) throw refusal('NC9103', at, `nested deeper than ${MAX_DEPTH} levels.`);
    let expression = parsePrimary(depth);
    for (;;) {
      if (isNext('.')) {
        next += 1;
        const token = peek();
        if (token.kind !== 'word') fail(token, "a property's name");
        next += 1;
        expression = { kind: 'index', target: expression, key: { kind: 'literal', value: token.text } };
      } else if (isNext('[')) {
        next += 1;
        const key = parse(depth + 1);
        take(']');
        expression = { kind: 'index', target: expression, key };
      } else return expression;
    }
  };
  const parsePrimary = (depth: number): Expression => {
    const token = peek();
    next += 1;
    if (token.kind === 'string') return { kind: 'literal', value: token.text };
    if (token.kind === 'number') return { kind: 'literal', value: Number(token.text) };
    if (token.kind !== 'word') return fail(token, 'a value, a name or a function');
    if (isNext('(')) {
      next += 1;
      const args: Expression[] = [];
      while (!isNext(')')) {
        if (args.length > 0) take(',');
        args.push(parse(depth + 1));
      }
      next += 1;
      return { kind: 'call', name: token.text, args, column: token.offset + 1 };
    }
    const keyword = KEYWORDS.get(token.text.toLowerCase());
    if (keyword !== undefined) return { kind: 'literal', value: keyword };
    return { kind: 'name', name: token.text, column: token.offset + 1 };
  };

  const expression = parse(1);
  if (peek().kind !== 'end') fail(peek(), 'the end of the expression');
  return expression;
}

function tokenise(text: string, at: Position): Token[] {
  const tokens: Token[] = [];
  let offset = 0;
  while (offset < text.length) {
    const rest = text.slice(offset);
    const blank = /^\s+/.exec(rest);
    if (blank) {
      offset += blank[0].length;
      continue;
    }
    const previous = tokens.at(-1);
    const afterValue =
      previous !== undefined &&
      (previous.kind === 'word' || previous.text === ')' || previous.text === ']') &&
      previous.offset + previous.text.length === offset;
    const string = /^'((?:[^']|'')*)'/.exec(rest);
    const number = afterValue ? null : /^-?(?:\d+(?:\.\d+)*|\.\d+)(?![A-Za-z0-9_])/.exec(rest);
    const word = /^[A-Za-z_][A-Za-z0-9_-]*/.exec(rest);
    const symbol = /^[().,[\]]/.exec(rest);
    if (string) tokens.push({ kind: 'string', text: (string[1] ?? '').replaceAll("''", "'"), offset });
    else if (number) {
      if (number[0].split('.').length > 2) {
        throw refusal(
          'NC9103',
          at,
          `the version literal ${number[0]} is not known; write it as '${number[0]}'.`,
        );
      }
      tokens.push({ kind: 'number', text: number[0], offset });
    } else if (word) tokens.push({ kind: 'word', text: word[0], offset });
    else if (symbol) tokens.push({ kind: 'punctuation', text: symbol[0], offset });
    else {
      throw refusal('NC9103', at, `${describeStray(rest)} at character ${offset + 1} of \`${text.trim()}\`.`);
    }
    offset += (string ?? number ?? word ?? symbol)?.[0].length ?? 1;
  }
  tokens.push({ kind: 'end', text: '', offset: text.length });
  return tokens;
}

function describeStray(rest: string): string {
  const operator = /^(==|!=|<=|>=|<|>|&&|\|\||!|\+|\*)/.exec(rest);
  if (operator)
    return `the operator '${operator[0]}': expressions have functions (eq, ne, and, or, not …), found it`;
  if (rest.startsWith('$(')) return "a macro $(…): conditions and expressions use variables['…'], found it";
  if (rest.startsWith("'")) return "a text without its closing '";
  return `the character '${rest.slice(0, 1)}' is not known`;
}

/** Every call and every chain of constant keys (`dependencies.A.outputs['x']` → ['dependencies', 'A', …]). */
export function usesOf(expression: Expression): {
  calls: (Expression & { kind: 'call' })[];
  paths: string[][];
} {
  const calls: (Expression & { kind: 'call' })[] = [];
  const paths: string[][] = [];
  const walk = (node: Expression): void => {
    if (node.kind === 'call') {
      calls.push(node);
      node.args.forEach(walk);
    } else if (node.kind === 'name') paths.push([node.name]);
    else if (node.kind === 'index') {
      const path = pathOf(node);
      if (path) paths.push(path);
      else {
        walk(node.target);
        walk(node.key);
      }
    }
  };
  walk(expression);
  return { calls, paths };
}

function pathOf(node: Expression): string[] | undefined {
  if (node.kind === 'name') return [node.name];
  if (node.kind !== 'index' || node.key.kind !== 'literal') return undefined;
  const head = pathOf(node.target);
  return head && [...head, String(node.key.value)];
}
