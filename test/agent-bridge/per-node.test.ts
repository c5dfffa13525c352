/** `vm.create` from an image that is built for each node: the real bundles, the real Packer, a stand-in for PowerShell. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Params, Result } from '../../agent-bridge/protocol/operations.ts';
import { BEGUN, legacy, onPacker, processesOf, shell, storedOf } from './image-build/packer-bench.ts';
import { WAIT, foundVm, until } from './support/rig.ts';

const MINUTE_MS = 60_000;
const GUID = '5D0C1FC2-93C5-4B3B-9E1C-2F3AE3C1F0AA';
const exported = (name: string, file: string) => ({
  ...{ type: 'file', name, content: name },
  target: `{{user \`output_directory\`}}/${file}`,
});
const DISK = exported('disk', 'Virtual Hard Disks/{{user `vm_name`}}.vhdx');
const CONFIGURATION = exported('configuration', `Virtual Machines/${GUID}.vmcx`);
/** Packer runs both builders at once: a provisioner is for one of them. */
const template = (...provisioners: object[]) =>
  legacy([DISK, CONFIGURATION], ...provisioners.map((one) => ({ ...one, only: ['disk'] })));

onPacker('vm.create from an image that is built for each node, with the real Packer', (bench) => {
  let nodes = 0;
  const order = (change: Partial<Params<'vm.create'>> = {}): Params<'vm.create'> => {
    nodes += 1;
    return {
      ...{ cluster: 'prod', node: `prod-n${nodes}`, size: 'small', image: 'ubuntu', fence: 1 },
      address: `10.0.20.${100 + nodes}`,
      ...change,
    };
  };
  const given = (text: string, more: object = {}) =>
    bench.given('node.json', text, { perNode: true, ...more });
  const create = (change: Partial<Params<'vm.create'>> = {}) => bench.run('vm.create', order(change));
  const vmFolders = () => {
    const folder = join(bench.host.dir, 'vms');
    return existsSync(folder) ? readdirSync(folder) : [];
  };
  const imports = () => bench.host.runs('vm-import');
  const names = () => bench.host.vms().map(({ name }) => name);
  const hostRead = () => bench.host.client().read('host.read', {}, WAIT);
  const deadlineOf = (id: string) =>
    (
      JSON.parse(readFileSync(join(bench.host.dataDir, 'jobs', id, 'a1', 'spec.json'), 'utf8')) as {
        deadlineMs: number;
      }
    ).deadlineMs;

  it('runs Packer, and imports what it exported where it lies, as the node that was asked for', async () => {
    await given(template(shell('echo provisioned')));
    await create({ node: 'prod-old' });
    bench.host.setVms([
      foundVm(1, { name: 'prod-old', notes: '{"startGroup":2}', startDelaySeconds: 45, vlan: 30 }),
    ]);
    const before = await hostRead();
    const params = order({ inheritFrom: '00000000-0000-4000-8000-000000000001', replaces: 'prod-old' });
    const { ok, error, result, log, id } = await bench.run('vm.create', params);
    assert.ok(ok, [error, ...log].join('\n'));

    const folder = join(bench.host.dir, 'vms', `prod-${params.node}-${id}`);
    const input = bench.host.inputs('vm-import').at(-1);
    assert.deepEqual(
      [input?.['name'], input?.['folder'], input?.['exported'], input?.['switchName']],
      [params.node, folder, join(folder, 'vm'), 'External'],
    );
    assert.deepEqual(
      [input?.['memoryMb'], input?.['cpuCount'], input?.['secureBoot'], input?.['address']],
      [2048, 2, null, params.address],
    );
    assert.deepEqual(
      [input?.['vlan'], input?.['startAction'], input?.['startDelaySeconds']],
      [30, 'start', 45],
    );
    const { nodeCycle, ...others } = JSON.parse(String(input?.['notes'])) as Record<string, object>;
    assert.deepEqual(others, { startGroup: 2 });
    assert.deepEqual(
      Object.entries(nodeCycle ?? {}).filter(([key]) => !['createdAt', 'mac'].includes(key)),
      Object.entries({
        cluster: 'prod',
        node: params.node,
        replaces: 'prod-old',
        image: 'ubuntu',
        address: params.address,
      }),
    );
    assert.deepEqual(
      readdirSync(folder),
      ['vm'],
      'Packer\u2019s own folder is gone, with the key of the build',
    );
    assert.equal(
      readFileSync(join(folder, 'vm', 'Virtual Machines', `${GUID}.vmcx`), 'utf8'),
      'configuration',
    );
    assert.ok(log.some((line) => line.includes('disk: provisioned')));

    const { sshHostKeys, name } = result as Result<'vm.create'>;
    assert.equal(name, params.node);
    assert.match(sshHostKeys[0] ?? '', /^ssh-ed25519 /);
    assert.doesNotMatch(storedOf(bench.host, id), /b3BlbnNzaC1rZXk/);
    const left = (await hostRead()).clientPolicy.budgetsLeft;
    assert.deepEqual(left, {
      ...before.clientPolicy.budgetsLeft,
      creations: before.clientPolicy.budgetsLeft.creations - 1,
    });
    const { vms } = await bench.host.client().read('vm.read', { cluster: 'prod' }, WAIT);
    const seen = vms.find((vm) => vm.name === params.node);
    assert.deepEqual([seen?.image, seen?.imageBuiltAt, seen?.adopted], ['ubuntu', undefined, true]);
  });

  it('has the time of a build and of a creation, where a creation from an image has its own', async () => {
    await given(template());
    const built = await create();
    assert.ok(built.ok, built.log.join('\n'));
    assert.equal(deadlineOf(built.id), 150 * MINUTE_MS);
    await given(template(), { perNode: false });
    const copied = await create();
    assert.ok(copied.ok, copied.log.join('\n'));
    assert.equal(deadlineOf(copied.id), 30 * MINUTE_MS);
  });

  it('is of today in host.read, and there is nothing to build ahead', async () => {
    await given(template(shell('echo never')));
    const { images } = await hostRead();
    const [image] = images;
    assert.deepEqual([images.length, image?.id, image?.stale], [1, 'ubuntu', false]);
    assert.ok(Math.abs(Date.parse(image?.builtAt ?? '') - Date.now()) < 10_000);
    const { ok, log } = await bench.run('image.build', { image: 'ubuntu' });
    assert.deepEqual([ok, log.filter((line) => line !== '')], [true, []]);
    assert.ok(!existsSync(join(bench.host.dir, 'images')));
  });

  it('is refused without a pin, and with a template that is not the pinned one', async () => {
    await given(template());
    writeFileSync(bench.templateFile('node.json'), template(shell('echo other')));
    assert.equal((await create()).error, 'templateChanged');
    await bench.policy({ template: bench.templateFile('node.json'), perNode: true });
    assert.equal((await create()).error, 'notPinned');
    assert.deepEqual([vmFolders(), names()], [[], []]);
  });

  it('is looked at for room, names and running VMs before Packer runs', async () => {
    await given(template());
    writeFileSync(join(bench.host.world, 'host.json'), '{"memoryFreeMb":2500}');
    assert.equal((await create()).error, 'noCapacity');
    writeFileSync(join(bench.host.world, 'host.json'), '{"diskFreeBytes":1000}');
    assert.equal((await create()).error, 'noCapacity');
    writeFileSync(join(bench.host.world, 'host.json'), '{}');
    bench.host.setVms([foundVm(1)]);
    assert.equal((await create({ node: 'prod-n1' })).error, 'nameTaken');
  });

  it('fails as the build does, and leaves nothing behind', async () => {
    await given(template(shell('nosuchprogram --now')));
    const before = imports();
    const { error, log } = await create();
    assert.equal(error, 'provisionerFailed', log.join('\n'));
    assert.match(
      log.find((line) => line.startsWith('The VM was not built')) ?? '',
      /\(provisionerFailed\)\. disk: provisioner 1 of 1 \(shell-local, node\.json:\d+\) failed in inline command 1/,
    );
    assert.deepEqual([vmFolders(), names(), imports()], [[], [], before]);
  });

  it('fails when the export holds no VM, or two', async () => {
    const second = exported('second', `second/Virtual Machines/${GUID.replace('5', '6')}.vmcx`);
    for (const builders of [[DISK], [DISK, CONFIGURATION, second]]) {
      await given(legacy(builders));
      const { error, log } = await create();
      assert.equal(error, 'wrongExport', log.join('\n'));
      assert.deepEqual([vmFolders(), names()], [[], []]);
    }
  });

  it('hands on what the import refused', async () => {
    await given(template());
    for (const [fault, error] of [
      [{ fail: 'nameTaken' }, 'nameTaken'],
      [{ exit: 1 }, 'scriptFailed'],
      [{ mode: 'forge' }, 'scriptFailed'],
    ] as const) {
      bench.host.faults({ 'vm-import': fault });
      assert.equal((await create()).error, error);
      assert.deepEqual([vmFolders(), names()], [[], []]);
    }
  });

  it('does not begin when the script of the import is not this version\u2019s', async () => {
    await given(template(shell('echo begun')));
    const script = join(bench.host.dir, 'scripts', 'vm-import.ps1');
    const text = readFileSync(script);
    writeFileSync(script, 'Write-Output changed');
    const { error, log } = await create();
    writeFileSync(script, text);
    assert.deepEqual([error, log.join('')], ['scriptChanged', '']);
  });

  it('does not import with a script that was changed while Packer ran', async () => {
    const script = join(bench.host.dir, 'scripts', 'vm-import.ps1');
    const text = readFileSync(script);
    await given(template(shell(`echo changed > ${script}`)));
    const before = imports();
    const { error } = await create();
    writeFileSync(script, text);
    assert.deepEqual([error, imports(), vmFolders()], ['scriptChanged', before, []]);
  });

  it('masks the host\u2019s secrets', async () => {
    writeFileSync(join(bench.host.dir, 'token'), 'correct horse\n', { mode: 0o600 });
    await given(template(shell("echo 'token {{user `token`}} given'")), {
      secrets: { token: join(bench.host.dir, 'token') },
    });
    const { ok, log, id } = await create();
    assert.ok(ok, log.join('\n'));
    assert.ok(log.some((line) => line.includes('token *** given')));
    assert.doesNotMatch(storedOf(bench.host, id) + bench.host.log(), /correct horse/);
  });

  it('ends Packer when it is cancelled, and takes away every VM that Packer left and no other', async () => {
    await given(template(shell(BEGUN, 'setsid sleep 300')));
    const params = order();
    const job = await bench.submit('vm.create', params);
    await bench.begun(job);
    const work = join(bench.host.dir, 'vms', `prod-${params.node}-${job.id}`, 'build', 'tmp');
    const left = (name: string) => ({
      ...{ name, path: join(work, name), disks: [join(work, name, 'x.vhdx')] },
    });
    bench.host.setVms([foundVm(1), foundVm(2, left('build-a')), foundVm(3, left('build-b'))]);
    await bench.host.client().cancel(job.id, WAIT);
    assert.equal((await bench.end(job)).error, 'cancelled');
    await until(() => processesOf(job.id).length === 0, 'its processes are gone');
    assert.deepEqual([names(), vmFolders()], [['prod-n1'], []]);
  });

  it('ends the import when it is cancelled', async () => {
    await given(template());
    bench.host.faults({ 'vm-import': { sleepMs: 60_000, children: 2 } });
    const before = imports();
    const job = await bench.submit('vm.create', order());
    await until(() => imports() > before, 'the import runs');
    await bench.host.client().cancel(job.id, WAIT);
    assert.equal((await bench.end(job)).error, 'cancelled');
    assert.deepEqual([processesOf(job.id), vmFolders()], [[], []]);
  });

  it('removes at the next creation what a clean-up could not', async () => {
    await given(template(shell(BEGUN, 'sleep 300')));
    const params = order();
    const job = await bench.submit('vm.create', params);
    await bench.begun(job);
    const folder = `prod-${params.node}-${job.id}`;
    const path = join(bench.host.dir, 'vms', folder, 'build', 'tmp', 'a');
    bench.host.setVms([foundVm(1, { name: 'build-a', path, disks: [join(path, 'x.vhdx')] })]);
    bench.host.faults({ 'vm-purge': { exit: 1 } });
    await bench.host.client().cancel(job.id, WAIT);
    assert.equal((await bench.end(job)).error, 'cleanUpFailed');
    assert.deepEqual([names(), vmFolders()], [['build-a'], [folder]]);
    bench.host.faults({});
    await given(template());
    const next = order();
    const { ok, log, id } = await bench.run('vm.create', next);
    assert.ok(ok, log.join('\n'));
    assert.deepEqual([names(), vmFolders()], [[next.node], [`prod-${next.node}-${id}`]]);
  });

  it('is finished once by a bridge that was killed while Packer ran', async () => {
    await given(template(shell(BEGUN, 'sleep 1')));
    const before = imports();
    const job = await bench.submit('vm.create', order());
    await bench.begun(job);
    await bench.host.kill();
    await bench.host.start();
    const { ok, log } = await bench.end(job);
    assert.ok(ok, log.join('\n'));
    assert.deepEqual([imports(), names().length], [before + 1, 1]);
  });
});
