import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { makeSshHostKey } from '../../../agent-bridge/host/ssh-host-key.ts';
import { random } from '../../../ports/random.ts';

describe('a node’s SSH host key', () => {
  it('is read by OpenSSH and by ssh2, with the public half that we pin', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hostkey-'));
    const { publicKey, privateKey } = makeSshHostKey(random);
    writeFileSync(join(dir, 'key'), privateKey.reveal(), { mode: 0o600 });
    const read = execFileSync('ssh-keygen', ['-y', '-P', '', '-f', join(dir, 'key')], { encoding: 'utf8' });
    rmSync(dir, { recursive: true });
    assert.equal(read.trim(), publicKey);
    const parsed = ssh2.utils.parseKey(privateKey.reveal());
    assert.ok(!(parsed instanceof Error));
    assert.equal(parsed.getPublicSSH().toString('base64'), publicKey.split(' ')[1]);
  });

  it('does not print its private half', () => {
    assert.doesNotMatch(JSON.stringify(makeSshHostKey(random)), /PRIVATE/);
  });
});
