/** Folders in memory: the agent's state directory behind the `Files` port, the host's data behind the bridge's `Disk`. */
import { posix } from 'node:path';
import type { Disk } from '../../agent-bridge/log/disk.ts';
import { PortError, type Files } from '../../ports/ports.ts';

interface StoredFile {
  data: Uint8Array;
  mode: number;
  mtimeMs: number;
}

export interface Storage {
  readonly files: Map<string, StoredFile>;
  readonly folders: Set<string>;
  text(path: string): string | undefined;
  put(path: string, data: string | Uint8Array, mode?: number): void;
  remove(path: string): void;
  list(dir: string): string[];
}

const FILE_MODE = 0o600;

export function storage(nowMs: () => number): Storage {
  const files = new Map<string, StoredFile>();
  const folders = new Set<string>();
  const bytesOf = (data: string | Uint8Array) =>
    typeof data === 'string' ? Buffer.from(data, 'utf8') : Uint8Array.from(data);
  return {
    files,
    folders,
    text(path) {
      const found = files.get(path);
      return found && Buffer.from(found.data).toString('utf8');
    },
    put: (path, data, mode = FILE_MODE) =>
      void files.set(path, { data: bytesOf(data), mode, mtimeMs: nowMs() }),
    remove(path) {
      for (const known of [files, folders])
        for (const name of [...known.keys()])
          if (name === path || name.startsWith(`${path}/`)) known.delete(name);
    },
    list(dir) {
      const names = new Set<string>();
      for (const path of [...files.keys(), ...folders])
        if (path.startsWith(`${dir}/`)) names.add(path.slice(dir.length + 1).split('/')[0] ?? '');
      return [...names].sort();
    },
  };
}

/** Without latency and faults: those are the wire's. */
export function filesOf(store: Storage): Files {
  const missing = (path: string) => new PortError('notfound', 'files', `${path}: no such file or directory`);
  return {
    read: async (path) => {
      const found = store.files.get(path);
      if (found === undefined) throw missing(path);
      return found.data;
    },
    write: async (path, data, mode) => store.put(path, data, mode),
    create: async (path, data, mode) => {
      if (store.files.has(path)) throw new PortError('exists', 'files', `${path}: file already exists`);
      store.put(path, data, mode);
    },
    list: async (dir) => {
      if (!store.folders.has(dir)) throw missing(dir);
      return store.list(dir);
    },
    stat: async (path) => {
      const found = store.files.get(path);
      if (found !== undefined)
        return { size: found.data.byteLength, mode: found.mode, mtimeMs: found.mtimeMs };
      return store.folders.has(path) ? { size: 0, mode: 0o700, mtimeMs: 0 } : undefined;
    },
    makeDir: async (path) => void store.folders.add(path),
    remove: async (path) => store.remove(path),
  };
}

/** `alive`: a process that was killed writes nothing more. */
export function diskOf(store: Storage, alive: () => boolean): Disk {
  const check = () => {
    if (!alive()) throw new Error('this process was killed');
  };
  const read = (path: string) => store.files.get(path)?.data;
  return {
    read: (path) => read(path),
    readRange: (path, offset, length) => (read(path) ?? new Uint8Array()).subarray(offset, offset + length),
    size: (path) => read(path)?.byteLength,
    write(path, data) {
      check();
      store.put(path, data);
    },
    createExclusive(path, data) {
      check();
      if (store.files.has(path)) return false;
      store.put(path, data);
      return true;
    },
    openAppend: (path) => appendTo(store, path, check),
    list: (dir) => store.list(dir),
    makeDir(path) {
      check();
      store.folders.add(posix.normalize(path));
    },
    remove(path) {
      check();
      store.remove(path);
    },
  };
}

/** Grown by doubling, so that a log of some thousand lines is not copied at each of them. */
function appendTo(store: Storage, path: string, check: () => void) {
  let room = Buffer.alloc(0);
  let size = 0;
  const load = () => {
    const there = store.files.get(path)?.data ?? new Uint8Array();
    room = Buffer.alloc(Math.max(4096, there.byteLength * 2));
    room.set(there);
    size = there.byteLength;
  };
  const show = () => {
    const known = store.files.get(path);
    const data = room.subarray(0, size);
    if (known === undefined) store.files.set(path, { data, mode: FILE_MODE, mtimeMs: 0 });
    else known.data = data;
  };
  load();
  show();
  return {
    append(data: string | Uint8Array) {
      check();
      const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
      if (size + bytes.byteLength > room.byteLength) {
        const larger = Buffer.alloc((size + bytes.byteLength) * 2);
        larger.set(room.subarray(0, size));
        room = larger;
      }
      room.set(bytes, size);
      size += bytes.byteLength;
      show();
    },
    cut(bytes: number) {
      check();
      size = Math.min(size, bytes);
      show();
    },
    close() {},
  };
}
