/**
 * Paths to a value in a YAML file, as `ingress.path` writes them: parts joined by dots, `[2]` or
 * `[name=value]` for an item of a list, `"…"` around a part that has dots, and `|` behind a part whose value is
 * itself a string of YAML (`spec.source.helm.values|.controller.service.externalIPs`).
 */
import { CodedError } from '../../../ports/errors.ts';

export type PathPart =
  | { kind: 'key'; key: string }
  | { kind: 'index'; index: number }
  | { kind: 'where'; key: string; value: string }
  /** What follows is inside the string of YAML that was reached. */
  | { kind: 'inside' };

/** Throws NC4024. */
export function parsePath(path: string): PathPart[] {
  const parts: PathPart[] = [];
  let at = 0;
  const fail = (what: string): never => {
    throw new CodedError('NC4024', `${JSON.stringify(path)}, character ${at + 1}: ${what}.`);
  };
  while (at < path.length) {
    const rest = path.slice(at);
    const item = /^\[(\d+)\]/.exec(rest);
    const where = /^\[([A-Za-z0-9_.-]+)=([^\]]+)\]/.exec(rest);
    const quoted = /^"([^"]+)"/.exec(rest);
    const plain = /^[^.[\]"|]+/.exec(rest);
    const found = item ?? where ?? quoted ?? plain;
    if (rest.startsWith('|')) {
      if (parts.length === 0) fail('"|" has to follow a part');
      parts.push({ kind: 'inside' });
      at++;
    } else if (found === null) {
      fail('expected a key, [0] or [name=value]');
    } else {
      if (item?.[1] !== undefined) parts.push({ kind: 'index', index: Number(item[1]) });
      else if (where?.[1] !== undefined && where[2] !== undefined)
        parts.push({ kind: 'where', key: where[1], value: where[2] });
      else parts.push({ kind: 'key', key: quoted?.[1] ?? found[0] });
      at += found[0].length;
    }
    if (path.charAt(at) === '.') {
      at++;
      if (at === path.length) fail('the path ends with a dot');
    } else if (at < path.length && !/[[|]/.test(path.charAt(at))) {
      fail('expected ".", "[" or "|"');
    }
  }
  if (parts.length === 0 || parts.at(-1)?.kind === 'inside') fail('expected a part here');
  return parts;
}
