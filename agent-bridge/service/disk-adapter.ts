/**
 * The real disk. All files are created for their owner only; on Windows the installer's ACL on the data folder does it.
 */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import type { Disk } from '../log/disk.ts';

const OWNER_FILE = 0o600;
const OWNER_DIR = 0o700;

let counter = 0;
/** A name that no other writer of the same folder uses. */
const besides = (path: string): string => `${path}.${process.pid}.${(counter += 1)}.tmp`;

function writeSynced(path: string, data: string | Uint8Array): void {
  const fd = fs.openSync(path, 'wx', OWNER_FILE);
  try {
    fs.writeFileSync(fd, data);
    fs.fsyncSync(fd);
  } catch (error) {
    // Half a file would hold the room that a full disk lacks.
    fs.rmSync(path, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/** A rename is durable when its folder is: Windows does that by itself and refuses to open folders. */
function syncDir(dir: string): void {
  if (process.platform === 'win32') return;
  const fd = fs.openSync(dir, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

const isCode = (error: unknown, ...codes: string[]): boolean =>
  codes.includes((error as NodeJS.ErrnoException).code ?? '');

function readRange(path: string, offset: number, length: number): Uint8Array {
  const fd = fs.openSync(path, 'r');
  try {
    const size = fs.fstatSync(fd).size;
    const buffer = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
    let filled = 0;
    while (filled < buffer.length) {
      const n = fs.readSync(fd, buffer, filled, buffer.length - filled, offset + filled);
      if (n === 0) break;
      filled += n;
    }
    return buffer.subarray(0, filled);
  } finally {
    fs.closeSync(fd);
  }
}

export const realDisk: Disk = {
  read(path) {
    try {
      return fs.readFileSync(path);
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  },
  readRange,
  size: (path) => fs.statSync(path, { throwIfNoEntry: false })?.size,
  write(path, data) {
    const temporary = besides(path);
    writeSynced(temporary, data);
    fs.renameSync(temporary, path);
    syncDir(dirname(path));
  },
  createExclusive(path, data) {
    const temporary = besides(path);
    writeSynced(temporary, data);
    try {
      fs.linkSync(temporary, path);
    } catch (error) {
      if (isCode(error, 'EEXIST')) return false;
      throw error;
    } finally {
      fs.rmSync(temporary, { force: true });
    }
    syncDir(dirname(path));
    return true;
  },
  openAppend(path, durable) {
    const fd = fs.openSync(path, 'a', OWNER_FILE);
    return {
      append(data) {
        const bytes = typeof data === 'string' ? Buffer.from(data) : data;
        let written = 0;
        while (written < bytes.length) written += fs.writeSync(fd, bytes, written);
        if (durable) fs.fsyncSync(fd);
      },
      cut(bytes) {
        fs.ftruncateSync(fd, bytes);
        if (durable) fs.fsyncSync(fd);
      },
      close: () => fs.closeSync(fd),
    };
  },
  list(dir) {
    try {
      return fs.readdirSync(dir).sort();
    } catch (error) {
      if (isCode(error, 'ENOENT')) return [];
      throw error;
    }
  },
  makeDir: (path) => void fs.mkdirSync(path, { recursive: true, mode: OWNER_DIR }),
  remove: (path) => fs.rmSync(path, { recursive: true, force: true }),
};
