/**
 * Typed parameters of a pipeline or a template: declarations, and the values that are bound to them.
 */
import {
  entryOf,
  leaf,
  place,
  plainOf,
  refusal,
  sameName,
  type Mapping,
  type Position,
  type Tree,
} from './tree.ts';

export interface ParameterDeclaration {
  name: string;
  type: string;
  /** Undefined when a value must be given. */
  default: Tree | undefined;
  /** Undefined when every value of the type is allowed. */
  values: readonly string[] | undefined;
  at: Position;
}

const TYPES = ['string', 'number', 'boolean', 'object', 'stepList', 'jobList', 'stageList'];
const KEYS = ['name', 'displayName', 'type', 'default', 'values'];

export function readDeclarations(tree: Tree | undefined): ParameterDeclaration[] {
  if (tree === undefined) return [];
  if (tree.kind !== 'sequence') {
    throw refusal('NC9102', tree.at, "parameters without types; write a list of '- name: … type: …'.");
  }
  const declarations: ParameterDeclaration[] = [];
  for (const item of tree.items) {
    if (item.kind !== 'mapping') throw refusal('NC9101', item.at, "expected a parameter ('- name: …').");
    refuseExpressions(item, 'in a declaration of parameters');
    const declaration = readDeclaration(item);
    if (declarations.some((other) => sameName(other.name, declaration.name))) {
      throw refusal('NC9101', item.at, `the parameter '${declaration.name}' is declared twice.`);
    }
    declarations.push(declaration);
  }
  return declarations;
}

function readDeclaration(item: Mapping): ParameterDeclaration {
  for (const entry of item.entries) {
    if (!KEYS.includes(entry.key.text)) {
      throw refusal(
        'NC9102',
        entry.key.at,
        `unknown key '${entry.key.text}' of a parameter; known: ${KEYS.join(', ')}.`,
      );
    }
  }
  const text = (name: string): string | undefined => {
    const value = entryOf(item, name)?.value;
    if (value !== undefined && value.kind !== 'leaf') {
      throw refusal('NC9101', value.at, `expected a text for '${name}'.`);
    }
    return value?.text;
  };
  const name = text('name');
  if (name === undefined || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw refusal(
      'NC9101',
      item.at,
      `a parameter needs a name of letters, digits and _; found '${name ?? ''}'.`,
    );
  }
  const type = text('type') ?? 'string';
  if (!TYPES.includes(type)) {
    throw refusal(
      'NC9102',
      item.at,
      `the type '${type}' of '${name}' is not known; known: ${TYPES.join(', ')}.`,
    );
  }
  const values = entryOf(item, 'values')?.value;
  if (values !== undefined && values.kind !== 'sequence') {
    throw refusal('NC9101', values.at, `expected a list for 'values' of '${name}'.`);
  }
  const declaration: ParameterDeclaration = {
    name,
    type,
    default: undefined,
    values: values?.items.map((value) =>
      value.kind === 'leaf' ? value.text : JSON.stringify(plainOf(value)),
    ),
    at: item.at,
  };
  const fallback = entryOf(item, 'default')?.value;
  if (fallback !== undefined) declaration.default = coerce(declaration, fallback, fallback.at);
  return declaration;
}

export function refuseExpressions(tree: Tree, where: string): void {
  if (tree.kind === 'leaf') {
    if (tree.text.includes('${{')) throw refusal('NC9101', tree.at, `\${{ }} is not allowed ${where}.`);
  } else if (tree.kind === 'sequence') tree.items.forEach((item) => refuseExpressions(item, where));
  else {
    for (const entry of tree.entries) {
      refuseExpressions(entry.key, where);
      refuseExpressions(entry.value, where);
    }
  }
}

/**
 * The mapping that `parameters` means in expressions.
 * @throws CodedError NC9104 for unknown names, missing values, wrong types and values outside of the list.
 */
export function bindParameters(
  declarations: readonly ParameterDeclaration[],
  given: Mapping | undefined,
  at: Position,
): Mapping {
  for (const entry of given?.entries ?? []) {
    if (!declarations.some((declaration) => sameName(declaration.name, entry.key.text))) {
      const known = declarations.map((declaration) => declaration.name).join(', ') || 'none';
      throw refusal('NC9104', entry.key.at, `there is no parameter '${entry.key.text}'; declared: ${known}.`);
    }
  }
  const entries = declarations.map((declaration) => {
    const value = given && entryOf(given, declaration.name)?.value;
    if (value !== undefined) {
      return { key: leaf(declaration.name, at), value: coerce(declaration, value, value.at) };
    }
    if (declaration.default === undefined) {
      throw refusal(
        'NC9104',
        at,
        `a value for the parameter '${declaration.name}' (${declaration.type}) is missing; declared at ${place(declaration.at)}.`,
      );
    }
    return { key: leaf(declaration.name, at), value: declaration.default };
  });
  return { kind: 'mapping', entries, at };
}

function coerce(declaration: ParameterDeclaration, value: Tree, at: Position): Tree {
  const { name, type } = declaration;
  const wrong = (expected: string): Error => {
    const found =
      value.kind === 'leaf' ? `'${value.text}'` : `a ${value.kind === 'sequence' ? 'list' : 'mapping'}`;
    return refusal('NC9104', at, `the parameter '${name}' expects ${expected}, found ${found}.`);
  };
  if (type === 'object') return value;
  if (type.endsWith('List')) {
    if (value.kind === 'sequence') return value;
    throw wrong('a list');
  }
  if (value.kind !== 'leaf') throw wrong(`a ${type}`);
  const typed = type === 'string' ? leaf(value.text, at) : scalar(type, value.text, at);
  if (typed === undefined) throw wrong(type === 'boolean' ? 'true or false' : 'a number');
  const { values } = declaration;
  if (values !== undefined && !values.some((allowed) => sameName(allowed, typed.text))) {
    throw wrong(`one of ${values.map((allowed) => `'${allowed}'`).join(', ')}`);
  }
  return typed;
}

function scalar(type: string, text: string, at: Position): (Tree & { kind: 'leaf' }) | undefined {
  if (type === 'boolean')
    return /^(true|false)$/i.test(text) ? leaf(text.toLowerCase() === 'true', at) : undefined;
  return /^-?(\d+(\.\d*)?|\.\d+)$/.test(text) ? leaf(Number(text), at) : undefined;
}
