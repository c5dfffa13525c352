/** One start of the rke program: what the executable brings, what it is told to do, and how argv is read. */
import { posix } from 'node:path';

/** What the executable found under a path. */
export type RkeFile =
  { kind: 'file'; text: string; mode: number } | { kind: 'directory' } | { kind: 'missing' };

export interface RkeRequest {
  argv: readonly string[];
  /** Absolute. */
  cwd: string;
  home: string;
  tty: boolean;
  /** Read by the executable before it asks (see `filesToRead`), by absolute path. */
  files: Record<string, RkeFile>;
  /** Public lines `type base64` of the agent at SSH_AUTH_SOCK; absent without one. */
  agentKeys?: readonly string[] | undefined;
}

export type RkeEvent =
  | { kind: 'line'; stream: 'stdout' | 'stderr'; line: string }
  /** A prompt: no end of line after it. */
  | { kind: 'text'; stream: 'stdout'; text: string }
  /** `mode` holds only for a file that this write creates. */
  | { kind: 'write'; path: string; text: string; mode: number }
  | { kind: 'move'; from: string; to: string }
  | { kind: 'remove'; path: string }
  | { kind: 'exit'; code: number };

export interface Invocation {
  quiet: boolean;
  /** The command's words, for example `etcd snapshot-save`; '' for help, `--version` as itself. */
  command: string;
  flags: Map<string, string | true>;
  /** A flag that this command does not have. */
  unknownFlag?: string | undefined;
}

const COMMON = ['config', 'ssh-agent-auth!', 'ignore-docker-version!'];
/** Flags by command; `!` takes no value. */
const FLAGS: Record<string, readonly string[]> = {
  up: [
    ...COMMON,
    'local!',
    'dind!',
    'dind-storage-driver',
    'dind-dns-server',
    'update-only!',
    'disable-port-check!',
    'init!',
    'cert-dir',
    'custom-certs!',
  ],
  remove: [...COMMON, 'force!', 'local!', 'dind!'],
  version: ['config'],
  config: ['name', 'empty!', 'print!', 'system-images!', 'list-version!', 'all!', 'version'],
  'etcd snapshot-save': [
    ...COMMON,
    'name',
    's3!',
    's3-endpoint',
    's3-endpoint-ca',
    'access-key',
    'secret-key',
    'bucket-name',
    'region',
    'folder',
  ],
  'util get-state-file': COMMON,
};
const GLOBAL = new Set(['-q', '--quiet', '-d', '--debug', '--trace']);
const GROUPS = new Set(['etcd', 'util']);

export const COMMANDS = Object.keys(FLAGS);

export function parseArgv(argv: readonly string[]): Invocation {
  const rest = [...argv];
  let quiet = false;
  const flags = new Map<string, string | true>();
  while (rest[0]?.startsWith('-') === true) {
    const flag = rest.shift() ?? '';
    if (GLOBAL.has(flag)) quiet ||= flag === '-q' || flag === '--quiet';
    else if (flag === '--version' || flag === '-v') return { quiet, command: '--version', flags };
    else if (flag === '--help' || flag === '-h') return { quiet, command: '', flags };
    else return { quiet, command: '', flags, unknownFlag: flag.replace(/^--?/, '-') };
  }
  let command = rest.shift() ?? '';
  if (GROUPS.has(command)) command = `${command} ${rest.shift() ?? ''}`.trim();
  const known = FLAGS[command];
  while (known !== undefined && rest.length > 0) {
    const word = rest.shift() ?? '';
    if (!word.startsWith('-')) continue;
    const [name, inline] = word.replace(/^--?/, '').split(/=(.*)/s);
    if (name === 'help' || name === 'h') return { quiet, command: `help ${command}`, flags };
    if (name !== undefined && known.includes(`${name}!`))
      flags.set(name, inline === 'false' ? 'false' : true);
    else if (name !== undefined && known.includes(name)) flags.set(name, inline ?? rest.shift() ?? '');
    else return { quiet, command, flags, unknownFlag: `-${name ?? ''}` };
  }
  return { quiet, command, flags };
}

export function flagsOf(command: string): readonly string[] {
  return FLAGS[command] ?? [];
}

export function has(invocation: Invocation, flag: string): boolean {
  const value = invocation.flags.get(flag);
  return value !== undefined && value !== 'false';
}

/** The three paths of a run, as rke prints them and as they lie on disk. */
export interface RkePaths {
  config: string;
  state: string;
  kubeconfig: string;
  shown: { state: string; kubeconfig: string };
}

export function pathsOf(invocation: Invocation, cwd: string): RkePaths {
  const given = invocation.flags.get('config');
  const config = typeof given === 'string' && given !== '' ? given : 'cluster.yml';
  const dir = posix.dirname(config);
  const base = posix.basename(config);
  const extension = posix.extname(base);
  const state = `${dir}/${base.slice(0, base.length - extension.length)}.rkestate`;
  const kubeconfig = `${dir}/kube_config_${base}`;
  return {
    config: posix.resolve(cwd, config),
    state: posix.resolve(cwd, state),
    kubeconfig: posix.resolve(cwd, kubeconfig),
    shown: { state, kubeconfig },
  };
}

export function expandHome(path: string, home: string): string {
  return path.startsWith('~/') ? posix.join(home, path.slice(2)) : path;
}

/**
 * Which files the executable must bring: first the run's own three, then, with cluster.yml's text, the keys
 * that it names. Loose on purpose: a file too many does no harm.
 */
export function filesToRead(argv: readonly string[], cwd: string, home: string, config?: string): string[] {
  const paths = pathsOf(parseArgv(argv), cwd);
  if (config === undefined) return [paths.config, paths.state, paths.kubeconfig];
  const named = [...config.matchAll(/ssh_key_path:\s*["']?([^\s"'#,}]+)/g)].map((match) => match[1] ?? '');
  return [...new Set(['~/.ssh/id_rsa', ...named])].map((path) => posix.resolve(cwd, expandHome(path, home)));
}
