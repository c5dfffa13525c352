/** What Packer is told to build: the files as bridge.yaml pins them, the base, and the variables with their secrets. */
import { dirname, relative, sep } from 'node:path';
import type { JobError } from '../../protocol/wire.ts';
import { imageFiles } from '../host.ts';
import type { Host } from '../host.ts';
import type { PackerOrder } from '../scripts.ts';
import { secretValue, variablesOf } from './variables.ts';
import type { BuildPlaces } from './variables.ts';

export type Ordered =
  | {
      ok: true;
      order: PackerOrder;
      sourceHash: string;
      /** Values that the log must not show. */
      secrets: string[];
    }
  | { ok: false; error: JobError };

export function orderOf(host: Host, places: BuildPlaces): Ordered {
  const policy = host.policy();
  const image = policy.images[places.image];
  const made = imageFiles(policy, host.disk, places.image);
  if (!image || policy.packer === undefined || !made) return { ok: false, error: 'imageMissing' };
  if (image.pin === undefined) return { ok: false, error: 'notPinned' };
  if (image.pin !== made.pin) return { ok: false, error: 'templateChanged' };
  const secrets = Object.entries(image.secrets).map(
    ([name, path]) => [name, secretValue(host.disk.read(path))] as const,
  );
  if (!secrets.every(isKnown)) return { ok: false, error: 'secretMissing' };
  const root = dirname(image.template);
  return {
    ok: true,
    order: {
      workFolder: places.workFolder,
      packer: policy.packer,
      files: made.files.map(({ path, sha256 }) => ({
        ...{ from: path, sha256 },
        to: relative(root, path).replaceAll(sep, '/'),
      })),
      base: image.base ?? null,
      variables: variablesOf(image, places),
      secrets: Object.fromEntries(secrets),
    },
    sourceHash: made.sourceHash,
    secrets: secrets.map(([, value]) => value),
  };
}

const isKnown = (pair: readonly [string, string | undefined]): pair is readonly [string, string] =>
  pair[1] !== undefined;
