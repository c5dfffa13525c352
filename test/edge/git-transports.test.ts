import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram, freePort, startChild } from '../../lab/servers/proxy/child.ts';
import { makeSshKey, startSshd } from '../../lab/servers/proxy/sshd.ts';
import { gitRepo } from '../../ports/git.ts';
import type { GitCredential, GitRepo } from '../../ports/git.ts';
import { PortError } from '../../ports/ports.ts';
import { run } from '../../ports/run.ts';

const WAIT = { deadlineMs: 20_000 };
const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };

interface Transport {
  url: string;
  credential: GitCredential;
  end(): Promise<void>;
}

/** The lab's git is the real git on a path; these are the other ways to the same repository. */
const transports: Record<string, (dir: string, bare: string) => Promise<Transport>> = {
  'a path, as in the lab': (_dir, url) =>
    Promise.resolve({ url, credential: { kind: 'none' }, end: () => Promise.resolve() }),
  'git daemon': daemon,
  ...(findProgram('sshd') ? { 'the real sshd': overSsh } : {}),
};

for (const [name, open] of Object.entries(transports)) {
  describe(`a branch over ${name}`, function () {
    this.timeout(60_000);
    let dir: string;
    let bare: string;
    let transport: Transport;
    let caches = 0;
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', bare, ...args], {
        encoding: 'utf8',
        env: { ...env, GIT_CONFIG_GLOBAL: '/dev/null' },
      }).trim();
    const repoAt = (branch = 'main', url = transport.url): GitRepo =>
      gitRepo({
        ...{ run, env, url, branch, cacheDir: join(dir, `cache-${(caches += 1)}`) },
        credential: transport.credential,
        author: { name: 'Node Cycle', email: 'node-cycle@example.test' },
      });

    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'node-cycle-transport-'));
      bare = join(dir, 'remote.git');
      execFileSync('git', ['init', '-q', '--bare', '-b', 'main', bare], { env });
      const tree = execFileSync('git', ['-C', bare, 'mktree'], { input: '' }).toString().trim();
      const who = ['-c', 'user.name=a', '-c', 'user.email=a@example.test'];
      git('update-ref', 'refs/heads/main', git(...who, 'commit-tree', '-m', 'one', tree));
      writeFileSync(
        join(bare, 'hooks', 'update'),
        '#!/bin/sh\ncase $1 in refs/heads/closed) echo "TF402455: a pull request is needed" >&2; exit 1 ;; esac\n',
      );
      chmodSync(join(bare, 'hooks', 'update'), 0o755);
      git('update-ref', 'refs/heads/closed', 'main');
      transport = await open(dir, bare);
    });
    after(async () => {
      await transport.end();
      rmSync(dir, { recursive: true, force: true });
    });

    it('is read, changed and pushed, and tells who was first', async () => {
      const [mine, theirs] = [repoAt(), repoAt()];
      const tip = await mine.tip(WAIT);
      assert.equal(await theirs.tip(WAIT), tip);
      const first = await mine.commit(
        tip,
        { 'a/b.yaml': 'größe: "$(id)"\r\n' },
        'one\n\nNode-Cycle-Run: 1\n',
        WAIT,
      );
      assert.equal(await mine.push(first, tip, WAIT), 'pushed');
      const late = await theirs.commit(tip, { 'c.yaml': 'x' }, 'late', WAIT);
      assert.equal(await theirs.push(late, tip, WAIT), 'moved');
      const next = await theirs.tip(WAIT);
      assert.equal(next, first);
      assert.equal(await theirs.read(next, 'a/b.yaml', WAIT), 'größe: "$(id)"\r\n');
      const again = await theirs.commit(next, { 'c.yaml': 'x' }, 'again', WAIT);
      assert.equal(await theirs.push(again, next, WAIT), 'pushed');
      assert.equal(await theirs.isAncestor(first, again, WAIT), true);
      assert.match(git('log', '-2', '--format=%B', 'main'), /Node-Cycle-Run: 1/);
    });
    it('hands on the words of a server that refuses', async () => {
      const repo = repoAt('closed');
      const tip = await repo.tip(WAIT);
      const outcome = await repo.push(await repo.commit(tip, { a: '1' }, 'm', WAIT), tip, WAIT);
      assert.ok(typeof outcome === 'object');
      assert.match(outcome.refused, /hook declined.*TF402455: a pull request is needed/);
      const offered = await repo.commit(tip, { a: '2' }, 'm', WAIT);
      assert.equal(await repo.offer(offered, 'node-cycle/x', WAIT), 'pushed');
      assert.equal(git('rev-parse', 'node-cycle/x'), offered);
    });
    it('says that a branch or a repository is not there', async () => {
      const missing = (error: unknown) => error instanceof PortError && error.kind === 'notfound';
      await assert.rejects(repoAt('nowhere').tip(WAIT), missing);
      await assert.rejects(repoAt('main', `${transport.url}-not`).tip(WAIT), PortError);
    });
    it('takes a hostile branch for a name', async () => {
      const witness = join(dir, 'witness');
      for (const branch of [
        `--upload-pack=touch\${IFS}${witness}`,
        `$(touch\${IFS}${witness})`,
        ';id',
        "'x'",
        '-oProxyCommand=id',
      ]) {
        git('update-ref', `refs/heads/${branch}`, 'main');
        assert.equal(await repoAt(branch).tip(WAIT), git('rev-parse', 'refs/heads/main'));
        git('update-ref', '-d', `refs/heads/${branch}`);
      }
      assert.equal(existsSync(witness), false);
    });
  });
}

async function daemon(dir: string): Promise<Transport> {
  const port = await freePort('127.0.0.1');
  const args = [
    'daemon',
    '--listen=127.0.0.1',
    `--port=${port}`,
    `--base-path=${dir}`,
    '--export-all',
    '--enable=receive-pack',
    '--reuseaddr',
  ];
  const child = startChild('git', args);
  for (let left = 200; left > 0 && !(await answers(port)); left -= 1)
    await new Promise((resolve) => setTimeout(resolve, 20));
  return {
    url: `git://127.0.0.1:${port}/remote.git`,
    credential: { kind: 'none' },
    end: () => child.stop(),
  };
}

async function overSsh(dir: string, bare: string): Promise<Transport> {
  const key = makeSshKey();
  const server = await startSshd({
    ...{ dir: join(dir, 'sshd'), address: '127.0.0.1', port: 0, use: 'real', authorizedKey: key.publicKey },
    command: ['/bin/sh', '-c', 'exec git shell -c "$SSH_ORIGINAL_COMMAND"'],
  });
  const [keyFile, knownHostsFile] = [join(dir, 'key'), join(dir, 'known hosts')];
  writeFileSync(keyFile, key.privateKey, { mode: 0o600 });
  writeFileSync(knownHostsFile, `[127.0.0.1]:${server.port} ${server.hostKey}\n`);
  return {
    url: `ssh://${server.user}@127.0.0.1:${server.port}${bare}`,
    credential: { kind: 'sshKey', keyFile, knownHostsFile },
    end: () => server.stop(),
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
