/**
 * What a node's shell answers to the few commands that Node Cycle sends to nodes. Anything else is 127, as for a
 * program that is not there.
 */
import { EVIDENCE_COMMAND } from '../../../cycle/evidence/command.ts';
import type { Machine, WorldClock } from '../world.ts';
import { evidenceOutput } from './evidence.ts';

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
  /** How long the command takes, in milliseconds. */
  tookMs: number;
}

const OS_RELEASE = [
  'PRETTY_NAME="Ubuntu 22.04.3 LTS"',
  'NAME="Ubuntu"',
  'VERSION_ID="22.04"',
  'VERSION="22.04.3 LTS (Jammy Jellyfish)"',
  'VERSION_CODENAME=jammy',
  'ID=ubuntu',
  'ID_LIKE=debian',
  '',
].join('\n');

const KERNEL = '5.15.0-91-generic';
const OPENSSL = 'OpenSSL 3.0.2 15 Mar 2022 (Library: OpenSSL 3.0.2 15 Mar 2022)';

const done = (stdout: string, tookMs = 5): CommandResult => ({ code: 0, stdout, stderr: '', tookMs });
const failed = (code: number, stderr: string): CommandResult => ({ code, stdout: '', stderr, tookMs: 5 });

/** Splits as a shell would for plain words and quotes. */
function words(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? '');
}

export function runCommand(machine: Machine, clock: WorldClock, command: string): CommandResult {
  if (command === EVIDENCE_COMMAND) return done(evidence(machine, clock), 60);
  const [program = '', ...args] = words(command.trim().replace(/^sudo (-n )?/, ''));
  const line = [program, ...args].join(' ');
  if (program === 'true') return done('');
  if (program === 'hostname') return done(`${machine.name}\n`);
  if (program === 'docker') return docker(machine, args);
  if (line === 'cat /etc/os-release') return done(OS_RELEASE);
  if (line === 'uname -r') return done(`${KERNEL}\n`);
  if (line === 'openssl version') return done(`${OPENSSL}\n`);
  if (line === 'uptime -s')
    return done(`${new Date(bootedAtMs(machine, clock)).toISOString().slice(0, 19).replace('T', ' ')}\n`);
  if (program === 'apt-get' && args.some((arg) => arg === '-s' || arg === '--simulate'))
    return done(upgrades(machine), 40);
  if (program === 'df') return done(df(args.at(-1) ?? '/'));
  if (program === 'cat') return file(machine, program, args.at(-1) ?? '');
  return failed(127, `bash: line 1: ${program}: command not found\n`);
}

function docker(machine: Machine, args: string[]): CommandResult {
  if (machine.dockerVersion === '')
    return failed(
      1,
      'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n',
    );
  const [verb = '', ...rest] = args;
  const plain = rest.filter((arg) => !arg.startsWith('-') && !arg.startsWith('{{'));
  if (verb === 'version' || verb === 'info') return done(`${machine.dockerVersion}\n`);
  if (verb === 'pull') {
    const image = plain.at(-1) ?? '';
    const known = machine.images.has(image);
    machine.images.add(image);
    return done(
      `Status: ${known ? 'Image is up to date for' : 'Downloaded newer image for'} ${image}\n${image}\n`,
      known ? 40 : 250,
    );
  }
  const inspect =
    verb === 'inspect' ? plain[0] : verb === 'image' && plain[0] === 'inspect' ? plain[1] : undefined;
  if (inspect !== undefined)
    return machine.images.has(inspect)
      ? done(
          rest.some((arg) => arg.includes('{{'))
            ? `sha256:${imageId(inspect)}\n`
            : `${JSON.stringify([{ Id: `sha256:${imageId(inspect)}`, RepoTags: [inspect] }])}\n`,
        )
      : { code: 1, stdout: '[]\n', stderr: `Error: No such image: ${inspect}\n`, tookMs: 5 };
  if (verb === 'images' || (verb === 'image' && plain[0] === 'ls'))
    return done([...machine.images, ''].join('\n'));
  if (verb === 'ps') return done([...machine.containers.keys(), ''].join('\n'));
  return failed(125, `docker: '${verb}' is not a docker command.\n`);
}

function imageId(name: string): string {
  let hash = 0n;
  for (const byte of Buffer.from(name))
    hash = (hash * 1_099_511_628_211n + BigInt(byte)) & ((1n << 256n) - 1n);
  return hash.toString(16).padStart(64, '0');
}

function evidence(machine: Machine, clock: WorldClock): string {
  return evidenceOutput(machine, {
    osRelease: OS_RELEASE,
    kernel: KERNEL,
    openssl: OPENSSL,
    upgrades: upgrades(machine),
    bootedAtMs: bootedAtMs(machine, clock),
    nowMs: clock.nowMs(),
  });
}

function bootedAtMs(machine: Machine, clock: WorldClock): number {
  const started = [...machine.containers.values()].map((container) => container.startedAtMs);
  return started.length > 0 ? Math.min(...started) : clock.nowMs();
}

/** `/var/lib/apt/pending`: pending packages, one `name old new` a line; none when absent. */
function upgrades(machine: Machine): string {
  const pending = Buffer.from(machine.files.get('/var/lib/apt/pending') ?? '').toString('utf8');
  const lines = pending
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [name = '', from = '', to = ''] = line.split(/\s+/);
      return `Inst ${name} [${from}] (${to} Ubuntu:22.04/jammy-security [amd64])`;
    });
  return [
    ...lines,
    `${String(lines.length)} upgraded, 0 newly installed, 0 to remove and 0 not upgraded.`,
    '',
  ].join('\n');
}

function df(path: string): string {
  return `Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/sda1         41151808 10287952  28745724      27% ${path.startsWith('/') ? '/' : path}\n`;
}

function file(machine: Machine, program: string, path: string): CommandResult {
  const bytes = machine.files.get(path);
  if (bytes === undefined) return failed(1, `${program}: ${path}: No such file or directory\n`);
  return program === 'cat'
    ? done(Buffer.from(bytes).toString('latin1'))
    : done(`${String(bytes.length)} ${path}\n`);
}
