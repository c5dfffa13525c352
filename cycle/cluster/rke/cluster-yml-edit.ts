/**
 * Edits of cluster.yml on its source text: only the lines that must change do. Every result is read again and
 * compared with what was wanted, so an edit that an unusual layout would spoil is refused, never written.
 */
import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, isSeq, visit } from 'yaml';
import type { Document, Node as YamlNode, YAMLMap, YAMLSeq } from 'yaml';
import { CodedError } from '../../../ports/errors.ts';
import { findNode, parseClusterYml, RKE_ROLES } from './cluster-yml.ts';
import type { RkeNode, RkeRole, RkeTaint } from './cluster-yml.ts';
import { entryLike } from './cluster-yml-entry.ts';
import { readYml } from './cluster-yml-read.ts';
import type { ParsedYml } from './cluster-yml-read.ts';
import { contentEnd, eolOf, keyOf, lineEnd, lineStart, rangeOf } from './cluster-yml-source.ts';

export { diffLines } from './cluster-yml-source.ts';

export interface NewNode {
  address: string;
  /** Needed when the node that it is like has one of its own. */
  internalAddress?: string | undefined;
  hostnameOverride?: string | undefined;
  /** Those of the node that it is like, unless given. */
  roles?: readonly RkeRole[] | undefined;
  /** Those of the node that it is like, unless given. */
  labels?: Record<string, string> | undefined;
  taints?: readonly RkeTaint[] | undefined;
}

export type Edit =
  | { ok: true; text: string; changed: boolean }
  | { ok: false; problem: 'lastRole' | 'notFound' | 'exists' | 'unreadable' | 'unsafe'; message: string };

type Entry = Record<string, unknown>;

/** Appends an entry after the last one, in the style of the node that it is like. Unchanged when it is there already. */
export function addNode(text: string, like: string, node: NewNode): Edit {
  return edit(text, (yml, nodes) => {
    const source = findNode({ nodes }, like);
    if (source === undefined)
      return failed('notFound', `Expected one entry for ${like}; there is none, or more than one.`);
    const there = [node.address, node.hostnameOverride].map((name) =>
      name === undefined ? undefined : findNode({ nodes }, name),
    );
    const same = there.find((one) => one !== undefined);
    if (same !== undefined) return alreadyThere(text, same, node, source);
    if (source.internalAddress !== undefined && source.internalAddress !== source.address) {
      if (node.internalAddress === undefined) {
        const what = `${like} has the internal_address ${source.internalAddress}`;
        return failed('unsafe', `${what}; expected one for ${node.address} too.`);
      }
    }
    const index = nodes.indexOf(source);
    const { after, expected } = entryLike(text, yml, index, node);
    return { text: after, expected: (before) => [...before, expected] };
  });
}

/** Takes one role out of one entry. The last role leaves with its entry: `lastRole`. Unchanged when it is gone already. */
export function dropRole(text: string, node: string, role: RkeRole): Edit {
  return edit(text, (yml, nodes) => {
    const found = findNode({ nodes }, node);
    if (found === undefined)
      return failed('notFound', `Expected one entry for ${node}; there is none, or more than one.`);
    if (!found.roles.includes(role)) return 'unchanged';
    if (found.roles.length === 1)
      return failed('lastRole', `${role} is the last role of ${node}: it leaves with the entry.`);
    const index = nodes.indexOf(found);
    const roles = rolesOf(yml, index);
    if (typeof roles === 'string') return failed('unsafe', roles);
    const at = roles.items.findIndex((item) => isScalar(item) && item.value === role);
    return {
      text: withoutItem(text, roles, at),
      expected: (before) =>
        before.map((entry, i) =>
          i === index ? { ...entry, role: (entry['role'] as string[]).filter((one) => one !== role) } : entry,
        ),
    };
  });
}

/** Gives a role back, at its place in the order controlplane, etcd, worker. Unchanged when it is there. */
export function restoreRole(text: string, node: string, role: RkeRole): Edit {
  return edit(text, (yml, nodes) => {
    const found = findNode({ nodes }, node);
    if (found === undefined)
      return failed('notFound', `Expected one entry for ${node}; there is none, or more than one.`);
    if (found.roles.includes(role)) return 'unchanged';
    const index = nodes.indexOf(found);
    const roles = rolesOf(yml, index);
    if (typeof roles === 'string') return failed('unsafe', roles);
    const rank = (item: unknown) => RKE_ROLES.indexOf((isScalar(item) ? item.value : '') as RkeRole);
    const later = roles.items.findIndex((item) => rank(item) > RKE_ROLES.indexOf(role));
    const at = later < 0 ? roles.items.length : later;
    return {
      text: withItem(text, roles, at, role),
      expected: (before) =>
        before.map((entry, i) =>
          i === index ? { ...entry, role: (entry['role'] as string[]).toSpliced(at, 0, role) } : entry,
        ),
    };
  });
}

/** Takes the whole entry out, with the comments that belong to it. Unchanged when it is gone already. */
export function removeNode(text: string, node: string): Edit {
  return edit(text, ({ seq, doc }, nodes) => {
    const found = findNode({ nodes }, node);
    if (found === undefined) {
      const several = nodes.some((one) =>
        [one.address, one.hostnameOverride, one.internalAddress].includes(node),
      );
      return several ? failed('notFound', `${node} names more than one entry.`) : 'unchanged';
    }
    if (nodes.length === 1) return failed('unsafe', `${node} is the only node of cluster.yml.`);
    const index = nodes.indexOf(found);
    const item = seq.items[index] as YamlNode;
    const shared = anchorsUsedOutside(doc, item);
    if (shared.length > 0) {
      return failed('unsafe', `The entry of ${node} defines ${shared.join(', ')}, which other places use.`);
    }
    const after = seq.flow === true ? withoutItem(text, seq, index) : withoutEntry(text, seq, index, found);
    return { text: after, expected: (before) => before.filter((_entry, i) => i !== index) };
  });
}

type Made =
  | { text: string; expected: (before: Entry[]) => Entry[] }
  | 'unchanged'
  | Extract<Edit, { ok: false }>
  | Edit;

function edit(text: string, make: (yml: ParsedYml, nodes: RkeNode[]) => Made): Edit {
  let yml: ParsedYml;
  let nodes: RkeNode[];
  try {
    yml = readYml(text);
    nodes = parseClusterYml(text).nodes;
  } catch (error) {
    if (error instanceof CodedError) return failed('unreadable', error.detail);
    throw error;
  }
  const made = make(yml, nodes);
  if (made === 'unchanged') return { ok: true, text, changed: false };
  if ('ok' in made) return made;
  return proven(text, made.text, made.expected);
}

/** The edited text must read as wanted, and everything besides `nodes` as before. */
function proven(before: string, after: string, expected: (nodes: Entry[]) => Entry[]): Edit {
  const was = readYml(before).plain;
  let is: Readonly<Entry>;
  try {
    is = readYml(after).plain;
  } catch (error) {
    return failed('unsafe', `The edit would not read as YAML: ${(error as Error).message}`);
  }
  const wanted = { ...was, nodes: expected(was['nodes'] as Entry[]) };
  if (!isDeepStrictEqual(is, wanted))
    return failed('unsafe', 'The layout of this entry cannot be edited line by line.');
  return { ok: true, text: after, changed: after !== before };
}

function alreadyThere(text: string, same: RkeNode, node: NewNode, like: RkeNode): Edit {
  const roles = node.roles ?? like.roles;
  const equal =
    same.address === node.address &&
    (node.hostnameOverride === undefined || same.hostnameOverride === node.hostnameOverride.toLowerCase()) &&
    isDeepStrictEqual([...same.roles].sort(), [...roles].sort());
  if (equal) return { ok: true, text, changed: false };
  const found = `${same.address} ${same.hostnameOverride ?? ''} [${same.roles.join(', ')}]`;
  return failed('exists', `An entry for ${node.address} is there and differs: ${found} (line ${same.line}).`);
}

function rolesOf({ doc, seq }: ParsedYml, index: number): YAMLSeq | string {
  const item = seq.items[index];
  if (!isMap(item)) return 'The entry is an alias of another one; write it out.';
  const roles: unknown = pairValue(item, 'role');
  if (!isSeq(roles)) return 'The roles come from an anchor that other entries share; write them out.';
  const shared = anchorsUsedOutside(doc, roles);
  return shared.length > 0 ? `The roles define ${shared.join(', ')}, which other entries use.` : roles;
}

function pairValue(map: YAMLMap, key: string): unknown {
  return map.items.findLast((pair) => keyOf(pair) === key)?.value;
}

function anchorsUsedOutside(doc: Document.Parsed, node: YamlNode): string[] {
  const inside = new Set<unknown>();
  const anchors = new Set<string>();
  visit(node, {
    Node: (_key, one) => {
      inside.add(one);
      const { anchor } = one as { anchor?: string };
      if (anchor !== undefined) anchors.add(anchor);
    },
  });
  const used = new Set<string>();
  visit(doc, {
    Alias: (_key, alias) => {
      if (!inside.has(alias)) used.add(alias.source);
    },
  });
  return [...anchors].filter((anchor) => used.has(anchor)).map((anchor) => `&${anchor}`);
}

/** One item out of a list, flow or block. A line that holds nothing else goes whole. */
function withoutItem(text: string, seq: YAMLSeq, at: number): string {
  const [start, end] = rangeOf(seq.items[at]);
  const from = lineStart(text, start);
  const to = lineEnd(text, end);
  const before = text.slice(from, start);
  const rest = text.slice(end, to);
  const alone =
    seq.flow === true ? /^\s*$/.test(before) && /^\s*,?\s*(#.*)?$/.test(rest) : /^\s*-\s*$/.test(before);
  if (alone) return text.slice(0, from) + text.slice(Math.min(text.length, to + 1));
  const next = seq.items[at + 1];
  if (next !== undefined) return text.slice(0, start) + text.slice(rangeOf(next)[0]);
  const previous = seq.items[at - 1];
  return text.slice(0, previous === undefined ? start : rangeOf(previous)[1]) + text.slice(end);
}

function withItem(text: string, seq: YAMLSeq, at: number, value: string): string {
  const next = seq.items[at];
  const [start, end] = rangeOf(next ?? seq.items.at(-1));
  if (seq.flow === true) {
    return next === undefined
      ? `${text.slice(0, end)}, ${value}${text.slice(end)}`
      : `${text.slice(0, start)}${value}, ${text.slice(start)}`;
  }
  const prefix = text.slice(lineStart(text, start), start);
  const eol = eolOf(text);
  if (next !== undefined) {
    const from = lineStart(text, start);
    return `${text.slice(0, from)}${prefix}${value}${eol}${text.slice(from)}`;
  }
  const to = lineEnd(text, end);
  const cut = text[to - 1] === '\r' ? to - 1 : to;
  return `${text.slice(0, cut)}${eol}${prefix}${value}${text.slice(cut)}`;
}

/** The lines of one block entry, with the comments that belong to it and one of two blank lines around it. */
function withoutEntry(text: string, seq: YAMLSeq, at: number, node: RkeNode): string {
  const item = seq.items[at] as YamlNode;
  const dash = text.lastIndexOf('-', rangeOf(item)[0]);
  const column = dash - lineStart(text, dash);
  let from = lineStart(text, dash);
  let to = lineEnd(text, contentEnd(text, item)) + 1;

  const above = commentsAbove(text, from);
  if (belongs(text.slice(above, from), node, at === 0)) from = above;
  for (;;) {
    const line = text.slice(to, lineEnd(text, to));
    const comment = /^(\s*)#/.exec(line);
    if (to >= text.length || comment === null || (comment[1] ?? '').length <= column) break;
    to = lineEnd(text, to) + 1;
  }
  const blank = (start: number) =>
    start < text.length && text.slice(start, lineEnd(text, start)).trim() === '';
  const previous = from === 0 ? -1 : lineStart(text, from - 1);
  const last = at === seq.items.length - 1;
  if (previous >= 0 && blank(previous) && (blank(to) || last)) from = previous;
  return text.slice(0, from) + text.slice(Math.min(to, text.length));
}

function commentsAbove(text: string, from: number): number {
  let start = from;
  while (start > 0) {
    const previous = lineStart(text, start - 1);
    if (!/^\s*#/.test(text.slice(previous, start))) break;
    start = previous;
  }
  return start;
}

/** A comment right above an entry is about it, unless it heads the list or a group of entries. */
function belongs(comment: string, node: RkeNode, first: boolean): boolean {
  if (comment === '') return false;
  const names = [node.address, node.hostnameOverride, node.internalAddress].filter(
    (name) => name !== undefined,
  );
  if (names.some((name) => comment.toLowerCase().includes(name.toLowerCase()))) return true;
  const heading = /^\s*#\s*([-=#*]{2,}|.*:\s*$)/m.test(comment);
  return !first && !heading;
}

function failed(
  problem: Extract<Edit, { ok: false }>['problem'],
  message: string,
): Extract<Edit, { ok: false }> {
  return { ok: false, problem, message };
}
