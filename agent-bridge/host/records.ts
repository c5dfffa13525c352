/**
 * The bridge's own record of each VM that is ours: made by `vm.create` or `adopt`. Together with the marker in the
 * VM's notes it is the proof of ownership; a marker alone can be written by whoever edits notes.
 */
import { join } from 'node:path';
import * as z from 'zod/mini';
import type { Disk } from '../log/disk.ts';
import * as s from '../protocol/shapes.ts';

export const VmRecord = z.strictObject({
  v: z.literal(1),
  id: s.Guid,
  cluster: s.Name,
  node: s.Name,
  by: z.enum(['created', 'adopted']),
  at: s.Instant,
  image: z.exactOptional(s.Name),
  imageBuiltAt: z.exactOptional(s.Instant),
  sshHostKeys: z.array(s.SshPublicKey),
  /** The image with the node's private host key, until the guest has read it. */
  seed: z.exactOptional(z.string()),
  setAside: z.exactOptional(
    z.strictObject({
      at: s.Instant,
      purgeAt: s.Instant,
      name: s.HostText,
      disks: z.array(z.string()),
      folder: z.string(),
    }),
  ),
});
export type VmRecord = z.infer<typeof VmRecord>;

export interface Records {
  get(id: string): VmRecord | undefined;
  all(): VmRecord[];
  put(record: VmRecord): void;
  remove(id: string): void;
}

/** Read from the disk at each use: the admin commands write there too. */
export function records(disk: Disk, dir: string): Records {
  const pathOf = (id: string) => join(dir, `${s.Guid.parse(id)}.json`);
  const read = (path: string): VmRecord | undefined => {
    const bytes = disk.read(path);
    return bytes && VmRecord.parse(JSON.parse(new TextDecoder().decode(bytes)));
  };
  return {
    get: (id) => read(pathOf(id)),
    all: () =>
      disk
        .list(dir)
        .filter((name) => /^[0-9a-f-]{36}\.json$/.test(name))
        .flatMap((name) => read(join(dir, name)) ?? []),
    put(record) {
      disk.makeDir(dir);
      disk.write(pathOf(record.id), JSON.stringify(VmRecord.parse(record), undefined, 2));
    },
    remove: (id) => disk.remove(pathOf(id)),
  };
}
