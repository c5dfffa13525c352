/**
 * The engine that the tests run the bridge's scripts in: an installed `pwsh`, or the program in engine/, built once
 * for its sources with the .NET SDK. Where neither can be had, the tests are skipped by name.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export interface PowerShell {
  file: string;
  /** `engine` knows --batch and --parse. */
  kind: 'pwsh' | 'engine';
  version: string;
}

export const SCRIPT_ARGS = [
  '-NoLogo',
  '-NoProfile',
  '-NonInteractive',
  '-ExecutionPolicy',
  'Bypass',
  '-File',
] as const;

const sources = join(import.meta.dirname, 'engine');
const cache = join(import.meta.dirname, '..', '..', 'node_modules', '.cache');
const QUIET = {
  DOTNET_CLI_TELEMETRY_OPTOUT: '1',
  DOTNET_NOLOGO: '1',
  DOTNET_SKIP_FIRST_TIME_EXPERIENCE: '1',
};
const BUILD_MS = 240_000;

let found: Promise<PowerShell | string> | undefined;

/** The engine, or why there is none. */
export function powerShell(): Promise<PowerShell | string> {
  found ??= Promise.resolve(pwsh() ?? built());
  return found;
}

/** The program in engine/, which prints syntax trees and runs batches; also where `pwsh` is installed. */
export function engineProgram(): Promise<PowerShell | string> {
  return built();
}

/** What can be had without a build: the lab's way. */
export function powerShellAtHand(): PowerShell | string {
  const installed = pwsh();
  if (installed !== undefined) return installed;
  const { file } = program();
  if (!existsSync(file))
    return 'pwsh is not installed, and the tests have not built the program in its place';
  return started(file);
}

function pwsh(): PowerShell | undefined {
  const file = onPath('pwsh');
  if (file === undefined) return undefined;
  const version = spawnSync(file, ['--version'], { encoding: 'utf8' }).stdout.trim();
  return { file, kind: 'pwsh', version };
}

function program(): { folder: string; file: string } {
  const folder = join(cache, `powershell-engine-${hashOf(sources)}`);
  return { folder, file: join(folder, process.platform === 'win32' ? 'engine.exe' : 'engine') };
}

async function built(): Promise<PowerShell | string> {
  const dotnet = onPath('dotnet');
  if (dotnet === undefined) return 'neither pwsh nor the .NET SDK is installed';
  const { folder, file } = program();
  if (!existsSync(file)) {
    const failure = await build(dotnet, folder);
    if (failure !== undefined) return failure;
  }
  return started(file);
}

function started(file: string): PowerShell | string {
  const { status, stdout } = spawnSync(file, ['--version'], { encoding: 'utf8' });
  return status === 0
    ? { file, kind: 'engine', version: stdout.trim() }
    : 'the engine was built and does not start';
}

/** Elsewhere first, then renamed. Of several test processes one builds, and the others wait for it. */
async function build(dotnet: string, folder: string): Promise<string | undefined> {
  mkdirSync(cache, { recursive: true });
  const lock = `${folder}.lock`;
  try {
    mkdirSync(lock);
  } catch {
    const until = Date.now() + BUILD_MS;
    while (existsSync(lock) && Date.now() < until) await sleep(200);
    if (existsSync(folder)) return undefined;
    mkdirSync(lock, { recursive: true });
  }
  const work = mkdtempSync(join(cache, 'powershell-engine-build-'));
  const copy = join(work, 'source');
  cpSync(sources, copy, { recursive: true });
  const out = join(work, 'out');
  const run = async (...command: string[]) => {
    const args = [...command, '--configuration', 'Release', '--verbosity', 'quiet', '--output', out];
    const env = { ...process.env, ...QUIET };
    await promisify(execFile)(dotnet, args, { cwd: copy, timeout: BUILD_MS, env });
  };
  try {
    try {
      await run('publish', '--runtime', runtime());
    } catch {
      // Where the compiler that works ahead of time cannot be had: the same program, at half the speed.
      rmSync(out, { recursive: true, force: true });
      await run('build');
    }
    try {
      renameSync(out, folder);
    } catch (error) {
      if (!existsSync(folder)) throw error;
    }
    return undefined;
  } catch (error) {
    const { stdout = '', message } = error as { stdout?: string; message: string };
    return `dotnet build failed: ${/error [^\n]*/.exec(stdout)?.[0] ?? message}`;
  } finally {
    rmSync(work, { recursive: true, force: true });
    rmSync(lock, { recursive: true, force: true });
  }
}

/** As .NET names this machine. */
function runtime(): string {
  const system = { win32: 'win', darwin: 'osx' }[process.platform as string] ?? 'linux';
  return `${system}-${process.arch}`;
}

function hashOf(folder: string): string {
  const hash = createHash('sha256');
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    if (/\.(cs|csproj)$/.test(name)) hash.update(name).update(readFileSync(join(folder, name)));
  }
  return hash.digest('hex').slice(0, 16);
}

function onPath(program: string): string | undefined {
  const names = process.platform === 'win32' ? [`${program}.exe`] : [program];
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}

export interface BatchRequest {
  file: string;
  stdin: string;
  env: Record<string, string>;
}
export interface BatchResult {
  exitCode: number;
  stdout: Buffer;
  stderr: string;
}

/** Each request is a `-File` run with streams and an environment of its own; they share one start of the program. */
export async function runBatch(
  engine: PowerShell,
  requests: readonly BatchRequest[],
): Promise<BatchResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'engine-batch-'));
  const [given, answered] = [join(folder, 'requests.json'), join(folder, 'results.json')];
  try {
    const encoded = requests.map((request) => ({
      ...request,
      stdin: Buffer.from(request.stdin, 'utf8').toString('base64'),
    }));
    writeFileSync(given, JSON.stringify(encoded));
    await promisify(execFile)(engine.file, ['--batch', given, answered], { env: engineEnv({}) });
    const results = JSON.parse(readFileSync(answered, 'utf8')) as {
      exitCode: number;
      stdout: string;
      stderr: string;
    }[];
    return results.map(({ exitCode, stdout, stderr }) => ({
      exitCode,
      stdout: Buffer.from(stdout, 'base64'),
      stderr: Buffer.from(stderr, 'base64').toString('utf8'),
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The whole environment of an engine: the stand-in modules are found, and nothing else of this machine's modules. */
export function engineEnv(more: Record<string, string>): Record<string, string> {
  const kept = [
    'PATH',
    'HOME',
    'TMPDIR',
    'TEMP',
    'SystemRoot',
    'DOTNET_ROOT',
    'DOTNET_SYSTEM_GLOBALIZATION_INVARIANT',
  ];
  return {
    ...Object.fromEntries(
      kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    PSModulePath: join(import.meta.dirname, 'modules'),
    PSModuleAnalysisCachePath: process.platform === 'win32' ? 'NUL' : '/dev/null',
    POWERSHELL_TELEMETRY_OPTOUT: '1',
    NO_COLOR: '1',
    COMPUTERNAME: 'HOST1',
    ...more,
  };
}
