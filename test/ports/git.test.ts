import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gitRepo } from '../../ports/git.ts';
import type { GitCredential } from '../../ports/git.ts';
import { PortError } from '../../ports/ports.ts';
import type { Run, RunRequest } from '../../ports/ports.ts';
import { run } from '../../ports/run.ts';
import { Secret } from '../../ports/secret.ts';

const WAIT = { deadlineMs: 15_000 };

describe('a repository by real git', function () {
  this.timeout(30_000);
  let dir: string;
  let bare: string;
  let asked: RunRequest[];
  let caches = 0;
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
  const watched: Run = (request) => {
    asked.push(request);
    return run(request);
  };
  const open = (branch = 'main', url = bare, credential: GitCredential = { kind: 'none' }) =>
    gitRepo({
      run: watched,
      env,
      url,
      branch,
      cacheDir: join(dir, `cache-${caches++}`),
      credential,
      author: { name: 'Node Cycle', email: 'node-cycle@example.test' },
    });
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', bare, ...args], {
      encoding: 'utf8',
      env: { ...env, GIT_CONFIG_GLOBAL: '/dev/null' },
    }).trim();

  beforeEach(() => {
    asked = [];
    dir = mkdtempSync(join(tmpdir(), 'node-cycle-git-'));
    bare = join(dir, 'remote.git');
    const work = join(dir, 'work');
    const at = (...args: string[]) =>
      execFileSync('git', ['-C', work, '-c', 'user.name=a', '-c', 'user.email=a@example.test', ...args], {
        env,
      });
    execFileSync('git', ['init', '-q', '--bare', '-b', 'main', bare], { env });
    execFileSync('git', ['init', '-q', '-b', 'main', work], { env });
    writeFileSync(join(work, 'cluster.yml'), 'nodes: 1\n');
    writeFileSync(join(work, 'run.sh'), '#!/bin/sh\n');
    chmodSync(join(work, 'run.sh'), 0o755);
    at('add', '.');
    at('commit', '-qm', 'one');
    at('push', '-q', bare, 'main');
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('reads files, folders and their history at a commit', async () => {
    const repo = open();
    const tip = await repo.tip(WAIT);
    assert.equal(tip, git('rev-parse', 'main'));
    assert.equal(await repo.read(tip, 'cluster.yml', WAIT), 'nodes: 1\n');
    assert.equal(await repo.read(tip, 'missing.yml', WAIT), undefined);
    assert.equal(await repo.read(tip, 'cluster.yml/x', WAIT), undefined);
    assert.deepEqual(await repo.list(tip, '', WAIT), ['cluster.yml', 'run.sh']);
    assert.deepEqual(await repo.list(tip, 'nowhere', WAIT), []);
    const next = await repo.commit(
      tip,
      { 'cluster.yml': 'nodes: 2\n', 'deep/er/x.txt': 'größe\r\nno end' },
      'two',
      WAIT,
    );
    assert.equal(await repo.read(next, 'deep/er/x.txt', WAIT), 'größe\r\nno end');
    assert.deepEqual(await repo.list(next, 'deep', WAIT), ['er']);
    assert.deepEqual(await repo.history(next, 'cluster.yml', 10, WAIT), ['nodes: 2\n', 'nodes: 1\n']);
    assert.deepEqual(await repo.history(next, 'cluster.yml', 1, WAIT), ['nodes: 2\n']);
    assert.equal(await repo.isAncestor(tip, next, WAIT), true);
    assert.equal(await repo.isAncestor(next, tip, WAIT), false);
    assert.equal(git('rev-parse', 'main'), tip, 'a commit alone pushes nothing');
  });

  it('pushes a commit with its message, author and file modes', async () => {
    const repo = open();
    const tip = await repo.tip(WAIT);
    const message = 'Add n4\n\nNode-Cycle-Run: 7 [skip ci]\n--upload-pack=x\n';
    const next = await repo.commit(tip, { 'run.sh': '#!/bin/sh\nexit\n' }, message, WAIT);
    assert.equal(await repo.push(next, tip, WAIT), 'pushed');
    assert.equal(
      git('log', '-1', '--format=%an <%ae>%n%B', 'main'),
      `Node Cycle <node-cycle@example.test>\n${message}`.trim(),
    );
    assert.match(git('ls-tree', 'main', 'run.sh'), /^100755/);
    assert.equal(await repo.tip(WAIT), next);
  });

  it('says that the branch moved, and the same edit goes through on the new tip', async () => {
    const [mine, theirs] = [open(), open()];
    const tip = await mine.tip(WAIT);
    await theirs.tip(WAIT);
    const lost = await mine.commit(tip, { 'a.txt': 'mine' }, 'mine', WAIT);
    const won = await theirs.commit(tip, { 'b.txt': 'theirs' }, 'theirs', WAIT);
    assert.equal(await theirs.push(won, tip, WAIT), 'pushed');
    assert.equal(await mine.push(lost, tip, WAIT), 'moved');
    assert.equal(git('rev-parse', 'main'), won);
    const again = await mine.tip(WAIT);
    const rebased = await mine.commit(again, { 'a.txt': 'mine' }, 'mine', WAIT);
    assert.equal(await mine.push(rebased, again, WAIT), 'pushed');
    assert.equal(git('show', 'main:b.txt'), 'theirs');
    assert.equal(git('show', 'main:a.txt'), 'mine');
  });

  it('says that the branch moved back, and never throws commits away', async () => {
    const repo = open();
    const tip = await repo.tip(WAIT);
    const two = await repo.commit(tip, { 'a.txt': '2' }, 'two', WAIT);
    await repo.push(two, tip, WAIT);
    const three = await repo.commit(two, { 'a.txt': '3' }, 'three', WAIT);
    git('update-ref', 'refs/heads/main', tip);
    assert.equal(await repo.push(three, two, WAIT), 'moved');
    const aside = await repo.commit(tip, { 'a.txt': 'x' }, 'aside', WAIT);
    await assert.rejects(repo.push(aside, two, WAIT), /would lose commits/);
  });

  it('hands on what a hook says when it refuses', async () => {
    const hook = join(bare, 'hooks', 'pre-receive');
    writeFileSync(hook, '#!/bin/sh\necho "TF402455: a pull request is required" >&2\nexit 1\n');
    chmodSync(hook, 0o755);
    const repo = open();
    const tip = await repo.tip(WAIT);
    const outcome = await repo.push(await repo.commit(tip, { a: 'x' }, 'm', WAIT), tip, WAIT);
    assert.ok(typeof outcome === 'object');
    assert.match(outcome.refused, /pre-receive hook declined.*TF402455: a pull request is required/);
    assert.equal(git('rev-parse', 'main'), tip);
  });

  it('offers a commit on a branch of our own, again and again, and on no other', async () => {
    const repo = open();
    const tip = await repo.tip(WAIT);
    const branch = 'node-cycle/0a1b/2c3d';
    for (const text of ['one', 'two']) {
      const next = await repo.commit(tip, { 'a.txt': text }, text, WAIT);
      assert.equal(await repo.offer(next, branch, WAIT), 'pushed');
      assert.equal(git('rev-parse', branch), next);
    }
    assert.equal(git('rev-parse', 'main'), tip);
    for (const other of ['main', 'node-cycle', '--force', 'node-cycle/../main'])
      await assert.rejects(repo.offer(tip, other, WAIT), /NC4060/, other);
  });

  it('takes a branch that is named like an option for a branch', async () => {
    const witness = join(dir, 'witness');
    writeFileSync(join(dir, 'evil'), `#!/bin/sh\ntouch ${witness}\n`, { mode: 0o755 });
    const branch = `--upload-pack=${dir}/evil`;
    git('update-ref', `refs/heads/${branch}`, 'main');
    const repo = open(branch);
    const tip = await repo.tip(WAIT);
    const next = await repo.commit(tip, { 'a.txt': 'x' }, '--amend', WAIT);
    assert.equal(await repo.push(next, tip, WAIT), 'pushed');
    assert.equal(git('rev-parse', `refs/heads/${branch}`), next);
    assert.equal(existsSync(witness), false);
  });

  it('does not start with a branch, URL, path or commit that is none', async () => {
    for (const branch of ['', 'a b', 'a..b', 'x:y', '*', 'a\nb', '.x', 'x.lock', 'a//b', '/a', 'a@{1}']) {
      assert.throws(() => open(branch), /NC4060/, branch);
    }
    for (const url of ['', '--upload-pack=x', 'ext::sh -c x', 'a\nb'])
      assert.throws(() => open('main', url), /NC4060/, url);
    const repo = open();
    const tip = await repo.tip(WAIT);
    for (const path of ['../x', '/etc/passwd', '.git/config', 'a\nb', 'a//b', '']) {
      await assert.rejects(repo.read(tip, path, WAIT), /NC4060/, path);
      await assert.rejects(repo.commit(tip, { [path]: 'x' }, 'm', WAIT), /NC4060/, path);
    }
    for (const commit of ['main', '--all', tip.slice(0, 10)])
      await assert.rejects(repo.read(commit, 'a', WAIT), /NC4060/);
    assert.equal(await repo.read(tip, '$(id)', WAIT), undefined);
    assert.equal(await repo.read(tip, '--help', WAIT), undefined);
  });

  it('says what is not there: repository, branch, commit', async () => {
    const kind = (wanted: string) => (error: unknown) => error instanceof PortError && error.kind === wanted;
    await assert.rejects(open('main', join(dir, 'none.git')).tip(WAIT), kind('notfound'));
    await assert.rejects(open('other').tip(WAIT), kind('notfound'));
    const repo = open();
    await assert.rejects(repo.isAncestor('a'.repeat(40), await repo.tip(WAIT), WAIT), kind('notfound'));
  });

  it('goes on in a cache that a killed run left behind, locks and all', async () => {
    const repo = open();
    const tip = await repo.tip(WAIT);
    const cache = join(dir, `cache-${caches - 1}`);
    writeFileSync(join(cache, 'HEAD.lock'), '');
    writeFileSync(join(cache, 'packed-refs.lock'), '');
    writeFileSync(join(cache, 'index.lock'), '');
    caches--;
    const next = open();
    assert.equal(await next.tip(WAIT), tip);
    const made = await next.commit(tip, { x: 'y' }, 'm', WAIT);
    assert.equal(await next.push(made, tip, WAIT), 'pushed');
  });

  it('refuses a file whose bytes are not UTF-8, which it could not write back', async () => {
    const blob = execFileSync('git', ['-C', bare, 'hash-object', '-w', '--stdin'], {
      input: Buffer.from([0x61, 0xff, 0x0a]),
      env,
    });
    const tree = execFileSync('git', ['-C', bare, 'mktree'], {
      input: `100644 blob ${blob.toString().trim()}\tbin\n`,
      env,
    });
    const commit = git(
      '-c',
      'user.name=a',
      '-c',
      'user.email=a@example.test',
      'commit-tree',
      '-m',
      'b',
      tree.toString().trim(),
    );
    git('update-ref', 'refs/heads/main', commit);
    const repo = open();
    await assert.rejects(repo.read(await repo.tip(WAIT), 'bin', WAIT), /not UTF-8/);
  });

  it('sends a token in a header to that URL only, and never in argv', async () => {
    const seen: (string | undefined)[] = [];
    const server = createServer((req, res) => {
      seen.push(req.headers.authorization);
      res.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/r.git`;
    const token = new Secret(Buffer.from('user:s3cret-token').toString('base64'));
    await assert.rejects(
      open('main', url, { kind: 'token', token, scheme: 'basic' }).tip(WAIT),
      (error) =>
        error instanceof PortError && error.kind === 'auth' && !error.message.includes(token.reveal()),
    );
    await assert.rejects(open('main', url, { kind: 'token', token, scheme: 'bearer' }).tip(WAIT), PortError);
    server.close();
    assert.equal(seen[0], `Basic ${token.reveal()}`);
    assert.ok(seen.includes(`Bearer ${token.reveal()}`));
    assert.ok(asked.every((request) => !request.args.join(' ').includes(token.reveal())));
    assert.ok(!readFileSync(join(dir, `cache-${caches - 1}`, 'config'), 'utf8').includes(token.reveal()));
  });

  it('gives ssh the key and the pinned hosts, quoted', async () => {
    const credential = {
      kind: 'sshKey' as const,
      keyFile: join(dir, "it's a key"),
      knownHostsFile: join(dir, 'known hosts'),
    };
    await assert.rejects(open('main', 'ssh://git@127.0.0.1:1/r.git', credential).tip(WAIT), PortError);
    const command = asked.find((request) => request.args.includes('fetch'))?.env['GIT_SSH_COMMAND'] ?? '';
    assert.match(command, /StrictHostKeyChecking=yes/);
    const words = execFileSync('sh', ['-c', `printf '%s\\n' ${command}`], { encoding: 'utf8' }).split('\n');
    assert.ok(words.includes(credential.keyFile));
    assert.ok(words.includes(`UserKnownHostsFile="${credential.knownHostsFile}"`));
  });
});
