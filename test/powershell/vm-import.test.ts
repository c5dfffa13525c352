import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXPORTED, exportVm, ID, importing } from './creation.ts';
import { adapter, hostOnDisk } from './host.ts';
import type { HostOnDisk, World } from './host.ts';
import { onPowerShell } from './suite.ts';
import { errorOf, onTraps } from './traps.ts';
import type { Trap } from './traps.ts';

const configuration = (folder: string, id = EXPORTED) =>
  join(folder, 'Virtual Machines', `${id.toUpperCase()}.vmcx`);

onPowerShell('A VM that Packer exported, in a start of its own as the bridge runs it', (engine) => {
  let host: HostOnDisk;
  beforeEach(() => {
    host = hostOnDisk(engine());
  });
  afterEach(() => host.end());

  it('is imported where it lies, gets every setting that was asked for, is listed, and can be purged', async () => {
    const input = importing(host, {
      dynamicMemory: { minimumMb: 1024, maximumMb: 4096 },
      secureBoot: 'MicrosoftUEFICertificateAuthority',
    });
    const imported = await host.run('vm-import', input, 60_000);
    assert.ok(imported.ok, JSON.stringify(imported));
    assert.deepEqual(imported.result, { id: EXPORTED, mac: '00155D0A0B0C', state: 'running' });
    const vm = host.world().vms[0]!;
    assert.deepEqual(
      [vm.name, vm.path, vm.disks],
      ['prod-n1', input.exported, [join(input.exported, 'Virtual Hard Disks', 'build.vhdx')]],
    );
    assert.deepEqual(
      [vm.notes, vm['cpuCount'], vm['memoryStartup'], vm['dynamicMemory'], vm['memoryMinimum']],
      [input.notes, 4, 2048 * 2 ** 20, true, 1024 * 2 ** 20],
    );
    assert.deepEqual(
      [vm['startAction'], vm['startDelay'], vm['automaticCheckpoints'], vm['firstBoot']],
      ['Start', 30, false, 'HardDiskDrive'],
    );
    assert.deepEqual(
      [vm['secureBoot'], vm['secureBootTemplate']],
      ['On', 'MicrosoftUEFICertificateAuthority'],
    );
    const [nic, ...more] = vm.adapters;
    assert.deepEqual(
      [nic?.switch, nic?.mac, nic?.dynamicMac, nic?.spoofing, nic?.vlanMode, nic?.vlan, more],
      ['External', '00155D0A0B0C', false, 'On', 'Access', 20, []],
    );
    assert.deepEqual([vm['snapshotFolder'], vm['pagingFolder']], [input.exported, input.exported]);
    assert.deepEqual(vm.dvds, [input.seed.path], 'the installer is out, the seed is in');
    assert.equal(readFileSync(input.seed.path, 'utf8'), 'the seed');

    const listed = await host.run('vm-list', {}, 60_000);
    assert.ok(listed.ok, JSON.stringify(listed));
    const found = listed.result.vms[0]!;
    assert.deepEqual([found.name, found.vlan, found.notes], ['prod-n1', 20, input.notes]);

    const { folder } = input;
    const purged = await host.run(
      'vm-purge',
      { id: found.id, folder, disks: found.disks, roots: [folder] },
      60_000,
    );
    assert.ok(purged.ok, JSON.stringify(purged));
    assert.deepEqual([host.world().vms, host.files()], [[], []]);
  });
});

const nothingImported = (host: HostOnDisk) => assert.deepEqual(host.world().vms, []);
const wrong =
  (says: RegExp): Trap['then'] =>
  (outcome, host) => {
    assert.equal(errorOf(outcome), 'wrongExport', outcome.stderr);
    assert.match(outcome.stderr, says);
    nothingImported(host);
  };
/** Another export than the one that `importing` makes. */
const exporting =
  (more: object): Trap['given'] =>
  (host) => {
    const input = importing(host);
    exportVm(input.exported, more);
    return input;
  };

const TRAPS: Trap[] = [
  {
    title: 'puts a VM that was built in a VLAN on a network without one',
    script: 'vm-import',
    given: (host) => importing(host, { vlan: null }),
    then(outcome, host) {
      assert.ok(outcome.ok, outcome.stderr);
      assert.deepEqual(host.world().vms[0]!.adapters[0]!.vlanMode, 'Untagged');
    },
  },
  {
    title: 'imports a VM whose switch is still there without asking a second time',
    script: 'vm-import',
    given: exporting({ adapters: [adapter()] }),
    then(outcome, host) {
      assert.ok(outcome.ok, outcome.stderr);
      assert.deepEqual(
        host.calls().filter((call) => /Compare|Disconnect/.test(call)),
        ['Compare-VM Register'],
      );
    },
  },
  {
    title: 'refuses an export without a VM',
    script: 'vm-import',
    given(host) {
      const input = importing(host);
      renameSync(configuration(input.exported), join(input.exported, 'not-a-vm.txt'));
      return input;
    },
    then: wrong(/expected one \.vmcx.* found 0/),
  },
  {
    title: 'refuses a folder that Packer never made',
    script: 'vm-import',
    given: (host) => importing(host, { exported: join(host.vmRoot, 'prod-n1', 'elsewhere') }),
    then: wrong(/found 0 below/),
  },
  {
    title: 'refuses an export of two VMs',
    script: 'vm-import',
    given(host) {
      const input = importing(host);
      exportVm(join(input.exported, 'second'), {}, ID);
      return input;
    },
    then: wrong(/found 2/),
  },
  {
    title: 'refuses an export with a checkpoint',
    script: 'vm-import',
    given(host) {
      const input = importing(host);
      mkdirSync(join(input.exported, 'Snapshots'));
      writeFileSync(join(input.exported, 'Snapshots', `${ID}.vmcx`), '{}');
      return input;
    },
    then: wrong(/found 2/),
  },
  {
    title: 'refuses a VM of generation 1',
    script: 'vm-import',
    given: exporting({ generation: 1 }),
    then: wrong(/expected generation 2, found 1/),
  },
  {
    title: 'does not follow a link out of the folder to a configuration',
    script: 'vm-import',
    given(host) {
      const input = importing(host);
      const outside = join(host.imageRoot, 'outside.vmcx');
      renameSync(configuration(input.exported), outside);
      symlinkSync(outside, configuration(input.exported));
      return input;
    },
    then: wrong(/is a link/),
  },
  {
    title: 'does not follow a linked folder to one',
    script: 'vm-import',
    given(host) {
      const input = importing(host);
      const outside = join(host.imageRoot, 'outside');
      renameSync(join(input.exported, 'Virtual Machines'), outside);
      symlinkSync(outside, join(input.exported, 'Virtual Machines'));
      return input;
    },
    then: wrong(/found 0/),
  },
  {
    title: 'refuses an export beside the job\u2019s folder',
    script: 'vm-import',
    given(host) {
      const exported = join(host.vmRoot, 'another');
      exportVm(exported);
      return importing(host, { exported });
    },
    then(outcome, host) {
      assert.equal(errorOf(outcome), 'scriptFailed');
      assert.match(outcome.stderr, /exported: ".*another" is not below/);
      assert.deepEqual(host.calls(), []);
    },
  },
  {
    title: 'starts no VM whose disk lies elsewhere',
    script: 'vm-import',
    given(host) {
      const input = importing(host);
      const disk = join(host.imageRoot, 'golden.vhdx');
      writeFileSync(disk, 'golden');
      exportVm(input.exported, { disks: [disk] });
      return input;
    },
    then(outcome, host) {
      assert.equal(errorOf(outcome), 'wrongExport');
      assert.match(outcome.stderr, /expected its disks in/);
      assert.deepEqual(
        host.world().vms.map(({ state }) => state),
        ['Off'],
      );
    },
  },
  {
    title: 'says what this host lacks for the VM, and imports nothing',
    script: 'vm-import',
    given: exporting({ disks: ['Virtual Hard Disks/gone.vhdx'] }),
    then: wrong(/this host cannot take it: Could not find virtual hard disk/),
  },
  {
    title: 'refuses a VM with two adapters, one of which nobody would have put on a network',
    script: 'vm-import',
    given: exporting({ adapters: [adapter(), adapter()] }),
    then(outcome, host) {
      assert.equal(errorOf(outcome), 'wrongExport');
      assert.match(outcome.stderr, /expected one network adapter, found 2/);
      assert.equal(host.world().vms[0]!.state, 'Off');
    },
  },
  {
    title: 'imports nothing when a VM has the name by now',
    script: 'vm-import',
    given: (host) => (host.addVm({ id: ID, name: 'PROD-N1', path: join(host.vmRoot, 'a') }), importing(host)),
    then(outcome, host, before: World) {
      assert.equal(errorOf(outcome), 'nameTaken');
      assert.deepEqual(host.world().vms, before.vms);
    },
  },
  {
    title: 'imports nothing when Packer left its own VM registered',
    script: 'vm-import',
    given: (host) => (
      host.addVm({ id: EXPORTED, name: 'build-ubuntu-0', path: join(host.vmRoot, 'a') }),
      importing(host)
    ),
    then(outcome, host) {
      assert.equal(errorOf(outcome), 'wrongExport');
      assert.deepEqual(
        host.world().vms.map(({ name }) => name),
        ['build-ubuntu-0'],
      );
    },
  },
  {
    title: 'says that it was denied',
    script: 'vm-import',
    given: (host) => (host.change((world) => (world.denied = ['Import-VM'])), importing(host)),
    then: (outcome) => assert.equal(errorOf(outcome), 'denied'),
  },
  {
    title: 'stops when the switch of the policy is not there',
    script: 'vm-import',
    given: (host) => importing(host, { switchName: 'Absent' }),
    then(outcome, host) {
      assert.equal(errorOf(outcome), 'scriptFailed');
      assert.equal(host.world().vms[0]!.state, 'Off');
    },
  },
];

onTraps('The import of what Packer exported', TRAPS);
