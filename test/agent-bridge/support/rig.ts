/**
 * A bridge as it runs on the host: the real bundles, started as processes, with a stand-in for PowerShell.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { bridgeClient } from '../../../agent-bridge/client/client.ts';
import type { BridgeClient } from '../../../agent-bridge/client/client.ts';
import { clock } from '../../../ports/clock.ts';
import { openHttp } from '../../../ports/http.ts';
import { random } from '../../../ports/random.ts';
import { Secret } from '../../../ports/secret.ts';
import { hostScripts } from '../../../scripts/host-scripts.mjs';

const root = join(import.meta.dirname, '..', '..', '..');
const engine = join(import.meta.dirname, 'engine.cjs');

export const WAIT = { deadlineMs: 15_000 };

let bundles: Promise<string> | undefined;

/** The serving and the admin bundle, built once a test process. */
export function bundled(): Promise<string> {
  bundles ??= (async () => {
    const outdir = mkdtempSync(join(tmpdir(), 'bridge-bundle-'));
    process.once('exit', () => {
      rmSync(outdir, { recursive: true, force: true });
    });
    await build({
      absWorkingDir: root,
      entryPoints: {
        bridge: 'agent-bridge/service/main.ts',
        'bridge-admin': 'agent-bridge/service/admin.ts',
      },
      outdir,
      define: hostScripts(),
      outExtension: { '.js': '.cjs' },
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      mainFields: ['module', 'main'],
      logLevel: 'error',
    });
    return outdir;
  })();
  return bundles;
}

export interface Enrolled {
  url: string;
  serverPin: string;
  cert: string;
  key: string;
  fingerprint: string;
}

export interface Fault {
  sleepMs?: number;
  chatter?: number;
  children?: number;
  exit?: number;
  mode?: 'forge' | 'afterwards' | 'badShape';
  fail?: string;
}

export interface Rig {
  dir: string;
  dataDir: string;
  world: string;
  port: number;
  pid: number;
  enrolled: Record<string, Enrolled>;
  client(name?: string, change?: Partial<Enrolled>): BridgeClient;
  start(env?: Record<string, string>): Promise<void>;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; gives the exit code. */
  stop(): Promise<number | null>;
  cli(bundle: 'bridge' | 'bridge-admin', ...args: string[]): Promise<{ code: number; out: string }>;
  faults(faults: Record<string, Fault>): void;
  setVms(vms: object[]): void;
  vms(): { id: string; name: string; state: string; notes: string; path: string }[];
  setDns(records: object[]): void;
  /** How often a script was started. */
  runs(script: string): number;
  inputs(script: string): Record<string, unknown>[];
  strays(): number[];
  log(): string;
  end(): Promise<void>;
}

export const policyText = (dir: string, world: string, more = ''): string => `version: 1
listen: { host: 127.0.0.1, port: 0 }
engine: { file: ${process.execPath}, args: [${engine}, ${world}, '-NoLogo', '-File'], warm: false }
scriptsDir: ${dir}/scripts
dataDir: ${dir}/data
vmRoot: ${dir}/vms
imageRoot: ${dir}/images
packer: ${dir}/packer
networks:
  lan: { switch: External, vlan: 20, subnet: 10.0.20.0/24, gateway: 10.0.20.1, dns: [10.0.20.2] }
sizes:
  small: { cpuCount: 2, memoryMb: 2048 }
images:
  ubuntu: { template: ${dir}/ubuntu.pkr.hcl, user: rke, authorizedKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEX'] }
zones:
  example.test: { servers: [10.0.20.2] }
${more}clients:
  - name: agent-a # the agent of cluster prod
    clusters: [prod]
    operations: [host.read, vm.read, dns.read, image.build, vm.create, vm.stop, vm.delete, dns.swap]
    names: ['prod-*']
    sizes: [small]
    images: [ubuntu]
    addressRanges: [10.0.20.100-10.0.20.149]
    switches: [lan]
    dns: [{ zone: example.test, names: [cp-prod] }]
    budgets: { creations: 50, deletions: 50, imageBuilds: 2, dnsSwaps: 50, stops: 300 }
    maxRunningVms: 10
  - name: agent-b
    clusters: [other]
    operations: [host.read, vm.read, vm.stop]
    budgets: { stops: 3 }
`;

export async function rig(more = ''): Promise<Rig> {
  const out = await bundled();
  const dir = mkdtempSync(join(tmpdir(), 'bridge-'));
  const world = mkdtempSync(join(tmpdir(), 'bridge-world-'));
  const config = join(dir, 'bridge.yaml');
  writeFileSync(config, policyText(dir, world, more));
  writeFileSync(join(dir, 'ubuntu.pkr.hcl'), 'template');
  const http = openHttp();
  let bridge: ChildProcess | undefined;

  const self: Rig = {
    dir,
    dataDir: join(dir, 'data'),
    world,
    port: 0,
    pid: 0,
    enrolled: {},
    client(name = 'agent-a', change = {}) {
      const mine = self.enrolled[name];
      assert.ok(mine);
      const { key, ...rest } = { ...mine, ...change };
      return bridgeClient({
        ...rest,
        ...{ http: http.http, clock, random, key: new Secret(key) },
        url: `https://127.0.0.1:${self.port}`,
      });
    },
    async start(env = {}) {
      const child = spawn(process.execPath, [join(out, 'bridge.cjs'), 'serve', '--config', config], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...env },
      });
      bridge = child;
      self.pid = child.pid ?? 0;
      let output = '';
      child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
      self.port = await new Promise<number>((resolve, reject) => {
        child.stdout.on('data', (chunk: Buffer) => {
          output += chunk.toString();
          const line = /"event":"listening".*"port":(\d+)/.exec(output);
          if (line) resolve(Number(line[1]));
        });
        child.once('exit', (code) => {
          reject(new Error(`the bridge ended with ${String(code)}: ${output}`));
        });
      });
    },
    kill: () => ended(bridge, 'SIGKILL').then(() => undefined),
    stop: () => ended(bridge, 'SIGTERM'),
    async cli(bundle, ...args) {
      try {
        const { stdout } = await promisify(execFile)(process.execPath, [
          join(out, `${bundle}.cjs`),
          ...args,
          '--config',
          config,
        ]);
        return { code: 0, out: stdout };
      } catch (error) {
        const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
        return { code, out: stdout + stderr };
      }
    },
    faults: (faults) => {
      put('faults.json', faults);
    },
    setVms: (vms) => {
      put('vms.json', vms);
    },
    vms: () =>
      existsSync(join(world, 'vms.json')) ? (JSON.parse(get('vms.json')) as ReturnType<Rig['vms']>) : [],
    setDns: (records) => {
      put('dns.json', records);
    },
    runs: (script) =>
      get('runs')
        .split('\n')
        .filter((line) => line.startsWith(`${script} `)).length,
    inputs: (script) =>
      get('inputs')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { script: string; input: Record<string, unknown> })
        .filter((one) => one.script === script)
        .map(({ input }) => input),
    strays: () =>
      get('strays')
        .split('\n')
        .filter((line) => line !== '')
        .map(Number)
        .filter(isAlive),
    log: () => readFileSync(join(dir, 'data', 'audit.log'), 'utf8'),
    async end() {
      await ended(bridge, 'SIGKILL');
      http.close();
      for (const pid of supervisors(join(dir, 'data', 'jobs'))) {
        try {
          process.kill(-pid, 'SIGKILL');
        } catch {
          // It had ended.
        }
      }
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
      rmSync(world, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  const put = (name: string, value: unknown) => {
    // Whole or not at all: the stand-in may read it at this moment.
    writeFileSync(join(world, `${name}.new`), JSON.stringify(value));
    renameSync(join(world, `${name}.new`), join(world, name));
  };
  const get = (name: string) =>
    existsSync(join(world, name)) ? readFileSync(join(world, name), 'utf8') : '';

  assert.equal((await self.cli('bridge-admin', 'init')).code, 0);
  for (const name of ['agent-a', 'agent-b']) {
    const json = join(dir, `${name}.json`);
    const { code, out: said } = await self.cli('bridge-admin', 'enroll', name, '--json', json);
    assert.equal(code, 0, said);
    self.enrolled[name] = JSON.parse(readFileSync(json, 'utf8')) as Enrolled;
  }
  return self;
}

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<number | null> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
  child.kill(signal);
  return exit;
}

export function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z');
  } catch {
    return false;
  }
}

/** Pids of supervisors from their claims. */
export function supervisors(jobs: string): number[] {
  if (!existsSync(jobs)) return [];
  return readdirSync(jobs, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('claim'))
    .flatMap((path) => {
      const claim = JSON.parse(readFileSync(join(jobs, path), 'utf8')) as { process?: { pid: number } };
      return claim.process && isAlive(claim.process.pid) ? [claim.process.pid] : [];
    });
}

export async function until(met: () => boolean, what: string, deadlineMs = 10_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!met()) {
    assert.ok(Date.now() < end, `still not: ${what}`);
    await sleep(10);
  }
}

/** A VM as the host lists it. */
export const foundVm = (number: number, change: object = {}): object => ({
  id: `00000000-0000-4000-8000-0000000000${String(number).padStart(2, '0')}`,
  name: `prod-n${number}`,
  state: 'running',
  notes: '',
  createdAt: '2026-01-01T00:00:00Z',
  addresses: [`10.0.20.${number}`],
  mac: `00155D0000${String(number).padStart(2, '0')}`,
  cpuCount: 2,
  memoryMb: 2048,
  startAction: 'start',
  startDelaySeconds: 30,
  vlan: null,
  path: `/vms/prod-n${number}`,
  disks: [`/vms/prod-n${number}/disk.vhdx`],
  ...change,
});
export const vmId = (number: number): string =>
  `00000000-0000-4000-8000-0000000000${String(number).padStart(2, '0')}`;
export const key = (n: number): string => n.toString(16).padStart(64, '0');
