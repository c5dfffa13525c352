/** Runs the rke program: known versions only, one at a time, with a saved state and an end to every run. */
import { CodedError } from '../../../ports/errors.ts';
import { PortError } from '../../../ports/ports.ts';
import type { Clock, Files, Random, Run, RunRequest, RunResult, Wait } from '../../../ports/ports.ts';
import { eventOf, judgeRun, parseLine } from './log.ts';
import type { RkeEvent, RkeLine, RunExpectation, RunOutcome } from './log.ts';

export interface RkePorts {
  run: Run;
  files: Files;
  clock: Clock;
  random: Random;
}

export interface RkeProgram {
  /** Absolute path of the program. */
  binary: string;
  /** The state directory: cluster.yml's copy, rkestate, kubeconfig, backups. */
  workDir: string;
  /** `cluster.yml`; the names of the other files follow it. */
  configName: string;
}

export interface RkeUpRequest extends RkeProgram, Wait {
  ports: RkePorts;
  /** Socket of the task's own ssh-agent. */
  sshAuthSock: string;
  expectation: RunExpectation;
  /** `PATH` of the child. */
  path?: string | undefined;
  home?: string | undefined;
  ignoreDockerVersion?: boolean | undefined;
  /** State backups that are kept. Default 20. */
  keepBackups?: number | undefined;
  onLine?: ((line: RkeLine, event: RkeEvent | undefined) => void) | undefined;
}

export interface RkeUpResult {
  outcome: RunOutcome;
  lines: string[];
  exitCode: number | null;
  signal: string | null;
  durationMs: number;
  /** The state file as it was before the run; undefined when there was none. */
  backup?: string | undefined;
}

export interface RkeFiles {
  config: string;
  state: string;
  kubeconfig: string;
  backups: string;
  lock: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const KEEP_BACKUPS = 20;
/** Exit code of `flock` when another one holds the lock; rke itself ends with 0 to 3. */
const LOCKED = 75;

/** Names as rke makes them: `my.cluster.yaml` → `my.cluster.rkestate`, `kube_config_my.cluster.yaml`. */
export function rkeFiles({ workDir, configName }: Pick<RkeProgram, 'workDir' | 'configName'>): RkeFiles {
  const stem = configName.replace(/\.[^.]*$/, '');
  return {
    config: `${workDir}/${configName}`,
    state: `${workDir}/${stem}.rkestate`,
    kubeconfig: `${workDir}/kube_config_${configName}`,
    backups: `${workDir}/backups`,
    lock: `${workDir}/.${stem}.lock`,
  };
}

/**
 * Saves the state file, runs `rke up` under a file lock, and judges what came of it.
 *
 * @throws CodedError NC3220 (another one runs), NC3221 (past the deadline), NC3222 (cannot start), NC1012 (cancelled).
 */
export async function rkeUp(request: RkeUpRequest): Promise<RkeUpResult> {
  const { ports, expectation } = request;
  const places = rkeFiles(request);
  if ((await ports.files.stat(request.binary)) === undefined) {
    throw new CodedError('NC3222', `Expected the program at ${request.binary}; there is none.`);
  }
  const backup = await saveState(ports, places, request.keepBackups ?? KEEP_BACKUPS);
  const lines: string[] = [];
  const startedMs = ports.clock.now();
  const args = ['up', '--config', request.configName, '--ssh-agent-auth'];
  if (request.ignoreDockerVersion === true) args.push('--ignore-docker-version');
  const result = await underLock(ports.run, places.lock, {
    file: request.binary,
    args,
    cwd: request.workDir,
    env: {
      PATH: request.path ?? PATH,
      HOME: request.home ?? request.workDir,
      SSH_AUTH_SOCK: request.sshAuthSock,
      TZ: 'UTC',
    },
    deadlineMs: request.deadlineMs,
    signal: request.signal,
    dieWithParent: true,
    // Every line is taken as it comes.
    keepBytes: 64 * 1024,
    onLine: (text) => {
      lines.push(text);
      const line = parseLine(text);
      request.onLine?.(line, eventOf(line));
    },
  }).catch((error: unknown) => {
    throw translated(error, request, lines);
  });
  if (result.exitCode === LOCKED) throw new CodedError('NC3220', `${places.lock} is held.`);
  const { exitCode, signal } = result;
  return {
    outcome: judgeRun({ lines, exitCode, signal }, expectation),
    lines,
    exitCode,
    signal,
    durationMs: ports.clock.now() - startedMs,
    backup,
  };
}

/** Whether and how a version of rke is known. `copy`: where it keeps the cluster's own copy of the state. */
export type VersionJudgement =
  { known: 'run' | 'read'; version: string; copy: 'ConfigMap' | 'Secret' } | { known: 'no'; version: string };

export function judgeVersion(version: string): VersionJudgement {
  const match = /^v?1\.(\d+)\.(\d+)$/.exec(version);
  const minor = Number(match?.[1]);
  if (version.replace(/^v/, '') === '1.2.23') return { known: 'run', version, copy: 'ConfigMap' };
  if (match !== null && minor >= 3 && minor <= 8) return { known: 'read', version, copy: 'Secret' };
  return { known: 'no', version };
}

/** As the program says it, `v1.2.23`. @throws CodedError NC3222 */
export async function rkeVersion(run: Run, binary: string, wait: Wait): Promise<string> {
  const text = await ask(run, binary, ['--version'], wait);
  const match = /^rke version (\S+)/m.exec(text);
  if (match?.[1] === undefined)
    throw new CodedError('NC3222', `Expected "rke version …" from ${binary}, found ${text}.`);
  return match[1];
}

/** The Kubernetes version that this rke installs when cluster.yml names none. @throws CodedError NC3222 */
export async function rkeDefaultKubernetes(run: Run, binary: string, wait: Wait): Promise<string> {
  const text = await ask(run, binary, ['config', '--list-version'], wait);
  const version = text.split('\n').find((line) => /^v\d/.test(line));
  if (version === undefined)
    throw new CodedError('NC3222', `Expected a version from ${binary}, found ${text}.`);
  return version.trim();
}

async function ask(run: Run, binary: string, args: readonly string[], wait: Wait): Promise<string> {
  const env = { PATH, HOME: '/nonexistent', TZ: 'UTC' };
  const result = await run({ file: binary, args, env, dieWithParent: true, ...wait }).catch(
    (error: unknown) => {
      if (error instanceof PortError && error.kind !== 'aborted')
        throw new CodedError('NC3222', error.message);
      throw error;
    },
  );
  const output = result.stdout.trim();
  if (result.exitCode !== 0) {
    throw new CodedError(
      'NC3222',
      `${binary} ${args.join(' ')} ended with ${result.exitCode ?? result.signal}.`,
      [output],
    );
  }
  return output;
}

/**
 * `flock` keeps the lock as long as the process itself lives, so nothing stays behind when it is killed; it
 * becomes rke without a process in between, so that the bond to its parent holds.
 */
function underLock(run: Run, lock: string, request: RunRequest): Promise<RunResult> {
  const args = [
    '--nonblock',
    '--no-fork',
    '--conflict-exit-code',
    String(LOCKED),
    lock,
    request.file,
    ...request.args,
  ];
  return run({ ...request, file: 'flock', args });
}

/** One file before each run, named by the time; the oldest beyond `keep` go. */
async function saveState(ports: RkePorts, places: RkeFiles, keep: number): Promise<string | undefined> {
  const { files, clock, random } = ports;
  if ((await files.stat(places.state)) === undefined) return undefined;
  const time = new Date(clock.now()).toISOString().replace(/[-:]/g, '').replace('.', '');
  const stem = places.state.slice(places.state.lastIndexOf('/') + 1);
  const backup = `${places.backups}/${time}-${Buffer.from(random.bytes(3)).toString('hex')}-${stem}`;
  await files.makeDir(places.backups, 0o700);
  await files.write(backup, await files.read(places.state), 0o600);
  const kept = (await files.list(places.backups)).filter((name) => name.endsWith(`-${stem}`)).sort();
  for (const name of kept.slice(0, Math.max(0, kept.length - keep)))
    await files.remove(`${places.backups}/${name}`);
  return backup;
}

function translated(error: unknown, request: RkeUpRequest, lines: readonly string[]): unknown {
  if (!(error instanceof PortError)) return error;
  const last = lines.slice(-3);
  if (error.kind === 'timeout') {
    return new CodedError('NC3221', `rke up did not end within ${request.deadlineMs} ms.`, last, {
      cause: error,
    });
  }
  if (error.kind === 'aborted')
    return new CodedError('NC1012', 'Cancelled in rke up.', last, { cause: error });
  return new CodedError('NC3222', error.message, last, { cause: error });
}
