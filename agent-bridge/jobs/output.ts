/**
 * What a child prints: secrets are masked before a byte is stored, the stored log is capped while the child keeps
 * being drained, and the framed result is found in the last line.
 *
 * Bytes are handled as latin1 text, one character a byte, so that nothing is decoded and offsets stay exact.
 */
import { RESULT_PREFIX } from '../host/frame.ts';

const MASK = '***';

/** Shorter values would mask half the log. */
const SHORTEST_SECRET = 4;

/** Longest result line: a list of 2,000 VMs is about 1 MB. */
export const RESULT_LIMIT_BYTES = 4 * 1024 * 1024;

export interface Filter {
  push(chunk: Uint8Array): Uint8Array;
  /** What was held back. */
  end(): Uint8Array;
}

/** Replaces secrets, also those that are split over chunks: up to one secret's length less a byte is held back. */
export function maskFilter(secrets: readonly string[]): Filter {
  const needles = [...new Set(secrets.flatMap((secret) => [secret, ...secret.split(/\r?\n/)]))]
    .filter((text) => text.length >= SHORTEST_SECRET)
    .map((text) => Buffer.from(text, 'utf8').toString('latin1'))
    .sort((a, b) => b.length - a.length);
  const keep = (needles[0]?.length ?? 1) - 1;
  let held = '';
  const mask = (text: string) => needles.reduce((masked, needle) => masked.replaceAll(needle, MASK), text);
  return {
    push(chunk) {
      const text = mask(held + Buffer.from(chunk).toString('latin1'));
      const cut = Math.max(0, text.length - keep);
      held = text.slice(cut);
      return Buffer.from(text.slice(0, cut), 'latin1');
    },
    end() {
      const rest = Buffer.from(held, 'latin1');
      held = '';
      return rest;
    },
  };
}

/** Passes bytes on until `limit`, then a marker once, then nothing. */
export function capped(limit: number, write: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void {
  let left = limit;
  return (bytes) => {
    if (left <= 0 || bytes.byteLength === 0) return;
    write(bytes.subarray(0, left));
    left -= bytes.byteLength;
    if (left < 0) write(Buffer.from(`\n##NC-LOG-CAPPED ${limit} bytes are kept, the rest was dropped\n`));
    if (left === 0) left = 1;
  };
}

export interface ResultFinder {
  push(chunk: Uint8Array): void;
  /** JSON text of the frame, when the last line that is not blank is a frame with our nonce. */
  frame(): string | undefined;
}

/** A line with another nonce, or one that something follows, is log: whoever prints it does not know the nonce. */
export function resultFinder(nonce: string): ResultFinder {
  const prefix = `${RESULT_PREFIX}${nonce} `;
  let line = '';
  let found: string | undefined;
  const endLine = () => {
    const text = line.endsWith('\r') ? line.slice(0, -1) : line;
    line = '';
    if (text.startsWith(prefix) && text.length < RESULT_LIMIT_BYTES) found = text.slice(prefix.length);
    else if (text.trim() !== '') found = undefined;
  };
  return {
    push(chunk) {
      let start = 0;
      for (;;) {
        const end = chunk.indexOf(0x0a, start);
        const part = chunk.subarray(start, end === -1 ? undefined : end);
        // A line past the limit can be no result: it only has to stay longer than the limit.
        if (line.length < RESULT_LIMIT_BYTES) line += Buffer.from(part).toString('latin1');
        if (end === -1) return;
        endLine();
        start = end + 1;
      }
    },
    frame() {
      if (line !== '') endLine();
      return found === undefined ? undefined : Buffer.from(found, 'latin1').toString('utf8');
    },
  };
}
