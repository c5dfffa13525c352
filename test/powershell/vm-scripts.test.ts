import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { creation, ID } from './creation.ts';
import { adapter, hostOnDisk } from './host.ts';
import type { HostOnDisk } from './host.ts';
import { onPowerShell } from './suite.ts';
import { errorOf, onTraps } from './traps.ts';
import type { Trap } from './traps.ts';

const OTHER = '99999999-2222-4333-8444-555555555555';

onPowerShell('The scripts for VMs, each in a start of its own as the bridge runs it', (engine) => {
  let host: HostOnDisk;
  beforeEach(() => {
    host = hostOnDisk(engine());
  });
  afterEach(() => host.end());

  it('creates a VM with every setting that was asked for, lists it, sets it aside and purges it', async () => {
    const input = creation(host, {
      dynamicMemory: { minimumMb: 1024, maximumMb: 4096 },
      secureBoot: 'MicrosoftUEFICertificateAuthority',
    });
    const created = await host.run('vm-create', input, 60_000);
    assert.ok(created.ok, JSON.stringify(created));
    assert.deepEqual(
      { mac: created.result.mac, state: created.result.state },
      { mac: '00155D0A0B0C', state: 'running' },
    );
    const vm = host.world().vms[0]!;
    assert.equal(vm.notes, input.notes);
    assert.deepEqual(
      [
        vm['cpuCount'],
        vm['memoryStartup'],
        vm['dynamicMemory'],
        vm['memoryMinimum'],
        vm['startAction'],
        vm['startDelay'],
        vm['automaticCheckpoints'],
      ],
      [4, 2048 * 2 ** 20, true, 1024 * 2 ** 20, 'Start', 30, false],
    );
    assert.deepEqual(
      [vm['secureBoot'], vm['secureBootTemplate'], vm['firstBoot']],
      ['On', 'MicrosoftUEFICertificateAuthority', 'HardDiskDrive'],
    );
    const [nic] = vm.adapters;
    assert.deepEqual(
      [nic?.mac, nic?.dynamicMac, nic?.spoofing, nic?.vlanMode, nic?.vlan],
      ['00155D0A0B0C', false, 'On', 'Access', 20],
    );
    assert.equal(readFileSync(join(input.folder, 'seed.iso'), 'utf8'), 'the seed');
    assert.notEqual(statSync(input.disk).mode & 0o200, 0, 'the copy of a read-only image can be written');

    const listed = await host.run('vm-list', {}, 60_000);
    assert.ok(listed.ok, JSON.stringify(listed));
    const found = listed.result.vms[0]!;
    assert.deepEqual(
      [found.name, found.vlan, found.memoryMb, found.startAction, found.notes],
      ['prod-n1', 20, 2048, 'start', input.notes],
    );
    assert.deepEqual(
      found.addresses,
      ['10.0.20.101', 'fe80::215:5dff:fe01:203'],
      'what the guest claims is for the bridge to judge',
    );

    const folder = join(host.vmRoot, 'set-aside', found.id);
    const aside = await host.run(
      'vm-set-aside',
      { id: found.id, newName: 'prod-n1-set-aside', folder, gracefulSeconds: 5 },
      60_000,
    );
    assert.ok(aside.ok, JSON.stringify(aside));
    assert.deepEqual(
      [aside.result.state, aside.result.name, aside.result.path],
      ['off', 'prod-n1-set-aside', folder],
    );
    assert.equal(host.world().vms[0]!.adapters[0]!.switch, null);
    assert.equal(host.world().vms[0]!['startAction'], 'Nothing');

    const purged = await host.run(
      'vm-purge',
      { id: found.id, folder, disks: aside.result.disks, roots: [host.vmRoot] },
      60_000,
    );
    assert.ok(purged.ok, JSON.stringify(purged));
    assert.equal(purged.result.vmRemoved, true);
    assert.deepEqual(host.world().vms, []);
    assert.ok(!existsSync(folder) && existsSync(input.imageDisk), 'the image stays');
  });

  it('answers denied for an unknown VM when it may not look at any', async () => {
    host.change((world) => (world.denied = ['Get-VM']));
    const stopped = await host.run('vm-stop', { id: ID, gracefulSeconds: 0 }, 60_000);
    assert.deepEqual(stopped.ok ? stopped : stopped.error, 'denied');
  });
});

const is = <T>(actual: T, expected: T) => assert.deepEqual(actual, expected);

const CHANGES: Trap[] = [
  {
    title: 'finds no VM by an id that nobody has',
    script: 'vm-stop',
    given: (host) => (host.addVm({ id: OTHER, name: 'n1' }), { id: ID, gracefulSeconds: 0 }),
    then: (outcome) => is(errorOf(outcome), 'notFound'),
  },
  {
    title:
      'stops the VM of that id, not the other of the same name, nor one that its name matches as a wildcard',
    script: 'vm-stop',
    given(host) {
      host.addVm({ id: OTHER, name: 'n*', state: 'Running', path: join(host.vmRoot, 'a') });
      host.addVm({
        id: '77777777-2222-4333-8444-555555555555',
        name: 'n1',
        state: 'Running',
        path: join(host.vmRoot, 'b'),
      });
      host.addVm({ id: ID, name: 'n*', state: 'Running', path: join(host.vmRoot, 'c') });
      return { id: ID.toUpperCase(), gracefulSeconds: 0 };
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { id: ID, state: 'off' });
      is(
        host.world().vms.map(({ state }) => state),
        ['Running', 'Running', 'Off'],
      );
    },
  },
  {
    title: 'powers off a guest that does not shut down',
    script: 'vm-stop',
    given: (host) => (
      host.addVm({ id: ID, name: 'n1', state: 'Running', ignoresShutdown: true }),
      { id: ID, gracefulSeconds: 1 }
    ),
    then: (outcome) => is(outcome.ok && outcome.result, { id: ID, state: 'off' }),
  },
  {
    title: 'waits for a guest that shuts down in its time',
    script: 'vm-stop',
    given: (host) => (
      host.addVm({ id: ID, name: 'n1', state: 'Running', stopTakesReads: 2 }),
      { id: ID, gracefulSeconds: 10 }
    ),
    then(outcome, host) {
      is(outcome.ok && outcome.result, { id: ID, state: 'off' });
      is(host.calls().filter((call) => call.startsWith('Stop-VM')).length, 1);
    },
  },
  {
    title: 'differences the image when told so',
    script: 'vm-create',
    given: (host) => creation(host, { differencing: true }),
    then(outcome, host) {
      assert.ok(outcome.ok, outcome.stderr);
      assert.match(
        readFileSync(join(host.vmRoot, 'prod-n1', 'system.vhdx'), 'utf8'),
        /^differencing .*1\.vhdx$/,
      );
    },
  },
  {
    title: 'creates nothing in a folder that is already there',
    script: 'vm-create',
    given: (host) => (mkdirSync(join(host.vmRoot, 'prod-n1')), creation(host)),
    then(outcome, host) {
      is(errorOf(outcome), 'scriptFailed');
      assert.match(outcome.stderr, /folder: it is already there/);
      is(host.calls(), []);
    },
  },
  {
    title: 'says that the disk is full',
    script: 'vm-create',
    given: (host) => (
      host.change((world) => (world.faults = [{ at: 1, act: 'diskFull' }])),
      creation(host, { differencing: true })
    ),
    then: (outcome) => is(errorOf(outcome), 'diskFull'),
  },
  {
    title: 'says that it was denied',
    script: 'vm-create',
    given: (host) => (host.change((world) => (world.denied = ['New-VM'])), creation(host)),
    then: (outcome) => is(errorOf(outcome), 'denied'),
  },
  {
    title: 'stops at the first cmdlet that fails, though its error ends nothing by itself',
    script: 'vm-create',
    given: (host) => creation(host, { switchName: 'Absent' }),
    then(outcome, host) {
      is(errorOf(outcome), 'scriptFailed');
      is(host.calls().length, 1);
    },
  },
  {
    title: 'moves a VM again whose disks were left behind',
    script: 'vm-set-aside',
    given(host) {
      const folder = join(host.vmRoot, 'set-aside', ID);
      mkdirSync(folder, { recursive: true });
      mkdirSync(join(host.vmRoot, 'n1'));
      host.addVm({ id: ID, name: 'n1-aside', path: folder, disks: [join(host.vmRoot, 'n1', 'system.vhdx')] });
      return { id: ID, newName: 'n1-aside', folder, gracefulSeconds: 0 };
    },
    then(outcome, host) {
      assert.ok(outcome.ok, outcome.stderr);
      is(host.world().vms[0]?.disks, [
        join(host.vmRoot, 'set-aside', ID, 'Virtual Hard Disks', 'system.vhdx'),
      ]);
    },
  },
  {
    title: 'sets a VM aside a second time without moving it',
    script: 'vm-set-aside',
    given(host) {
      const folder = join(host.vmRoot, 'set-aside', ID);
      host.addVm({ id: ID, name: 'n1-aside', path: folder });
      return { id: ID, newName: 'n1-aside', folder, gracefulSeconds: 0 };
    },
    then(outcome, host) {
      assert.ok(outcome.ok, outcome.stderr);
      is(
        host.calls().filter((call) => /^(Rename|Move)/.test(call)),
        [],
      );
    },
  },
  {
    title: 'brings a VM back under its name, disconnected and off',
    script: 'vm-undelete',
    given(host) {
      host.addVm({
        id: ID,
        name: 'n1-aside',
        path: join(host.vmRoot, 'set-aside', ID),
        adapters: [adapter({ switch: null })],
      });
      return { id: ID, name: 'n1', folder: join(host.vmRoot, 'n1') };
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { id: ID, name: 'n1', state: 'off', path: join(host.vmRoot, 'n1') });
      is(host.world().vms[0]?.adapters[0]?.switch, null);
    },
  },
  {
    title: 'brings no VM back whose name another one has',
    script: 'vm-undelete',
    given(host) {
      host.addVm({ id: OTHER, name: 'N1' });
      host.addVm({ id: ID, name: 'n1-aside' });
      return { id: ID, name: 'n1', folder: join(host.vmRoot, 'n1') };
    },
    then: (outcome) => is(errorOf(outcome), 'nameTaken'),
  },
  {
    title: 'takes the seed out of the drive and removes it, twice',
    script: 'vm-eject-seed',
    given(host) {
      const path = join(host.vmRoot, 'n1', 'seed.iso');
      host.addVm({ id: ID, name: 'n1', dvds: [path] });
      writeFileSync(path, 'seed');
      return { id: ID, path, roots: [host.vmRoot] };
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { id: ID });
      is(host.world().vms[0]?.dvds, [null]);
      assert.ok(!existsSync(join(host.vmRoot, 'n1', 'seed.iso')));
    },
  },
  {
    title: 'leaves another disc in the drive',
    script: 'vm-eject-seed',
    given(host) {
      host.addVm({ id: ID, name: 'n1', dvds: ['/isos/rescue.iso'] });
      return { id: ID, path: join(host.vmRoot, 'n1', 'seed.iso'), roots: [host.vmRoot] };
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { id: ID });
      is(host.world().vms[0]?.dvds, ['/isos/rescue.iso']);
    },
  },
];

onTraps('The scripts that change a VM, in the traps of a host', CHANGES);
