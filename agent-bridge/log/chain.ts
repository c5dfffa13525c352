/**
 * The hash chain: how one entry of the log becomes a line, and how a line is checked against the one before it.
 *
 * A line is canonical JSON with `hash` as its last key; the hash is the SHA-256 of the bytes before `,"hash"`,
 * so checking needs one digest over a slice, and no second serialisation.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../protocol/canonical.ts';
import type { LogEvent } from './events.ts';

export const GENESIS = '0'.repeat(64);

export interface Head {
  seq: number;
  hash: string;
}

export type Entry = LogEvent & {
  v: 1;
  seq: number;
  /** UTC. */
  ts: string;
  /** One per start of the bridge. */
  bootId: string;
  prevHash: string;
  hash: string;
};

const TAIL = /^,"hash":"([0-9a-f]{64})"\}$/;
const TAIL_LENGTH = ',"hash":"'.length + 64 + '"}'.length;

export const sha256Hex = (data: string | Uint8Array): string =>
  createHash('sha256').update(data).digest('hex');

/** The line (with its end) and the new head. */
export function seal(event: LogEvent, head: Head, ts: string, bootId: string): { line: string; head: Head } {
  const seq = head.seq + 1;
  const body = canonicalJson({ ...event, v: 1, seq, ts, bootId, prevHash: head.hash }).slice(0, -1);
  const hash = sha256Hex(body);
  return { line: `${body},"hash":"${hash}"}\n`, head: { seq, hash } };
}

export type Check = { ok: true; entry: Entry } | { ok: false; fault: string };

/** Checks one line, without its end, as the successor of `head`. */
export function checkLine(line: string, head: Head): Check {
  const tail = TAIL.exec(line.slice(-TAIL_LENGTH));
  if (!tail) return { ok: false, fault: 'does not end with a hash' };
  if (sha256Hex(line.slice(0, -TAIL_LENGTH)) !== tail[1]) {
    return { ok: false, fault: 'was edited: its content does not give its hash' };
  }
  let entry: Entry;
  try {
    entry = JSON.parse(line) as Entry;
  } catch {
    return { ok: false, fault: 'is not JSON' };
  }
  if (entry.seq !== head.seq + 1) {
    return {
      ok: false,
      fault: `has number ${entry.seq} where ${head.seq + 1} was expected: an entry was removed or moved`,
    };
  }
  if (entry.prevHash !== head.hash) {
    return { ok: false, fault: 'does not continue the entry before it: that one was replaced' };
  }
  return { ok: true, entry };
}
