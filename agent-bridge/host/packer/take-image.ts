/** What Packer built becomes the image: its one disk, read-only, and image.json as the last act. */
import { join } from 'node:path';
import type { ScriptInput, ScriptResult } from '../scripts.ts';
import { BuildFailure } from './build.ts';
import type { PackerPorts, Say } from './build.ts';
import { outputFolder } from './variables.ts';

const READ_ONLY = 0o444;

export function takeImage(
  { id, version, sourceHash, folder, workFolder }: ScriptInput<'image-build'>,
  { disk, clock, filesBelow, move, setMode }: PackerPorts,
  say: Say,
): ScriptResult<'image-build'> {
  const built = filesBelow(outputFolder(workFolder)).filter((path) => /\.vhdx$/i.test(path));
  const [only] = built;
  if (only === undefined || built.length > 1)
    throw new BuildFailure(
      'noDisk',
      `Expected one .vhdx below output_directory, found ${built.length}: the template has to export one disk there.`,
    );
  disk.makeDir(folder);
  const path = join(folder, `${version}.vhdx`);
  move(only, path);
  setMode(path, READ_ONLY);
  const builtAt = new Date(clock.now()).toISOString();
  disk.write(
    join(folder, 'image.json'),
    JSON.stringify({ id, builtAt, version, sourceHash, disk: path }, undefined, 2),
  );
  say(`The image ${id} is ${version}.`);
  return { id, builtAt, version, disk: path };
}
