/** `image.build`: Packer on the pinned template, in a work folder of this job, with variables that the bridge makes. */
import { dirname, join, relative, sep } from 'node:path';
import type { HostOperation, Prepared } from '../../jobs/host-operation.ts';
import { CHANGES } from '../../protocol/operations.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import { imageFiles, imageFolder } from '../host.ts';
import type { Host } from '../host.ts';
import { outdatedBuilds } from '../packer/builds.ts';
import { secretValue, variablesOf } from '../packer/variables.ts';
import { ScriptError } from '../script-error.ts';
import type { ScriptResult } from '../scripts.ts';
import { isBelow } from './is-below.ts';

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
      const image = policy.images[id];
      const made = imageFiles(policy, host.disk, id);
      if (!image || policy.packer === undefined || !made) return { ok: false, error: 'imageMissing' };
      if (image.pin === undefined) return { ok: false, error: 'notPinned' };
      if (image.pin !== made.pin) return { ok: false, error: 'templateChanged' };
      const secrets = Object.entries(image.secrets).map(
        ([name, path]) => [name, secretValue(host.disk.read(path))] as const,
      );
      if (!secrets.every(isKnown)) return { ok: false, error: 'secretMissing' };

      const stamp = new Date(host.clock.now()).toISOString().replace(/[-:]/g, '').slice(0, 15).toLowerCase();
      const version = `${stamp}z-${made.sourceHash.slice(0, 8)}`;
      // On the volume of the images, so that the disk is taken over by a rename.
      const workFolder = join(policy.imageRoot, '.work', jobId);
      const root = dirname(image.template);
      return {
        ok: true,
        script: 'image-build',
        input: {
          id,
          version,
          sourceHash: made.sourceHash,
          folder: imageFolder(policy, id),
          workFolder,
          packer: policy.packer,
          files: made.files.map(({ path, sha256 }) => ({
            ...{ from: path, sha256 },
            to: relative(root, path).replaceAll(sep, '/'),
          })),
          base: image.base ?? null,
          variables: variablesOf(image, { jobId, image: id, workFolder }),
          secrets: Object.fromEntries(secrets),
        },
        secrets: secrets.map(([, value]) => value),
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
      await removeHalfMadeVms(host, workFolder);
      host.disk.remove(workFolder);
      const folder = imageFolder(host.policy(), id);
      // A disk that image.json does not name was taken over a moment too early.
      if (versionIn(host, folder) !== version) host.disk.remove(join(folder, `${version}.vhdx`));
      return host.disk.list(workFolder).length === 0;
    },
  };
}

const isKnown = (pair: readonly [string, string | undefined]): pair is readonly [string, string] =>
  pair[1] !== undefined;

function versionIn(host: Host, folder: string): string | undefined {
  const bytes = host.disk.read(join(folder, 'image.json'));
  return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as { version?: string }).version;
}

/** Packer that was ended removes nothing, so its VM is still there, with its files in the work folder. */
async function removeHalfMadeVms(host: Host, workFolder: string): Promise<void> {
  for (const vm of await host.vms()) {
    const disks = vm.disks.filter((disk) => isBelow(disk, workFolder));
    if (vm.record !== undefined || (disks.length === 0 && !isBelow(vm.path, workFolder))) continue;
    await host.run('vm-purge', { id: vm.id, folder: null, disks, roots: [workFolder] });
  }
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
