/**
 * Which block a file is included from. A file below `conf.d` has its upstreams at the top level; whether they
 * are `http` or `stream` upstreams is said by the `include` that reaches it.
 */
import { walk } from './grammar.ts';
import type { Document } from './grammar.ts';

export type BlockContext = 'http' | 'stream' | 'unknown';

/**
 * The context of each file's top level, by the includes of the other files, followed through several levels.
 * Relative patterns are taken from the folder of the file that is nobody's include (nginx takes them from its
 * main file's folder). A file that no known include reaches has none.
 */
export function contextsOf(documents: ReadonlyMap<string, Document>): Map<string, BlockContext> {
  const includes: { from: string; pattern: string; context: BlockContext | undefined }[] = [];
  const included = includedFiles(documents);
  for (const [file, document] of documents) {
    walk(document.body, (directive, path) => {
      const pattern = directive.args[0]?.value;
      if (directive.name !== 'include' || pattern === undefined) return;
      const context = path.includes('http') ? 'http' : path.includes('stream') ? 'stream' : undefined;
      includes.push({ from: file, pattern, context });
    });
  }
  const contexts = new Map<string, BlockContext>();
  for (let changed = true; changed;) {
    changed = false;
    for (const include of includes) {
      const context = include.context ?? contexts.get(include.from);
      if (!context) continue;
      for (const file of included(include.pattern)) {
        if (contexts.has(file)) continue;
        contexts.set(file, context);
        changed = true;
      }
    }
  }
  return contexts;
}

/** The files that the pattern of an `include` reaches, by the rule above for relative ones. */
export function includedFiles(documents: ReadonlyMap<string, Document>): (pattern: string) => string[] {
  const roots = new Set<string>();
  for (const [file, document] of documents) {
    walk(document.body, ({ name }) => {
      if (name === 'include') roots.add(folderOf(file));
    });
  }
  return (pattern) => {
    const patterns = pattern.startsWith('/') ? [pattern] : [...roots].map((root) => `${root}/${pattern}`);
    return [...documents.keys()].filter((file) => patterns.some((one) => globMatches(one, file)));
  };
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** glob(3) as nginx uses it: `*` and `?` stay inside one path part and never match a leading dot. */
export function globMatches(pattern: string, path: string): boolean {
  let source = '';
  for (let at = 0; at < pattern.length; at++) {
    const ch = pattern.charAt(at);
    const atPartStart = at === 0 || pattern.charAt(at - 1) === '/';
    const noDot = atPartStart ? '(?!\\.)' : '';
    const close = ch === '[' ? pattern.indexOf(']', at + 2) : -1;
    if (ch === '*') source += `${noDot}[^/]*`;
    else if (ch === '?') source += `${noDot}[^/]`;
    else if (close > 0) {
      source += `${noDot}[${pattern
        .slice(at + 1, close)
        .replace(/^!/, '^')
        .replace(/\\/g, '\\\\')}]`;
      at = close;
    } else source += ch.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  }
  return new RegExp(`^${source}$`).test(path);
}
