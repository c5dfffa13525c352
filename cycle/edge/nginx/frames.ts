/**
 * The form in which the proxy's fixed script answers: lines that start with the nonce of this very request.
 * Whatever else a server prints (banner, login message, a shell's greeting) is not of that form and is ignored.
 */
import { CodedError } from '../../../ports/errors.ts';
import type { SshResult } from '../../../ports/ports.ts';

export const VERBS = ['read', 'put', 'test', 'reload', 'workers', 'connections'] as const;
export type Verb = (typeof VERBS)[number];

/** Version of the script's protocol; the script says its own in its first line. */
export const SCRIPT_VERSION = '1';

export interface Answer {
  /** `ok`, or the word behind `refused`. */
  end: string;
  refused: boolean;
  /** Keyword and value of each line in between, in order. */
  lines: { key: string; value: string }[];
}

/** Throws NC4005 when the answer is not a whole one of that verb and version. */
export function parseAnswer(result: SshResult, nonce: string, verb: Verb, proxy: string): Answer {
  const framed = result.stdout
    .split('\n')
    .filter((line) => line.startsWith(`${nonce} `))
    .map((line) => line.slice(nonce.length + 1));
  const bad = (what: string): CodedError =>
    new CodedError('NC4005', `${proxy}, ${verb}: ${what} (exit ${result.exitCode ?? 'none'}).`, [
      ...result.stderr.trim().split('\n').slice(-5),
    ]);
  const [first, ...rest] = framed;
  const last = rest.pop();
  if (first === undefined || last === undefined) throw bad('expected an answer with our nonce, found none');
  if (first !== `begin ${SCRIPT_VERSION} ${verb}`) {
    throw bad(`expected "begin ${SCRIPT_VERSION} ${verb}", found ${JSON.stringify(first.slice(0, 60))}`);
  }
  const end = /^end (ok|refused ([a-z-]+))$/.exec(last);
  if (!end) throw bad('the answer was cut off before its last line');
  const refused = end[2] !== undefined;
  if (result.exitCode !== (refused ? 10 : 0)) throw bad('the exit code and the last line do not agree');
  return {
    end: end[2] ?? 'ok',
    refused,
    lines: rest.map((line) => {
      const space = line.indexOf(' ');
      return space < 0
        ? { key: line, value: '' }
        : { key: line.slice(0, space), value: line.slice(space + 1) };
    }),
  };
}

export function valueOf(answer: Answer, key: string): string | undefined {
  return answer.lines.find((line) => line.key === key)?.value;
}

/** A base64 value as text, empty when absent. */
export function textOf(answer: Answer, key: string): string {
  return decodeText(Buffer.from(valueOf(answer, key) ?? '', 'base64'));
}

/**
 * Bytes as text that can be turned back: UTF-8, and each byte that is none as a lone surrogate U+DC80…U+DCFF.
 * nginx does not care about encodings, and a Latin-1 comment must come back as the same byte.
 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join('');
  }
}

export function encodeText(text: string): Uint8Array {
  if (!/[\udc80-\udcff]/.test(text) || isWellFormed(text)) return Buffer.from(text, 'utf8');
  const parts: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0xd800 && code <= 0xdbff) at++;
    else if (code >= 0xdc80 && code <= 0xdcff) {
      parts.push(Buffer.from(text.slice(from, at), 'utf8'), Uint8Array.of(code - 0xdc00));
      from = at + 1;
    }
  }
  parts.push(Buffer.from(text.slice(from), 'utf8'));
  return Buffer.concat(parts);
}

function isWellFormed(text: string): boolean {
  return !/(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}
