/** `image.build`: Packer on the pinned template, in a work folder of this job, with variables that the bridge makes. */
import { join } from 'node:path';
import type { HostOperation, Prepared } from '../../jobs/host-operation.ts';
import { CHANGES } from '../../protocol/operations.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import { imageFolder, perNodeImages } from '../host.ts';
import type { Host } from '../host.ts';
import { outdatedBuilds } from '../packer/builds.ts';
import { orderOf } from '../packer/order.ts';
import { outputFolder } from '../packer/variables.ts';
import { ScriptError } from '../script-error.ts';
import type { ScriptResult } from '../scripts.ts';
import { removeFolder } from './leftovers.ts';

interface Context {
  workFolder: string;
  version: string;
}

export function imageBuild(host: Host): HostOperation {
  return {
    deadlineMs: CHANGES['image.build'].deadlineMs,
    async prepare({ jobId, params: given }): Promise<Prepared> {
      const { image: id } = given as Params<'image.build'>;
      const policy = host.policy();
      const nowMs = host.clock.now();
      const fresh = perNodeImages(policy, host.disk, nowMs).find((image) => image.id === id);
      if (fresh) {
        const { builtAt, version } = fresh;
        return { ok: 'already', result: { image: id, builtAt, version } satisfies Result<'image.build'> };
      }
      // On the volume of the images, so that the disk is taken over by a rename.
      const workFolder = join(policy.imageRoot, '.work', jobId);
      const ordered = orderOf(host, { jobId, image: id, workFolder, output: outputFolder(workFolder) });
      if (!ordered.ok) return ordered;
      const { order, sourceHash, secrets } = ordered;
      const stamp = new Date(nowMs).toISOString().replace(/[-:]/g, '').slice(0, 15).toLowerCase();
      const version = `${stamp}z-${sourceHash.slice(0, 8)}`;
      return {
        ok: true,
        script: 'image-build',
        input: { ...order, id, version, sourceHash, folder: imageFolder(policy, id) },
        secrets,
        context: { workFolder, version } satisfies Context,
      };
    },
    async finish(_params, context, scriptResult) {
      const { id, builtAt, version } = scriptResult as ScriptResult<'image-build'>;
      host.disk.remove((context as Context).workFolder);
      await removeOutdated(host, id, version);
      return { ok: true, result: { image: id, builtAt, version } satisfies Result<'image.build'> };
    },
    async cleanUp(params, context) {
      const { image: id } = params as Params<'image.build'>;
      const { workFolder, version } = context as Context;
      await removeFolder(host, workFolder, await host.vms());
      const folder = imageFolder(host.policy(), id);
      // A disk that image.json does not name was taken over a moment too early.
      if (versionIn(host, folder) !== version) host.disk.remove(join(folder, `${version}.vhdx`));
      return host.disk.list(workFolder).length === 0;
    },
  };
}

function versionIn(host: Host, folder: string): string | undefined {
  const bytes = host.disk.read(join(folder, 'image.json'));
  return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as { version?: string }).version;
}

async function removeOutdated(host: Host, id: string, current: string): Promise<void> {
  const policy = host.policy();
  const folder = imageFolder(policy, id);
  const plan = {
    ...{ folder, current, names: host.disk.list(folder) },
    keep: policy.images[id]?.keep ?? Infinity,
  };
  if (outdatedBuilds({ ...plan, inUse: [] }).length === 0) return;
  try {
    const disks = (await host.vms()).flatMap((vm) => vm.disks);
    const { parents } = await host.run('disk-parents', { disks });
    for (const name of outdatedBuilds({ ...plan, inUse: [...disks, ...parents] }))
      host.disk.remove(join(folder, name));
  } catch (error) {
    // Without knowing what is in use nothing goes; the image is built all the same, and the next build looks again.
    if (!(error instanceof ScriptError)) throw error;
  }
}
