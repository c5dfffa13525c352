/**
 * A value that must not be seen: it does not print, serialise or concatenate as itself.
 */
import { inspect } from 'node:util';

const HIDDEN = '***';

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call it where it goes onto the wire, and nowhere else. */
  reveal(): string {
    return this.#value;
  }

  /** What a log's filter must mask: the whole value and each of its lines that is long enough to tell. */
  maskable(): string[] {
    const lines = this.#value.split(/\r?\n/).map((line) => line.trim());
    return [...new Set([this.#value, ...lines])].filter((text) => text.length >= 4);
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}
