/**
 * Hides secrets in everything that leaves the runner: the whole value, each of its lines, and the forms that they
 * take in JSON and in URLs.
 */

export interface Masks {
  add(secret: string): void;
  text(text: string): string;
  /** Masks every text inside plain data; buffers (attachments) pass as the agent passes them. */
  deep<T>(data: T): T;
}

const HIDDEN = '***';
/** Shorter values stand in every second line: hiding them would hide the log. */
const MIN_VALUE = 3;
const MIN_LINE = 4;

export function createMasks(): Masks {
  const values = new Set<string>();
  let pattern: RegExp | undefined;
  const add = (secret: string): void => {
    const whole = secret.trim();
    const lines = whole
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line.length >= MIN_LINE);
    for (const value of [...(whole.length >= MIN_VALUE ? [whole] : []), ...(lines.length > 0 ? lines : [])]) {
      for (const form of [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)])
        values.add(form);
    }
    pattern = undefined;
  };
  const text = (input: string): string => {
    if (values.size === 0) return input;
    // Longest first, so that a secret inside a longer one does not leave the rest readable.
    pattern ??= new RegExp(
      [...values]
        .sort((left, right) => right.length - left.length)
        .map((value) => value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        .join('|'),
      'g',
    );
    return input.replace(pattern, HIDDEN);
  };
  const deep = <T>(data: T): T => {
    if (typeof data === 'string') return text(data) as T;
    if (Array.isArray(data)) return data.map(deep) as T;
    if (data === null || typeof data !== 'object' || Buffer.isBuffer(data)) return data;
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, deep(value)])) as T;
  };
  return { add, text, deep };
}
