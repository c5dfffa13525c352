/** `${{ if }}`, `${{ elseif }}`, `${{ else }}`, `${{ each }}` and `${{ insert }}`: in which contexts a body is inserted. */
import { isTrue, scopeOf, type CompileContext } from './compile-scope.ts';
import { evaluate, toText, type Value } from './evaluate.ts';
import { parseExpression } from './expression.ts';
import { leaf, refusal, type Leaf, type Position, type Tree } from './tree.ts';

export interface Directive {
  word: 'if' | 'elseif' | 'else' | 'each' | 'insert';
  rest: string;
  at: Position;
}

export function directiveOf(key: Leaf): Directive | undefined {
  const match = /^\$\{\{\s*(if|elseif|else|each|insert)\b([\s\S]*)\}\}$/.exec(key.text.trim());
  if (!match || (/^\s*\(/.test(match[2] ?? '') && !['if', 'elseif'].includes(match[1] ?? '')))
    return undefined;
  return { word: match[1] as Directive['word'], rest: (match[2] ?? '').trim(), at: key.at };
}

/** Whether an `if` stands right before, and whether one of its branches was taken. */
export interface Chain {
  state: 'none' | 'open' | 'taken';
  close(): void;
}

export function newChain(): Chain {
  const chain: Chain = {
    state: 'none',
    close: () => {
      chain.state = 'none';
    },
  };
  return chain;
}

/** The contexts in which the body of a directive is inserted: none, one, or one for each item. */
export function scopesOf(directive: Directive, context: CompileContext, chain: Chain): CompileContext[] {
  const { word, rest, at } = directive;
  if (word === 'if' || word === 'elseif' || word === 'else') {
    if (word === 'if') chain.state = 'open';
    else if (chain.state === 'none')
      throw refusal('NC9101', at, `'${word}' without an 'if' right before it.`);
    if (word === 'else' && rest !== '') throw refusal('NC9101', at, "'else' takes no condition.");
    const before = chain.state;
    const holds = word === 'else' || (before === 'open' && isTrue(rest, at, context));
    const taken = before === 'open' && holds;
    if (word === 'else') chain.close();
    else if (taken) chain.state = 'taken';
    return taken ? [context] : [];
  }
  chain.close();
  if (word === 'insert') return [context];
  const loop = /^([A-Za-z_]\w*)\s+in\s+([\s\S]+)$/.exec(rest);
  if (!loop) throw refusal('NC9101', at, `expected 'each NAME in LIST', found 'each ${rest}'.`);
  const [, name = '', list = ''] = loop;
  const collection = evaluate(parseExpression(list, at), scopeOf(context, at));
  return elements(collection, list, at).map((element) => ({
    ...context,
    locals: new Map([...context.locals, [name.toLowerCase(), element]]),
  }));
}

function elements(collection: Value, list: string, at: Position): Tree[] {
  if (collection === null || collection === '') return [];
  if (typeof collection !== 'object') {
    throw refusal(
      'NC9101',
      at,
      `'each' needs a list or a mapping; '${list}' is '${toText(collection) ?? ''}'.`,
    );
  }
  if (collection.kind === 'sequence') return collection.items;
  return collection.entries.map((entry) => ({
    kind: 'mapping' as const,
    at,
    entries: [
      { key: leaf('key', at), value: entry.key },
      { key: leaf('value', at), value: entry.value },
    ],
  }));
}
