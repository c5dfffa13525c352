/** Runs the rke program: known versions only, one at a time, with a saved state and an end to every run. */
import { CodedError } from '../../../ports/errors.ts';
import { PortError } from '../../../ports/ports.ts';
import type { Clock, Files, Random, Run, RunResult, Wait } from '../../../ports/ports.ts';
import { saveState } from './backups.ts';
import { eventOf, judgeRun, parseLine } from './log.ts';
import type { RkeEvent, RkeLine, RunExpectation, RunOutcome } from './log.ts';
import { bound, LOCKED, NO_LOCK_PROGRAM, NOT_STARTED } from './start.ts';

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
  /** Older state backups go too, but the newest. Default 90 days. */
  maxBackupAgeMs?: number | undefined;
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
  const retention = { keep: request.keepBackups, maxAgeMs: request.maxBackupAgeMs };
  const backup = await saveState(ports, places.state, places.backups, retention);
  const lines: string[] = [];
  const startedMs = ports.clock.now();
  const args = ['up', '--config', request.configName, '--ssh-agent-auth'];
  if (request.ignoreDockerVersion === true) args.push('--ignore-docker-version');
  const child = bound(places.lock, {
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
    // Every line is taken as it comes.
    keepBytes: 64 * 1024,
    onLine: (text) => {
      lines.push(text);
      const line = parseLine(text);
      request.onLine?.(line, eventOf(line));
    },
  });
  const result = await ports.run(child).catch((error: unknown) => {
    throw translated(error, request, lines);
  });
  await requireStarted(result, ports.files, places.lock);
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

/** @throws CodedError NC3220 or NC3222 when the shell did not become rke. */
async function requireStarted(result: RunResult, files: Files, lock: string): Promise<void> {
  const { exitCode } = result;
  if (exitCode === LOCKED) {
    const holder = await files.read(lock).catch(() => new Uint8Array());
    const who = Buffer.from(holder).toString('utf8').trim();
    throw new CodedError('NC3220', `${lock} is held by ${who === '' ? 'another process' : who}.`);
  }
  if (exitCode === NO_LOCK_PROGRAM)
    throw new CodedError('NC3222', 'Expected the program flock in PATH; there is none.');
  if (exitCode !== null && NOT_STARTED.includes(exitCode) && result.stdout === '')
    throw new CodedError('NC3222', result.stderr.trim());
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
