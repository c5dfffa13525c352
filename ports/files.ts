/** The real adapter of `Files`: whole files, written by rename. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PortError } from './ports.ts';
import type { Files, PortFailure } from './ports.ts';

const DEFAULT_FILE_MODE = 0o600;
const DEFAULT_DIR_MODE = 0o700;

export const files: Files = {
  read: (path) => translated(path, async () => new Uint8Array(await readFile(path))),

  write: (path, data, mode = DEFAULT_FILE_MODE) =>
    translated(path, async () => {
      const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
      try {
        await put(temporary, data, mode);
        await rename(temporary, path);
        await syncDir(dirname(path));
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    }),

  create: (path, data, mode = DEFAULT_FILE_MODE) => translated(path, () => put(path, data, mode)),

  list: (dir) => translated(dir, async () => (await readdir(dir)).sort()),

  stat: (path) =>
    translated(path, async () => {
      try {
        const found = await stat(path);
        return { size: found.size, mode: found.mode & 0o7777, mtimeMs: found.mtimeMs };
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    }),

  makeDir: (path, mode = DEFAULT_DIR_MODE) =>
    translated(path, async () => {
      await mkdir(path, { recursive: true, mode });
    }),

  remove: (path) => translated(path, () => rm(path, { recursive: true, force: true })),
};

async function put(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    await handle.writeFile(data);
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The rename itself lasts only when its folder is on disk; Windows cannot open a folder and needs no such call. */
async function syncDir(dir: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function translated<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw new PortError(kindOf(codeOf(error)), 'files', `${path}: ${(error as Error).message}`);
  }
}

function kindOf(code: string): PortFailure {
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'notfound';
  if (code === 'EEXIST') return 'exists';
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return 'denied';
  return 'protocol';
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}
