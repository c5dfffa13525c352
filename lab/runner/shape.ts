/**
 * Reading an expanded mapping key by key: a key that nobody asked for is an error that names its line.
 */
import {
  entryOf,
  refusal,
  sameName,
  type Leaf,
  type Mapping,
  type Position,
  type Sequence,
  type Tree,
} from './tree.ts';

export interface Shape {
  at: Position;
  tree(key: string): Tree | undefined;
  leaf(key: string): Leaf | undefined;
  text(key: string): string | undefined;
  required(key: string): Leaf;
  boolean(key: string, fallback: boolean): boolean;
  number(key: string, fallback: number, range: { min: number; max: number }): number;
  sequence(key: string): Sequence | undefined;
  mapping(key: string): Mapping | undefined;
}

/** @param what names the thing in errors, as in 'a stage'. */
export function shapeOf(tree: Tree, what: string, known: readonly string[]): Shape {
  if (tree.kind !== 'mapping') {
    const found = tree.kind === 'leaf' ? `the text '${tree.text}'` : 'a list';
    throw refusal('NC9101', tree.at, `expected ${what} as a mapping, found ${found}.`);
  }
  for (const { key } of tree.entries) {
    if (known.includes(key.text)) continue;
    throw refusal('NC9102', key.at, `unknown key '${key.text}' of ${what}; known: ${known.join(', ')}.`);
  }
  const get = (key: string): Tree | undefined => entryOf(tree, key)?.value;
  const leafOf = (key: string): Leaf | undefined => {
    const value = get(key);
    if (value === undefined || value.kind === 'leaf') return value;
    throw refusal('NC9101', value.at, `expected a text for '${key}' of ${what}, found a ${value.kind}.`);
  };
  return {
    at: tree.entries[0]?.key.at ?? tree.at,
    tree: get,
    leaf: leafOf,
    text: (key) => leafOf(key)?.text,
    required: (key) => {
      const value = leafOf(key);
      if (value !== undefined && value.text !== '') return value;
      throw refusal('NC9101', value?.at ?? tree.at, `'${key}' of ${what} is missing or empty.`);
    },
    boolean: (key, fallback) => {
      const value = leafOf(key);
      if (value === undefined) return fallback;
      if (/^(true|false)$/i.test(value.text)) return sameName(value.text, 'true');
      throw refusal('NC9101', value.at, `expected true or false for '${key}', found '${value.text}'.`);
    },
    number: (key, fallback, { min, max }) => {
      const value = leafOf(key);
      if (value === undefined) return fallback;
      const number = /^\d+$/.test(value.text) ? Number(value.text) : Number.NaN;
      if (number >= min && number <= max) return number;
      throw refusal(
        'NC9101',
        value.at,
        `expected a whole number from ${min} to ${max} for '${key}', found '${value.text}'.`,
      );
    },
    sequence: (key) => {
      const value = get(key);
      if (value === undefined || value.kind === 'sequence') return value;
      throw refusal('NC9101', value.at, `expected a list for '${key}' of ${what}.`);
    },
    mapping: (key) => {
      const value = get(key);
      if (value === undefined || value.kind === 'mapping') return value;
      throw refusal('NC9101', value.at, `expected a mapping for '${key}' of ${what}.`);
    },
  };
}

export function nameOf(value: Leaf, what: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(value.text)) return value.text;
  throw refusal('NC9101', value.at, `'${value.text}' is no name for ${what}: letters, digits and _ only.`);
}

/** A list of texts, or one text. */
export function textsOf(tree: Tree, what: string): Leaf[] {
  if (tree.kind === 'leaf') return [tree];
  const items = tree.kind === 'sequence' ? tree.items : [tree];
  return items.map((item) => {
    if (item.kind === 'leaf') return item;
    throw refusal('NC9101', item.at, `expected texts for ${what}.`);
  });
}
