/**
 * The tree of a pipeline file: YAML whose every part knows where it was written.
 *
 * Scalars are text, as the service reads them: what `true` or `1.50` means is decided by the place they stand in.
 */
import { CodedError, type ErrorCode } from '../../ports/errors.ts';

export interface Position {
  file: string;
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
}

export interface Leaf {
  kind: 'leaf';
  text: string;
  /** Set where an expression or a typed parameter gave the value: `true` is then a boolean, not a text. */
  typed?: number | boolean;
  at: Position;
}

export interface Entry {
  key: Leaf;
  value: Tree;
}

export interface Mapping {
  kind: 'mapping';
  entries: Entry[];
  at: Position;
}

export interface Sequence {
  kind: 'sequence';
  items: Tree[];
  at: Position;
}

export type Tree = Leaf | Mapping | Sequence;

const NOWHERE: Position = { file: '(values)', line: 1, column: 1 };

export function place(at: Position): string {
  return `${at.file}:${at.line}:${at.column}`;
}

/** An error that names file, line and column before it says what was found and what was expected. */
export function refusal(code: ErrorCode, at: Position, detail: string, cause?: unknown): CodedError {
  return new CodedError(code, `${place(at)}: ${detail}`, [], cause === undefined ? undefined : { cause });
}

export function leaf(value: string | number | boolean, at: Position = NOWHERE): Leaf {
  if (typeof value === 'string') return { kind: 'leaf', text: value, at };
  const text = typeof value === 'number' ? String(value) : value ? 'True' : 'False';
  return { kind: 'leaf', text, typed: value, at };
}

/** Names are compared as the service does: without regard to case. */
export function sameName(left: string, right: string): boolean {
  return left.toLowerCase() === right.toLowerCase();
}

export function entryOf(mapping: Mapping, name: string): Entry | undefined {
  return mapping.entries.find((entry) => sameName(entry.key.text, name));
}

export type Plain =
  string | number | boolean | null | undefined | readonly Plain[] | { [key: string]: Plain };

/** A tree of plain data, for contexts such as `dependencies` and for parameters given when queueing. */
export function treeOf(data: Plain, at: Position = NOWHERE): Tree {
  if (data === null || data === undefined) return leaf('', at);
  if (typeof data === 'boolean' || typeof data === 'string' || typeof data === 'number')
    return leaf(data, at);
  if (Array.isArray(data)) {
    return { kind: 'sequence', items: data.map((item: Plain) => treeOf(item, at)), at };
  }
  const entries = Object.entries(data as { [key: string]: Plain }).map(([key, value]) => ({
    key: leaf(key, at),
    value: treeOf(value, at),
  }));
  return { kind: 'mapping', entries, at };
}

export function plainOf(tree: Tree): Plain {
  if (tree.kind === 'leaf') return tree.text;
  if (tree.kind === 'sequence') return tree.items.map(plainOf);
  return Object.fromEntries(tree.entries.map((entry) => [entry.key.text, plainOf(entry.value)]));
}
