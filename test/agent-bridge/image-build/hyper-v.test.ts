/** Packer's Hyper-V builders validate on any system and build on Windows alone: their templates are accepted here. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { onPacker, sha256 } from './packer-bench.ts';

const EXAMPLES = join(import.meta.dirname, '..', '..', '..', 'examples', 'packer');

const OWN = ['vm_name', 'output_directory', 'temp_directory', 'base_path', 'base_checksum', 'switch_name'];

type Settings = Record<string, string | number | boolean>;

/** What both builders need; `{var}` stands for a variable. */
const COMMON: Settings = {
  vm_name: '{vm_name}',
  output_directory: '{output_directory}',
  temp_path: '{temp_directory}',
  switch_name: '{switch_name}',
  generation: 2,
  ssh_username: 'packer',
  ssh_password: 'packer',
  shutdown_command: 'sudo shutdown -P now',
};
const BUILDERS: Record<string, Settings> = {
  'hyperv-iso': { iso_url: '{base_path}', iso_checksum: '{base_checksum}', disk_size: 40_960 },
  'hyperv-vmcx': { clone_from_vmcx_path: '{base_path}' },
};

const legacy = (type: string, settings: Settings): string => {
  const values = Object.entries(settings).map(([key, value]) => [
    key,
    typeof value === 'string' ? value.replace(/\{(\w+)\}/g, '{{user `$1`}}') : value,
  ]);
  return JSON.stringify({
    variables: Object.fromEntries(OWN.map((name) => [name, ''])),
    builders: [{ type, name: 'node', ...Object.fromEntries(values) }],
  });
};

const hcl2 = (type: string, settings: Settings): string =>
  [
    ...OWN.map((name) => `variable "${name}" {\n  type = string\n}`),
    `source "${type}" "node" {`,
    ...Object.entries(settings).map(
      ([key, value]) => `  ${key} = ${JSON.stringify(value).replace(/\{(\w+)\}/g, '${var.$1}')}`,
    ),
    '}',
    `build {\n  sources = ["source.${type}.node"]\n}`,
  ].join('\n');

const LANGUAGES = {
  'node.json': { name: 'legacy JSON', template: legacy },
  'node.pkr.hcl': { name: 'HCL2', template: hcl2 },
};

onPacker('Templates for Hyper-V', (bench) => {
  const build = () => bench.run('image.build', { image: 'ubuntu' });
  const base = () => {
    const file = bench.beside('base.img', 'base');
    return { base: { file, sha256: sha256('base') }, variables: { switch_name: 'Build' } };
  };

  for (const [type, more] of Object.entries(BUILDERS)) {
    for (const [file, { name, template }] of Object.entries(LANGUAGES)) {
      it(`are accepted for ${type} in ${name}, and its builder says that this is not Windows`, async () => {
        await bench.given(file, template(type, { ...COMMON, ...more }), base());
        const { error, log } = await build();
        assert.equal(error, 'builderFailed', log.join('\n'));
        assert.ok(
          log.some((line) => line.includes('node') && /windows|powershell/i.test(line)),
          log.join('\n'),
        );
      });

      it(`are refused for ${type} in ${name} with a key that the builder does not know`, async () => {
        await bench.given(file, template(type, { ...COMMON, ...more, generations: 2 }), base());
        const { error, log } = await build();
        assert.equal(error, 'templateInvalid', log.join('\n'));
        assert.ok(
          log.some((line) => line.includes('generations')),
          log.join('\n'),
        );
      });
    }
  }

  for (const example of readdirSync(EXAMPLES)) {
    it(`are accepted as examples/packer/${example} has it, with its seed and scripts`, async () => {
      const read = (name: string) => readFileSync(join(EXAMPLES, example, name), 'utf8');
      const sources = ['seed', 'scripts'].flatMap((folder) =>
        readdirSync(join(EXAMPLES, example, folder)).map((name) =>
          bench.beside(join(folder, name), read(join(folder, name))),
        ),
      );
      await bench.given('node.pkr.hcl', read('node.pkr.hcl'), { sources, ...base() });
      const { error, log } = await build();
      assert.equal(error, 'builderFailed', log.join('\n'));
      assert.ok(!log.some((line) => /warning/i.test(line)), log.join('\n'));
      assert.ok(
        log.some((line) => /hyperv-\w+\.node/.test(line) && /windows|powershell/i.test(line)),
        log.join('\n'),
      );
    });
  }
});
