import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { azurePlace, azureRepos } from '../../../../cycle/edge/gitops/azure-repos.ts';
import {
  isProtectedBranch,
  judgePullRequest,
  propose,
  withdraw,
} from '../../../../cycle/edge/gitops/pull-request.ts';
import type { PullRequest, PullRequests } from '../../../../cycle/edge/gitops/pull-request.ts';
import { gitRepo } from '../../../../ports/git.ts';
import type { GitRepo } from '../../../../ports/git.ts';
import { openHttp } from '../../../../ports/http.ts';
import { run } from '../../../../ports/run.ts';
import { Secret } from '../../../../ports/secret.ts';
import { azureServer } from './azure-server.ts';
import type { AzureServer } from './azure-server.ts';

const WAIT = { deadlineMs: 15_000 };
const AUTHORIZATION = 'Basic dXNlcjpwYXQ=';
const [PATH, TARGET] = ['values.yaml', 'main'];
const [OLD_TEXT, NEW_TEXT] = ['a: [10.0.0.11]\n', 'a: [10.0.0.11, 10.0.0.13]\n'];
const MESSAGE = 'Add 10.0.0.13 [skip ci]\n\nNode-Cycle-Run: 7\n';

describe('a change to a protected branch of Azure Repos', function () {
  this.timeout(30_000);
  let dir: string;
  let bare: string;
  let repo: GitRepo;
  let server: AzureServer;
  let pulls: PullRequests;
  const adapter = openHttp({});
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', GIT_CONFIG_GLOBAL: '/dev/null' };
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', bare, '-c', 'user.name=s', '-c', 'user.email=s@example.test', ...args], {
      encoding: 'utf8',
      env,
    }).trim();

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'node-cycle-pull-'));
    bare = join(dir, 'remote.git');
    execFileSync('git', ['init', '-q', '--bare', '-b', TARGET, bare], { env });
    repo = gitRepo({
      ...{ run, env, url: bare, branch: TARGET, cacheDir: join(dir, 'cache') },
      credential: { kind: 'none' },
      author: { name: 'Node Cycle', email: 'node-cycle@example.test' },
    });
    const tree = execFileSync('git', ['-C', bare, 'mktree'], {
      input: `100644 blob ${execFileSync('git', ['-C', bare, 'hash-object', '-w', '--stdin'], { input: OLD_TEXT }).toString().trim()}\t${PATH}\n`,
    })
      .toString()
      .trim();
    git('update-ref', `refs/heads/${TARGET}`, git('commit-tree', '-m', 'one', tree));
    mkdirSync(join(bare, 'hooks'), { recursive: true });
    writeFileSync(
      join(bare, 'hooks', 'update'),
      `#!/bin/sh\n[ "$1" = refs/heads/${TARGET} ] || exit 0\necho 'TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch.' >&2\nexit 1\n`,
    );
    chmodSync(join(bare, 'hooks', 'update'), 0o755);
    server = await azureServer(git, AUTHORIZATION);
    const made = azureRepos({
      http: adapter.http,
      url: server.url,
      authorization: new Secret(AUTHORIZATION),
    });
    assert.ok(made);
    pulls = made;
  });
  afterEach(async () => {
    await server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  after(() => adapter.close());

  /** What the task does each time that it looks. */
  const ask = async (text = NEW_TEXT): Promise<PullRequest> => {
    const tip = await repo.tip(WAIT);
    const commit = await repo.commit(tip, { [PATH]: text }, MESSAGE, WAIT);
    const review = { pulls, offer: repo.offer.bind(repo), target: TARGET };
    return propose(review, { commit, path: PATH, text, message: MESSAGE }, WAIT);
  };
  const held = () => git('show', `${TARGET}:${PATH}`);

  it('is known by what the server says to the push', async () => {
    const tip = await repo.tip(WAIT);
    const pushed = await repo.push(await repo.commit(tip, { [PATH]: NEW_TEXT }, MESSAGE, WAIT), tip, WAIT);
    assert.ok(typeof pushed === 'object' && isProtectedBranch(pushed.refused), JSON.stringify(pushed));
    for (const refused of [
      '[remote rejected] (TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch.)',
      '[remote rejected] (protected branch hook declined); error: GH006: Protected branch update failed for refs/heads/main.',
      '[remote rejected] (push declined due to repository rule violations); error: GH013: Repository rule violations found for refs/heads/main.',
      '[remote rejected] (pre-receive hook declined); GitLab: You are not allowed to push code to protected branches on this project.',
    ])
      assert.ok(isProtectedBranch(refused), refused);
    for (const refused of [
      '[remote rejected] (pre-receive hook declined); GitLab: commit message does not follow the pattern',
      '[remote rejected] (TF401027: You need the Git GenericContribute permission)',
      '[remote rejected] (unpacker error)',
    ])
      assert.ok(!isProtectedBranch(refused), refused);
  });

  it('waits with the link while policies wait, and is done when they allow it', async () => {
    server.policies = [
      { name: 'Minimum number of reviewers', status: 'queued', isBlocking: true },
      { name: 'Build', status: 'running', isBlocking: true },
      { name: 'Spelling', status: 'rejected', isBlocking: false },
    ];
    const made = await ask();
    assert.deepEqual(judgePullRequest(made), {
      kind: 'waiting',
      reason: `pull request 1 (${server.url}/pullrequest/1) waits for Minimum number of reviewers, Build`,
    });
    assert.equal(held(), OLD_TEXT.trim());
    const { title, description, completionOptions } = server.pulls[0] ?? {};
    assert.deepEqual([title, description], ['Add 10.0.0.13 [skip ci]', 'Node-Cycle-Run: 7']);
    assert.deepEqual(completionOptions, { deleteSourceBranch: true, mergeCommitMessage: MESSAGE });

    assert.equal((await ask()).id, made.id, 'the next look, or the next run, finds it');
    assert.equal(server.pulls.length, 1);
    for (const policy of server.policies) policy.status = 'approved';
    assert.deepEqual(judgePullRequest(await pulls.read(made.id, WAIT)), { kind: 'merged' });
    assert.equal(held(), NEW_TEXT.trim());
    assert.match(git('log', '-1', '--format=%B', TARGET), /^Node-Cycle-Run: 7$/m);
    assert.equal(git('for-each-ref', 'refs/heads/node-cycle'), '');
    assert.ok(server.requests.every(({ authorization }) => authorization === AUTHORIZATION));
    assert.ok(server.requests.every(({ path }) => /[?&]api-version=7\.1(-preview\.1)?$/.test(path)));
  });

  it('is refused, with the policy or the reason, when waiting would not help', async () => {
    server.policies = [{ name: 'Minimum number of reviewers', status: 'rejected', isBlocking: true }];
    const made = await ask();
    const verdict = judgePullRequest(made);
    assert.ok(verdict.kind === 'refused');
    assert.match(verdict.reason, /pullrequest\/1\) was rejected by Minimum number of reviewers/);
    await pulls.abandon(made.id, WAIT);
    assert.match(JSON.stringify(judgePullRequest(await pulls.read(made.id, WAIT))), /refused.*was abandoned/);
  });

  it('has auto-complete even when the run was killed before it could ask for it', async () => {
    server.policies = [{ name: 'Build', status: 'running', isBlocking: true }];
    const tip = await repo.tip(WAIT);
    const commit = await repo.commit(tip, { [PATH]: NEW_TEXT }, MESSAGE, WAIT);
    const dying: PullRequests = { ...pulls, completeWhenAllowed: () => Promise.reject(new Error('killed')) };
    const proposal = { commit, path: PATH, text: NEW_TEXT, message: MESSAGE };
    const review = { pulls: dying, offer: repo.offer.bind(repo), target: TARGET };
    await assert.rejects(propose(review, proposal, WAIT), /killed/);
    assert.equal((await ask()).autoComplete, true);
    assert.equal(server.pulls.length, 1);
  });

  it('is made anew when somebody else changed the file meanwhile, and the stale one is withdrawn', async () => {
    server.policies = [{ name: 'Build', status: 'running', isBlocking: true }];
    const first = await ask();
    const tip = await repo.tip(WAIT);
    const theirs = 'a: [10.0.0.12]\n';
    const other = await repo.commit(tip, { [PATH]: theirs }, 'theirs', WAIT);
    await repo.offer(other, 'node-cycle/x/y', WAIT);
    git('update-ref', `refs/heads/${TARGET}`, other);
    assert.match(
      JSON.stringify(judgePullRequest(await pulls.read(first.id, WAIT))),
      /refused.*cannot be merged: conflicts/,
    );
    const second = await ask('a: [10.0.0.12, 10.0.0.13]\n');
    assert.notEqual(second.id, first.id);
    assert.deepEqual(
      server.pulls.map(({ status }) => status),
      ['abandoned', 'active'],
    );
    await withdraw(pulls, { path: PATH, target: TARGET }, WAIT);
    assert.deepEqual(
      server.pulls.map(({ status }) => status),
      ['abandoned', 'abandoned'],
      'on the way back nothing may come in later',
    );
  });

  it('says what the service said when it is not as documented', async () => {
    server.next = {
      status: 403,
      body: '{"message":"TF401027: You need the Git PullRequestContribute permission"}',
    };
    await assert.rejects(ask(), /NC4061.*status 403/);
    server.next = { status: 200, body: '<html>' };
    await assert.rejects(ask(), /NC4061.*expected JSON/);
    const stranger = azureRepos({
      http: adapter.http,
      url: server.url,
      authorization: new Secret('Basic eDp5'),
    });
    await assert.rejects(stranger?.active('node-cycle/', TARGET, WAIT) ?? Promise.resolve(), (error) => {
      assert.match(String(error), /NC4061.*status 203/);
      return !String(error).includes('eDp5');
    });
  });

  it('is asked for where the repository is', () => {
    const at = (url: string) => Object.values(azurePlace(url) ?? {});
    assert.deepEqual(at('https://dev.azure.com/org/My%20Project/_git/gitops'), [
      'https://dev.azure.com/org/My%20Project',
      'gitops',
    ]);
    assert.deepEqual(at('https://org@dev.azure.com/org/p/_git/r%20x/'), [
      'https://dev.azure.com/org/p',
      'r x',
    ]);
    assert.deepEqual(at('https://dev.azure.com/org/_git/both'), ['https://dev.azure.com/org/both', 'both']);
    assert.deepEqual(at('https://org.visualstudio.com/p/_git/r'), ['https://org.visualstudio.com/p', 'r']);
    assert.deepEqual(at('https://org.visualstudio.com/DefaultCollection/p/_git/r'), [
      'https://org.visualstudio.com/DefaultCollection/p',
      'r',
    ]);
    assert.deepEqual(at('https://org.visualstudio.com/_git/both'), [
      'https://org.visualstudio.com/both',
      'both',
    ]);
    assert.deepEqual(at('https://tfs.test/tfs/DefaultCollection/p/_git/r'), [
      'https://tfs.test/tfs/DefaultCollection/p',
      'r',
    ]);
    assert.deepEqual(at('git@ssh.dev.azure.com:v3/org/p/r'), ['https://dev.azure.com/org/p', 'r']);
    for (const url of [
      'https://github.com/o/r.git',
      '/srv/git/r.git',
      'git@github.com:o/r.git',
      'https://x/_git/a/b',
    ])
      assert.equal(azurePlace(url), undefined, url);
  });
});
