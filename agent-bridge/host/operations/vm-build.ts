/**
 * `vm.create` from an image that is built for each node: Packer in the job's own folder below vmRoot, so that what it
 * exports is already where the VM will live, and what it leaves is found as everything else that a creation leaves.
 */
import { join } from 'node:path';
import type { Prepared } from '../../jobs/host-operation.ts';
import type { Host } from '../host.ts';
import { orderOf } from '../packer/order.ts';
import type { VmSettings } from '../scripts.ts';
import { scriptPath } from '../script-texts.ts';

interface Wanted {
  jobId: string;
  image: string;
  settings: VmSettings;
  secrets: readonly string[];
  context: unknown;
}

/** Throws `NC2014` when the script of the import is not this version's: not only after an hour of Packer. */
export function vmBuild(host: Host, { jobId, image, settings, secrets, context }: Wanted): Prepared {
  const { engine, scriptsDir } = host.policy();
  scriptPath(host.disk, scriptsDir, 'vm-import');
  const workFolder = join(settings.folder, 'build');
  const exported = join(settings.folder, 'vm');
  const ordered = orderOf(host, { jobId, image, workFolder, output: exported });
  if (!ordered.ok) return ordered;
  return {
    ok: true,
    script: 'vm-build',
    input: {
      ...ordered.order,
      engine: { file: engine.file, args: engine.args, scriptsDir },
      vm: { ...settings, exported },
    },
    secrets: [...secrets, ...ordered.secrets],
    context,
  };
}
