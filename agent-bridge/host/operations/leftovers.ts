/**
 * What a job left whose clean-up did not come through: its folder below vmRoot carries the job's id, and no VM with a
 * record lives in it.
 */
import { join } from 'node:path';
import type { FoundVm, Host } from '../host.ts';
import { isBelow } from './is-below.ts';

const JOB_FOLDER = /-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/;

/** Removes them; gives whether anything was there. `ownJob`: whose folder is no leftover. */
export async function removeLeftovers(host: Host, ownJob: string, vms: readonly FoundVm[]): Promise<boolean> {
  const root = host.policy().vmRoot;
  const folders = host.disk
    .list(root)
    .filter((name) => {
      const job = JOB_FOLDER.exec(name)?.[1];
      return job !== undefined && job !== ownJob && host.failedCreation(job);
    })
    .map((name) => join(root, name));
  let removed = false;
  for (const folder of folders) removed = (await removeFolder(host, folder, vms)) || removed;
  return removed;
}

/**
 * A folder that one job made, with the VMs whose files lie in it: Packer that was ended removes nothing. Gives false,
 * and removes nothing, when one of them has a record.
 */
export async function removeFolder(host: Host, folder: string, vms: readonly FoundVm[]): Promise<boolean> {
  const inside = livingIn(folder, vms);
  if (inside.some(({ record }) => record !== undefined)) return false;
  // The script refuses a folder in which another VM lives, so it goes with the last of them.
  const last = inside.pop();
  for (const vm of inside) await host.run('vm-purge', { ...purgeOf(vm, folder), folder: null });
  const rest = last ? purgeOf(last, folder) : { id: null, disks: [], roots: [folder] };
  await host.run('vm-purge', { ...rest, folder });
  return true;
}

const livingIn = (folder: string, vms: readonly FoundVm[]): FoundVm[] =>
  vms.filter((vm) => isBelow(vm.path, folder) || vm.disks.some((disk) => isBelow(disk, folder)));

const purgeOf = ({ id, disks }: FoundVm, folder: string) => ({
  id,
  disks: disks.filter((disk) => isBelow(disk, folder)),
  roots: [folder],
});
