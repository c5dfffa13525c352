import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../lab/servers/proxy/child.ts';
import { makeSshKey, startSshd } from '../../lab/servers/proxy/sshd.ts';
import type { RunningSshd } from '../../lab/servers/proxy/sshd.ts';
import { PortError } from '../../ports/ports.ts';
import type { PortFailure, SshRequest, SshTarget } from '../../ports/ports.ts';
import { ssh } from '../../ports/ssh.ts';

const WAIT = { deadlineMs: 15_000 };
const MEGABYTE = 1024 * 1024;
const BANNER = 'Welcome\n00000000000000000000000000000000 begin 1 read\n';
/** What the account may run; whatever it is asked for comes in one variable. */
const COMMAND = `case $SSH_ORIGINAL_COMMAND in
echo) cat ;;
both) printf out; printf err >&2; exit 3 ;;
count) wc -c | tr -d ' ' ;;
big) head -c ${2 * MEGABYTE} /dev/zero | tr '\\0' x ;;
killed) kill -TERM $$; sleep 5 ;;
slow) sleep 20 ;;
*) printf '%s' "$SSH_ORIGINAL_COMMAND" ;;
esac
`;

/** One table for the real sshd and the stand-in: the answers must be equal. */
export function sshCases(kind: 'real' | 'stand-in'): void {
  describe(`a command over SSH (${kind} sshd)`, function () {
    this.timeout(60_000);
    let dir: string;
    let server: RunningSshd;
    let target: SshTarget;
    const ask = (command: string, more: Partial<SshRequest> = {}) =>
      ssh({ target, command, ...WAIT, ...more });
    const fails = (kindOf: PortFailure, sent: boolean) => (error: unknown) => {
      assert.ok(error instanceof PortError, String(error));
      assert.deepEqual([error.kind, error.sent], [kindOf, sent], error.message);
      return true;
    };

    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'node-cycle-ssh-'));
      const key = makeSshKey();
      const script = join(dir, 'command.sh');
      writeFileSync(script, COMMAND);
      server = await startSshd({
        ...{ dir: join(dir, 'sshd'), address: '127.0.0.1', port: 0, use: kind, banner: BANNER },
        ...{ authorizedKey: key.publicKey, command: ['/bin/sh', script] },
      });
      const { address: host, port, user, hostKey } = server;
      target = { host, port, user, privateKey: key.privateKey, hostKeys: [hostKey] };
    });
    after(async () => {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    });

    it('gives stdout, stderr and the exit code, and nothing of the banner', async () => {
      assert.deepEqual(await ask('both'), { exitCode: 3, stdout: 'out', stderr: 'err' });
    });
    it('takes bytes on stdin and gives them back as they were', async () => {
      const text = 'größe\r\n\ttab "quotes" $(id) \\ ✓\n\n';
      assert.deepEqual(await ask('echo', { stdin: text }), { exitCode: 0, stdout: text, stderr: '' });
      assert.equal((await ask('echo')).stdout, '');
    });
    it('carries megabytes both ways', async () => {
      assert.equal((await ask('count', { stdin: new Uint8Array(MEGABYTE) })).stdout.trim(), String(MEGABYTE));
      assert.equal((await ask('big')).stdout.length, 2 * MEGABYTE);
    });
    it('hands the command on as one text that no shell reads', async () => {
      const witness = join(dir, 'witness');
      for (const command of [
        `$(touch ${witness})`,
        `x; touch ${witness}`,
        `'"\`touch ${witness}\``,
        'a\nb',
        '-c x',
        '*',
        'ü',
      ])
        assert.equal((await ask(command)).stdout, command);
      assert.equal(existsSync(witness), false);
    });
    it('answers several at once, each its own', async () => {
      const texts = ['one', 'two', 'three', 'four'];
      const answers = await Promise.all(texts.map((stdin) => ask('echo', { stdin })));
      assert.deepEqual(
        answers.map(({ stdout }) => stdout),
        texts,
      );
    });
    it('has no exit code when a signal ended the command', async () => {
      assert.equal((await ask('killed')).exitCode, null);
    });
    it('gives up at the deadline or when it is told to', async () => {
      await assert.rejects(ask('slow', { deadlineMs: 1_500 }), fails('timeout', true));
      await assert.rejects(ask('slow', { signal: AbortSignal.abort() }), fails('aborted', false));
    });
    it('lets nobody in with another key, and talks to no other host', async () => {
      const other = makeSshKey();
      await assert.rejects(
        ask('echo', { target: { ...target, privateKey: other.privateKey } }),
        fails('auth', false),
      );
      await assert.rejects(
        ask('echo', { target: { ...target, hostKeys: [other.publicKey] } }),
        fails('hostkey', false),
      );
      await assert.rejects(
        ask('echo', { target: { ...target, privateKey: 'no key' } }),
        fails('auth', false),
      );
      await assert.rejects(
        ask('echo', { target: { ...target, user: `no-${target.user}` } }),
        fails('auth', false),
      );
      const closed = await freePort('127.0.0.1');
      await assert.rejects(ask('echo', { target: { ...target, port: closed } }), fails('refused', false));
    });
  });
}
