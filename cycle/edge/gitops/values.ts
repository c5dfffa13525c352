/**
 * The cluster's ingress addresses in a values file: found at a YAML path, and edited by source ranges so that
 * comments, quotes, order and every other line stay as they are. A list, a comma list, a single address, and
 * any of these inside a string of YAML. Pure.
 */
import { CodedError } from '../../../ports/errors.ts';
import { canonicalAddress, requireAddress } from '../address.ts';
import { locate } from './locate.ts';
import type { Place } from './locate.ts';
import { parsePath } from './yaml-path.ts';

/** The addresses at the path, in their order. Throws NC4020, NC4021, NC4022, NC4024. */
export function ingressAddresses(text: string, path: string): string[] {
  return addressesOf(locate(text, parsePath(path), path));
}

/**
 * Puts `successor` behind `old`, or last when `old` is not there. The same text when it is there already.
 * A single address becomes a comma list only where a comma list stood before: see NC4022.
 */
export function addIngressAddress(text: string, path: string, old: string, successor: string): string {
  const added = requireAddress(successor, 'the new ingress address');
  const place = locate(text, parsePath(path), path);
  const before = addressesOf(place);
  if (before.includes(added)) return text;
  const after = canonicalAddress(old);
  const index = before.includes(after) ? before.indexOf(after) : before.length - 1;
  const wanted = [...before.slice(0, index + 1), added, ...before.slice(index + 1)];
  const result = place.kind === 'list' ? addToList(place, index, added) : addToComma(place, index, added);
  return proven(place.splice(result), path, wanted);
}

/** Takes an address out; the same text when it is not there. Refuses (NC4023) to leave none. */
export function removeIngressAddress(text: string, path: string, address: string): string {
  const gone = canonicalAddress(address);
  const place = locate(text, parsePath(path), path);
  const before = addressesOf(place);
  if (!before.includes(gone)) return text;
  const wanted = before.filter((one) => one !== gone);
  if (wanted.length === 0) throw new CodedError('NC4023', `${gone} is the only address at ${path}.`);
  const index = before.indexOf(gone);
  const result = place.kind === 'list' ? removeFromList(place, index) : removeFromComma(place, index);
  return proven(place.splice(result), path, wanted);
}

export interface Edit {
  start: number;
  end: number;
  text: string;
}

function addressesOf(place: Place): string[] {
  return place.kind === 'list'
    ? place.items.map((item) => canonicalAddress(item.value))
    : commaItems(place).map((item) => canonicalAddress(item.text));
}

/** Reads the result again: an edit that did not come out as meant never leaves this file. */
function proven(text: string, path: string, wanted: readonly string[]): string {
  const found = ingressAddresses(text, path);
  if (found.join(' ') === wanted.join(' ')) return text;
  throw new CodedError(
    'NC4022',
    `After the edit ${path} would be ${found.join(', ')} and not ${wanted.join(', ')}; the file was left alone.`,
  );
}

// --- lists

type ListPlace = Extract<Place, { kind: 'list' }>;
type TextPlace = Extract<Place, { kind: 'text' }>;

function addToList(place: ListPlace, index: number, added: string): Edit {
  const { source } = place;
  const item = place.items[index];
  if (!item) {
    const open = source.indexOf('[', place.start);
    if (place.flow && open >= 0) return { start: open + 1, end: open + 1, text: flowSafe(added) };
    throw new CodedError('NC4022', 'An empty list is edited only where it is written as [].');
  }
  const raw = source.slice(item.start, item.end);
  const quote = /^["']/.test(raw) ? raw.charAt(0) : '';
  const value = quote + added + quote;
  const line = lineAround(source, item.start, item.end);
  const lead = source.slice(line.start, item.start);
  const eol = eolOf(source);
  if (!place.flow) {
    const dash = /^([ \t]*)-([ \t]+)/.exec(lead);
    if (!dash) throw new CodedError('NC4022', 'The item of the list does not stand on a line of its own.');
    const text = `${dash[1] ?? ''}-${dash[2] ?? ' '}${value}`;
    return line.hasEnd
      ? { start: line.next, end: line.next, text: text + eol }
      : { start: line.next, end: line.next, text: eol + text };
  }
  const safe = quote === '' ? flowSafe(added) : value;
  const comma = /^\s*,/.exec(source.slice(item.end))?.[0].length;
  const alone =
    /^[ \t]*$/.test(lead) && /^[ \t]*,?[ \t]*(#[^\n]*)?\r?$/.test(source.slice(item.end, line.contentEnd));
  if (!alone) return { start: item.end, end: item.end, text: `, ${safe}` };
  if (comma === undefined) return { start: item.end, end: item.end, text: `,${eol}${lead}${safe}` };
  const at = line.hasEnd ? line.next : item.end + comma;
  return line.hasEnd
    ? { start: at, end: at, text: `${lead}${safe},${eol}` }
    : { start: at, end: at, text: ` ${safe},` };
}

function removeFromList(place: ListPlace, index: number): Edit {
  const { source } = place;
  const item = place.items[index] as { start: number; end: number };
  const line = lineAround(source, item.start, item.end);
  const lead = source.slice(line.start, item.start);
  if (!place.flow) {
    if (!/^[ \t]*-[ \t]+(?:[!&][^\s]*[ \t]+)?$/.test(lead)) {
      throw new CodedError('NC4022', 'The item of the list does not stand on a line of its own.');
    }
    if (line.hasEnd || line.start === 0) return { start: line.start, end: line.next, text: '' };
    const before = source.charAt(line.start - 2) === '\r' ? line.start - 2 : line.start - 1;
    return { start: before, end: line.next, text: '' };
  }
  const next = place.items[index + 1];
  const previous = place.items[index - 1];
  const comma = /^\s*,/.exec(source.slice(item.end))?.[0].length;
  const alone =
    /^[ \t]*$/.test(lead) && /^[ \t]*,[ \t]*(#[^\n]*)?\r?$/.test(source.slice(item.end, line.contentEnd));
  if (alone && line.hasEnd) return { start: line.start, end: line.next, text: '' };
  if (next && comma !== undefined && !source.slice(item.end, next.start).includes('\n')) {
    return { start: item.start, end: next.start, text: '' };
  }
  if (previous) {
    const from = previous.end;
    return { start: from, end: item.end, text: '' };
  }
  return { start: item.start, end: item.end + (comma ?? 0), text: '' };
}

/** An IPv6 address such as `::1` or `fe80::` starts or ends like YAML's own signs. */
function flowSafe(address: string): string {
  return address.includes(':') ? `"${address}"` : address;
}

// --- comma lists

/**
 * Items of a comma list in the source of a scalar, quotes left out. Helm's `--set` form escapes its commas, and an
 * argument of a container has its flag in front (`--publish-status-address=…`).
 */
function commaItems(place: TextPlace): { start: number; end: number; text: string }[] {
  const body = place.source.slice(place.start, place.end);
  return [...body.matchAll(/[^\s,\\"'|>[\]{}=]+/g)]
    .map((match) => ({
      start: place.start + match.index,
      end: place.start + match.index + match[0].length,
      text: match[0],
    }))
    .filter((item) => !/^(?:[+-]?\d?|--?[a-z].*)$/i.test(item.text));
}

function addToComma(place: TextPlace, index: number, added: string): Edit {
  const items = commaItems(place);
  const item = items[index];
  if (!item)
    throw new CodedError('NC4022', 'An empty comma list cannot be edited: write one address into it.');
  if (items.length === 1 && !place.mayGrow) {
    throw new CodedError(
      'NC4022',
      `${place.source.slice(item.start, item.end)} is a single address: two cannot be served from there at once.`,
    );
  }
  const [first, second] = items;
  const between = first && second ? place.source.slice(first.end, second.start) : ',';
  return { start: item.end, end: item.end, text: (between.includes('\n') ? ',' : between) + added };
}

function removeFromComma(place: TextPlace, index: number): Edit {
  const items = commaItems(place);
  const item = items[index] as { start: number; end: number };
  const next = items[index + 1];
  const previous = items[index - 1];
  return next
    ? { start: item.start, end: next.start, text: '' }
    : { start: previous?.end ?? item.start, end: item.end, text: '' };
}

// --- lines

function lineAround(source: string, start: number, end: number) {
  const newline = source.indexOf('\n', end);
  return {
    start: source.lastIndexOf('\n', start - 1) + 1,
    contentEnd: newline < 0 ? source.length : newline,
    next: newline < 0 ? source.length : newline + 1,
    hasEnd: newline >= 0,
  };
}

function eolOf(source: string): string {
  return /\r?\n/.exec(source)?.[0] ?? '\n';
}
