/** Names of successors: `<cluster>-<role>-<n>` from a pattern, the next after the highest ever used. */
import type { Role } from '../config/schema.ts';

/** `srv` for a node with a control plane or etcd, `agt` for a worker. */
export function roleWord(roles: readonly Role[]): 'srv' | 'agt' {
  return roles.includes('controlplane') || roles.includes('etcd') ? 'srv' : 'agt';
}

interface Counter {
  before: string;
  after: string;
  width: number;
  radix: 10 | 16;
}

function counterOf(pattern: string, cluster: string, roles: readonly Role[]): Counter {
  const filled = pattern.replaceAll('{cluster}', cluster).replaceAll('{role}', roleWord(roles));
  const match = /\{n(?::(x?)(\d+))?\}/.exec(filled);
  if (match === null) return { before: `${filled}-n`, after: '', width: 1, radix: 10 };
  return {
    before: filled.slice(0, match.index),
    after: filled.slice(match.index + match[0].length),
    width: Number(match[2] ?? 1),
    radix: match[1] === 'x' ? 16 : 10,
  };
}

/**
 * The next name: highest counter in `used` plus one. Past the last number of a fixed width it starts over at
 * the lowest free one, as operators with `fff` do.
 *
 * @returns undefined when every name of a fixed width is in use.
 */
export function nextName(
  pattern: string,
  cluster: string,
  roles: readonly Role[],
  used: Iterable<string>,
): string | undefined {
  const counter = counterOf(pattern, cluster, roles);
  const taken = new Set<number>();
  for (const name of used) {
    if (!name.startsWith(counter.before) || !name.endsWith(counter.after)) continue;
    const digits = name.slice(counter.before.length, name.length - counter.after.length);
    const valid = counter.radix === 16 ? /^[0-9a-f]+$/ : /^[0-9]+$/;
    if (valid.test(digits)) taken.add(Number.parseInt(digits, counter.radix));
  }
  const limit = counter.width > 1 ? counter.radix ** counter.width : Number.MAX_SAFE_INTEGER;
  const highest = Math.max(0, ...taken);
  for (const candidate of candidates(highest + 1, limit, taken)) {
    return `${counter.before}${candidate.toString(counter.radix).padStart(counter.width, '0')}${counter.after}`;
  }
  return undefined;
}

function* candidates(from: number, limit: number, taken: ReadonlySet<number>): Generator<number> {
  if (from < limit) yield from;
  for (let n = 1; n < Math.min(from, limit); n += 1) if (!taken.has(n)) yield n;
}
