/** Values and alternatives as a person reads them in a message. */
import { closest, distance } from 'fastest-levenshtein';

/** Characters of a value that a message shows. */
const LONGEST_SHOWN = 48;

/** A value, shortened, with the password of an URL masked. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'nothing (an empty value)';
  if (typeof value === 'string')
    return value === '' ? 'an empty text' : `"${shorten(withoutPassword(value))}"`;
  if (Array.isArray(value))
    return value.length === 0
      ? 'an empty list'
      : `a list of ${value.length} ${value.length === 1 ? 'entry' : 'entries'}`;
  if (typeof value === 'object') {
    const keys = Object.keys(value);
    return keys.length === 0 ? 'an empty group' : `a group of settings (${shorten(keys.join(', '))})`;
  }
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : `a ${typeof value}`;
}

/** The candidate that was probably meant, undefined when none is near. */
export function near(word: string, candidates: readonly string[]): string | undefined {
  if (candidates.length === 0) return undefined;
  const lower = word.toLowerCase();
  const begun = candidates.find((candidate) => {
    const other = candidate.toLowerCase();
    return other === lower || (other.length >= 3 && lower.startsWith(other));
  });
  if (begun !== undefined) return begun;
  const best = closest(lower, candidates);
  return distance(lower, best.toLowerCase()) <= Math.max(1, Math.floor(word.length / 3)) ? best : undefined;
}

/** `a`, `a or b`, `a, b or c`. */
export function oneOf(values: readonly unknown[]): string {
  const words = values.map(String);
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** `a.b[2].c` */
export function pathText(path: readonly (string | number)[]): string {
  return path
    .map((part, at) => (typeof part === 'number' ? `[${part}]` : at === 0 ? part : `.${part}`))
    .join('');
}

function shorten(text: string): string {
  const line = text.replace(/[\u0000-\u001f\u007f]+/g, ' ');
  return line.length <= LONGEST_SHOWN ? line : `${line.slice(0, LONGEST_SHOWN - 1)}…`;
}

function withoutPassword(text: string): string {
  return text.replace(/(:\/\/[^/@\s:]*):[^/@\s]*@/, '$1:***@');
}
