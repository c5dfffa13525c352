/** The real bridge as a process of its own, set up as a person would on the host: init, enroll, adopt, serve. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { freePort } from './servers/proxy/child.ts';
import type { ExampleInput } from './example.ts';

const exec = promisify(execFile);

export interface Enrolled {
  url: string;
  serverPin: string;
  cert: string;
  key: string;
}

export interface BridgeProcess {
  enrolled: Enrolled;
  config: string;
  dataDir: string;
  /** Runs a command of a person on the host; throws with its output when it fails. */
  command(...args: string[]): Promise<string>;
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const OPERATIONS = 'host.read, vm.read, image.build, vm.create, vm.stop, vm.delete';
const START_MS = 15_000;

export function templateText(): string {
  return '{"builders":[{"type":"hyperv-vmcx"}]}\n';
}

export async function startBridge(
  example: ExampleInput,
  options: {
    dir: string;
    bundles: string;
    engine: string;
    vmRoot: string;
    imageRoot: string;
    warm: boolean;
  },
): Promise<BridgeProcess> {
  const { dir, bundles } = options;
  mkdirSync(dir, { recursive: true });
  const config = join(dir, 'bridge.yaml');
  const dataDir = join(dir, 'data');
  const template = join(dir, 'ubuntu-node.pkr.json');
  writeFileSync(template, templateText());
  const port = await freePort('127.0.0.1');
  const values = {
    bridgePort: String(port),
    engineFile: options.engine,
    engineArgs: '"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"',
    scriptsDir: join(dir, 'scripts'),
    dataDir,
    warm: String(options.warm),
    vmRoot: options.vmRoot,
    imageRoot: options.imageRoot,
    template,
    clientFingerprint: '0'.repeat(64),
    operations: OPERATIONS,
  };
  writeFileSync(config, example.bridgeYaml(values), { mode: 0o600 });

  const admin = join(bundles, 'bridge-admin.cjs');
  const bridge = join(bundles, 'bridge.cjs');
  const run = async (file: string, args: readonly string[]) => {
    try {
      const { stdout } = await exec(process.execPath, [file, ...args, '--config', config], { cwd: dir });
      return stdout;
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      throw new Error(`${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
    }
  };
  await run(admin, ['init']);
  const json = join(dir, 'agent.json');
  await run(admin, ['enroll', `agent-${example.cluster}`, '--json', json]);
  const enrolled = JSON.parse(readFileSync(json, 'utf8')) as Enrolled;

  let child: ChildProcess | undefined;
  const start = async () => {
    const started = spawn(process.execPath, [bridge, 'serve', '--config', config], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    await new Promise<void>((resolve, reject) => {
      const said: string[] = [];
      const timer = setTimeout(
        () => reject(new Error(`the bridge did not listen:\n${said.join('\n')}`)),
        START_MS,
      );
      const listen = (line: string) => {
        said.push(line);
        if (!line.includes('listening')) return;
        clearTimeout(timer);
        resolve();
      };
      createInterface({ input: started.stdout }).on('line', listen);
      createInterface({ input: started.stderr }).on('line', listen);
      started.once('exit', (code) =>
        reject(new Error(`the bridge ended with ${code ?? 'a signal'}:\n${said.join('\n')}`)),
      );
    });
  };
  const end = async (signal: NodeJS.Signals) => {
    const ended = child;
    child = undefined;
    if (ended === undefined || ended.exitCode !== null || ended.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => ended.once('exit', () => resolve()));
    ended.kill(signal);
    await gone;
  };
  await start();
  return {
    enrolled,
    config,
    dataDir,
    command: (...args) => run(bridge, args),
    start,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
}
