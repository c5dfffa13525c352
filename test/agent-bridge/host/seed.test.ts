import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ejectSeeds, SEED_LIMIT_MS } from '../../../agent-bridge/host/eject-seeds.ts';
import type { FoundVm, Host } from '../../../agent-bridge/host/host.ts';
import { isoImage } from '../../../agent-bridge/host/iso9660.ts';
import { records } from '../../../agent-bridge/host/records.ts';
import type { VmRecord } from '../../../agent-bridge/host/records.ts';
import { realDisk } from '../../../agent-bridge/service/disk-adapter.ts';
import { isoFiles } from '../../../lab/world/hosts/iso-files.ts';
import { WAIT, key, rig, vmId } from '../support/rig.ts';
import type { Rig } from '../support/rig.ts';

const T0 = Date.parse('2026-05-01T12:00:00Z');

describe('the seed of a node', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'seed-'));
  });
  after(() => {
    rmSync(dir, { recursive: true });
  });

  const files = [
    { name: 'meta-data', content: '{"instance-id":"1"}' },
    { name: 'user-data', content: `#cloud-config\n${'é'.repeat(3_000)}` },
    { name: 'network-config', content: '' },
  ];

  it('is an image that other programs read: name of the volume, names and bytes of the files', function () {
    const path = join(dir, 'seed.iso');
    writeFileSync(path, isoImage('cidata', files, T0));
    const tool = (name: string, ...args: string[]) => execFileSync(name, args, { encoding: 'utf8' });
    try {
      tool('isoinfo', '-version');
    } catch {
      this.skip();
    }
    assert.match(tool('isoinfo', '-d', '-i', path), /^Volume id: cidata$/m);
    assert.match(tool('isoinfo', '-d', '-i', path), /Joliet with UCS level 3 found/);
    const listed = tool('isoinfo', '-J', '-f', '-i', path);
    for (const { name, content } of files) {
      assert.ok(listed.includes(`/${name}`), listed);
      assert.equal(tool('isoinfo', '-J', '-x', `/${name};1`, '-i', path), content);
    }
    assert.match(tool('blkid', '-p', path), /LABEL="cidata".*TYPE="iso9660"/);
  });

  it('is whole sectors, read back as written, at the edges of a sector', () => {
    for (const length of [0, 1, 2047, 2048, 2049, 10_000]) {
      const content = 'x'.repeat(length);
      const image = Buffer.from(isoImage('cidata', [{ name: 'a', content }, ...files], T0));
      assert.equal(image.length % 2048, 0);
      assert.equal(image.readUInt32LE(16 * 2048 + 80) * 2048, image.length);
      const read = isoFiles(image);
      assert.equal(read.get('a'), content);
      assert.equal(read.get('user-data'), files[1]?.content);
    }
    assert.throws(() => isoImage('a volume with a long name', files, T0), /at most 16/);
    assert.throws(() => isoImage('cidata', [{ name: '../x', content: '' }], T0), /no name/);
  });

  describe('that was read', () => {
    const record = (n: number): VmRecord => ({
      ...{ v: 1, id: vmId(n), cluster: 'prod', node: `n${n}`, by: 'created', sshHostKeys: [] },
      ...{ at: new Date(T0).toISOString(), seed: `D:\\vms\\n${n}\\seed.iso` },
    });
    const asked: unknown[] = [];
    const host = (nowMs: number, vms: { id: string; addresses: string[] }[]): Host =>
      ({
        records: records(realDisk, join(dir, 'records')),
        clock: { now: () => nowMs },
        policy: () => ({ vmRoot: 'D:\\vms' }),
        vms: () => Promise.resolve(vms as FoundVm[]),
        run(script: string, input: object) {
          asked.push({ script, ...input });
          return Promise.resolve({});
        },
      }) as unknown as Host;
    beforeEach(() => {
      asked.length = 0;
      rmSync(join(dir, 'records'), { recursive: true, force: true });
    });
    const seeds = () =>
      records(realDisk, join(dir, 'records'))
        .all()
        .map(({ node, seed }) => [node, seed !== undefined]);

    it('is removed when the guest shows an address that can be its own, and asked for once', async () => {
      const now = host(T0 + 60_000, [
        { id: vmId(1), addresses: ['169.254.3.4', 'fe80::1', '10.0.20.7'] },
        { id: vmId(2), addresses: ['169.254.3.4', 'fe80::1'] },
      ]);
      for (const n of [1, 2]) now.records.put(record(n));
      await ejectSeeds(now);
      await ejectSeeds(now);
      assert.deepEqual(seeds(), [
        ['n1', false],
        ['n2', true],
      ]);
      assert.deepEqual(asked, [
        {
          script: 'vm-eject-seed',
          id: vmId(1),
          path: 'D:\\vms\\n1\\seed.iso',
          roots: ['D:\\vms', join('D:\\vms', 'set-aside')],
        },
      ]);
    });

    it('is removed after an hour also without an address, and forgotten with its VM', async () => {
      const later = host(T0 + SEED_LIMIT_MS, [{ id: vmId(2), addresses: [] }]);
      for (const n of [1, 2]) later.records.put(record(n));
      await ejectSeeds(later);
      assert.deepEqual(seeds(), [
        ['n1', false],
        ['n2', false],
      ]);
      assert.equal(asked.length, 1);
    });
  });
});

describe('a VM that was half made and not cleaned up', () => {
  let r: Rig;
  before(async () => {
    r = await rig();
    await r.start();
  });
  after(() => r.end());
  const params = { cluster: 'prod', node: 'prod-n9', size: 'small', image: 'ubuntu', fence: 0 };

  it('is found by the next creation, removed with its disks, and does not hold its name', async () => {
    const client = r.client();
    r.faults({ 'vm-create': { mode: 'afterwards' }, 'vm-purge': { fail: 'denied' } });
    const failed = await client.waitFor(await client.submit('vm.create', params, key(1), WAIT), WAIT);
    assert.equal(failed.kind === 'failed' && failed.error, 'cleanUpFailed');
    assert.equal(r.vms().length, 1);
    const folder = String(r.inputs('vm-create')[0]?.['folder']);
    mkdirSync(folder, { recursive: true });
    // Like it, but of nobody's job: not ours to take away.
    const foreign = join(dirname(folder), `prod-n9-${vmId(55)}`);
    mkdirSync(foreign);

    r.faults({});
    const again = await client.waitFor(await client.submit('vm.create', params, key(2), WAIT), WAIT);
    assert.equal(again.kind, 'done', JSON.stringify(again));
    assert.equal(r.vms().length, 1);
    const purges = r.inputs('vm-purge').filter((input) => input['folder'] === folder);
    assert.deepEqual(purges.at(-1)?.['roots'], [folder]);
    assert.deepEqual(purges.at(-1)?.['disks'], [join(folder, 'system.vhdx')]);
    assert.ok(existsSync(foreign));
    assert.ok(!r.inputs('vm-purge').some((input) => input['folder'] === foreign));
  });
});
