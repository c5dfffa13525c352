/** One run of Packer: the pinned files, the base and the variables, then `packer validate` and `packer build`. */
import { createHash } from 'node:crypto';
import { dirname, join, posix } from 'node:path';
import type { Clock, Random } from '../../../ports/ports.ts';
import type { Processes } from '../../jobs/processes.ts';
import { sha256Hex } from '../../log/chain.ts';
import type { Disk } from '../../log/disk.ts';
import { OWN_VARIABLES } from '../../server/policy.ts';
import { isoImage } from '../iso9660.ts';
import { SEED_VOLUME } from '../seed.ts';
import { makeSshHostKey } from '../ssh-host-key.ts';
import type { PackerOrder, ScriptFailure } from '../scripts.ts';
import { lines, packerEvent } from './machine-readable.ts';
import type { PackerEvent } from './machine-readable.ts';
import { createProgress } from './progress.ts';
import { provisionersOf } from './template.ts';
import { buildKey, seedIso, temporaryFolder } from './variables.ts';

export interface PackerPorts extends ChildPorts {
  disk: Disk;
  processes: Processes;
  clock: Clock;
  random: Random;
}

/** What a child of a supervisor needs besides. */
export interface ChildPorts {
  /** The whole of stdin. */
  input(): Promise<string>;
  /** To stdout; resolves when the text is out of this process. */
  write(text: string): Promise<void>;
  /** Allow-listed, with the mark of the job. */
  environment(): Record<string, string>;
  /** Every file below the folder, links not followed. */
  filesBelow(folder: string): string[];
  /** On the same volume. */
  move(from: string, to: string): void;
  /** Bits of POSIX; Windows knows only whether the owner may write. */
  setMode(path: string, mode: number): void;
}

const OWNER_PROGRAM = 0o700;
const OWNER_FILE = 0o600;

export class BuildFailure extends Error {
  readonly code: ScriptFailure['error'];
  constructor(code: ScriptFailure['error'], message: string) {
    super(message);
    this.code = code;
  }
}

/** A line for the job's log. */
export type Say = (line: string) => void;

/** Throws `BuildFailure`. What Packer made is where the template put it; the work folder has no secrets any more. */
export async function build(order: PackerOrder, ports: PackerPorts, say: Say): Promise<void> {
  const { disk } = ports;
  const { workFolder } = order;
  disk.remove(workFolder);
  for (const dir of [
    temporaryFolder(workFolder),
    ...['cache', 'config'].map((name) => join(workFolder, name)),
  ])
    disk.makeDir(dir);
  const template = copyFiles(order, ports);
  if (order.base) compareBase(order.base, disk);
  makeSeed(order, ports);
  const variables = join(workFolder, 'variables.json');
  // Packer warns of each variable that a template does not declare.
  const asked = Object.entries(order.variables).filter(
    ([name]) => !OWN_VARIABLES.includes(name) || template.text.includes(name),
  );
  disk.write(variables, JSON.stringify({ ...Object.fromEntries(asked), ...order.secrets }));

  await packer(order, ports, template, variables, say);
  disk.remove(variables);
}

/** Packer gets the very bytes that were compared: a file that is exchanged afterwards changes nothing. */
function copyFiles(
  { files, workFolder }: PackerOrder,
  { disk, setMode }: PackerPorts,
): { path: string; name: string; text: string } {
  const root = join(workFolder, 'template');
  let template: { path: string; name: string; text: string } | undefined;
  for (const { from, to, sha256 } of files) {
    const bytes = disk.read(from);
    if (!bytes || sha256Hex(bytes) !== sha256)
      throw new BuildFailure('templateChanged', `${from} is not the file that this job was made for.`);
    const path = join(root, posix.normalize(to));
    disk.makeDir(dirname(path));
    disk.write(path, bytes);
    // A script that runs on this machine is started as the program that it is.
    setMode(path, OWNER_PROGRAM);
    template ??= { path, name: to, text: new TextDecoder().decode(bytes) };
  }
  return template as NonNullable<typeof template>;
}

/** In a file of the seed it stands for the public half of this build's key. */
const KEY_PLACE = '@BUILD_PUBLIC_KEY@';

/**
 * The files of the folder `seed` beside the template, as an installer's NoCloud volume: no port of this host has to be
 * open for it, as it would for Packer's own web server. The key lets Packer in, and nobody after this build.
 */
function makeSeed({ files, workFolder }: PackerOrder, { disk, random, clock, setMode }: PackerPorts): void {
  const key = makeSshHostKey(random);
  const content = files
    .map(({ to }) => /^seed\/([^/]+)$/.exec(to)?.[1])
    .filter((name) => name !== undefined)
    .map((name) => {
      const text = new TextDecoder().decode(disk.read(join(workFolder, 'template', 'seed', name)));
      return { name, content: text.replaceAll(KEY_PLACE, key.publicKey) };
    });
  if (content.length === 0) return;
  disk.write(buildKey(workFolder), key.privateKey.reveal());
  setMode(buildKey(workFolder), OWNER_FILE);
  disk.write(seedIso(workFolder), isoImage(SEED_VOLUME, content, clock.now()));
}

/** A base of many gigabytes is hashed in pieces, so that memory stays flat. */
const HASH_CHUNK_BYTES = 4 * 1024 * 1024;

function compareBase({ file, sha256 }: NonNullable<PackerOrder['base']>, disk: Disk): void {
  const size = disk.size(file);
  if (size === undefined) throw new BuildFailure('baseChanged', `${file} is not there.`);
  const hash = createHash('sha256');
  for (let at = 0; at < size; at += HASH_CHUNK_BYTES) hash.update(disk.readRange(file, at, HASH_CHUNK_BYTES));
  const found = hash.digest('hex');
  if (found !== sha256)
    throw new BuildFailure('baseChanged', `${file} has the SHA-256 ${found}; bridge.yaml says ${sha256}.`);
}

async function packer(
  { packer: file, workFolder }: PackerOrder,
  { processes, environment }: PackerPorts,
  template: { path: string; name: string; text: string },
  variables: string,
  say: Say,
): Promise<void> {
  const tmp = temporaryFolder(workFolder);
  const env = {
    ...environment(),
    // Scripts, plugin sockets and half-made VMs are in the job's own folder, and go with it.
    ...{ TMP: tmp, TEMP: tmp, TMPDIR: tmp },
    // Else ~/.packerconfig and plugins of the account's home would count.
    HOME: join(workFolder, 'config'),
    PACKER_CONFIG_DIR: join(workFolder, 'config'),
    // Of Packer 1.7 and later: installed beside the program, never fetched.
    PACKER_PLUGIN_PATH: join(dirname(file), 'plugins'),
    PACKER_CACHE_DIR: join(workFolder, 'cache'),
    CHECKPOINT_DISABLE: '1',
    PACKER_NO_COLOR: '1',
  };
  const run = async (args: string[], take: (event: PackerEvent) => void) => {
    const out = lines((line) => {
      const event = packerEvent(line);
      if (event) take(event);
      else if (line.trim() !== '') say(line);
    });
    const err = lines(say);
    const child = processes.startChild({
      ...{ file, args, env, stdin: '', cwd: dirname(template.path) },
      onStdout: (chunk) => out.push(chunk),
      onStderr: (chunk) => err.push(chunk),
    });
    const { exitCode, failed } = await child.ended;
    out.end();
    err.end();
    if (failed !== undefined) throw new Error(`${file} could not be started: ${failed}`);
    return exitCode;
  };

  const words: string[] = [];
  const validated = await run(
    ['validate', '-machine-readable', `-var-file=${variables}`, template.path],
    ({ type, data }) => {
      if (type === 'ui') words.push(...data.slice(1).join(',').split('\n'));
    },
  );
  for (const line of words.filter((text) => text.trim() !== '')) say(line.trimEnd());
  if (validated !== 0)
    throw new BuildFailure('templateInvalid', `packer validate ended with ${String(validated)}.`);

  const progress = createProgress(provisionersOf(template.text, template.name), template.name);
  const built = await run(
    [
      ...['build', '-machine-readable', '-color=false', '-on-error=cleanup'],
      ...[`-var-file=${variables}`, template.path],
    ],
    (event) => progress.take(event).forEach(say),
  );
  if (built === 0) return;
  const { error, text } = progress.failure();
  throw new BuildFailure(error, `${text}.`);
}
