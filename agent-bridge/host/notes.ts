/**
 * Our marker in a VM's notes. The notes belong to another tool: a JSON object gets one more key, any other text one
 * more line, and everything else stays as it was, byte for byte where that is possible.
 */
import { Marker } from '../protocol/shapes.ts';

export const MARKER_KEY = 'nodeCycle';
const LINE = new RegExp(`^${MARKER_KEY}: (\\{.*\\})(?=\\r?$)`, 'm');

export interface ReadNotes {
  /** What the notes hold besides our marker. */
  owner: 'none' | 'json' | 'text';
  marker?: Marker;
}

type JsonObject = { [key: string]: unknown };

export function readNotes(notes: string): ReadNotes {
  const object = asObject(notes);
  const { [MARKER_KEY]: value, ...others } = object ?? {};
  const found = object ? value : asObject(LINE.exec(notes)?.[1] ?? '');
  const marker = Marker.safeParse(found);
  const rest = object ? Object.keys(others).length > 0 : notes.replace(LINE, '').trim() !== '';
  const owner = !rest ? 'none' : object ? 'json' : 'text';
  return marker.success ? { owner, marker: marker.data } : { owner };
}

/** Puts the marker in, or in the place of the one that is there. */
export function withMarker(notes: string, marker: Marker): string {
  const bare = withoutMarker(notes);
  const text = JSON.stringify(marker);
  const object = asObject(bare);
  // Another tool reads the notes of every VM as JSON, so ours are JSON when there were none.
  if (bare.trim() === '') return `{"${MARKER_KEY}":${text}}${bare}`;
  if (!object) {
    // A last line that was ended stays ended: so it can be told from one that was not when the marker goes.
    const [lineEnd = ''] = /\r?\n$/.exec(bare) ?? [];
    return `${bare}${lineEnd === '' ? '\n' : ''}${MARKER_KEY}: ${text}${lineEnd}`;
  }
  const end = bare.lastIndexOf('}');
  const comma = Object.keys(object).length === 0 ? '' : ',';
  return `${bare.slice(0, end)}${comma}"${MARKER_KEY}":${text}${bare.slice(end)}`;
}

/** The notes as their owner wrote them. */
export function withoutMarker(notes: string): string {
  const object = asObject(notes);
  if (!object) {
    const line = LINE.exec(notes);
    if (!line) return notes;
    const before = notes.slice(0, line.index).replace(/\r?\n$/, '');
    return before + notes.slice(line.index + line[0].length);
  }
  if (!Object.hasOwn(object, MARKER_KEY)) return notes;
  const { [MARKER_KEY]: marker, ...others } = object;
  if (Object.keys(others).length === 0) return notes.slice(notes.lastIndexOf('}') + 1);
  // As `withMarker` put it: the last key. Then only our bytes go.
  const inserted = `,"${MARKER_KEY}":${JSON.stringify(marker)}`;
  const at = notes.lastIndexOf(inserted);
  if (at !== -1) {
    const cut = notes.slice(0, at) + notes.slice(at + inserted.length);
    if (JSON.stringify(asObject(cut)) === JSON.stringify(others)) return cut;
  }
  return JSON.stringify(others);
}

function asObject(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : undefined;
  } catch {
    return undefined;
  }
}
