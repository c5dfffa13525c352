/** `image.build` from the client to the disk: the real bundles and the real Packer. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isoFiles } from '../../../lab/world/hosts/iso-files.ts';
import { WAIT, foundVm, until } from '../support/rig.ts';
import { BEGUN, legacy, onPacker, processesOf, sha256, shell, storedOf } from './packer-bench.ts';
import type { Ended } from './packer-bench.ts';

const SECRET = 'correct, horse %!(PACKER_COMMA) battery';
const FILE_BUILDER = {
  type: 'file',
  name: 'disk',
  target: '{{user `output_directory`}}/Virtual Hard Disks/{{user `vm_name`}}.vhdx',
  content: 'a disk',
};
const template = (...provisioners: object[]) => legacy([FILE_BUILDER], ...provisioners);

onPacker('image.build with the real Packer', (bench) => {
  const submit = () => bench.submit('image.build', { image: 'ubuntu' });
  const build = () =>
    bench.run('image.build', { image: 'ubuntu' }) as Promise<
      Ended & { result?: { version: string; builtAt: string } }
    >;
  const imageFolder = () => join(bench.host.dir, 'images', 'ubuntu');
  const workFolders = () => {
    const folder = join(bench.host.dir, 'images', '.work');
    return existsSync(folder) ? readdirSync(folder) : [];
  };

  it('builds a legacy JSON template, takes its disk over read-only, and names it in image.json', async () => {
    await bench.given('node.json', template(shell('echo one', 'echo two')), {
      variables: { motd: 'hello there' },
    });
    const { ok, error, result, log } = await build();
    assert.ok(ok, [error, ...log].join('\n'));
    const written = JSON.parse(readFileSync(join(imageFolder(), 'image.json'), 'utf8')) as {
      disk: string;
      version: string;
      builtAt: string;
    };
    assert.equal(written.version, result?.version);
    assert.equal(written.builtAt, result?.builtAt);
    assert.equal(readFileSync(written.disk, 'utf8'), 'a disk');
    assert.equal(statSync(written.disk).mode & 0o777, 0o444);
    assert.ok(log.some((line) => line.includes('disk: two')));
    assert.ok(log.includes('--- disk: provisioner 1 of 1 (shell-local, node.json:20)'), log.join('\n'));
    assert.deepEqual(workFolders(), []);
    assert.equal(bench.host.runs('image-build'), 0, 'PowerShell has no part in it');
  });

  it('builds an HCL2 template with scripts beside it, from copies in a folder of its own', async () => {
    writeFileSync(join(bench.host.dir, 'templates', 'scripts', 'a.sh'), 'echo "a in $(pwd)"\n');
    await bench.given(
      'node.pkr.hcl',
      [
        'variable "output_directory" {\n  type = string\n}',
        'source "file" "disk" {\n  target  = "${var.output_directory}/x.vhdx"\n  content = "hcl"\n}',
        'build {\n  sources = ["source.file.disk"]\n  provisioner "shell-local" {\n    script = "${path.root}/scripts/a.sh"\n  }\n}',
      ].join('\n'),
      { sources: [join(bench.host.dir, 'templates', 'scripts', 'a.sh')] },
    );
    const { ok, error, log } = await build();
    assert.ok(ok, [error, ...log].join('\n'));
    assert.ok(
      log.some((line) => /a in .*\/images\/\.work\/[0-9a-f-]{36}\/template$/.test(line)),
      log.join('\n'),
    );
    assert.ok(
      log.includes('--- file.disk: provisioner 1 of 1 (shell-local, node.pkr.hcl:10)'),
      log.join('\n'),
    );
  });

  it('says which provisioner failed, in which line, and leaves nothing behind', async () => {
    await bench.given(
      'node.json',
      template(shell('echo fine'), shell('echo a', 'nosuchprogram --now', 'echo b')),
    );
    const { error, log } = await build();
    assert.equal(error, 'provisionerFailed');
    assert.match(
      log.find((line) => line.startsWith('The image was not built')) ?? '',
      /\(provisionerFailed\)\. disk: provisioner 2 of 2 \(shell-local, node\.json:26\) failed in inline command 2 \(node\.json:30\): nosuchprogram: not found: Script exited with non-zero exit status: 127\.$/,
    );
    assert.deepEqual(workFolders(), []);
    assert.deepEqual(existsSync(imageFolder()) ? readdirSync(imageFolder()) : [], []);
  });

  it('validates first, and says what is wrong with the template', async () => {
    await bench.given('node.json', JSON.stringify({ builders: [{ ...FILE_BUILDER, colour: 'red' }] }));
    const { error, log } = await build();
    assert.equal(error, 'templateInvalid');
    assert.ok(
      log.some((line) => line.includes('unknown configuration key: \'"colour"\'')),
      log.join('\n'),
    );
  });

  it('ends Packer, its plugins and what they started when the job is cancelled', async () => {
    await bench.given('node.json', template(shell(BEGUN, 'setsid sleep 300')));
    const job = await submit();
    await bench.begun(job);
    await until(() => processesOf(job.id).length >= 5, 'Packer and its plugins run');
    await bench.host.client().cancel(job.id, WAIT);
    assert.equal((await bench.end(job)).error, 'cancelled');
    await sleep(50);
    assert.deepEqual(processesOf(job.id), []);
    assert.deepEqual(workFolders(), []);
  });

  it('takes away the VM that a cancelled Packer left, and no other', async () => {
    await bench.given('node.json', template(shell(BEGUN, 'sleep 300')));
    const job = await submit();
    const work = join(bench.host.dir, 'images', '.work', job.id);
    await bench.begun(job);
    bench.host.setVms([
      foundVm(1),
      foundVm(2, {
        name: 'build-ubuntu',
        path: `${work}/tmp/packer1`,
        disks: [`${work}/tmp/packer1/x.vhdx`],
      }),
    ]);
    await bench.host.client().cancel(job.id, WAIT);
    await bench.end(job);
    assert.deepEqual(
      bench.host.vms().map(({ name }) => name),
      ['prod-n1'],
    );
  });

  it('masks the host\u2019s secrets, also where Packer writes them in its own way', async () => {
    writeFileSync(join(bench.host.dir, 'token'), `${SECRET}\n`, { mode: 0o600 });
    await bench.given('node.json', template(shell("printf '%s\\n' 'token {{user `token`}} given'")), {
      secrets: { token: join(bench.host.dir, 'token') },
    });
    const { ok, error, log, id } = await build();
    assert.ok(ok, [error, ...log].join('\n'));
    assert.ok(
      log.some((line) => line.includes('token *** given')),
      log.join('\n'),
    );
    assert.doesNotMatch(storedOf(bench.host, id) + bench.host.log(), /correct|horse|battery/);
  });

  it('refuses a template that is not pinned, and one that was changed after it was', async () => {
    await bench.given('node.json', template());
    writeFileSync(bench.templateFile('node.json'), template(shell('echo other')));
    assert.equal((await build()).error, 'templateChanged');
    await bench.policy({ template: bench.templateFile('node.json') });
    assert.equal((await build()).error, 'notPinned');
    // As a person does it.
    const said = (await bench.host.cli('bridge', 'check')).out;
    const pin = /^ {4}pin: ([0-9a-f]{64})$/m.exec(said)?.[1];
    await bench.policy({ template: bench.templateFile('node.json'), pin });
    assert.doesNotMatch((await bench.host.cli('bridge', 'check')).out, /pin: /);
    assert.equal((await build()).ok, true);
  });

  it('compares the base before it builds, and hands its path and checksum to the template', async () => {
    const base = join(bench.host.dir, 'base.iso');
    writeFileSync(base, Buffer.alloc(9 * 1024 * 1024, 7));
    const checksum = sha256(readFileSync(base));
    const text = template(shell('echo {{user `base_path`}} {{user `base_checksum`}}')).replace(
      '"token": "",',
      '"token": "", "base_path": "", "base_checksum": "",',
    );
    await bench.given('node.json', text, { base: { file: base, sha256: checksum } });
    const { ok, error, log } = await build();
    assert.ok(ok, [error, ...log].join('\n'));
    assert.ok(
      log.some((line) => line.includes(`disk: ${base} sha256:${checksum}`)),
      log.join('\n'),
    );
    writeFileSync(base, 'another');
    const refused = await build();
    assert.equal(refused.error, 'baseChanged');
  });

  it('writes the files of the folder seed onto a volume, with the public half of a key that only this build has', async () => {
    mkdirSync(join(bench.host.dir, 'templates', 'seed'), { recursive: true });
    const user = bench.templateFile('seed/user-data');
    writeFileSync(user, '#cloud-config\nusers: [{ssh_authorized_keys: ["@BUILD_PUBLIC_KEY@"]}]\n');
    const copy = join(bench.host.dir, 'seed-seen.iso');
    const text = template(
      shell('ssh-keygen -y -f {{user `build_key_path`}}', `cp {{user \`seed_path\`}} ${copy}`),
    ).replace('"token": "",', '"token": "", "build_key_path": "", "seed_path": "",');
    await bench.given('node.json', text, { sources: [user] });
    const seen: string[] = [];
    for (let n = 0; n < 2; n += 1) {
      const { ok, log } = await build();
      assert.ok(ok, log.join('\n'));
      const half = /disk: (ssh-ed25519 \S+)/.exec(log.join('\n'))?.[1] ?? '';
      const volume = isoFiles(readFileSync(copy));
      assert.deepEqual([...volume.keys()], ['user-data']);
      assert.ok(half !== '' && volume.get('user-data')?.includes(`["${half}"]`), volume.get('user-data'));
      seen.push(half);
    }
    assert.notEqual(seen[0], seen[1]);
    assert.equal(readFileSync(user, 'utf8').includes('@BUILD_PUBLIC_KEY@'), true);
  });

  it('keeps as many builds as it is told, and each that is the parent of a VM\u2019s disk', async () => {
    await bench.given('node.json', template(), { keep: 2 });
    mkdirSync(imageFolder(), { recursive: true });
    const old = ['20260101t000000z-00000000', '20260102t000000z-00000000', '20260103t000000z-00000000'];
    for (const name of old) writeFileSync(join(imageFolder(), `${name}.vhdx`), name);
    writeFileSync(join(imageFolder(), 'of-a-person.vhdx'), '');
    bench.host.setVms([foundVm(1)]);
    writeFileSync(
      join(bench.host.world, 'parents.json'),
      JSON.stringify([join(imageFolder(), `${(old[0] ?? '').toUpperCase()}.vhdx`)]),
    );
    const { ok, error, result, log } = await build();
    assert.ok(ok, [error, ...log].join('\n'));
    assert.deepEqual(readdirSync(imageFolder()).sort(), [
      `${old[0]}.vhdx`,
      `${old[2]}.vhdx`,
      `${result?.version}.vhdx`,
      'image.json',
      'of-a-person.vhdx',
    ]);
  });

  it('removes nothing when the parents cannot be read', async () => {
    await bench.given('node.json', template(), { keep: 2 });
    mkdirSync(imageFolder(), { recursive: true });
    for (const day of ['01', '02'])
      writeFileSync(join(imageFolder(), `202601${day}t000000z-00000000.vhdx`), '');
    bench.host.faults({ 'disk-parents': { exit: 1 } });
    const { ok } = await build();
    assert.ok(ok);
    assert.equal(readdirSync(imageFolder()).length, 4);
  });

  it('finishes a build whose bridge was killed, once', async () => {
    await bench.given('node.json', template(shell(BEGUN, 'sleep 1')));
    const job = await submit();
    await bench.begun(job);
    await bench.host.kill();
    await bench.host.start();
    assert.equal((await bench.end(job)).ok, true);
    assert.equal(readdirSync(imageFolder()).filter((name) => name.endsWith('.vhdx')).length, 1);
  });
});
