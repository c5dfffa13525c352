/** The lab's host behind the real engine says what the modelled one says, and hears of power that was lost. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scriptRunner, type RunScript } from '../../../../agent-bridge/host/run-script.ts';
import type { ScriptInput, ScriptName, ScriptResult } from '../../../../agent-bridge/host/scripts.ts';
import { seedImage } from '../../../../agent-bridge/host/seed.ts';
import { realProcesses } from '../../../../agent-bridge/service/processes-adapter.ts';
import { servePowerShell, type PowerShellHost } from '../../../../lab/servers/powershell.ts';
import { createWorld, type LabWorld } from '../../../../lab/world/create.ts';
import type { HostSpec } from '../../../../lab/world/hosts/hosts.ts';
import { clock } from '../../../../ports/clock.ts';
import { random } from '../../../../ports/random.ts';
import { SCRIPT_ARGS } from '../../../powershell/engine.ts';
import { scriptsDir } from '../../../powershell/host.ts';
import { onPowerShell } from '../../../powershell/suite.ts';
import { eventually } from '../cluster.ts';

const NONCE = '0'.repeat(32);
const IMAGE = {
  id: 'ubuntu-node',
  version: '1',
  sourceHash: 'a'.repeat(64),
  folder: 'D:\\Images\\ubuntu-node',
};
const SPEC: HostSpec = {
  ...{ name: 'hyperv1', memoryMb: 8_192, diskBytes: 2 ** 40 },
  images: [{ ...IMAGE, builtAtMs: 0, content: { dockerVersion: '24.0.9', images: ['alpine'] } }],
};

onPowerShell('A host of the lab behind the real engine', (engine) => {
  let dir: string;
  const ends: (() => void)[] = [];
  let world: LabWorld;
  let host: PowerShellHost;
  let scripts: RunScript;
  let modelled: ScriptResult<'vm-list'>;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lab-host-'));
    world = createWorld({ cluster: 'home', seed: 1, hosts: [SPEC] });
    ends.push(
      () => world.close(),
      () => rmSync(dir, { recursive: true, force: true }),
    );
    for (const number of [1, 2])
      world.hosts.addVm({
        name: `home-n${number}`,
        address: `127.0.0.1${number}`,
        notes: '{"startGroup":2}',
        createdAtMs: Date.parse('2026-01-02T03:04:05Z'),
        startAction: 'start',
        startDelaySeconds: 30,
        vlan: number === 1 ? null : 12,
        memoryMb: 2_048,
        sshHostKey: { private: '', public: '' },
      });
    const stdin = JSON.stringify({ v: 1, nonce: NONCE, script: 'vm-list', input: {} });
    const { stdout } = await world.hosts.engine('hyperv1', 'vm-list.ps1', stdin);
    modelled = JSON.parse(stdout.slice(stdout.indexOf('{'))) as ScriptResult<'vm-list'>;
    host = servePowerShell(world, SPEC, { dir, engine: engine() });
    ends.unshift(() => host.stop());
    scripts = scriptRunner(
      { file: host.engine, args: SCRIPT_ARGS, script: (name) => join(scriptsDir, `${name}.ps1`), env: {} },
      { processes: realProcesses(''), clock, random },
    );
  });
  after(() => {
    for (const end of ends) end();
  });

  async function run<S extends ScriptName>(script: S, input: ScriptInput<S>): Promise<ScriptResult<S>> {
    const outcome = await scripts(script, input, 60_000);
    assert.ok(outcome.ok, outcome.ok ? '' : `${outcome.error} ${outcome.log}`);
    return outcome.result;
  }
  const vmNamed = async (name: string) =>
    (await run('vm-list', {})).vms.find((vm) => vm.name === name) ?? assert.fail(`no VM ${name}`);

  it('lists the VMs as the model does, but for where their files are', async () => {
    const here = ({ host: name, vms }: ScriptResult<'vm-list'>) => ({
      name,
      vms: vms.map(({ path: _path, disks: _disks, ...vm }) => ({ ...vm, id: vm.id.toLowerCase() })),
    });
    assert.deepEqual(here(await run('vm-list', {})), here(modelled));
  });

  it('has the memory that its running VMs leave', async () => {
    const { memoryTotalMb, memoryFreeMb, vmsRunning } = await run('host-info', { vmRoot: host.vmRoot });
    assert.deepEqual([memoryTotalMb, memoryFreeMb, vmsRunning], [8_192, 4_096, 2]);
  });

  it('shows a VM that lost its power as off, and as running when the power is back', async () => {
    world.faults.apply({ fault: 'powerOff', machine: 'home-n1' });
    const { state, addresses } = await vmNamed('home-n1');
    assert.deepEqual([state, addresses], ['off', []]);
    world.faults.apply({ fault: 'powerOff', machine: 'home-n1', on: false });
    await eventually(() => world.machineNamed('home-n1')?.up === true, 'it is up');
    assert.equal((await vmNamed('home-n1')).state, 'running');
  });

  it('ends a guest whose VM a script stops', async () => {
    const { id } = await vmNamed('home-n1');
    assert.equal((await run('vm-stop', { id, gracefulSeconds: 0 })).state, 'off');
    await eventually(() => world.machineNamed('home-n1')?.powered === false, 'it is off');
    assert.equal((await vmNamed('home-n1')).state, 'off');
  });

  it('boots a guest of what is in the image and the seed when a script starts a VM', async () => {
    const [image] = (
      await run('image-list', { images: [{ id: IMAGE.id, folder: join(host.imageRoot, IMAGE.id) }] })
    ).images;
    const { id } = await run('vm-create', creation(host, image?.disk ?? '', 2_048));
    await eventually(() => world.machines.get(id)?.up === true, 'it is up');
    const { name, address, authorizedKeys, dockerVersion, images } = world.machines.get(id) ?? assert.fail();
    assert.deepEqual(
      [name, address, authorizedKeys, dockerVersion, [...images]],
      ['home-n3', '127.0.0.70', ['ssh-ed25519 BBBB'], '24.0.9', ['alpine']],
    );
    assert.deepEqual((await vmNamed('home-n3')).addresses, ['127.0.0.70', 'fe80::215:5dff:fe0a:b0c']);
    await run('vm-purge', { id, folder: join(host.vmRoot, 'home-n3'), disks: [], roots: [host.vmRoot] });
    await eventually(() => !world.machines.has(id), 'it is gone');
  });

  it('starts no VM for which the memory is missing', async () => {
    const disk = join(host.imageRoot, IMAGE.id, `${IMAGE.version}.vhdx`);
    const outcome = await scripts('vm-create', creation(host, disk, 7_000), 60_000);
    assert.match(outcome.ok ? 'it runs' : outcome.log, /Not enough memory/);
    assert.equal(world.hosts.running(), 1);
  });
});

function creation(host: PowerShellHost, imageDisk: string, memoryMb: number): ScriptInput<'vm-create'> {
  const folder = join(host.vmRoot, 'home-n3');
  const user = {
    hostname: 'home-n3',
    ssh_keys: { ed25519_private: 'PRIVATE', ed25519_public: 'ssh-ed25519 AAAA lab' },
    users: [{ name: 'ubuntu', ssh_authorized_keys: ['ssh-ed25519 BBBB agent'] }],
  };
  const seed = {
    metaData: '{}',
    userData: `#cloud-config\n${JSON.stringify(user)}`,
    networkConfig: JSON.stringify({ ethernets: { primary: { addresses: ['127.0.0.70/24'] } } }),
  };
  return {
    ...{
      name: 'home-n3',
      folder,
      imageDisk,
      differencing: false,
      disk: join(folder, 'system.vhdx'),
      memoryMb,
    },
    ...{ cpuCount: 2, switchName: 'External', vlan: null, mac: '00155D0A0B0C', macSpoofing: true },
    ...{ secureBoot: null, dynamicMemory: null, notes: '', startAction: 'start', startDelaySeconds: 0 },
    address: '127.0.0.70',
    seed: { path: join(folder, 'seed.iso'), base64: Buffer.from(seedImage(seed, 0)).toString('base64') },
  };
}
