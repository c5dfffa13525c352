/** The smallest file that is a database of etcd: bbolt's pages, a bucket `key`, and one key with its revision. */

export const PAGE_BYTES = 4096;
const MAGIC = 0xed0cdaed;
const META = 0x04;
const LEAF = 0x02;
const FREE = 0x10;
const IS_BUCKET = 1;
const HEADER = 16;
/** Pages: two meta, the free list, the buckets, the keys. */
const [FREE_PAGE, ROOT_PAGE, KEY_PAGE, PAGES] = [2, 3, 4, 5];
export const DATABASE_BYTES = PAGES * PAGE_BYTES;

export function databaseOf(revision: bigint): Buffer {
  const file = Buffer.alloc(DATABASE_BYTES);
  for (const id of [0, 1]) meta(file, id);
  page(file, FREE_PAGE, FREE, 0);
  const bucket = Buffer.alloc(HEADER);
  bucket.writeBigUInt64LE(BigInt(KEY_PAGE));
  leaf(file, ROOT_PAGE, IS_BUCKET, Buffer.from('key'), bucket);
  const key = Buffer.alloc(17, '_');
  key.writeBigUInt64BE(revision);
  key.writeBigUInt64BE(0n, 9);
  leaf(file, KEY_PAGE, 0, key, Buffer.alloc(0));
  return file;
}

function page(file: Buffer, id: number, flags: number, count: number): number {
  const at = id * PAGE_BYTES;
  file.writeBigUInt64LE(BigInt(id), at);
  file.writeUInt16LE(flags, at + 8);
  file.writeUInt16LE(count, at + 10);
  return at + HEADER;
}

function meta(file: Buffer, id: number): void {
  const at = page(file, id, META, 0);
  for (const [offset, value] of [MAGIC, 2, PAGE_BYTES].entries()) file.writeUInt32LE(value, at + offset * 4);
  file.writeBigUInt64LE(BigInt(ROOT_PAGE), at + 16);
  file.writeBigUInt64LE(BigInt(FREE_PAGE), at + 32);
  file.writeBigUInt64LE(BigInt(PAGES), at + 40);
  // The transaction: the first page is the newer one.
  file.writeBigUInt64LE(BigInt(2 - id), at + 48);
  file.writeBigUInt64LE(fnv1a(file.subarray(at, at + 56)), at + 56);
}

function fnv1a(bytes: Uint8Array): bigint {
  return bytes.reduce(
    (hash, byte) => BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n),
    0xcbf29ce484222325n,
  );
}

function leaf(file: Buffer, id: number, flags: number, key: Buffer, value: Buffer): void {
  const at = page(file, id, LEAF, 1);
  for (const [offset, field] of [flags, HEADER, key.length, value.length].entries())
    file.writeUInt32LE(field, at + offset * 4);
  key.copy(file, at + HEADER);
  value.copy(file, at + HEADER + key.length);
}
