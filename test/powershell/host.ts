/**
 * A Hyper-V host on disk for one test: the stand-in modules' world, its folders and files, and the bridge's own way of
 * running a script on it.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { scriptRunner } from '../../agent-bridge/host/run-script.ts';
import type { RunScript } from '../../agent-bridge/host/run-script.ts';
import type { ScriptInput, ScriptName } from '../../agent-bridge/host/scripts.ts';
import { outcomeOf } from '../../agent-bridge/jobs/outcome.ts';
import type { Outcome } from '../../agent-bridge/jobs/outcome.ts';
import { resultFinder } from '../../agent-bridge/jobs/output.ts';
import { realProcesses } from '../../agent-bridge/service/processes-adapter.ts';
import { clock } from '../../ports/clock.ts';
import { random } from '../../ports/random.ts';
import { engineEnv, runBatch, SCRIPT_ARGS } from './engine.ts';
import type { PowerShell } from './engine.ts';

export interface WorldVm {
  id: string;
  name: string;
  state: string;
  /** How often cmdlets switched it on or off. */
  power?: number;
  notes: string;
  path: string;
  createdAt: string;
  disks: string[];
  dvds: (string | null)[];
  adapters: {
    name: string;
    mac: string;
    dynamicMac: boolean;
    spoofing: string;
    switch: string | null;
    vlanMode: string;
    vlan: number;
    addresses: string[];
  }[];
  snapshots: { id: string; name: string }[];
  [more: string]: unknown;
}

export interface WorldZone {
  serial: number;
  records: { name: string; type: string; ttl: number; data: string }[];
}

export interface WorldFault {
  /** Which call of a stand-in cmdlet, counted from 1. */
  at: number;
  /** `kill` ends the engine's process after that call; the others come instead of it. */
  act: 'fail' | 'deny' | 'diskFull' | 'kill';
}

export interface World {
  /** `memoryFreeMb`: what the running VMs leave, when absent. */
  host: { memoryTotalMb: number; memoryFreeMb?: number };
  switches: string[];
  vms: WorldVm[];
  dns: Record<string, { zones: Record<string, WorldZone>; unreachable?: boolean; denied?: boolean }>;
  faults: WorldFault[];
  denied: string[];
  guestAddresses: string[];
}

export interface HostOnDisk {
  dir: string;
  vmRoot: string;
  imageRoot: string;
  world(): World;
  change(change: (world: World) => void): void;
  /** A VM with a disk and a configuration file below `vmRoot`. */
  addVm(vm: Partial<WorldVm> & { id: string; name: string }): WorldVm;
  /** Through `scriptRunner`, as the bridge does it. */
  run: RunScript;
  /** Stand-in cmdlets that were called since the last change of the world. */
  calls(): string[];
  files(): string[];
  end(): void;
}

export const scriptsDir = join(import.meta.dirname, '..', '..', 'agent-bridge', 'host', 'scripts');

export function hostOnDisk(engine: PowerShell, env: Record<string, string> = {}): HostOnDisk {
  const dir = mkdtempSync(join(tmpdir(), 'hyper-v-'));
  const [vmRoot, imageRoot, worldDir] = ['vms', 'images', 'world'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [vmRoot, imageRoot, worldDir]) mkdirSync(folder);
  const [worldFile, calls] = [join(worldDir, 'world.json'), join(worldDir, 'calls.log')];
  const write = (world: World) => {
    writeFileSync(worldFile, JSON.stringify(world, null, 2));
    rmSync(calls, { force: true });
  };
  write({
    host: { memoryTotalMb: 65_536, memoryFreeMb: 32_768 },
    switches: ['External'],
    vms: [],
    dns: {},
    faults: [],
    denied: [],
    guestAddresses: ['10.0.20.101', 'fe80::215:5dff:fe01:203'],
  });
  const world = () => JSON.parse(readFileSync(worldFile, 'utf8')) as World;
  const self: HostOnDisk = {
    dir,
    vmRoot,
    imageRoot,
    world,
    change(change) {
      const now = world();
      change(now);
      write(now);
    },
    addVm(given) {
      const path = given.path ?? join(vmRoot, given.name);
      const vm: WorldVm = {
        state: 'Off',
        notes: '',
        path,
        createdAt: '2026-01-02T03:04:05.000Z',
        disks: [join(path, 'system.vhdx')],
        dvds: [],
        adapters: [adapter()],
        snapshots: [],
        ...given,
      };
      const configuration = join(path, 'Virtual Machines', `${vm.id.toUpperCase()}.vmcx`);
      for (const file of [...vm.disks, configuration]) {
        mkdirSync(dirname(file), { recursive: true });
        if (!existsSync(file)) writeFileSync(file, 'disk');
      }
      self.change((now) => now.vms.push(vm));
      return vm;
    },
    run: scriptRunner(
      {
        file: engine.file,
        args: SCRIPT_ARGS,
        script: (name) => join(scriptsDir, `${name}.ps1`),
        env: engineEnv({ NODE_CYCLE_TEST_WORLD: worldDir, ...env }),
      },
      { processes: realProcesses(''), clock, random },
    ),
    calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []),
    files: () =>
      readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory() && !entry.parentPath.startsWith(worldDir))
        .map((entry) => join(entry.parentPath, entry.name))
        .sort(),
    end: () => rmSync(dir, { recursive: true, force: true }),
  };
  return self;
}

export const adapter = (more: Partial<WorldVm['adapters'][number]> = {}): WorldVm['adapters'][number] => ({
  name: 'Network Adapter',
  mac: '00155D010203',
  dynamicMac: false,
  spoofing: 'On',
  switch: 'External',
  vlanMode: 'Untagged',
  vlan: 0,
  addresses: [],
  ...more,
});

export interface Case<S extends ScriptName = ScriptName> {
  host: HostOnDisk;
  script: S;
  input: ScriptInput<S>;
}

/**
 * Many cases in one start of the engine, judged as the bridge judges a run. With `pwsh`, which has no batches, each is
 * a start of its own.
 */
export async function runCases(
  engine: PowerShell,
  cases: readonly Case[],
  env: Record<string, string> = {},
): Promise<(Outcome & { stderr: string })[]> {
  if (engine.kind === 'pwsh') {
    const outcomes: (Outcome & { stderr: string })[] = [];
    for (const { host, script, input } of cases) {
      const outcome = await host.run(script, input, 60_000);
      outcomes.push({ ...outcome, stderr: outcome.ok ? '' : outcome.log });
    }
    return outcomes;
  }
  const nonce = '0123456789abcdef0123456789abcdef';
  const results = await runBatch(
    engine,
    cases.map(({ host, script, input }) => ({
      file: join(scriptsDir, `${script}.ps1`),
      stdin: JSON.stringify({ v: 1, nonce, script, input }),
      env: { NODE_CYCLE_TEST_WORLD: join(host.dir, 'world'), ...env },
    })),
  );
  return results.map(({ exitCode, stdout, stderr }, index) => {
    const finder = resultFinder(nonce);
    finder.push(stdout);
    const frame = finder.frame();
    const { script } = cases[index]!;
    return { ...outcomeOf(script, { exitCode, ...(frame === undefined ? {} : { frame }) }), stderr };
  });
}
