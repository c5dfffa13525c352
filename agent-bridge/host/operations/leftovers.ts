/**
 * What a `vm.create` left whose clean-up did not come through: its folder below vmRoot carries the job's id, and no
 * VM with a record lives in it.
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
  for (const folder of folders) {
    const inside = vms.filter(
      (vm) => isBelow(vm.path, folder) || vm.disks.some((disk) => isBelow(disk, folder)),
    );
    if (inside.length > 1 || inside.some(({ record }) => record !== undefined)) continue;
    const [vm] = inside;
    await host.run('vm-purge', {
      ...{ id: vm?.id ?? null, folder, roots: [folder] },
      disks: vm?.disks.filter((disk) => isBelow(disk, folder)) ?? [],
    });
    removed = true;
  }
  return removed;
}
