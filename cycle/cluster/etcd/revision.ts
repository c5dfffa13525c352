/**
 * The revision that a snapshot of etcd holds, read from the database file itself: a bbolt file whose bucket `key`
 * is sorted by revision. It tells a snapshot of now from a whole, well-hashed one of yesterday.
 */

const PAGE_HEADER = 16;
const ELEMENT = 16;
const BRANCH = 0x01;
const LEAF = 0x02;
/** bbolt's magic number, at the start of each meta page's content. */
const MAGIC = 0xed0cdaed;
/** Main revision, `_`, sub revision; one more byte marks a deleted key. */
const REVISION_BYTES = 17;
/** Of a store without a key. */
const FIRST_REVISION = 1n;
/** No tree of pages is this deep: a file that says so runs in a circle. */
const DEEPEST = 32;

interface Bolt {
  view: DataView;
  pageSize: number;
}

/** Where a page's content starts: on a page of its own, or inside the value of a small bucket. */
interface Page {
  at: number;
  flags: number;
  count: number;
}

interface Pair {
  key: Uint8Array;
  value: Uint8Array;
}

/** Whether the first page is one of a bbolt file. */
export function isBolt(database: Uint8Array): boolean {
  return database.byteLength >= PAGE_HEADER + 64 && viewOf(database).getUint32(PAGE_HEADER, true) === MAGIC;
}

/**
 * The newest revision: of the last key, or of the last compaction when everything behind it was deleted.
 *
 * @throws RangeError when the file points outside of itself or is no database of etcd.
 */
export function revisionOf(database: Uint8Array): bigint {
  const bolt = open(database);
  const keys = bucket(bolt, 'key');
  if (keys === undefined) throw new RangeError('no bucket `key`');
  const last = lastPair(bolt, keys);
  const newest = last === undefined ? FIRST_REVISION : mainOf(last.key);
  const meta = bucket(bolt, 'meta');
  const compacted = meta === undefined ? undefined : find(bolt, meta, 'finishedCompactRev');
  const floor = compacted === undefined ? 0n : mainOf(compacted.value);
  return newest > floor ? newest : floor;
}

function open(database: Uint8Array): Bolt & { root: number } {
  const view = viewOf(database);
  if (!isBolt(database)) throw new RangeError('no meta page');
  const pageSize = view.getUint32(PAGE_HEADER + 8, true);
  if (pageSize < 512 || pageSize > 65_536) throw new RangeError(`a page size of ${pageSize}`);
  // Two meta pages take turns; the one with the higher transaction is the present one.
  const metas = [0, pageSize].filter((at) => view.getUint32(at + PAGE_HEADER, true) === MAGIC);
  const transaction = (at: number) => view.getBigUint64(at + PAGE_HEADER + 48, true);
  const newest = metas.reduce((one, other) => (transaction(other) > transaction(one) ? other : one));
  return { view, pageSize, root: Number(view.getBigUint64(newest + PAGE_HEADER + 16, true)) };
}

/** The root page of a bucket at the top level. */
function bucket(bolt: Bolt & { root: number }, name: string): Page | undefined {
  const found = find(bolt, pageAt(bolt, bolt.root * bolt.pageSize), name);
  if (found === undefined) return undefined;
  const head = viewOf(found.value);
  const root = Number(head.getBigUint64(0, true));
  // Root 0: the bucket's only page is in the value, behind the bucket's header.
  const inline = found.value.byteOffset - bolt.view.byteOffset + PAGE_HEADER;
  return pageAt(bolt, root === 0 ? inline : root * bolt.pageSize);
}

function pageAt({ view }: Bolt, at: number): Page {
  return { at, flags: view.getUint16(at + 8, true), count: view.getUint16(at + 10, true) };
}

function child(bolt: Bolt, page: Page, index: number): Page {
  const element = page.at + PAGE_HEADER + index * ELEMENT;
  return pageAt(bolt, Number(bolt.view.getBigUint64(element + 8, true)) * bolt.pageSize);
}

function pair({ view }: Bolt, page: Page, index: number): Pair {
  const element = page.at + PAGE_HEADER + index * ELEMENT;
  const [position, keyBytes, valueBytes] = [4, 8, 12].map((at) => view.getUint32(element + at, true));
  const start = element + (position ?? 0);
  const bytes = (at: number, length = 0) => new Uint8Array(view.buffer, view.byteOffset + at, length);
  return { key: bytes(start, keyBytes), value: bytes(start + (keyBytes ?? 0), valueBytes) };
}

function lastPair(bolt: Bolt, root: Page): Pair | undefined {
  let page = root;
  for (let depth = 0; depth < DEEPEST; depth += 1) {
    if (page.count === 0) return undefined;
    if ((page.flags & LEAF) !== 0) return pair(bolt, page, page.count - 1);
    if ((page.flags & BRANCH) === 0) break;
    page = child(bolt, page, page.count - 1);
  }
  throw new RangeError('a page that is none of a tree');
}

/** Walks the whole bucket: only for those that hold a few keys. */
function find(bolt: Bolt, page: Page, key: string, depth = 0): Pair | undefined {
  if (depth > DEEPEST) throw new RangeError('pages that run in a circle');
  for (let index = 0; index < page.count; index += 1) {
    const found =
      (page.flags & LEAF) !== 0
        ? pair(bolt, page, index)
        : find(bolt, child(bolt, page, index), key, depth + 1);
    if (found !== undefined && Buffer.from(found.key).toString('latin1') === key) return found;
  }
  return undefined;
}

function mainOf(revision: Uint8Array): bigint {
  if (revision.byteLength < REVISION_BYTES) throw new RangeError('a key that is no revision');
  return viewOf(revision).getBigUint64(0);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
