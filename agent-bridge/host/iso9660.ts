/**
 * A small ISO 9660 image (ECMA-119) with Joliet names: what cloud-init reads its NoCloud seed from. One folder,
 * a few small files; nothing is mounted to make it.
 */

const SECTOR = 2048;
/** The first 16 sectors are the system's, and stay empty. */
const DESCRIPTORS_AT = 16;
const PATH_TABLES_AT = 19;
const ROOT_AT = 23;
const FILES_AT = 25;
/** A path table with the root alone. */
const PATH_TABLE_BYTES = 10;
const FOLDER_FLAG = 2;
/** UCS-2 level 3, by which a reader knows Joliet. */
const JOLIET_ESCAPE = '%/E';

export interface IsoFile {
  /** ASCII; Joliet allows 64 characters. */
  name: string;
  content: string | Uint8Array;
}

/** The whole image. `volume`: at most 16 characters; `nowMs`: UTC. Throws RangeError on what does not fit. */
export function isoImage(volume: string, files: readonly IsoFile[], nowMs: number): Uint8Array {
  if (volume.length > 16)
    throw new RangeError(`a volume's name has at most 16 characters, not ${volume.length}`);
  let next = FILES_AT;
  const placed = files.map(({ name, content }) => {
    if (!/^[a-z0-9-]{1,64}$/.test(name)) throw new RangeError(`${name} is no name for a file of a seed`);
    const bytes = Buffer.from(content);
    const at = next;
    next += Math.max(1, Math.ceil(bytes.length / SECTOR));
    return { name, bytes, at };
  });
  const image = Buffer.alloc(next * SECTOR);
  const time = new Date(nowMs);
  const trees = [
    { joliet: false, rootAt: ROOT_AT, tableAt: PATH_TABLES_AT },
    { joliet: true, rootAt: ROOT_AT + 1, tableAt: PATH_TABLES_AT + 2 },
  ];
  for (const [index, { joliet, rootAt, tableAt }] of trees.entries()) {
    const root = Buffer.concat([
      record(Buffer.from([0]), rootAt, SECTOR, FOLDER_FLAG, time),
      record(Buffer.from([1]), rootAt, SECTOR, FOLDER_FLAG, time),
      ...placed
        .map((file) => ({ ...file, id: joliet ? ucs2(`${file.name};1`) : Buffer.from(plainName(file.name)) }))
        .sort((a, b) => Buffer.compare(a.id, b.id))
        .map(({ id, at, bytes }) => record(id, at, bytes.length, 0, time)),
    ]);
    if (root.length > SECTOR)
      throw new RangeError(`${files.length} files do not fit into one sector's folder`);
    root.copy(image, rootAt * SECTOR);
    pathTable(rootAt, 'little').copy(image, tableAt * SECTOR);
    pathTable(rootAt, 'big').copy(image, (tableAt + 1) * SECTOR);
    descriptor(volume, { joliet, rootAt, tableAt, sectors: next, time }).copy(
      image,
      (DESCRIPTORS_AT + index) * SECTOR,
    );
  }
  Buffer.from('\xffCD001\x01', 'latin1').copy(image, (DESCRIPTORS_AT + trees.length) * SECTOR);
  for (const { bytes, at } of placed) bytes.copy(image, at * SECTOR);
  return image;
}

/** 8.3 for readers without Joliet, which nobody of ours is. */
const plainName = (name: string): string => `${name.toUpperCase().replaceAll('-', '_').slice(0, 8)}.;1`;

const ucs2 = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

/** ECMA-119 9.1. */
function record(id: Buffer, at: number, bytes: number, flags: number, time: Date): Buffer {
  const length = 33 + id.length + (id.length % 2 === 0 ? 1 : 0);
  const out = Buffer.alloc(length);
  out[0] = length;
  both32(out, 2, at);
  both32(out, 10, bytes);
  out[18] = time.getUTCFullYear() - 1900;
  out[19] = time.getUTCMonth() + 1;
  out[20] = time.getUTCDate();
  out[21] = time.getUTCHours();
  out[22] = time.getUTCMinutes();
  out[23] = time.getUTCSeconds();
  out[25] = flags;
  both16(out, 28, 1);
  out[32] = id.length;
  id.copy(out, 33);
  return out;
}

/** ECMA-119 9.4, the root only. */
function pathTable(rootAt: number, order: 'little' | 'big'): Buffer {
  const out = Buffer.alloc(PATH_TABLE_BYTES);
  out[0] = 1;
  if (order === 'little') {
    out.writeUInt32LE(rootAt, 2);
    out.writeUInt16LE(1, 6);
  } else {
    out.writeUInt32BE(rootAt, 2);
    out.writeUInt16BE(1, 6);
  }
  return out;
}

interface Tree {
  joliet: boolean;
  rootAt: number;
  tableAt: number;
  sectors: number;
  time: Date;
}

/** ECMA-119 8.4 and, with Joliet, 8.5. */
function descriptor(volume: string, { joliet, rootAt, tableAt, sectors, time }: Tree): Buffer {
  const out = Buffer.alloc(SECTOR);
  /** Padded with blanks, as every text field is. */
  const field = (at: number, length: number, value = '') => {
    const blank = joliet ? ucs2(' '.repeat(Math.floor(length / 2))) : Buffer.alloc(length, 0x20);
    blank.copy(out, at);
    (joliet ? ucs2(value) : Buffer.from(value)).copy(out, at);
  };
  out[0] = joliet ? 2 : 1;
  out.write('CD001\x01', 1, 'latin1');
  field(8, 32);
  field(40, 32, volume);
  both32(out, 80, sectors);
  if (joliet) out.write(JOLIET_ESCAPE, 88, 'latin1');
  both16(out, 120, 1);
  both16(out, 124, 1);
  both16(out, 128, SECTOR);
  both32(out, 132, PATH_TABLE_BYTES);
  out.writeUInt32LE(tableAt, 140);
  out.writeUInt32BE(tableAt + 1, 148);
  record(Buffer.from([0]), rootAt, SECTOR, FOLDER_FLAG, time).copy(out, 156);
  for (const [at, length] of [
    [190, 128],
    [318, 128],
    [446, 128],
    [574, 128],
    [702, 37],
    [739, 37],
    [776, 37],
  ] as const)
    field(at, length);
  const made = `${time.toISOString().replace(/[-:T]/g, '').slice(0, 14)}00`;
  out.write(`${made}\0${made}\0`, 813, 'latin1');
  // No expiry and no later effect: digits 0, not empty.
  out.write(`${'0'.repeat(16)}\0${'0'.repeat(16)}\0`, 847, 'latin1');
  out[881] = 1;
  return out;
}

function both32(out: Buffer, at: number, value: number): void {
  out.writeUInt32LE(value, at);
  out.writeUInt32BE(value, at + 4);
}

function both16(out: Buffer, at: number, value: number): void {
  out.writeUInt16LE(value, at);
  out.writeUInt16BE(value, at + 2);
}
