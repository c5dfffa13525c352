/**
 * The child of a job that runs Packer: the bundle started as `run-packer`, with a script's stdin and a script's answer.
 * What Packer has made is then taken over, as an image or as a VM.
 *
 * When the job is cancelled the supervisor ends this process with all that it started; the bridge cleans up.
 */
import { maskFilter } from '../../jobs/output.ts';
import { isDiskFull } from '../../log/disk.ts';
import { FAILURE_EXIT, RESULT_PREFIX, SCRIPTS } from '../scripts.ts';
import type { PackerOrder } from '../scripts.ts';
import { build, BuildFailure } from './build.ts';
import type { PackerPorts, Say } from './build.ts';
import { plain, printable } from './machine-readable.ts';
import { takeImage } from './take-image.ts';
import { takeVm } from './take-vm.ts';

export type { ChildPorts } from './build.ts';

interface Work {
  what: string;
  order: PackerOrder;
  takeOver(ports: PackerPorts, say: Say): object | Promise<object>;
}

/** Gives the exit code. */
export async function runPacker(ports: PackerPorts): Promise<number> {
  const request = JSON.parse(await ports.input()) as { v?: unknown; nonce?: unknown } & Given;
  if (request.v !== 1 || typeof request.nonce !== 'string')
    throw new Error('The request has an unknown form.');
  const { what, order, takeOver } = workOf(request);
  const mask = masked(Object.values(order.secrets).flatMap((secret) => [secret, plain(secret)]));
  const say = (line: string) => void ports.write(`${printable(mask(line))}\n`);
  const answer = (value: object) =>
    ports.write(`\n${RESULT_PREFIX}${request.nonce as string} ${JSON.stringify(value)}\n`);
  try {
    await build(order, ports, say);
    await answer(await takeOver(ports, say));
    return 0;
  } catch (error) {
    const failure = isDiskFull(error) ? new BuildFailure('diskFull', 'The disk is full.') : error;
    if (!(failure instanceof BuildFailure)) throw error;
    say(`The ${what} was not built (${failure.code}). ${failure.message}`);
    await answer({ error: failure.code });
    return FAILURE_EXIT;
  }
}

interface Given {
  script?: unknown;
  input?: unknown;
}

function workOf({ script, input: given }: Given): Work {
  if (script === 'vm-build') {
    const input = SCRIPTS['vm-build'].input.parse(given);
    return { what: 'VM', order: input, takeOver: (ports, say) => takeVm(input, ports, say) };
  }
  const input = SCRIPTS['image-build'].input.parse(given);
  return { what: 'image', order: input, takeOver: (ports, say) => takeImage(input, ports, say) };
}

/** Of a line that is decoded: a secret with a comma is one text again. */
function masked(secrets: readonly string[]): (line: string) => string {
  return (line) => {
    const filter = maskFilter(secrets);
    const begun = filter.push(Buffer.from(line, 'utf8'));
    return Buffer.concat([begun, filter.end()]).toString('utf8');
  };
}
