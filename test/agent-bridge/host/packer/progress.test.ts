/** Lines as Packer 1.6.6 printed them. */
import assert from 'node:assert/strict';
import { packerEvent } from '../../../../agent-bridge/host/packer/machine-readable.ts';
import { createProgress } from '../../../../agent-bridge/host/packer/progress.ts';
import type { Provisioner } from '../../../../agent-bridge/host/packer/template.ts';

const one = (type: string, line: number, more: Partial<Provisioner> = {}): Provisioner => ({
  ...{ type, line, inline: [], parts: 1, only: undefined, except: [] },
  ...more,
});

function after(provisioners: Provisioner[], ...lines: string[]) {
  const progress = createProgress(provisioners, 'n.pkr.hcl');
  const log = lines.flatMap((line) => {
    const event = packerEvent(`17,${line}`);
    assert.ok(event);
    return progress.take(event);
  });
  return { begun: log.filter((line) => line.startsWith('---')), log, failure: progress.failure() };
}

const EXIT = 'Script exited with non-zero exit status: 127.Allowed exit codes are: [0]';
const errored = (target: string, text = EXIT) => `${target},error,${text}`;
const says = (target: string, text: string) => `,ui,say,==> ${target}: ${text}`;
const script = (target: string) => says(target, 'Provisioning with shell script: /tmp/packer-shell1');

describe('the progress of a Packer build', () => {
  it('names each provisioner as it begins, by build, with those left out that another build has', () => {
    const { begun } = after(
      [
        one('shell', 3, { only: ['qemu.b'] }),
        one('file', 9),
        one('shell', 12, { parts: 2 }),
        one('shell', 20),
      ],
      says('hyperv-iso.a', 'Creating virtual machine...'),
      says('hyperv-iso.a', 'Uploading x => /tmp/x'),
      script('qemu.b'),
      script('hyperv-iso.a'),
      script('hyperv-iso.a'),
      script('hyperv-iso.a'),
    );
    assert.deepEqual(begun, [
      '--- hyperv-iso.a: provisioner 1 of 3 (file, n.pkr.hcl:9)',
      '--- qemu.b: provisioner 1 of 4 (shell, n.pkr.hcl:3)',
      '--- hyperv-iso.a: provisioner 2 of 3 (shell, n.pkr.hcl:12)',
      '--- hyperv-iso.a: provisioner 3 of 3 (shell, n.pkr.hcl:20)',
    ]);
  });

  it('finds the inline command by the line that bash names', () => {
    const inline = ['set -u', 'a\nb', 'nosuch'].map((text, at) => ({ text, line: 30 + at }));
    const { failure } = after(
      [one('shell', 29, { inline })],
      script('qemu.b'),
      ',ui,error,==> qemu.b: /tmp/script_4223.sh: line 5: nosuch: command not found',
      says(
        'qemu.b',
        'Provisioning step had errors: Running the cleanup provisioner%!(PACKER_COMMA) if present...',
      ),
      says('qemu.b', 'Deleting output directory...'),
      errored('qemu.b'),
    );
    assert.deepEqual(failure, {
      error: 'provisionerFailed',
      text: 'qemu.b: provisioner 1 of 1 (shell, n.pkr.hcl:29) failed in inline command 3 (n.pkr.hcl:32): nosuch: command not found: Script exited with non-zero exit status: 127',
    });
  });

  it('names the file and line of a script of its own', () => {
    const { failure } = after(
      [one('shell', 7)],
      says('a', 'Provisioning with shell script: scripts/docker.sh'),
      ',ui,error,==> a: /tmp/script_1.sh: line 12: curl: command not found',
      errored('a'),
    );
    assert.match(
      failure.text,
      /\(shell, n\.pkr\.hcl:7\) failed in scripts\/docker\.sh, line 12: curl: command not found: /,
    );
  });

  it('falls back on the last words of the guest when no line is named', () => {
    const { failure } = after(
      [one('shell', 7)],
      script('a'),
      ',ui,error,==> a: E: Unable to locate package dockr',
      errored('a'),
    );
    assert.match(failure.text, /E: Unable to locate package dockr: Script exited/);
  });

  it('tells a builder that failed from a provisioner, before and after it', () => {
    const before = after(
      [one('shell', 7)],
      says('a', 'Waiting for SSH'),
      errored('a', 'Timeout waiting for SSH.'),
    );
    assert.deepEqual(before.failure, {
      error: 'builderFailed',
      text: 'a: the builder failed: Timeout waiting for SSH.',
    });
    const later = after(
      [one('shell', 7)],
      script('a'),
      says('a', 'Exporting virtual machine...'),
      errored('a', 'x'),
    );
    assert.equal(later.failure.error, 'builderFailed');
  });

  it('tells of the build that failed first, not of those that were cancelled with it', () => {
    const { failure } = after([], errored('a', 'Build was cancelled.'), errored('b', 'no such switch'));
    assert.equal(failure.text, 'b: the builder failed: no such switch');
  });

  it('says what Packer said when it gives no error of a build', () => {
    assert.equal(after([], ',ui,error,Error: bad\\n\\n  on line 3').failure.text, 'Error: bad   on line 3');
    assert.equal(after([]).failure.text, 'Packer gave no reason');
  });

  it('does not lose its way in a provisioner that the template does not show', () => {
    const { failure, begun } = after([], script('a'), errored('a'));
    assert.deepEqual(begun, []);
    assert.match(failure.text, /^a: a provisioner failed in \/tmp\/packer-shell1: Script exited/);
  });
});
