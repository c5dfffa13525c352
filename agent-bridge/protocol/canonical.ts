/**
 * Canonical JSON: one value has exactly one spelling, so a hash of the bytes is a hash of the meaning.
 *
 * A body is decoded strictly, parsed, serialised again and compared byte for byte; whatever differs (duplicate
 * keys, white space, `1e999`, `-0`, 2^53+1, a BOM, a lone surrogate, keys out of order) is refused. Strings need
 * no normal form of their own: two spellings of one accent are two different strings to us.
 */

/** Largest body that is read: a job's parameters are a few hundred bytes, so this leaves room and bounds memory. */
export const BODY_LIMIT_BYTES = 64 * 1024;

/** Deepest nesting that is accepted: the deepest parameter set has 3 levels. */
export const DEPTH_LIMIT = 16;

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type Canonical = { ok: true; value: Json } | { ok: false; reason: CanonicalFault };

export type CanonicalFault = 'tooLarge' | 'notUtf8' | 'notJson' | 'tooDeep' | 'notCanonical';

/** Serialises with sorted keys and without white space. Throws on what JSON cannot hold exactly, and past the depth. */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > DEPTH_LIMIT) throw new RangeError(`canonical JSON is at most ${DEPTH_LIMIT} levels deep`);
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'number':
      if (!Number.isFinite(value)) throw new RangeError('canonical JSON holds finite numbers only');
      if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw new RangeError('canonical JSON holds integers up to 2^53-1');
      }
      return JSON.stringify(value);
    case 'object':
      break;
    default:
      throw new TypeError(`canonical JSON cannot hold a ${typeof value}`);
  }
  if (value === null) return 'null';
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`;
  const record = value as Record<string, unknown>;
  const parts: string[] = [];
  for (const key of Object.keys(record).sort()) {
    if (record[key] === undefined) continue;
    parts.push(`${JSON.stringify(key)}:${canonicalJson(record[key], depth + 1)}`);
  }
  return `{${parts.join(',')}}`;
}

/** Reads a body; accepts it only when it is byte for byte what `canonicalJson` would have written. */
export function parseCanonical(bytes: Uint8Array): Canonical {
  if (bytes.byteLength > BODY_LIMIT_BYTES) return { ok: false, reason: 'tooLarge' };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { ok: false, reason: 'notUtf8' };
  }
  if (tooDeep(text)) return { ok: false, reason: 'tooDeep' };
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    return { ok: false, reason: 'notJson' };
  }
  try {
    if (canonicalJson(value) !== text) return { ok: false, reason: 'notCanonical' };
  } catch {
    return { ok: false, reason: 'notCanonical' };
  }
  if (hasLoneSurrogate(value)) return { ok: false, reason: 'notCanonical' };
  return { ok: true, value };
}

/** Serialised, a lone surrogate is an escape of ASCII letters, so that neither the decoder nor the comparison sees it. */
function hasLoneSurrogate(value: Json): boolean {
  if (typeof value === 'string') return /\p{Surrogate}/u.test(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, item]) => hasLoneSurrogate(key) || hasLoneSurrogate(item));
}

/** Counts brackets outside strings before the parser sees them: JSON.parse recurses, and 30,000 levels are cheap to send. */
function tooDeep(text: string): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) i += 1;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x7b || c === 0x5b) {
      depth += 1;
      if (depth > DEPTH_LIMIT) return true;
    } else if (c === 0x7d || c === 0x5d) depth -= 1;
  }
  return false;
}
