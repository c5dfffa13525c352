/** `image.build`: packer, in a work folder of this job, with variables that the bridge makes. */
import { join } from 'node:path';
import type { HostOperation } from '../../jobs/host-operation.ts';
import { CHANGES } from '../../protocol/operations.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import { imageFolder, imageSourceHash } from '../host.ts';
import type { Host } from '../host.ts';
import type { ScriptResult } from '../scripts.ts';

export function imageBuild(host: Host): HostOperation {
  return {
    deadlineMs: CHANGES['image.build'].deadlineMs,
    async prepare({ jobId, params: given }) {
      const { image: id } = given as Params<'image.build'>;
      const policy = host.policy();
      const image = policy.images[id];
      const sourceHash = imageSourceHash(policy, host.disk, id);
      if (!image || policy.packer === undefined || sourceHash === undefined)
        return { ok: false, error: 'imageMissing' };
      const stamp = new Date(host.clock.now()).toISOString().replace(/[-:]/g, '').slice(0, 15).toLowerCase();
      const version = `${stamp}z-${sourceHash.slice(0, 8)}`;
      const workFolder = join(policy.imageRoot, '.work', jobId);
      return {
        ok: true,
        script: 'image-build',
        input: {
          id,
          version,
          sourceHash,
          folder: imageFolder(policy, id),
          workFolder,
          packer: policy.packer,
          template: image.template,
          // Packer's Hyper-V plugin puts these unescaped into PowerShell: only [a-z0-9-] and our own paths.
          variables: {
            vm_name: `build-${id}-${jobId.slice(0, 8)}`,
            output_directory: join(workFolder, 'output'),
          },
        },
        secrets: [],
        context: { workFolder },
      };
    },
    async finish(_params, context, scriptResult) {
      const { id, builtAt, version } = scriptResult as ScriptResult<'image-build'>;
      host.disk.remove((context as { workFolder: string }).workFolder);
      return { ok: true, result: { image: id, builtAt, version } satisfies Result<'image.build'> };
    },
    async cleanUp(_params, context) {
      host.disk.remove((context as { workFolder: string }).workFolder);
      return true;
    },
  };
}
