/**
 * The compile-time half of a pipeline: templates, `${{ if }}`, `${{ each }}`, `${{ insert }}` and `${{ value }}`.
 * What comes out holds no `${{`.
 */
import { posix } from 'node:path';
import { expandLeaf, type CompileContext, type ReadPipelineFile } from './compile-scope.ts';
import { directiveOf, newChain, scopesOf } from './directives.ts';
import { bindParameters, readDeclarations, refuseExpressions } from './parameters.ts';
import { parseTree } from './parse.ts';
import { entryOf, leaf, place, refusal, sameName } from './tree.ts';
import type { Entry, Leaf, Mapping, Position, Tree } from './tree.ts';

/** Lists that may take in templates of their own kind. */
type Kind = 'stages' | 'jobs' | 'steps' | 'variables';
const KINDS: readonly string[] = ['stages', 'jobs', 'steps', 'variables'];
/** Under these keys stand values of the pipeline's author: `steps` there is just a name. */
const DATA_KEYS = ['inputs', 'parameters', 'env'];
const MAX_TEMPLATES_DEEP = 50;

export interface ExpandOptions {
  readPipelineFile: ReadPipelineFile;
  pipelinePath: string;
  parameters: Mapping;
  /** Predefined variables that templates may use, such as Build.Reason. */
  variables?: Mapping;
}

/** @throws CodedError NC9101 to NC9104, with file:line:column. */
export async function expandTree(options: ExpandOptions): Promise<Mapping> {
  const root = await readMapping(options.readPipelineFile, options.pipelinePath, {
    file: options.pipelinePath,
    line: 1,
    column: 1,
  });
  const declarations = readDeclarations(entryOf(root, 'parameters')?.value);
  const schedules = entryOf(root, 'schedules')?.value;
  if (schedules) refuseExpressions(schedules, 'under schedules');
  const context: CompileContext = {
    file: options.pipelinePath,
    read: options.readPipelineFile,
    parameters: bindParameters(declarations, options.parameters, root.at),
    variables: options.variables ?? { kind: 'mapping', entries: [], at: root.at },
    locals: new Map(),
    depth: 0,
  };
  const entries = root.entries.filter((entry) => !sameName(entry.key.text, 'parameters'));
  return expandMapping({ ...root, entries }, context, 'level');
}

async function readMapping(read: ReadPipelineFile, path: string, at: Position): Promise<Mapping> {
  const text = await read(path);
  if (text === undefined)
    throw refusal('NC9101', at, `the file '${path}' does not exist at the queued commit.`);
  const tree = parseTree(text, path);
  if (tree.kind !== 'mapping') throw refusal('NC9101', tree.at, 'expected a mapping at the top of the file.');
  return tree;
}

/** `level`: the pipeline, a stage or a job, which bring variables; `data`: values of the author. */
type Role = Kind | 'level' | 'data' | undefined;

async function expand(tree: Tree, context: CompileContext, role: Role): Promise<Tree> {
  if (tree.kind === 'leaf') return expandLeaf(tree, context);
  if (tree.kind === 'sequence') return { ...tree, items: await expandItems(tree.items, context, role) };
  const level = role === 'stages' || role === 'jobs' ? 'level' : role === 'data' ? 'data' : undefined;
  return expandMapping(tree, context, role === 'variables' ? 'variables' : level);
}

async function expandMapping(mapping: Mapping, outer: CompileContext, role: Role): Promise<Mapping> {
  let context = outer;
  let variables: Entry | undefined;
  const declared = role === 'level' ? entryOf(mapping, 'variables') : undefined;
  if (declared) {
    variables = { key: declared.key, value: await expand(declared.value, outer, 'variables') };
    context = { ...outer, variables: withVariables(outer.variables, variables.value) };
  }
  const entries: Entry[] = [];
  const add = (entry: Entry): void => {
    const twin = entries.find((other) => sameName(other.key.text, entry.key.text));
    if (twin) {
      throw refusal(
        'NC9101',
        entry.key.at,
        `duplicate key '${entry.key.text}' after expansion, first at ${place(twin.key.at)}.`,
      );
    }
    entries.push(entry);
  };
  const chain = newChain();
  for (const entry of mapping.entries) {
    if (entry === declared && variables) {
      add(variables);
      chain.close();
      continue;
    }
    const directive = directiveOf(entry.key);
    if (directive === undefined) {
      chain.close();
      const key = expandLeaf(entry.key, context);
      if (key.kind !== 'leaf') throw refusal('NC9101', entry.key.at, 'a key must become a text.');
      add({ key, value: await expand(entry.value, context, childRole(key.text, role)) });
      continue;
    }
    for (const inner of scopesOf(directive, context, chain)) {
      const body = await expand(entry.value, inner, role === 'level' ? undefined : role);
      if (body.kind === 'mapping') body.entries.forEach(add);
      else if (!(body.kind === 'leaf' && body.text === '')) {
        throw refusal('NC9101', entry.value.at, `expected a mapping under '${entry.key.text}'.`);
      }
    }
  }
  return { ...mapping, entries };
}

function childRole(key: string, role: Role): Role {
  if (role === 'data' || role === 'variables') return role;
  const name = key.toLowerCase();
  if (DATA_KEYS.includes(name)) return 'data';
  return KINDS.includes(name) ? (name as Kind) : undefined;
}

async function expandItems(items: readonly Tree[], context: CompileContext, role: Role): Promise<Tree[]> {
  const expanded: Tree[] = [];
  const chain = newChain();
  for (const item of items) {
    const first = item.kind === 'mapping' ? item.entries[0] : undefined;
    const directive = first && directiveOf(first.key);
    if (item.kind === 'mapping' && first && directive) {
      if (item.entries.length > 1 || first.value.kind === 'mapping' || directive.word === 'insert') {
        throw refusal(
          'NC9102',
          first.key.at,
          `'${first.key.text}' in a list needs a list under it, and no other key.`,
        );
      }
      for (const inner of scopesOf(directive, context, chain)) {
        const body = await expand(first.value, inner, role);
        if (body.kind === 'sequence') expanded.push(...body.items);
        else if (!(body.kind === 'leaf' && body.text === '')) {
          throw refusal('NC9101', first.value.at, `expected a list under '${first.key.text}'.`);
        }
      }
      continue;
    }
    chain.close();
    if (
      item.kind === 'mapping' &&
      first?.key.text === 'template' &&
      role !== undefined &&
      KINDS.includes(role)
    ) {
      expanded.push(...(await include(item, role as Kind, context)));
      continue;
    }
    const value = await expand(item, context, role);
    // `- ${{ parameters.steps }}` inserts the list's items, not a list in the list.
    if (item.kind === 'leaf' && value.kind === 'sequence') expanded.push(...value.items);
    else expanded.push(value);
  }
  return expanded;
}

async function include(call: Mapping, kind: Kind, context: CompileContext): Promise<Tree[]> {
  for (const entry of call.entries) {
    if (!['template', 'parameters'].includes(entry.key.text)) {
      throw refusal(
        'NC9102',
        entry.key.at,
        `unknown key '${entry.key.text}' of a template; known: template, parameters.`,
      );
    }
  }
  const target = expandLeaf((entryOf(call, 'template') as Entry).value as Leaf, context);
  if (target.kind !== 'leaf' || target.text === '')
    throw refusal('NC9101', call.at, "expected a template's path.");
  const path = resolveTemplate(target, context.file);
  if (context.depth >= MAX_TEMPLATES_DEEP) {
    throw refusal(
      'NC9101',
      target.at,
      `templates nested deeper than ${MAX_TEMPLATES_DEEP}: '${path}' again.`,
    );
  }
  const given = entryOf(call, 'parameters')?.value;
  const values = given && (await expand(given, context, 'data'));
  if (values !== undefined && values.kind !== 'mapping') {
    throw refusal('NC9101', values.at, "expected a mapping under a template's parameters.");
  }
  const root = await readMapping(context.read, path, target.at);
  const stray = root.entries.find((entry) => !['parameters', kind].includes(entry.key.text));
  if (stray) {
    throw refusal(
      'NC9102',
      stray.key.at,
      `unknown key '${stray.key.text}' of a template of ${kind}; known: parameters, ${kind}.`,
    );
  }
  const body = entryOf(root, kind)?.value;
  if (body === undefined) throw refusal('NC9101', root.at, `expected '${kind}' in the template '${path}'.`);
  const inner: CompileContext = {
    ...context,
    file: path,
    parameters: bindParameters(readDeclarations(entryOf(root, 'parameters')?.value), values, call.at),
    locals: new Map(),
    depth: context.depth + 1,
  };
  const expanded = await expand(body, inner, kind);
  if (expanded.kind === 'sequence') return expanded.items;
  if (expanded.kind === 'mapping' && kind === 'variables') return variableItems(expanded);
  throw refusal('NC9101', body.at, `expected a list under '${kind}'.`);
}

/** The list form of `variables: {a: b}`, so that a template of either form fits into a list. */
function variableItems(mapping: Mapping): Tree[] {
  return mapping.entries.map((entry) => ({
    kind: 'mapping' as const,
    at: entry.key.at,
    entries: [
      { key: leaf('name', entry.key.at), value: entry.key },
      { key: leaf('value', entry.key.at), value: entry.value },
    ],
  }));
}

function resolveTemplate(target: Leaf, from: string): string {
  const [path = '', alias] = target.text.split('@');
  if (alias !== undefined && alias !== 'self') {
    throw refusal(
      'NC9102',
      target.at,
      `the template '${target.text}' of another repository; only this one is known.`,
    );
  }
  const resolved = path.startsWith('/')
    ? posix.normalize(path.slice(1))
    : posix.join(posix.dirname(from), path);
  if (resolved.startsWith('..'))
    throw refusal('NC9101', target.at, `the template '${path}' is outside the repository.`);
  return resolved;
}

function withVariables(outer: Mapping, declared: Tree): Mapping {
  const added: Entry[] = [];
  const addPair = (key: Tree | undefined, value: Tree | undefined): void => {
    // A runtime expression has no value yet.
    if (key?.kind !== 'leaf' || value?.kind !== 'leaf' || value.text.startsWith('$[')) return;
    added.push({ key, value });
  };
  if (declared.kind === 'mapping') declared.entries.forEach((entry) => addPair(entry.key, entry.value));
  for (const item of declared.kind === 'sequence' ? declared.items : []) {
    if (item.kind === 'mapping') addPair(entryOf(item, 'name')?.value, entryOf(item, 'value')?.value);
  }
  const kept = outer.entries.filter(
    (entry) => !added.some((other) => sameName(other.key.text, entry.key.text)),
  );
  return { ...outer, entries: [...kept, ...added] };
}
