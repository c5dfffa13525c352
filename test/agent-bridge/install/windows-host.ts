/** A folder that is a Windows host for install.ps1: programs and cmdlets that note down how they were called. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../../repository/tree.ts';
import { bundled } from '../support/rig.ts';

export interface Call {
  name: string;
  with: Record<string, unknown>;
}

export interface World {
  hyperV: boolean;
  hyperVModule: boolean;
  system: { ProductType: number; BuildNumber: string };
  service: { PathName: string; State: string; StartName: string } | null;
  processes: { CommandLine: string }[];
  members: string[];
  rules: string[];
  acls: Record<string, string>;
}

export interface WindowsHost {
  dir: string;
  package: string;
  program: string;
  state: string;
  wrapper: string;
  wrapperSha256: string;
  world(): World;
  change(change: Partial<World>): void;
  /** Makes SHA256SUMS again after a change of the package. */
  seal(): void;
  run(parameters?: Record<string, unknown>): Promise<{ code: number; out: string }>;
  /** Since the last run began. */
  calls(): Call[];
  /** Keeps everything as it is now; the function that comes back puts it so again. */
  snapshot(): () => void;
  end(): void;
}

const STOCK = join(import.meta.dirname, 'host.ps1');
const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

export async function windowsHost(engine: string): Promise<WindowsHost> {
  const dir = mkdtempSync(join(tmpdir(), 'windows-'));
  const snapshots = mkdtempSync(join(tmpdir(), 'windows-snapshots-'));
  const at = (...parts: string[]) => join(dir, ...parts);
  const from = at('package');
  mkdirSync(join(from, 'scripts'), { recursive: true });
  mkdirSync(at('Windows', 'System32'), { recursive: true });
  const bundles = await bundled();
  for (const name of ['bridge.cjs', 'bridge-admin.cjs']) copyFileSync(join(bundles, name), join(from, name));
  for (const [folder, to] of [
    ['agent-bridge/install', '.'],
    ['agent-bridge/host/scripts', 'scripts'],
  ] as const)
    for (const name of readdirSync(join(ROOT, folder)).filter((each) => each.endsWith('.ps1')))
      copyFileSync(join(ROOT, folder, name), join(from, to, name));
  writeFileSync(at('shawl.exe'), 'a program');
  copyFileSync(STOCK, at('host.ps1'));
  const windowsPowerShell = ['Windows', 'System32', 'WindowsPowerShell', 'v1.0'];
  mkdirSync(at(...windowsPowerShell), { recursive: true });
  writeTool(at(...windowsPowerShell, 'powershell.exe'), 'powershell', dir);
  for (const tool of ['whoami', 'sc', 'icacls', 'reg'])
    writeTool(at('Windows', 'System32', `${tool}.exe`), tool, dir);

  const env = {
    SystemRoot: at('Windows'),
    ProgramFiles: at('Program Files'),
    ProgramData: at('ProgramData'),
  };
  const base: World = {
    hyperV: true,
    hyperVModule: true,
    system: { ProductType: 3, BuildNumber: '20348' },
    service: null,
    processes: [],
    members: [],
    rules: [],
    acls: {},
  };
  const world = at('world.json');
  const read = () => JSON.parse(readFileSync(world, 'utf8')) as World;
  writeFileSync(world, JSON.stringify({ ...base, env }));

  const self: WindowsHost = {
    dir,
    package: from,
    program: at('Program Files', 'node-cycle-bridge'),
    state: at('ProgramData', 'node-cycle-bridge'),
    wrapper: at('shawl.exe'),
    wrapperSha256: sha256(at('shawl.exe')),
    world: read,
    change: (change) => writeFileSync(world, JSON.stringify({ ...read(), ...change })),
    seal() {
      const names = readdirSync(from, { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.(cjs|ps1)$/.test(name))
        .sort();
      writeFileSync(
        join(from, 'SHA256SUMS'),
        names.map((name) => `${sha256(join(from, name))}  ${name}\n`).join(''),
      );
    },
    async run(parameters = {}) {
      writeFileSync(
        world,
        JSON.stringify({
          ...read(),
          ...{ env, script: join(from, 'install.ps1') },
          parameters: {
            NodePath: process.execPath,
            WrapperPath: self.wrapper,
            WrapperSha256: self.wrapperSha256,
            AgentAddress: ['10.0.20.9'],
            VmRoot: at('vms'),
            ImageRoot: at('images'),
            ...parameters,
          },
        }),
      );
      rmSync(at('calls'), { force: true });
      try {
        const { stdout, stderr } = await promisify(execFile)(
          engine,
          ['-NoLogo', '-NoProfile', '-File', at('host.ps1')],
          {
            env: { ...process.env, NO_COLOR: '1' },
          },
        );
        return { code: 0, out: stdout + stderr };
      } catch (error) {
        const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
        return { code, out: `${stdout}${stderr}` };
      }
    },
    calls: () =>
      existsSync(at('calls'))
        ? readFileSync(at('calls'), 'utf8')
            .split('\n')
            .filter((line) => line !== '')
            .map((line) => JSON.parse(line) as Call)
        : [],
    snapshot() {
      const kept = join(snapshots, String(readdirSync(snapshots).length));
      cpSync(dir, kept, { recursive: true });
      return () => {
        rmSync(dir, { recursive: true });
        cpSync(kept, dir, { recursive: true });
      };
    },
    end() {
      for (const each of [dir, snapshots]) rmSync(each, { recursive: true, force: true });
    },
  };
  self.seal();
  return self;
}

/** Its arguments as they arrived; whoami says what an elevated shell says. */
function writeTool(path: string, name: string, dir: string): void {
  const answer =
    name === 'whoami'
      ? `echo '"Mandatory Label\\High Mandatory Level","Label","'"$(cat '${dir}/integrity' 2>/dev/null || echo S-1-16-12288)"'",""'`
      : `test ! -e '${dir}/${name}-fails'`;
  writeFileSync(
    path,
    `#!${process.execPath}\nrequire('node:fs').appendFileSync(${JSON.stringify(join(dir, 'calls'))}, JSON.stringify({ name: ${JSON.stringify(`${name}.exe`)}, with: { args: process.argv.slice(2)${name === 'powershell' ? ', account: process.env.NODE_CYCLE_ACCOUNT' : ''} } }) + '\\n');\n` +
      `try { process.stdout.write(require('node:child_process').execSync(${JSON.stringify(answer)})); } catch (error) { process.exit(error.status); }\n`,
  );
  chmodSync(path, 0o755);
}
