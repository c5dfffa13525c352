/** `image.build` from the client to the disk: the real bundles and the real Packer, with its null and file builders. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeName } from '../../agent-bridge/protocol/operations.ts';
import { isoFiles } from '../../lab/world/hosts/iso-files.ts';
import { WAIT, foundVm, key, rig, until } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

const packer = spawnSync('which', ['packer'], { encoding: 'utf8' }).stdout.trim();
const SECRET = 'correct, horse %!(PACKER_COMMA) battery';

let host: Rig;
let builds = 0;

const templateFile = (name: string) => join(host.dir, 'templates', name);

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
const policiesTaken = () => host.log().split('"event":"policy"').length;

/** Writes the template, and bridge.yaml with its image pinned as it is now; the bridge has taken it up. */
async function given(name: string, text: string, more: { sources?: string[]; [key: string]: unknown } = {}) {
  writeFileSync(templateFile(name), text);
  const files = [templateFile(name), ...(more.sources ?? [])];
  const pin = sha256(files.map((path) => sha256(readFileSync(path))).join('\n'));
  await policy({ template: templateFile(name), pin, ...more });
}

async function policy(image: object): Promise<void> {
  const config = join(host.dir, 'bridge.yaml');
  const before = policiesTaken();
  const ubuntu = { user: 'rke', authorizedKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEX'], ...image };
  const old = readFileSync(config, 'utf8');
  const text = old
    .replace(/^ {2}ubuntu: .*$/m, `  ubuntu: ${JSON.stringify(ubuntu)}`)
    .replace(/^packer: .*$/m, `packer: ${realpathSync(packer)}`)
    .replace(/imageBuilds: 2,/, 'imageBuilds: 100,');
  if (text === old) return;
  writeFileSync(config, text);
  await until(() => policiesTaken() > before, 'the policy is taken');
}

interface Built {
  ok: boolean;
  error?: string | undefined;
  result?: { image: string; builtAt: string; version: string };
  log: string[];
  id: string;
}

async function submit(): Promise<{ op: ChangeName; id: string }> {
  builds += 1;
  return host.client().submit('image.build', { image: 'ubuntu' }, key(builds), WAIT);
}

async function build(): Promise<Built> {
  const log: string[] = [];
  const ended = await host
    .client()
    .waitFor((await submit()) as Parameters<ReturnType<Rig['client']>['waitFor']>[0], {
      ...WAIT,
      onLog: (line: string) => log.push(line),
    });
  return ended.kind === 'done'
    ? { ok: true, result: ended.result as NonNullable<Built['result']>, log, id: ended.job.id }
    : { ok: false, error: ended.error, log, id: ended.job.id };
}

/** The supervisor holds back as many bytes as a secret could be long. */
const BEGUN = `echo begun ${'.'.repeat(80)}`;
const FILE_BUILDER = {
  type: 'file',
  name: 'disk',
  target: '{{user `output_directory`}}/Virtual Hard Disks/{{user `vm_name`}}.vhdx',
  content: 'a disk',
};
const template = (...provisioners: object[]) =>
  JSON.stringify(
    {
      variables: { vm_name: '', output_directory: '', token: '', motd: '' },
      'sensitive-variables': ['token'],
      builders: [FILE_BUILDER],
      provisioners,
    },
    undefined,
    2,
  );
const shell = (...inline: string[]) => ({ type: 'shell-local', inline });
const imageFolder = () => join(host.dir, 'images', 'ubuntu');
const workFolders = () => {
  const folder = join(host.dir, 'images', '.work');
  return existsSync(folder) ? readdirSync(folder) : [];
};
/** Processes whose command line or environment says that they belong to this test. */
const processesOf = (mark: string): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`NODE_CYCLE_JOB=${mark}`) &&
          !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z')
        );
      } catch {
        return false;
      }
    });

describe('image.build with the real Packer', () => {
  before(async function () {
    if (packer === '' && process.env['CI'] !== 'true') this.skip();
    host = await rig();
    mkdirSync(join(host.dir, 'templates', 'scripts'), { recursive: true });
    await host.start();
  });
  beforeEach(() => {
    host.faults({});
    host.setVms([]);
    rmSync(join(host.dir, 'images'), { recursive: true, force: true });
  });
  after(() => (host as Rig | undefined)?.end());

  it('builds a legacy JSON template, takes its disk over read-only, and names it in image.json', async () => {
    await given('node.json', template(shell('echo one', 'echo two')), { variables: { motd: 'hello there' } });
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
    assert.equal(host.runs('image-build'), 0, 'PowerShell has no part in it');
  });

  it('builds an HCL2 template with scripts beside it, from copies in a folder of its own', async () => {
    writeFileSync(join(host.dir, 'templates', 'scripts', 'a.sh'), 'echo "a in $(pwd)"\n');
    await given(
      'node.pkr.hcl',
      [
        'variable "output_directory" {\n  type = string\n}',
        'source "file" "disk" {\n  target  = "${var.output_directory}/x.vhdx"\n  content = "hcl"\n}',
        'build {\n  sources = ["source.file.disk"]\n  provisioner "shell-local" {\n    script = "${path.root}/scripts/a.sh"\n  }\n}',
      ].join('\n'),
      { sources: [join(host.dir, 'templates', 'scripts', 'a.sh')] },
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
    await given('node.json', template(shell('echo fine'), shell('echo a', 'nosuchprogram --now', 'echo b')));
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
    await given('node.json', JSON.stringify({ builders: [{ ...FILE_BUILDER, colour: 'red' }] }));
    const { error, log } = await build();
    assert.equal(error, 'templateInvalid');
    assert.ok(
      log.some((line) => line.includes('unknown configuration key: \'"colour"\'')),
      log.join('\n'),
    );
  });

  it('ends Packer, its plugins and what they started when the job is cancelled', async () => {
    await given('node.json', template(shell(BEGUN, 'setsid sleep 300')));
    const job = await submit();
    const client = host.client();
    const log = () => join(host.dataDir, 'jobs', job.id, 'log');
    await until(() => existsSync(log()) && readFileSync(log(), 'utf8').includes('begun'), 'the script runs');
    await until(() => processesOf(job.id).length >= 5, 'Packer and its plugins run');
    await client.cancel(job.id, WAIT);
    const ended = await client.waitFor(job as Parameters<typeof client.waitFor>[0], WAIT);
    assert.equal(ended.job.state, 'cancelled');
    await sleep(50);
    assert.deepEqual(processesOf(job.id), []);
    assert.deepEqual(workFolders(), []);
  });

  it('takes away the VM that a cancelled Packer left, and no other', async () => {
    await given('node.json', template(shell(BEGUN, 'sleep 300')));
    const job = await submit();
    const work = join(host.dir, 'images', '.work', job.id);
    const log = join(host.dataDir, 'jobs', job.id, 'log');
    await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('begun'), 'the script runs');
    host.setVms([
      foundVm(1),
      foundVm(2, {
        name: 'build-ubuntu',
        path: `${work}/tmp/packer1`,
        disks: [`${work}/tmp/packer1/x.vhdx`],
      }),
    ]);
    await host.client().cancel(job.id, WAIT);
    await host.client().waitFor(job as Parameters<ReturnType<Rig['client']>['waitFor']>[0], WAIT);
    assert.deepEqual(
      host.vms().map(({ name }) => name),
      ['prod-n1'],
    );
  });

  it('masks the host\u2019s secrets, also where Packer writes them in its own way', async () => {
    writeFileSync(join(host.dir, 'token'), `${SECRET}\n`, { mode: 0o600 });
    await given('node.json', template(shell("printf '%s\\n' 'token {{user `token`}} given'")), {
      secrets: { token: join(host.dir, 'token') },
    });
    const { ok, error, log, id } = await build();
    assert.ok(ok, [error, ...log].join('\n'));
    assert.ok(
      log.some((line) => line.includes('token *** given')),
      log.join('\n'),
    );
    const stored = readdirSync(join(host.dataDir, 'jobs', id), { recursive: true, encoding: 'utf8' })
      .map((name) => join(host.dataDir, 'jobs', id, name))
      .filter((path) => statSync(path).isFile())
      .map((path) => readFileSync(path, 'utf8'))
      .join('\n');
    assert.doesNotMatch(stored + host.log(), /correct|horse|battery/);
  });

  it('refuses a template that is not pinned, and one that was changed after it was', async () => {
    await given('node.json', template());
    writeFileSync(templateFile('node.json'), template(shell('echo other')));
    assert.equal((await build()).error, 'templateChanged');
    await policy({ template: templateFile('node.json') });
    assert.equal((await build()).error, 'notPinned');
    // As a person does it.
    const said = (await host.cli('bridge', 'check')).out;
    const pin = /^ {4}pin: ([0-9a-f]{64})$/m.exec(said)?.[1];
    await policy({ template: templateFile('node.json'), pin });
    assert.doesNotMatch((await host.cli('bridge', 'check')).out, /pin: /);
    assert.equal((await build()).ok, true);
  });

  it('compares the base before it builds, and hands its path and checksum to the template', async () => {
    const base = join(host.dir, 'base.iso');
    writeFileSync(base, Buffer.alloc(9 * 1024 * 1024, 7));
    const checksum = sha256(readFileSync(base));
    const text = template(shell('echo {{user `base_path`}} {{user `base_checksum`}}')).replace(
      '"token": "",',
      '"token": "", "base_path": "", "base_checksum": "",',
    );
    await given('node.json', text, { base: { file: base, sha256: checksum } });
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
    mkdirSync(join(host.dir, 'templates', 'seed'), { recursive: true });
    const user = templateFile('seed/user-data');
    writeFileSync(user, '#cloud-config\nusers: [{ssh_authorized_keys: ["@BUILD_PUBLIC_KEY@"]}]\n');
    const copy = join(host.dir, 'seed-seen.iso');
    const text = template(
      shell('ssh-keygen -y -f {{user `build_key_path`}}', `cp {{user \`seed_path\`}} ${copy}`),
    ).replace('"token": "",', '"token": "", "build_key_path": "", "seed_path": "",');
    await given('node.json', text, { sources: [user] });
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
    await given('node.json', template(), { keep: 2 });
    mkdirSync(imageFolder(), { recursive: true });
    const old = ['20260101t000000z-00000000', '20260102t000000z-00000000', '20260103t000000z-00000000'];
    for (const name of old) writeFileSync(join(imageFolder(), `${name}.vhdx`), name);
    writeFileSync(join(imageFolder(), 'of-a-person.vhdx'), '');
    host.setVms([foundVm(1)]);
    writeFileSync(
      join(host.world, 'parents.json'),
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
    await given('node.json', template(), { keep: 2 });
    mkdirSync(imageFolder(), { recursive: true });
    for (const day of ['01', '02'])
      writeFileSync(join(imageFolder(), `202601${day}t000000z-00000000.vhdx`), '');
    host.faults({ 'disk-parents': { exit: 1 } });
    const { ok } = await build();
    assert.ok(ok);
    assert.equal(readdirSync(imageFolder()).length, 4);
  });

  it('finishes a build whose bridge was killed, once', async () => {
    await given('node.json', template(shell(BEGUN, 'sleep 1')));
    const job = await submit();
    const log = join(host.dataDir, 'jobs', job.id, 'log');
    await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('begun'), 'the script runs');
    await host.kill();
    await host.start();
    const client = host.client();
    const ended = await client.waitFor(job as Parameters<typeof client.waitFor>[0], WAIT);
    assert.equal(ended.kind, 'done');
    assert.equal(readdirSync(imageFolder()).filter((name) => name.endsWith('.vhdx')).length, 1);
  });

  describe('with the Hyper-V builders, that validate on any system and build on Windows alone', () => {
    const example = join(import.meta.dirname, '..', '..', 'examples', 'packer', 'ubuntu');
    const below = (folder: string) => readdirSync(join(example, folder)).map((name) => join(folder, name));
    const base = () => {
      const file = join(host.dir, 'ubuntu.iso');
      writeFileSync(file, 'iso');
      return { base: { file, sha256: sha256('iso') }, variables: { switch_name: 'Build' } };
    };

    it('takes the example for Ubuntu, with its seed and scripts', async () => {
      const sources = [...below('seed'), ...below('scripts')].map((name) => {
        mkdirSync(dirname(templateFile(name)), { recursive: true });
        writeFileSync(templateFile(name), readFileSync(join(example, name)));
        return templateFile(name);
      });
      await given('node.pkr.hcl', readFileSync(join(example, 'node.pkr.hcl'), 'utf8'), {
        sources,
        ...base(),
      });
      const { error, log } = await build();
      assert.equal(error, 'builderFailed', log.join('\n'));
      assert.ok(!log.some((line) => /warning/i.test(line)), log.join('\n'));
      assert.ok(
        log.some((line) => line.includes('hyperv-iso.node') && /windows/i.test(line)),
        log.join('\n'),
      );
    });

    const legacy = (more: object) =>
      JSON.stringify({
        variables: { vm_name: '', output_directory: '', base_path: '', base_checksum: '', switch_name: '' },
        builders: [
          {
            type: 'hyperv-iso',
            vm_name: '{{user `vm_name`}}',
            output_directory: '{{user `output_directory`}}',
            iso_url: '{{user `base_path`}}',
            iso_checksum: '{{user `base_checksum`}}',
            switch_name: '{{user `switch_name`}}',
            generation: 2,
            ssh_username: 'packer',
            ssh_password: 'packer',
            ...more,
          },
        ],
      });

    it('takes a legacy JSON template', async () => {
      await given('node.json', legacy({}), base());
      const { error, log } = await build();
      assert.equal(error, 'builderFailed', log.join('\n'));
    });

    it('refuses one with a key that the builder does not know', async () => {
      await given('node.json', legacy({ generations: 2 }), base());
      const { error, log } = await build();
      assert.equal(error, 'templateInvalid');
      assert.ok(
        log.some((line) => line.includes('generations')),
        log.join('\n'),
      );
    });
  });
});
