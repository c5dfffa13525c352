import assert from 'node:assert/strict';
import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ID } from './creation.ts';
import type { HostOnDisk } from './host.ts';
import { errorOf, onTraps } from './traps.ts';
import type { Trap } from './traps.ts';

const OTHER = '99999999-2222-4333-8444-555555555555';
const purge = (host: HostOnDisk, more: object = {}) => ({
  id: ID,
  folder: null,
  disks: [],
  roots: [host.vmRoot],
  ...more,
});
const is = <T>(actual: T, expected: T) => assert.deepEqual(actual, expected);

const TRAPS: Trap[] = [
  {
    title: 'touches no replicated VM',
    script: 'vm-purge',
    given: (host) => (
      host.addVm({ id: ID, name: 'n1', replication: 'Replicating' }),
      purge(host, { folder: join(host.vmRoot, 'n1') })
    ),
    then(outcome, host, before) {
      is(errorOf(outcome), 'replicated');
      is(host.world().vms.length, before.vms.length);
      assert.ok(existsSync(join(host.vmRoot, 'n1', 'system.vhdx')));
    },
  },
  {
    title: 'deletes no disk of a VM that it may not look at',
    script: 'vm-purge',
    given(host) {
      const { disks } = host.addVm({ id: ID, name: 'n1' });
      host.change((world) => (world.denied = ['Get-VM']));
      return purge(host, { disks, folder: join(host.vmRoot, 'n1') });
    },
    then(outcome, host) {
      is(errorOf(outcome), 'denied');
      assert.ok(existsSync(join(host.vmRoot, 'n1', 'system.vhdx')));
    },
  },
  {
    title: 'removes the disks that Remove-VM leaves, and the folder',
    script: 'vm-purge',
    given(host) {
      const { disks } = host.addVm({ id: ID, name: 'n1', state: 'Running' });
      writeFileSync(join(host.vmRoot, 'n1', 'seed.iso'), 'seed');
      return purge(host, { disks, folder: join(host.vmRoot, 'n1') });
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { vmRemoved: true, filesRemoved: 2 });
      assert.ok(!existsSync(join(host.vmRoot, 'n1')));
    },
  },
  {
    title: 'waits until a merge is over before it takes the disks',
    script: 'vm-purge',
    given(host) {
      host.addVm({ id: ID, name: 'n1', snapshots: [{ id: OTHER, name: 's1' }], mergeTakesReads: 1 });
      writeFileSync(join(host.vmRoot, 'n1', 'system_0001.avhdx'), 'changes');
      return purge(host);
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { vmRemoved: true, filesRemoved: 1 });
      is(host.files(), []);
    },
  },
  {
    title: 'takes a clustered VM out of the cluster by its id, whatever its group is called',
    script: 'vm-purge',
    given: (host) => (
      host.addVm({ id: ID, name: 'n1', isClustered: true, clusterGroup: 'SCVMM n1 Resources' }),
      purge(host)
    ),
    then: (outcome) => is(outcome.ok && outcome.result, { vmRemoved: true, filesRemoved: 1 }),
  },
  {
    title: 'purges again what is already gone',
    script: 'vm-purge',
    given: (host) =>
      purge(host, { folder: join(host.vmRoot, 'gone'), disks: [join(host.vmRoot, 'gone', 'x.vhdx')] }),
    then: (outcome) => is(outcome.ok && outcome.result, { vmRemoved: false, filesRemoved: 0 }),
  },
  {
    title: 'keeps a recorded disk that is outside the roots, and one that another VM has',
    script: 'vm-purge',
    given(host) {
      const outside = join(host.dir, 'elsewhere.vhdx');
      writeFileSync(outside, 'not ours');
      const other = host.addVm({ id: OTHER, name: 'n2' });
      host.addVm({ id: ID, name: 'n1' });
      return purge(host, { disks: [outside, `${host.vmRoot}/../elsewhere.vhdx`, ...other.disks] });
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { vmRemoved: true, filesRemoved: 1 });
      assert.ok(
        existsSync(join(host.dir, 'elsewhere.vhdx')) && existsSync(join(host.vmRoot, 'n2', 'system.vhdx')),
      );
      assert.match(outcome.stderr, /not below a root: .*elsewhere\.vhdx/);
      assert.match(outcome.stderr, /another VM has it: .*n2/);
    },
  },
  {
    title: 'leaves a folder alone in which another VM lives',
    script: 'vm-purge',
    given: (host) => (host.addVm({ id: OTHER, name: 'n2' }), purge(host, { id: null, folder: host.vmRoot })),
    then(outcome, host) {
      is(errorOf(outcome), 'scriptFailed');
      assert.ok(existsSync(join(host.vmRoot, 'n2', 'system.vhdx')));
    },
  },
  {
    title: 'does nothing at all when the folder to purge is outside the roots',
    script: 'vm-purge',
    given: (host) => (host.addVm({ id: ID, name: 'n1' }), purge(host, { folder: host.imageRoot })),
    then(outcome, host) {
      is(errorOf(outcome), 'scriptFailed');
      assert.match(outcome.stderr, /folder: .* is not below/);
      is(host.world().vms.length, 1);
      assert.ok(existsSync(host.imageRoot));
    },
  },
  {
    title: 'removes a link in the folder and not what it leads to',
    script: 'vm-purge',
    given(host) {
      const folder = join(host.vmRoot, 'n1');
      mkdirSync(folder);
      writeFileSync(join(host.imageRoot, 'golden.vhdx'), 'golden');
      symlinkSync(host.imageRoot, join(folder, 'link'));
      symlinkSync(join(host.imageRoot, 'golden.vhdx'), join(folder, 'disk.vhdx'));
      symlinkSync(join(host.dir, 'nowhere'), join(folder, 'dangling'));
      return purge(host, { id: null, folder });
    },
    then(outcome, host) {
      assert.ok(outcome.ok, outcome.stderr);
      assert.ok(existsSync(join(host.imageRoot, 'golden.vhdx')));
      assert.throws(() => lstatSync(join(host.vmRoot, 'n1')));
    },
  },
  {
    title: 'follows no folder that is a link on the way to a disk',
    script: 'vm-purge',
    given(host) {
      writeFileSync(join(host.imageRoot, 'golden.vhdx'), 'golden');
      symlinkSync(host.imageRoot, join(host.vmRoot, 'n1'));
      return purge(host, { id: null, disks: [join(host.vmRoot, 'n1', 'golden.vhdx')] });
    },
    then(outcome, host) {
      is(outcome.ok && outcome.result, { vmRemoved: false, filesRemoved: 0 });
      assert.ok(existsSync(join(host.imageRoot, 'golden.vhdx')));
    },
  },
  {
    title: 'follows no root that is itself a link',
    script: 'vm-purge',
    given(host) {
      writeFileSync(join(host.imageRoot, 'golden.vhdx'), 'golden');
      const folder = join(host.vmRoot, 'n1');
      symlinkSync(host.imageRoot, folder);
      return { id: null, folder, disks: [join(folder, 'golden.vhdx')], roots: [folder] };
    },
    then(outcome, host) {
      is(errorOf(outcome), 'scriptFailed');
      assert.ok(existsSync(join(host.imageRoot, 'golden.vhdx')));
    },
  },
  {
    title: 'removes a read-only disk',
    script: 'vm-purge',
    given(host) {
      const { disks } = host.addVm({ id: ID, name: 'n1' });
      chmodSync(disks[0]!, 0o444);
      return purge(host, { disks });
    },
    then: (outcome) => is(outcome.ok && outcome.result, { vmRemoved: true, filesRemoved: 1 }),
  },
];

onTraps('The script that deletes, in the traps of a host', TRAPS);
