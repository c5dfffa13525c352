/** A file as text. */
import type { Disk } from '../log/disk.ts';

/** undefined when it is not there. */
export function text(disk: Disk, path: string): string | undefined {
  const bytes = disk.read(path);
  return bytes && new TextDecoder().decode(bytes);
}
