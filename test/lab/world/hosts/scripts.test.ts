import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'mocha';
import type { ScriptInput, ScriptName, ScriptResult } from '../../../../agent-bridge/host/scripts.ts';
import { seedImage } from '../../../../agent-bridge/host/seed.ts';
import { RESULT_PREFIX, SCRIPTS } from '../../../../agent-bridge/host/scripts.ts';
import { manualClock } from '../../../../lab/world/clock.ts';
import type { ManualClock } from '../../../../lab/world/clock.ts';
import { createWorld } from '../../../../lab/world/create.ts';
import type { LabWorld } from '../../../../lab/world/create.ts';
import type { EngineResult } from '../../../../lab/world/hosts/engine.ts';
import { REAL_KIND_MS } from '../../../../lab/world/timing.ts';

const NONCE = '0123456789abcdef0123456789abcdef';
const IMAGES = 'D:\\images\\ubuntu';
const NOTES = '{"startGroup": 2, "delayOffset": 30}';
let clock: ManualClock;
let world: LabWorld;

const stdin = (script: ScriptName, input: unknown): string =>
  JSON.stringify({ v: 1, nonce: NONCE, script, input });

/** Runs the script while the clock goes on. */
async function raw(
  script: ScriptName,
  input: unknown,
  signal?: AbortSignal,
  ms = 5_000,
): Promise<EngineResult> {
  const running = world.hosts.engine('hv1', `C:\\bridge\\${script}.ps1`, stdin(script, input), signal);
  await clock.run(ms);
  return running;
}

async function run<S extends ScriptName>(script: S, input: ScriptInput<S>): Promise<ScriptResult<S>> {
  const { stdout, exitCode, stderr } = await raw(script, input);
  assert.equal(exitCode, 0, `${stdout}${stderr}`);
  return SCRIPTS[script].result.parse(frame(stdout)) as ScriptResult<S>;
}

function frame(stdout: string): unknown {
  const last = stdout.trimEnd().split('\r\n').at(-1) ?? '';
  assert.ok(last.startsWith(`${RESULT_PREFIX}${NONCE} `));
  return JSON.parse(last.slice(RESULT_PREFIX.length + NONCE.length + 1));
}

const create = (name: string, rest: Partial<ScriptInput<'vm-create'>> = {}): ScriptInput<'vm-create'> => ({
  name,
  folder: `D:\\VMs\\${name}`,
  imageDisk: `${IMAGES}\\v1.vhdx`,
  differencing: true,
  disk: `D:\\VMs\\${name}\\${name}.vhdx`,
  memoryMb: 4096,
  cpuCount: 2,
  switchName: 'external',
  vlan: 12,
  mac: '00155D0A0B0C',
  macSpoofing: true,
  secureBoot: 'MicrosoftUEFICertificateAuthority',
  dynamicMemory: null,
  notes: NOTES,
  startAction: 'start',
  startDelaySeconds: 30,
  address: '127.0.0.70',
  seed: {
    path: `D:\\VMs\\${name}\\seed.iso`,
    base64: Buffer.from(
      seedImage(
        {
          metaData: '{}',
          userData: `#cloud-config\n${JSON.stringify({
            hostname: name,
            ssh_keys: { ed25519_private: 'PRIVATE', ed25519_public: 'ssh-ed25519 AAAA lab' },
            users: [{ name: 'rke', ssh_authorized_keys: ['ssh-ed25519 BBBB agent'] }],
          })}`,
          networkConfig:
            rest.address === null
              ? null
              : JSON.stringify({ ethernets: { primary: { addresses: ['127.0.0.70/24'] } } }),
        },
        0,
      ),
    ).toString('base64'),
  },
  ...rest,
});

const only = () => world.hosts.vms().find(({ name }) => name === 'new');

describe('the Hyper-V host of the lab, through the bridge’s scripts', () => {
  beforeEach(() => {
    clock = manualClock(Date.parse('2026-05-01T00:00:00Z'));
    world = createWorld({
      cluster: 'test',
      seed: 3,
      clock,
      hosts: [
        {
          name: 'hv1',
          memoryMb: 10_240,
          diskBytes: 2 ** 37,
          dhcp: ['127.0.0.90'],
          images: [
            {
              id: 'ubuntu',
              folder: IMAGES,
              version: 'v1',
              sourceHash: 'a'.repeat(64),
              builtAtMs: clock.nowMs(),
              content: { dockerVersion: '20.10.24', images: ['rancher/hyperkube:v1.20.15-rancher2'] },
            },
          ],
        },
      ],
    });
    world.hosts.addVm({
      name: 'old',
      address: '127.0.0.60',
      notes: NOTES,
      createdAtMs: clock.nowMs() - 86_400_000 * 61,
      sshHostKey: { private: '', public: 'ssh-ed25519 CCCC' },
    });
  });

  it('creates a VM whose guest is up only after it has booted', async () => {
    const running = raw('vm-create', create('new'), undefined, 1_000);
    const { stdout } = await running;
    const { id } = frame(stdout) as { id: string };
    const machine = world.machines.get(id);
    assert.ok(machine?.powered === true && !machine.up);
    assert.equal(world.hosts.peak(), 2);
    await clock.run(REAL_KIND_MS.boot);
    assert.ok(machine.up);
    assert.deepEqual(
      [machine.name, machine.address, machine.authorizedKeys],
      ['new', '127.0.0.70', ['ssh-ed25519 BBBB']],
    );
    assert.deepEqual(machine.sshHostKey, { private: 'PRIVATE', public: 'ssh-ed25519 AAAA' });
    const { vms } = await run('vm-list', {});
    const found = vms.find(({ name }) => name === 'new');
    assert.deepEqual(
      [found?.notes, found?.vlan, found?.startDelaySeconds, found?.mac],
      [NOTES, 12, 30, '00155D0A0B0C'],
    );
    assert.equal(found?.addresses[0], '127.0.0.70');
    assert.match(found.addresses[1] ?? '', /^fe80::215:5dff:fe0a:b0c$/);
  });

  it('leaves what a killed creation had made by then', async () => {
    const kill = new AbortController();
    clock.after(REAL_KIND_MS.diskCopy + REAL_KIND_MS.hypervStep + 10, () => kill.abort());
    const killed = await raw('vm-create', create('new'), kill.signal);
    assert.notEqual(killed.exitCode, 0);
    const vm = only();
    // New-VM was through, Set-VM was not: a VM without notes, off, with its disk.
    assert.deepEqual([vm?.state, vm?.notes], ['off', '']);
    const purged = await run('vm-purge', {
      id: vm?.id ?? null,
      folder: 'D:\\VMs\\new',
      disks: vm?.disks ?? [],
      roots: ['D:\\VMs'],
    });
    assert.deepEqual(purged, { vmRemoved: true, filesRemoved: 1 });
    assert.equal(only(), undefined);
  });

  it('gives a guest without a static address one by DHCP, and a link-local one when the pool is empty', async () => {
    const first = await run('vm-create', create('new', { address: null }));
    assert.equal(world.machines.get(first.id)?.address, '127.0.0.90');
    const second = await run('vm-create', create('more', { address: null, memoryMb: 1024 }));
    assert.match(world.machines.get(second.id)?.address ?? '', /^169\.254\./);
  });

  it('refuses a name that is there, and a disk that does not fit', async () => {
    const taken = await raw('vm-create', create('old'));
    assert.deepEqual([taken.exitCode, frame(taken.stdout)], [3, { error: 'nameTaken' }]);
    const [host] = world.hosts.all.values();
    host?.files.set('D:\\other.vhdx', { sizeBytes: 2 ** 37 });
    const full = await raw('vm-create', create('new'));
    assert.deepEqual(frame(full.stdout), { error: 'diskFull' });
    assert.equal(only(), undefined);
  });

  it('fails as Start-VM fails when the memory is not there, and leaves the VM off', async () => {
    const failed = await raw('vm-create', create('new', { memoryMb: 8192 }));
    assert.equal(failed.exitCode, 1);
    assert.match(failed.stderr, /Not enough memory/);
    assert.equal(only()?.state, 'off');
  });

  it('sets a VM aside so that it cannot come back by itself, and does it twice without harm', async () => {
    const [old] = world.hosts.vms();
    const input = { id: old?.id ?? '', newName: 'old-aside', folder: 'D:\\aside\\old', gracefulSeconds: 5 };
    const first = await run('vm-set-aside', input);
    assert.deepEqual(await run('vm-set-aside', input), first);
    assert.deepEqual(
      [first.state, first.name, first.disks],
      ['off', 'old-aside', ['D:\\aside\\old\\old.vhdx']],
    );
    assert.deepEqual([old?.startAction, old?.connected, old?.notes], ['nothing', false, NOTES]);
    assert.equal(world.machineAt('127.0.0.60'), undefined);
    const back = await run('vm-undelete', { id: old?.id ?? '', name: 'old', folder: 'D:\\VMs\\old' });
    assert.deepEqual([back.name, back.state], ['old', 'off']);
  });

  it('removes no file outside the roots', async () => {
    const input = {
      id: null,
      folder: null,
      disks: ['D:\\VMs\\..\\images\\ubuntu\\v1.vhdx'],
      roots: ['D:\\VMs'],
    };
    const denied = await raw('vm-purge', input);
    assert.deepEqual([denied.exitCode, frame(denied.stdout)], [3, { error: 'denied' }]);
    assert.ok(world.hosts.all.get('hv1')?.files.has(`${IMAGES}\\v1.vhdx`));
  });

  it('writes notes only over the notes that were expected', async () => {
    const [old] = world.hosts.vms();
    const id = old?.id ?? '';
    const stale = await raw('vm-adopt', { id, expectNotes: '', notes: 'mine' });
    assert.deepEqual(frame(stale.stdout), { error: 'setChanged' });
    assert.equal(old?.notes, NOTES);
    await run('vm-adopt', { id, expectNotes: NOTES, notes: '{"startGroup":2,"nodeCycle":{}}' });
    assert.equal(old.notes, '{"startGroup":2,"nodeCycle":{}}');
  });

  it('has the new image only when its build has ended', async () => {
    const input: ScriptInput<'image-build'> = {
      id: 'ubuntu',
      version: 'v2',
      sourceHash: 'b'.repeat(64),
      folder: 'D:\\images\\ubuntu',
      workFolder: 'D:\\work',
      packer: 'C:\\packer.exe',
      files: [{ from: 'C:\\t.pkr.hcl', to: 't.pkr.hcl', sha256: 'c'.repeat(64) }],
      base: null,
      secrets: {},
      variables: {},
    };
    const images = { images: [{ id: 'ubuntu', folder: IMAGES }] };
    const kill = new AbortController();
    clock.after(100, () => kill.abort());
    await raw('image-build', input, kill.signal);
    assert.equal((await run('image-list', images)).images[0]?.version, 'v1');
    const built = await run('image-build', input);
    const [listed] = (await run('image-list', images)).images;
    assert.deepEqual([listed?.version, listed?.disk, listed?.builtAt], ['v2', built.disk, built.builtAt]);
  });

  it('tells memory, disk and running VMs', async () => {
    const info = await run('host-info', { vmRoot: 'D:\\VMs' });
    assert.deepEqual([info.memoryFreeMb, info.memoryTotalMb, info.vmsRunning], [6_144, 10_240, 1]);
    assert.ok(info.diskFreeBytes > 0 && info.diskFreeBytes < 2 ** 37);
  });

  it('is no DNS server', async () => {
    const read = await raw('dns-read', { servers: ['dns1'], zone: 'lab.test', names: ['api'] });
    assert.deepEqual([read.exitCode, frame(read.stdout)], [3, { error: 'unreachable' }]);
  });

  it('takes no script that it does not know and no input of another shape', async () => {
    const unknown = await world.hosts.engine('hv1', 'C:\\other.ps1', '{}');
    assert.equal(unknown.exitCode, 64);
    const wrong = await raw('vm-stop', { id: '*', gracefulSeconds: 0 });
    assert.deepEqual([wrong.exitCode, wrong.stdout], [1, '']);
  });
});
