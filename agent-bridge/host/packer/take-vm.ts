/** What Packer exported becomes the node: a script of PowerShell imports it, as a child of this process. */
import { CodedError } from '../../../ports/errors.ts';
import { resultFinder } from '../../jobs/output.ts';
import { outcomeOf } from '../../jobs/outcome.ts';
import { RESULT_PREFIX, ScriptFailure } from '../scripts.ts';
import type { ScriptInput, ScriptResult } from '../scripts.ts';
import { scriptPath } from '../script-texts.ts';
import { BuildFailure } from './build.ts';
import type { PackerPorts, Say } from './build.ts';
import { lines } from './machine-readable.ts';

export async function takeVm(
  { workFolder, engine, vm }: ScriptInput<'vm-build'>,
  { disk, processes, random, environment }: PackerPorts,
  say: Say,
): Promise<ScriptResult<'vm-build'>> {
  // The export is beside it; in it are Packer's own files, and the key of the build.
  disk.remove(workFolder);
  const script = importScript(disk, engine.scriptsDir);
  say(`Packer has exported a VM; ${vm.name} is imported where it lies.`);
  const nonce = Buffer.from(random.bytes(16)).toString('hex');
  const finder = resultFinder(nonce);
  const out = lines((line) => {
    if (line.trim() !== '' && !line.startsWith(RESULT_PREFIX)) say(line);
  });
  const err = lines(say);
  const child = processes.startChild({
    file: engine.file,
    args: [...engine.args, script],
    env: environment(),
    stdin: JSON.stringify({ v: 1, nonce, script: 'vm-import', input: vm }),
    onStdout(chunk) {
      finder.push(chunk);
      out.push(chunk);
    },
    onStderr: (chunk) => err.push(chunk),
  });
  const { exitCode, failed } = await child.ended;
  out.end();
  err.end();
  if (failed !== undefined) throw new Error(`${engine.file} could not be started: ${failed}`);
  const frame = finder.frame();
  const outcome = outcomeOf('vm-import', { exitCode, ...(frame === undefined ? {} : { frame }) });
  if (outcome.ok) return outcome.result as ScriptResult<'vm-build'>;
  const known = ScriptFailure.safeParse({ error: outcome.error });
  if (!known.success) throw new Error(`vm-import: ${outcome.error}`);
  throw new BuildFailure(known.data.error, 'vm-import says so in the lines above.');
}

/** Packer has taken its time: the file is compared once more. */
function importScript(disk: PackerPorts['disk'], scriptsDir: string): string {
  try {
    return scriptPath(disk, scriptsDir, 'vm-import');
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new BuildFailure('scriptChanged', error.message);
  }
}
