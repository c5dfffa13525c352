/**
 * Writes a zip whose bytes follow from the files alone: sorted names, one time, one mode, nothing compressed, since
 * what zlib makes of the same bytes differs between its versions and between processors.
 */
import { crc32 } from 'node:zlib';

/** The first day that the format knows, 1980-01-01 00:00. */
const DATE = 0x0021;
const TIME = 0;
const VERSION = 20;
/** "Made by" Unix, so that the mode counts. */
const UNIX = 3 << 8;
/** A plain file, rw-r--r--. */
const MODE = 0o100644;
const UTF8_NAMES = 1 << 11;
const STORED = 0;

/** `files`: path with `/` → bytes. */
export function zip(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  const names = [...files.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const name of names) {
    const path = Buffer.from(name);
    const bytes = files.get(name);
    const common = Buffer.alloc(26);
    const words = [VERSION, UTF8_NAMES, STORED, TIME, DATE];
    words.forEach((word, index) => common.writeUInt16LE(word, index * 2));
    [crc32(bytes), bytes.length, bytes.length].forEach((value, index) =>
      common.writeUInt32LE(value, 10 + index * 4),
    );
    common.writeUInt16LE(path.length, 22);
    const local = [signature(0x04034b50), common, path, bytes];
    const after = Buffer.alloc(14);
    after.writeUInt32LE(MODE * 0x10000, 6);
    after.writeUInt32LE(at, 10);
    directory.push(signature(0x02014b50), twoBytes(UNIX | VERSION), common, after, path);
    parts.push(...local);
    at += local.reduce((sum, { length }) => sum + length, 0);
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(names.length, 4);
  end.writeUInt16LE(names.length, 6);
  end.writeUInt32LE(entries.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, entries, signature(0x06054b50), end]);
}

function signature(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function twoBytes(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
