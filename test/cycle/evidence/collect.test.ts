/** The evidence command, run by a real sshd on this very machine. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { collectEvidence } from '../../../cycle/acts/evidence.ts';
import type { Context } from '../../../cycle/context.ts';
import type { NodeEvidence } from '../../../cycle/evidence/read.ts';
import type { RunEventBody } from '../../../cycle/record.ts';
import { makeSshKey, startSshd, type RunningSshd } from '../../../lab/servers/proxy/sshd.ts';
import { CodedError } from '../../../ports/errors.ts';
import type { Repo } from '../../../ports/ports.ts';
import { Secret } from '../../../ports/secret.ts';
import { ssh } from '../../../ports/ssh.ts';
import { configOf } from '../world.ts';

describe('Collecting evidence', function () {
  this.timeout(60_000);
  const key = makeSshKey();
  let dir: string;
  let sshd: RunningSshd;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'nc-evidence-'));
    sshd = await startSshd({
      dir: join(dir, 'sshd'),
      address: '127.0.0.1',
      port: 0,
      authorizedKey: key.publicKey,
      // What a login without a forced command does with what it is sent.
      command: ['bash', '-c', 'exec bash -c "$SSH_ORIGINAL_COMMAND"'],
    });
  });
  after(async () => {
    await sshd.stop();
    rmSync(dir, { recursive: true });
  });

  function context(run = ssh) {
    const records: RunEventBody[] = [];
    const files: Record<string, string> = {
      'cluster.yml': `nodes:\n  - address: 10.0.0.11\n    hostname_override: home-n1\n    user: ${sshd.user}\n    port: ${sshd.port}\n    role: [worker]\n`,
      known_hosts: `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`,
    };
    const repo: Pick<Repo, 'tip' | 'read'> = {
      tip: () => Promise.resolve('c1'),
      read: (_commit, path) => Promise.resolve(files[path]),
    };
    const ctx = {
      config: configOf(),
      repo,
      ports: { ssh: run },
      nodesKey: new Secret(key.privateKey),
      evidence: new Map<string, NodeEvidence>(),
      record: (event: RunEventBody) => void records.push(event),
    } as unknown as Context;
    return { ctx, records };
  }
  const signal = () => new AbortController().signal;

  it('asks a machine over SSH, and what it says is true', async () => {
    const { ctx, records } = context();
    await collectEvidence(ctx, 'home-n5', '127.0.0.1', '10.0.0.11', signal());
    const evidence = ctx.evidence.get('127.0.0.1') ?? assert.fail();
    const pretty = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
    assert.equal(evidence.os, pretty);
    assert.equal(evidence.kernel, release());
    const openssl = execFileSync('openssl', ['version'], { encoding: 'utf8' });
    assert.ok(openssl.startsWith(`${evidence.openssl} `), evidence.openssl);
    const btime = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1];
    assert.equal(Date.parse(evidence.bootedAt), Number(btime) * 1000);
    assert.ok(evidence.securityUpdates === 'unknown' || evidence.securityUpdates >= 0);
    assert.notEqual(evidence.securityUpdatesBy, '');
    const [record] = records;
    assert.ok(records.length === 1 && record?.kind === 'evidence');
    assert.equal(record.subject, 'home-n5');
    assert.equal(record.facts['kernel'], release());
  });

  it('says so when a machine runs no command to its end', async () => {
    const { ctx, records } = context(() => Promise.resolve({ exitCode: 127, stdout: '', stderr: '' }));
    await assert.rejects(
      collectEvidence(ctx, 'home-n5', '127.0.0.1', undefined, signal()),
      (error) => error instanceof CodedError && error.code === 'NC1224',
    );
    assert.deepEqual([ctx.evidence.size, records.length], [0, 0]);
  });
});
