import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { accountFiles } from '../../../../cycle/edge/nginx/account.ts';
import type { Account } from '../../../../cycle/edge/nginx/account.ts';
import { findProgram, freePort, startChild } from '../../../../lab/servers/proxy/child.ts';
import type { Child } from '../../../../lab/servers/proxy/child.ts';
import { makeSshKey } from '../../../../lab/servers/proxy/sshd.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0f';
const account: Account = {
  user: 'node-cycle',
  publicKey: KEY,
  files: ['/etc/nginx/conf.d/web.conf'],
  runs: 'sudo',
};

describe("the lines of the cycle's account on a proxy", () => {
  it('bind the key to the one script, as root only by sudo and without arguments', () => {
    assert.deepEqual(accountFiles(account), {
      authorizedKeys: `restrict,command="sudo -n /usr/local/sbin/node-cycle-proxy.sh" ${KEY}\n`,
      sudoers:
        'Defaults!/usr/local/sbin/node-cycle-proxy.sh env_keep += "SSH_ORIGINAL_COMMAND"\nnode-cycle ALL=(root) NOPASSWD: /usr/local/sbin/node-cycle-proxy.sh ""\n',
      settings: 'file=/etc/nginx/conf.d/web.conf\n',
    });
    assert.equal(accountFiles({ ...account, runs: 'itself' }).sudoers, undefined);
  });
  it('are not made from what would not stay on its line', () => {
    for (const part of [
      { user: 'a ALL=(ALL) NOPASSWD: ALL\nb' },
      { publicKey: `${KEY}\nssh-ed25519 AAAA` },
      { publicKey: `command="sh" ${KEY}` },
      { files: ['/etc/a\nnginx=/bin/sh'] },
      { files: ['relative'] },
      { script: '/x" ssh' },
    ])
      assert.throws(() => accountFiles({ ...account, ...part }), /NC4006/, JSON.stringify(part));
  });

  const [sshd, ssh] = [findProgram('sshd'), findProgram('ssh')];
  if (sshd !== undefined && ssh !== undefined && process.getuid?.() === 0) {
    it('leave a client of the real sshd no shell, terminal, forwarding or other command', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'node-cycle-account-'));
      let child: Child | undefined;
      try {
        const [key, host] = [makeSshKey(), makeSshKey()];
        const at = (name: string) => join(dir, name);
        const port = await freePort('127.0.0.1');
        writeFileSync(at('script.sh'), '#!/bin/sh\nprintf "asked: %s" "$SSH_ORIGINAL_COMMAND"\n');
        chmodSync(at('script.sh'), 0o755);
        const lines = accountFiles({
          ...account,
          publicKey: key.publicKey,
          runs: 'itself',
          script: at('script.sh'),
        });
        writeFileSync(at('authorized_keys'), lines.authorizedKeys);
        writeFileSync(at('host'), host.privateKey, { mode: 0o600 });
        writeFileSync(at('key'), key.privateKey, { mode: 0o600 });
        writeFileSync(at('known_hosts'), `[127.0.0.1]:${port} ${host.publicKey}\n`);
        writeFileSync(
          at('config'),
          `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${at('host')}\nPidFile none\nAuthorizedKeysFile ${at('authorized_keys')}\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n`,
        );
        mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
        child = startChild(sshd, ['-D', '-f', at('config'), '-E', at('log')]);
        const call = (...words: string[]) =>
          spawnSync(
            ssh,
            [
              '-F',
              'none',
              '-p',
              String(port),
              '-i',
              at('key'),
              '-o',
              'BatchMode=yes',
              '-o',
              `UserKnownHostsFile=${at('known_hosts')}`,
              ...words,
            ],
            { encoding: 'utf8', input: '', timeout: 10_000 },
          );
        const login = `${userInfo().username}@127.0.0.1`;
        for (let left = 100; left > 0 && call(login, 'read').status !== 0; left -= 1)
          await new Promise((resolve) => setTimeout(resolve, 50));
        const witness = at('witness');
        for (const words of [['read'], [`touch ${witness}`], ['sh', '-c', `touch ${witness}`]])
          assert.equal(call(login, ...words).stdout, `asked: ${words.join(' ')}`);
        assert.equal(call(login).stdout, 'asked: ', 'no shell');
        assert.equal(call('-s', login, 'sftp').stdout, 'asked: internal-sftp', 'no subsystem');
        assert.match(call('-tt', login, 'read').stderr, /PTY allocation request failed/);
        const forwarded = call('-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:1', login, 'read');
        assert.notEqual(forwarded.status, 0);
        assert.equal(existsSync(witness), false);
      } finally {
        await child?.stop();
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }
});
