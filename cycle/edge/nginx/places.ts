/**
 * The `server` lines of all upstreams of a set of files: where each stands, and in which block it counts.
 */
import { CodedError } from '../../../ports/errors.ts';
import { canonicalAddress } from '../address.ts';
import { parseNginx, walk } from './grammar.ts';
import type { Directive, Document, Word } from './grammar.ts';
import { contextsOf, includedFiles } from './includes.ts';
import type { BlockContext } from './includes.ts';

/** Absolute path → text. */
export type NginxFiles = Readonly<Record<string, string>>;

export interface UpstreamServer {
  file: string;
  line: number;
  context: BlockContext;
  upstream: string;
  /** As nginx reads it: IPv6 without brackets in its one spelling, a host name, or `unix:` and a path. */
  address: string;
  /** Absent for `unix:` and where nginx's default (80) is meant. */
  port?: number;
  /** `weight=5`, `max_fails=2`, `backup`, `down`, `resolve` … in their order. */
  params: string[];
  down: boolean;
  backup: boolean;
}

export interface Place {
  server: UpstreamServer;
  directive: Directive;
  /** The `upstream` around it; the whole file, when that stands inside one by an `include`. */
  block: Pick<Directive, 'start' | 'end' | 'open'>;
  document: Document;
}

/** Every place, in the order of the files. Throws NC4001, NC4002. */
export function survey(files: NginxFiles): Place[] {
  const documents = new Map(Object.entries(files).map(([file, text]) => [file, parseNginx(text, file)]));
  const contexts = contextsOf(documents);
  const included = includedFiles(documents);
  const places: Place[] = [];
  const definitions: { name: string; context: BlockContext; where: string }[] = [];
  for (const [file, document] of documents) {
    walk(document.body, (block, path) => {
      if (block.name !== 'upstream' || !block.children || !block.args[0]) return;
      const context: BlockContext = path.includes('http')
        ? 'http'
        : path.includes('stream')
          ? 'stream'
          : (contexts.get(file) ?? 'unknown');
      const name = block.args[0].value;
      definitions.push({ name, context, where: `${file}:${block.line}` });
      for (const { part, from, inside, children } of partsOf(file, document, block, included, documents)) {
        for (const directive of children) {
          const target = directive.name === 'server' ? directive.args[0] : undefined;
          if (target === undefined) continue;
          const server = placeAt(part, context, name, directive, target);
          places.push({ server, directive, block: inside, document: from });
        }
      }
    });
  }
  for (const [index, one] of definitions.entries()) {
    const twin = definitions.slice(index + 1).find((other) => sameBlock(one, other));
    if (twin) {
      throw new CodedError(
        'NC4002',
        `Upstream "${one.name}" is defined in ${one.where} and in ${twin.where}.`,
      );
    }
  }
  return places;
}

/** An upstream's own lines, and those of the files that it includes. */
function partsOf(
  file: string,
  document: Document,
  block: Directive,
  included: (pattern: string) => string[],
  documents: ReadonlyMap<string, Document>,
): { part: string; from: Document; inside: Place['block']; children: readonly Directive[] }[] {
  const children = block.children ?? [];
  const patterns = children.flatMap(({ name, args: [pattern] }) =>
    name === 'include' && pattern !== undefined ? [pattern.value] : [],
  );
  const parts = [...new Set(patterns.flatMap(included))].flatMap((part) => {
    const from = documents.get(part);
    return from === undefined || part === file
      ? []
      : [{ part, from, inside: { start: 0, end: from.text.length }, children: from.body }];
  });
  return [{ part: file, from: document, inside: block, children }, ...parts];
}

/** `http` and `stream` have their own name spaces; a context that is not known may be either. */
function sameBlock(
  a: { name: string; context: BlockContext },
  b: { name: string; context: BlockContext },
): boolean {
  return a.name === b.name && (a.context === b.context || a.context === 'unknown' || b.context === 'unknown');
}

export function sameUpstream(
  a: Pick<UpstreamServer, 'upstream' | 'context'>,
  b: Pick<UpstreamServer, 'upstream' | 'context'>,
) {
  return a.upstream === b.upstream && a.context === b.context;
}

function placeAt(
  file: string,
  context: BlockContext,
  upstream: string,
  directive: Directive,
  target: Word,
): UpstreamServer {
  const params = directive.args.slice(1).map((word) => word.value);
  return {
    file,
    line: directive.line,
    context,
    upstream,
    ...splitTarget(target.value),
    params,
    down: params.includes('down'),
    backup: params.includes('backup'),
  };
}

export function splitTarget(value: string): { address: string; port?: number } {
  if (value.startsWith('unix:')) return { address: value };
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(value);
  if (!match?.[1]) return { address: value };
  return { address: canonicalAddress(match[1]), ...(match[2] ? { port: Number(match[2]) } : {}) };
}

export function hostPort(server: UpstreamServer): string {
  return server.port === undefined ? server.address : `${server.address}:${server.port}`;
}
