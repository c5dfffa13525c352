/** Where compile-time expressions stand: their names, and the texts that they are part of. */
import { evaluate, toBoolean, toText, valueOf, type Scope } from './evaluate.ts';
import { parseExpression } from './expression.ts';
import { leaf, refusal, sameName, type Leaf, type Mapping, type Position, type Tree } from './tree.ts';

export type ReadPipelineFile = (path: string) => Promise<string | undefined>;

export interface CompileContext {
  file: string;
  read: ReadPipelineFile;
  parameters: Mapping;
  /** The variables that are known before the run: literals of the levels above. */
  variables: Mapping;
  /** Loop variables of `${{ each }}`. */
  locals: ReadonlyMap<string, Tree>;
  depth: number;
}

export function scopeOf(context: CompileContext, at: Position): Scope {
  return {
    at,
    name: (name) => {
      if (sameName(name, 'parameters')) return context.parameters;
      if (sameName(name, 'variables')) return context.variables;
      const local = context.locals.get(name.toLowerCase());
      return local && valueOf(local);
    },
    missing: (path) => {
      const [head = '', name] = path.split('.');
      if (!sameName(head, 'parameters') || path.split('.').length !== 2) return null;
      const known = context.parameters.entries.map((entry) => entry.key.text).join(', ') || 'none';
      throw refusal(
        'NC9103',
        at,
        `there is no parameter '${name ?? ''}' (the service would take it as empty); declared: ${known}.`,
      );
    },
  };
}

export function expandLeaf(source: Leaf, context: CompileContext): Tree {
  if (!source.text.includes('${{')) return source;
  const parts = splitExpressions(source);
  const [only] = parts;
  if (parts.length === 1 && only?.kind === 'expression') {
    const value = evaluate(parseExpression(only.text, source.at), scopeOf(context, source.at));
    if (value === null) return leaf('', source.at);
    return typeof value === 'object' ? value : leaf(value, source.at);
  }
  const texts = parts.map((part) => {
    if (part.kind === 'text') return part.text;
    const text = toText(evaluate(parseExpression(part.text, source.at), scopeOf(context, source.at)));
    if (text === undefined)
      throw refusal('NC9101', source.at, `a list or mapping inside the text '${source.text}'.`);
    return text;
  });
  return leaf(texts.join(''), source.at);
}

function splitExpressions(source: Leaf): { kind: 'text' | 'expression'; text: string }[] {
  const parts: { kind: 'text' | 'expression'; text: string }[] = [];
  let rest = source.text;
  for (;;) {
    const start = rest.indexOf('${{');
    if (start < 0) break;
    const inner = /^(?:[^'}]|'[^']*'|\}(?!\}))*/.exec(rest.slice(start + 3))?.[0] ?? '';
    const end = start + 3 + inner.length;
    if (!rest.startsWith('}}', end))
      throw refusal('NC9103', source.at, `\${{ without its }} in '${source.text}'.`);
    if (start > 0) parts.push({ kind: 'text', text: rest.slice(0, start) });
    parts.push({ kind: 'expression', text: inner });
    rest = rest.slice(end + 2);
  }
  if (rest !== '') parts.push({ kind: 'text', text: rest });
  return parts;
}

export function isTrue(text: string, at: Position, context: CompileContext): boolean {
  const value = evaluate(parseExpression(text, at), scopeOf(context, at));
  if (typeof value === 'string' && /^(false|0|no)$/i.test(value)) {
    // Any text that is not empty is true, 'false' too: nobody means that.
    throw refusal('NC9103', at, `the text '${value}' as a condition would be true; compare it: eq(…, true).`);
  }
  return toBoolean(value);
}
