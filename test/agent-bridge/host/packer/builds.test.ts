import assert from 'node:assert/strict';
import { outdatedBuilds } from '../../../../agent-bridge/host/packer/builds.ts';
import { secretValue, variablesOf } from '../../../../agent-bridge/host/packer/variables.ts';

const names = [1, 2, 3, 4].map((day) => `2026010${day}t000000z-0000000${day}.vhdx`);
const given = { names, folder: '/images/u', current: '20260104t000000z-00000004', keep: 2, inUse: [] };

describe('old builds of an image', () => {
  it('go when newer ones are as many as are kept, oldest first', () => {
    assert.deepEqual(outdatedBuilds(given), names.slice(0, 2));
    assert.deepEqual(outdatedBuilds({ ...given, keep: 4 }), []);
    assert.deepEqual(outdatedBuilds({ ...given, keep: 1 }), names.slice(0, 3));
  });

  it('stay while a disk is a difference of them, however its path is spelt', () => {
    const inUse = [`\\IMAGES\\u\\${names[0]?.toUpperCase()}`];
    assert.deepEqual(outdatedBuilds({ ...given, inUse }), [names[1]]);
  });

  it('never take the current one, or a file that is not a build', () => {
    const all = ['image.json', 'x.vhdx', '20260101t000000z-00000001.vhdx.bak', ...names];
    assert.deepEqual(
      outdatedBuilds({ ...given, names: all, current: '20260101t000000z-00000001', keep: 2 }),
      names.slice(1, 3),
    );
  });
});

describe('what a template is given', () => {
  it('is made by the bridge, whatever the policy says', () => {
    const places = { jobId: '0123456789abcdef', image: 'ubuntu', workFolder: '/w', output: '/w/output' };
    const base = { file: '/b.iso', sha256: 'a'.repeat(64) };
    assert.deepEqual(variablesOf({ variables: { switch_name: 'Build', vm_name: 'x' }, base }, places), {
      switch_name: 'Build',
      vm_name: 'build-ubuntu-01234567',
      output_directory: '/w/output',
      temp_directory: '/w/tmp',
      seed_path: '/w/seed.iso',
      build_key_path: '/w/build-key',
      base_path: '/b.iso',
      base_checksum: `sha256:${'a'.repeat(64)}`,
    });
  });

  it('takes a secret only when it can be masked and nothing evaluates it', () => {
    const value = (text: string) => secretValue(Buffer.from(text));
    assert.equal(value('pass,word$1"\r\n'), 'pass,word$1"');
    for (const bad of [
      '',
      'short',
      'x'.repeat(1025),
      'two\nlines-of-it',
      '{{user `x`}}..',
      'a${env:PATH}',
      '%{ if x }..',
      'nul\0nul\0nul',
    ])
      assert.equal(value(bad), undefined, bad);
    assert.equal(secretValue(undefined), undefined);
    assert.equal(secretValue(Buffer.from([0xff, 0xfe, ...Buffer.from('utf-16ish')])), undefined);
  });
});
