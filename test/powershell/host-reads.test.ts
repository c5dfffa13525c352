import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ID } from './creation.ts';
import { adapter } from './host.ts';
import { errorOf, onTraps } from './traps.ts';
import type { Trap } from './traps.ts';

const OTHER = '99999999-2222-4333-8444-555555555555';
const is = <T>(actual: T, expected: T) => assert.deepEqual(actual, expected);

const READS: Trap[] = [
  {
    title: 'lists a host without VMs',
    script: 'vm-list',
    given: () => ({}),
    then: (outcome) => is(outcome.ok && outcome.result, { host: 'HOST1', vms: [] }),
  },
  {
    title: 'fails rather than list nothing when it may not look',
    script: 'vm-list',
    given: (host) => (host.change((world) => (world.denied = ['Get-VM'])), {}),
    then: (outcome) => is(errorOf(outcome), 'denied'),
  },
  {
    title: 'lists a VM without an adapter, and one with two',
    script: 'vm-list',
    given(host) {
      host.addVm({ id: ID, name: 'bare', adapters: [], disks: [] });
      const two = [
        adapter({ addresses: ['169.254.3.4'] }),
        adapter({ name: 'second', mac: '00155D000002', addresses: ['10.9.9.9', 'fe80::1'] }),
      ];
      host.addVm({ id: OTHER, name: 'two', state: 'Running', adapters: two });
      return {};
    },
    then(outcome) {
      const { vms } = (outcome.ok ? outcome.result : {}) as {
        vms: { mac: string; addresses: string[]; disks: string[] }[];
      };
      is(
        vms.map(({ mac, addresses }) => [mac, addresses]),
        [
          ['', []],
          ['00155D010203', ['169.254.3.4', '10.9.9.9', 'fe80::1']],
        ],
      );
    },
  },
  {
    title: 'tells how much memory and disk the host has',
    script: 'host-info',
    given: (host) => (host.addVm({ id: ID, name: 'n1', state: 'Running' }), { vmRoot: host.vmRoot }),
    then(outcome) {
      const { diskFreeBytes, ...rest } = (outcome.ok ? outcome.result : {}) as Record<string, number>;
      is(rest as object, { host: 'HOST1', memoryFreeMb: 32_768, memoryTotalMb: 65_536, vmsRunning: 1 });
      assert.ok(diskFreeBytes! > 0);
    },
  },
  {
    title: 'lists the built images, and leaves out one without its disk and one that is another’s',
    script: 'image-list',
    given(host) {
      const image = (id: string, disk: string, own = id) => {
        const folder = join(host.imageRoot, id);
        mkdirSync(folder);
        const text = {
          id: own,
          builtAt: '2026-01-02T03:04:05.123Z',
          version: '7',
          sourceHash: 'a'.repeat(64),
          disk: join(folder, disk),
        };
        writeFileSync(join(folder, 'image.json'), `\uFEFF${JSON.stringify(text)}`);
        writeFileSync(join(folder, '7.vhdx'), 'golden');
        return { id, folder };
      };
      const absent = { id: 'never', folder: join(host.imageRoot, 'never') };
      return {
        images: [
          image('ubuntu', '7.vhdx'),
          image('lost', '8.vhdx'),
          image('wrong', '7.vhdx', 'other'),
          absent,
        ],
      };
    },
    then(outcome, host) {
      const { images } = (outcome.ok ? outcome.result : assert.fail(outcome.stderr)) as {
        images: { id: string; builtAt: string }[];
      };
      is(
        images.map(({ id, builtAt }) => [id, builtAt]),
        [['ubuntu', '2026-01-02T03:04:05.123Z']],
      );
      assert.ok(host.calls().length === 0);
    },
  },
  {
    title: 'finds the differencing parents of disks',
    script: 'disk-parents',
    given(host) {
      const [base, middle, top] = ['base', 'middle', 'top'].map((name) =>
        join(host.imageRoot, `${name}.vhdx`),
      ) as [string, string, string];
      writeFileSync(base, 'dynamic');
      writeFileSync(middle, `differencing ${base}`);
      writeFileSync(top, `differencing ${middle}`);
      return { disks: [top, join(host.imageRoot, 'gone.vhdx')] };
    },
    then: (outcome, host) =>
      is(outcome.ok ? outcome.result : outcome.stderr, {
        parents: ['middle', 'base'].map((name) => join(host.imageRoot, `${name}.vhdx`)),
      }),
  },
];

// What is read from a host differs most with the edition's JSON.
onTraps('The scripts that only read', READS);
onTraps('The scripts that only read', READS, '5.1');
