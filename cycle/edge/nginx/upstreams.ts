/**
 * The places that addresses hold in nginx's upstreams (`http` and `stream`), and the edits that a cycle makes
 * to them: a successor beside the old server, `down`, out, and back. Pure: text in, text out; only the lines
 * that must change do.
 */
import { CodedError } from '../../../ports/errors.ts';
import { canonicalAddress, isIPv4, isIPv6, requireAddress } from '../address.ts';
import { parseNginx, walk } from './grammar.ts';
import type { Directive, Word } from './grammar.ts';
import type { BlockContext } from './includes.ts';
import { hostPort, sameUpstream, splitTarget, survey } from './places.ts';
import type { NginxFiles, Place, UpstreamServer } from './places.ts';

export type { NginxFiles, UpstreamServer } from './places.ts';

/** A server line that was taken out, with what is needed to put it back in its place. */
export interface RemovedLine {
  file: string;
  context: BlockContext;
  upstream: string;
  /** The statement, from `server` to its semicolon. */
  statement: string;
  address: string;
  port?: number;
  /** The whole line when nothing else was on it (indentation and comment included), without its line end. */
  wholeLine?: string;
  /** `address:port` of the server before it in that upstream. */
  after?: string;
  /** `address:port` of the server behind it, when both stood on one line. */
  ahead?: string;
  /** The line above it, when it had a line of its own. */
  lineAbove?: string;
}

export interface Mention {
  file: string;
  line: number;
  directive: string;
}

/** Every `server` of every upstream, in the order of the files. Throws NC4001, NC4002. */
export function upstreamServers(files: NginxFiles): UpstreamServer[] {
  return survey(files).map((place) => place.server);
}

/** The places that an address holds. */
export function placesOf(files: NginxFiles, address: string): UpstreamServer[] {
  const wanted = canonicalAddress(address);
  return upstreamServers(files).filter((server) => server.address === wanted);
}

/**
 * Where an address or a host name stands, comments excluded, in what no edit of ours moves: a `proxy_pass`, a `map`,
 * a `set` for a variable; for a name also an upstream's `server` (with or without `resolve`), which follows DNS.
 */
export function mentionsOf(files: NginxFiles, what: string): Mention[] {
  const wanted = canonicalAddress(what);
  const isName = !isIPv4(wanted) && !isIPv6(wanted);
  const text = wanted.replace(/[.]/g, '\\.');
  const [before, behind] = isName ? ['[0-9a-z_.-]', '[0-9a-z_-]|[.][0-9a-z]'] : ['[0-9a-f.:]', '[0-9a-f.]'];
  const pattern = new RegExp(`(?<!${before})${text}(?!${behind})`, 'i');
  const found: Mention[] = [];
  for (const [file, content] of Object.entries(files)) {
    walk(parseNginx(content, file).body, (directive, path) => {
      if (!isName && directive.name === 'server' && path.at(-1) === 'upstream') return;
      const words = isName && directive.name === 'server_name' ? [] : directive.args.map((arg) => arg.value);
      if ([directive.name, ...words].some((value) => pattern.test(value))) {
        found.push({ file, line: directive.line, directive: directive.name });
      }
    });
  }
  return found;
}

/**
 * Puts `successor` beside `old` in each upstream that holds `old`: same port, same parameters (but not `down`).
 * Places that the successor already holds stay as they are. Returns the files that changed.
 */
export function addBeside(files: NginxFiles, old: string, successor: string): Record<string, string> {
  const added = requireAddress(successor, 'the successor of an upstream server');
  const wanted = canonicalAddress(old);
  const places = survey(files);
  return applied(
    files,
    places.flatMap((place): Edit[] => {
      if (place.server.address !== wanted) return [];
      const taken = places.some(
        (other) =>
          sameUpstream(other.server, place.server) &&
          other.server.address === added &&
          other.server.port === place.server.port,
      );
      return taken ? [] : [insertAfter(place, statementFor(place, added))];
    }),
  );
}

/** Appends `down` to each place of the address that lacks it. Refuses (NC4004) when nothing else would serve. */
export function markDown(files: NginxFiles, address: string): Record<string, string> {
  const wanted = canonicalAddress(address);
  const places = survey(files);
  requireOthers(places, wanted, 'mark it down');
  return applied(
    files,
    places.flatMap((place): Edit[] => {
      if (place.server.address !== wanted || place.server.down) return [];
      const end = lastWord(place.directive).end;
      return [{ file: place.server.file, start: end, end, text: ' down' }];
    }),
  );
}

/** Takes `down` off each place of the address. */
export function markUp(files: NginxFiles, address: string): Record<string, string> {
  const wanted = canonicalAddress(address);
  return applied(
    files,
    survey(files).flatMap((place): Edit[] =>
      place.server.address !== wanted
        ? []
        : place.directive.args
            .filter((word, index) => index > 0 && word.value === 'down')
            .map((word) => {
              const before = place.document.text.slice(0, word.start).replace(/[ \t]+$/, '').length;
              return { file: place.server.file, start: before, end: word.end, text: '' };
            }),
    ),
  );
}

/** Takes the address out of every upstream. Refuses (NC4004) when an upstream would be left without a server that serves. */
export function removeAddress(
  files: NginxFiles,
  address: string,
): { files: Record<string, string>; removed: RemovedLine[] } {
  const wanted = canonicalAddress(address);
  const places = survey(files);
  requireOthers(places, wanted, 'take it out');
  const removed: RemovedLine[] = [];
  const edits: Edit[] = [];
  places.forEach((place, index) => {
    if (place.server.address !== wanted) return;
    const { server, document, directive } = place;
    const own = ownLine(document.text, directive);
    const [before, behind] = [places[index - 1], places[index + 1]];
    removed.push({
      file: server.file,
      context: server.context,
      upstream: server.upstream,
      statement: document.text.slice(directive.start, directive.end),
      address: server.address,
      ...(server.port === undefined ? {} : { port: server.port }),
      ...(own
        ? {
            wholeLine: document.text.slice(own.start, own.contentEnd),
            lineAbove: lineEndingAt(document.text, own.start),
          }
        : {}),
      ...(before && before.server.file === server.file && sameUpstream(before.server, server)
        ? { after: hostPort(before.server) }
        : {}),
      ...(!own && behind?.server.line === server.line && behind.server.file === server.file
        ? { ahead: hostPort(behind.server) }
        : {}),
    });
    const span = own ?? withGap(document.text, directive);
    edits.push({ file: server.file, start: span.start, end: span.end, text: '' });
  });
  return { files: applied(files, edits), removed };
}

/** Puts a removed line back where it was: behind the same neighbour, or first in its upstream. Nothing when the address is there. */
export function restore(files: NginxFiles, line: RemovedLine): Record<string, string> {
  requireServerLine(line);
  const places = survey(files).filter(
    (place) => place.server.file === line.file && sameUpstream(place.server, line),
  );
  if (places.some(({ server }) => server.address === line.address && server.port === line.port)) return {};
  const first = places[0];
  if (!first) {
    throw new CodedError('NC4007', `${line.file} has no upstream ${line.upstream} with a server.`, [
      line.wholeLine ?? line.statement,
    ]);
  }
  const { text } = first.document;
  const insert = (at: number, what: string) =>
    applied(files, [{ file: line.file, start: at, end: at, text: what }]);
  if (line.wholeLine !== undefined) {
    const at = lineBelow(text, first.block, line.lineAbove);
    if (at !== undefined) return insert(at, line.wholeLine + lineEnd(text));
  }
  const ahead = places.find(
    ({ server }) => line.ahead !== undefined && hostPort(server) === line.ahead,
  )?.directive;
  if (ahead) return insert(ahead.start, `${line.statement} `);
  // The line above is gone, so someone else edited: behind the old neighbour, or at the end, is the harmless place.
  const anchor = places.find((place) => hostPort(place.server) === line.after);
  if (!anchor && line.after === undefined) {
    const top = line.wholeLine === undefined ? undefined : ownLine(text, first.directive);
    return top && line.wholeLine !== undefined
      ? insert(top.start, line.wholeLine + lineEnd(text))
      : insert(first.directive.start, `${line.statement} `);
  }
  const place = anchor ?? places.at(-1) ?? first;
  const own = line.wholeLine === undefined ? undefined : ownLine(text, place.directive);
  if (!own || line.wholeLine === undefined) return applied(files, [insertAfter(place, line.statement)]);
  const eol = lineEnd(text);
  return insert(own.end, own.end === own.contentEnd ? eol + line.wholeLine : line.wholeLine + eol);
}

/** The line comes from the cluster's Lease, which others may write: it is one `server` of that address and nothing else. */
function requireServerLine(line: RemovedLine): void {
  for (const text of [line.statement, line.wholeLine ?? line.statement]) {
    const [server, ...more] = parseNginx(`${text}\n`, line.file).body;
    const target = server?.args[0]?.value ?? '';
    const { address, port } = splitTarget(target);
    const good =
      server?.name === 'server' &&
      server.children === undefined &&
      more.length === 0 &&
      (isIPv4(address) || isIPv6(address));
    if (good && address === line.address && port === line.port) continue;
    throw new CodedError('NC4007', `Expected one server line of ${JSON.stringify(line.address)}.`, [text]);
  }
}

/** nginx refuses an upstream without servers, and one whose servers are all `down` answers 502. */
function requireOthers(places: readonly Place[], address: string, verb: string): void {
  for (const { server } of places) {
    if (server.address !== address) continue;
    const others = places.filter(
      (other) => sameUpstream(other.server, server) && other.server.address !== address && !other.server.down,
    );
    if (others.length === 0) {
      throw new CodedError(
        'NC4004',
        `${server.file}:${server.line}: ${address} is the last server of upstream "${server.upstream}"; cannot ${verb}.`,
      );
    }
  }
}

// --- edits

interface Edit {
  file: string;
  start: number;
  end: number;
  text: string;
}

const lastWord = (directive: Directive): Word => directive.args.at(-1) as Word;
const lineEnd = (text: string): string => /\r?\n/.exec(text)?.[0] ?? '\n';

/** The old statement with the other address in it and without `down`; spacing, quotes and parameters stay. */
function statementFor(place: Place, address: string): string {
  const { directive, document } = place;
  const target = directive.args[0] as Word;
  const raw = document.text.slice(target.start, target.end);
  const host = address.includes(':') ? `[${address}]` : address;
  const value = place.server.port === undefined ? host : `${host}:${place.server.port}`;
  const quote = raw.startsWith('"') || raw.startsWith("'") ? raw.charAt(0) : '';
  let tail = '';
  let from = target.end;
  for (const word of directive.args.slice(1)) {
    if (word.value !== 'down') tail += document.text.slice(from, word.end);
    from = word.end;
  }
  tail += document.text.slice(from, directive.end);
  return document.text.slice(directive.start, target.start) + quote + value + quote + tail;
}

/** The lines that a statement has for itself: only blanks before it and only blanks or a comment behind it. */
function ownLine(
  text: string,
  directive: Directive,
): { start: number; contentEnd: number; end: number; indent: string } | undefined {
  const start = text.lastIndexOf('\n', directive.start - 1) + 1;
  const indent = text.slice(start, directive.start);
  const newline = text.indexOf('\n', directive.end);
  const stop = newline < 0 ? text.length : newline;
  const contentEnd = text.charAt(stop - 1) === '\r' ? stop - 1 : stop;
  if (!/^[ \t]*$/.test(indent) || !/^[ \t]*(#.*)?$/.test(text.slice(directive.end, contentEnd)))
    return undefined;
  return { start, contentEnd, end: newline < 0 ? text.length : newline + 1, indent };
}

/** A statement among others, with the blanks behind it, or those before it when there are none behind. */
function withGap(text: string, directive: Directive): { start: number; end: number } {
  const behind = /^[ \t]*/.exec(text.slice(directive.end))?.[0].length ?? 0;
  const before = /[ \t]*$/.exec(text.slice(0, directive.start))?.[0].length ?? 0;
  return behind > 0
    ? { start: directive.start, end: directive.end + behind }
    : { start: directive.start - before, end: directive.end };
}

/** The line, without its end, that ends right before `at`. */
function lineEndingAt(text: string, at: number): string {
  return text.slice(text.lastIndexOf('\n', at - 2) + 1, Math.max(0, at - 1)).replace(/\r$/, '');
}

/** Start of the line below the only one of that text from the block's opening to its end. */
function lineBelow(text: string, block: Place['block'], line: string | undefined): number | undefined {
  if (line === undefined) return undefined;
  const found: number[] = [];
  for (let at = text.lastIndexOf('\n', block.start - 1) + 1; at < block.end;) {
    const newline = text.indexOf('\n', at);
    if (newline < 0 || newline >= block.end) break;
    if (newline > (block.open ?? 0) && text.slice(at, newline).replace(/\r$/, '') === line)
      found.push(newline + 1);
    at = newline + 1;
  }
  return found.length === 1 ? found[0] : undefined;
}

function insertAfter(place: Place, statement: string): Edit {
  const { document, directive, server } = place;
  const own = ownLine(document.text, directive);
  if (!own) return { file: server.file, start: directive.end, end: directive.end, text: ` ${statement}` };
  const eol = lineEnd(document.text);
  const text = own.end === own.contentEnd ? eol + own.indent + statement : own.indent + statement + eol;
  return { file: server.file, start: own.end, end: own.end, text };
}

/**
 * Applies edits from the back of each file; returns only the files that differ. A file that two upstreams include
 * holds one line that is a place of both: the same edit twice is one.
 */
function applied(files: NginxFiles, edits: readonly Edit[]): Record<string, string> {
  const changed: Record<string, string> = {};
  const distinct = new Map(edits.map((edit) => [JSON.stringify(edit), edit]));
  const ordered = [...distinct.values()].map((edit, order) => ({ edit, order }));
  ordered.sort((a, b) => b.edit.start - a.edit.start || b.order - a.order);
  for (const { edit } of ordered) {
    const text = changed[edit.file] ?? files[edit.file] ?? '';
    changed[edit.file] = text.slice(0, edit.start) + edit.text + text.slice(edit.end);
  }
  return Object.fromEntries(Object.entries(changed).filter(([file, text]) => files[file] !== text));
}
