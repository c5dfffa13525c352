/** Edits of files in git: pushed, or by a pull request where the branch is protected. Real git, and Azure Repos' shapes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { editClusterYml } from '../../../cycle/acts/rke.ts';
import { editValues } from '../../../cycle/acts/edges.ts';
import { withdrawAll } from '../../../cycle/acts/git.ts';
import { createKubeApi } from '../../../cycle/cluster/kubernetes/api.ts';
import { annotateLock, takeLock } from '../../../cycle/cluster/kubernetes/lease.ts';
import type { Context } from '../../../cycle/context.ts';
import { azureRepos } from '../../../cycle/edge/gitops/azure-repos.ts';
import type { Review } from '../../../cycle/edge/gitops/pull-request.ts';
import { addIngressAddress } from '../../../cycle/edge/gitops/values.ts';
import { factsFromAnnotations, factsToAnnotations, NO_FACTS } from '../../../cycle/facts.ts';
import { readLockOf } from '../../../cycle/observe.ts';
import { readProposals } from '../../../cycle/observe-plan.ts';
import { Refused } from '../../../cycle/step.ts';
import { gitRepo } from '../../../ports/git.ts';
import { openHttp } from '../../../ports/http.ts';
import { PortError } from '../../../ports/ports.ts';
import { run } from '../../../ports/run.ts';
import { Secret } from '../../../ports/secret.ts';
import { kubeDouble } from '../cluster/kubernetes/kube-double.ts';
import { azureServer, type AzureServer } from '../edge/gitops/azure-server.ts';
import { planInput } from '../journey.ts';
import { configOf, ME } from '../world.ts';

const AUTHORIZATION = 'Basic dXNlcjpwYXQ=';
const VALUES = 'apps/ingress-nginx/values.yaml';
const PATH = 'controller.service.externalIPs';
const BEFORE = 'controller:\n  service:\n    externalIPs:\n      - 10.0.0.11\n';
const CLUSTER_YML = 'nodes:\n  - address: 10.0.0.11\n    user: rke\n    role: [worker]\n';
const bringIn = (text: string) => addIngressAddress(text, PATH, '10.0.0.11', '10.0.0.60');
const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', GIT_CONFIG_GLOBAL: '/dev/null' };

describe('An edit of a file on a protected branch', function () {
  this.timeout(30_000);
  const adapter = openHttp({});
  const signal = new AbortController().signal;
  let dir: string;
  let bare: string;
  let server: AzureServer;
  let said: string[];
  /** What happens while the task sleeps; the clock moves on by what it sleeps. */
  let meanwhile: (nth: number) => void;
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', bare, '-c', 'user.name=s', '-c', 'user.email=s@example.test', ...args], {
      encoding: 'utf8',
      env,
    }).trim();
  const held = (path: string) => git('show', `main:${path}`);

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'node-cycle-edit-'));
    bare = join(dir, 'remote.git');
    said = [];
    meanwhile = () => undefined;
    const work = join(dir, 'work');
    execFileSync('git', ['init', '-q', '--bare', '-b', 'main', bare], { env });
    execFileSync('git', ['init', '-q', '-b', 'main', work], { env });
    execFileSync('mkdir', ['-p', join(work, 'apps', 'ingress-nginx')]);
    writeFileSync(join(work, VALUES), BEFORE);
    writeFileSync(join(work, 'cluster.yml'), CLUSTER_YML);
    const inWork = ['-C', work, '-c', 'user.name=s', '-c', 'user.email=s@example.test'];
    execFileSync('git', [...inWork, 'add', '.'], { env });
    execFileSync('git', [...inWork, 'commit', '-qm', 'one'], { env });
    execFileSync('git', [...inWork, 'push', '-q', bare, 'main'], { env });
    protect('TF402455: Pushes to this branch are not permitted; you must use a pull request.');
    server = await azureServer(git, AUTHORIZATION);
    server.policies = [{ name: 'Build', status: 'running', isBlocking: true }];
  });
  afterEach(async () => {
    await server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  after(() => adapter.close());

  function protect(words: string) {
    const hook = join(bare, 'hooks', 'update');
    writeFileSync(hook, `#!/bin/sh\n[ "$1" = refs/heads/main ] || exit 0\necho '${words}' >&2\nexit 1\n`);
    chmodSync(hook, 0o755);
  }

  async function contextOf(over: { reviews?: boolean } = {}): Promise<Context> {
    const api = createKubeApi(
      { http: kubeDouble().http, clock: { now: () => 0, sleep: () => Promise.resolve() } },
      { servers: ['https://a:6443'] },
    );
    await takeLock(api, 'home', undefined, ME, 0, { deadlineMs: 1_000 });
    const node = { address: '10.0.0.11', roles: [] };
    const facts = { ...NO_FACTS, old: { ...node, name: 'home-n1' }, successor: { name: 'home-n5' } };
    await annotateLock(api, 'home', ME, 1, factsToAnnotations(facts), { deadlineMs: 1_000 });
    const repo = gitRepo({
      ...{ run, env, url: bare, branch: 'main', cacheDir: join(dir, 'cache') },
      credential: { kind: 'none' },
      author: { name: 'Node Cycle', email: 'node-cycle@example.test' },
    });
    const authorization = new Secret(AUTHORIZATION);
    const pulls = azureRepos({ http: adapter.http, url: server.url, authorization }) ?? assert.fail();
    const review: Review = { target: 'main', pulls, offer: (...args) => repo.offer(...args) };
    let nowMs = 0;
    let slept = 0;
    const sleep = (ms: number) => {
      nowMs += ms;
      meanwhile((slept += 1));
      return Promise.resolve();
    };
    return {
      config: configOf({ pace: { reviewMinutes: 1 }, proxies: [], dns: undefined }),
      ...{ me: ME, repo, gitops: repo, bridges: [], proxies: [], evidence: new Map(), logins: new Map() },
      reviews: over.reviews === false ? {} : { cluster: review, gitops: review },
      ports: { clock: { now: () => nowMs, sleep }, http: adapter.http },
      cluster: { kube: () => Promise.resolve(api) },
      run: { url: 'https://dev.example/run/100' },
      say: (line: string) => void said.push(line),
    } as unknown as Context;
  }

  it('becomes a pull request, and the task waits with its link until the policies allow it', async () => {
    meanwhile = (nth) => {
      if (nth === 2) server.policies = [];
    };
    await editValues(await contextOf(), bringIn, 'Add 10.0.0.60', signal);
    assert.match(held(VALUES), /- 10\.0\.0\.11\n {6}- 10\.0\.0\.60$/);
    assert.ok(said.some((line) => line.includes(`${server.url}/pullrequest/1`)));
    assert.ok(said.some((line) => line.endsWith('waits for Build')));
    assert.match(git('log', '-1', '--format=%B', 'main'), /\[skip ci\]\n\nNode-Cycle-Run: https:\/\/dev/);
  });

  it('is the same for cluster.yml', async () => {
    meanwhile = () => (server.policies = []);
    await editClusterYml(
      await contextOf(),
      (text) => `# more\n${text.replace(/^# more\n/, '')}`,
      'More',
      signal,
    );
    assert.match(held('cluster.yml'), /^# more\n/);
    assert.equal(server.pulls.length, 1);
  });

  const refusedWith = (code: string, evidence: RegExp) => (error: unknown) =>
    error instanceof Refused && error.refusal.code === code && evidence.test(error.refusal.evidence.join());

  it('is refused with the link when the time is over, and the next run goes on from the request', async () => {
    await assert.rejects(
      editValues(await contextOf(), bringIn, 'Add 10.0.0.60', signal),
      refusedWith('NC1245', /after 1 minutes pull request 1 \(http.*pullrequest\/1\) waits for Build/),
    );
    assert.equal(held(VALUES), BEFORE.trim());
    meanwhile = () => (server.policies = []);
    await editValues(await contextOf(), bringIn, 'Add 10.0.0.60', signal);
    assert.match(held(VALUES), /10\.0\.0\.60/);
    assert.equal(server.pulls.length, 1);
  });

  it('is refused at once when a policy rejects it or somebody abandons it', async () => {
    meanwhile = () => (server.policies = [{ name: 'Build', status: 'rejected', isBlocking: true }]);
    await assert.rejects(
      editValues(await contextOf(), bringIn, 'Add', signal),
      refusedWith('NC1245', /rejected by Build/),
    );
    server.policies = [{ name: 'Build', status: 'running', isBlocking: true }];
    meanwhile = () => server.pulls.forEach((pull) => (pull.status = 'abandoned'));
    await assert.rejects(
      editValues(await contextOf(), bringIn, 'Add', signal),
      refusedWith('NC1245', /was abandoned/),
    );
  });

  it('is made anew from the new tip when somebody else changed the same lines meanwhile', async () => {
    meanwhile = (nth) => {
      if (nth !== 1) return void (server.policies = []);
      rmSync(join(bare, 'hooks', 'update'));
      const blob = execFileSync('git', ['-C', bare, 'hash-object', '-w', '--stdin'], {
        input: BEFORE.replace('10.0.0.11', '10.0.0.11\n      - 10.0.0.99'),
      });
      const index = { ...env, GIT_INDEX_FILE: join(dir, 'index') };
      const plumb = (...args: string[]) =>
        execFileSync('git', ['-C', bare, '-c', 'user.name=s', '-c', 'user.email=s@x', ...args], {
          env: index,
        });
      plumb('read-tree', 'main');
      plumb('update-index', '--cacheinfo', `100644,${blob.toString().trim()},${VALUES}`);
      const tree = plumb('write-tree').toString().trim();
      git('update-ref', 'refs/heads/main', git('commit-tree', '-p', 'main', '-m', 'theirs', tree));
      protect('TF402455');
    };
    await editValues(await contextOf(), bringIn, 'Add', signal);
    assert.match(held(VALUES), /- 10\.0\.0\.11\n {6}- 10\.0\.0\.60\n {6}- 10\.0\.0\.99/);
    assert.deepEqual(
      server.pulls.map(({ status }) => status),
      ['abandoned', 'completed'],
    );
  });

  it('outlives a service that does not answer for a moment', async () => {
    const ctx = await contextOf();
    const { gitops } = ctx.reviews;
    let failures = 1;
    if (gitops !== undefined) {
      const { read } = gitops.pulls;
      ctx.reviews.gitops = {
        ...gitops,
        pulls: {
          ...gitops.pulls,
          read: (id, wait) =>
            said.length > 0 && (failures -= 1) >= 0
              ? Promise.reject(new PortError('timeout', 'http', 'no answer'))
              : read(id, wait),
        },
      };
    }
    meanwhile = (nth) => {
      if (nth === 2) server.policies = [];
    };
    await editValues(ctx, bringIn, 'Add', signal);
    assert.ok(said.some((line) => line.includes('could not be read: no answer')));
  });

  it('is refused where nobody makes pull requests for us, and where the push failed for another reason', async () => {
    await assert.rejects(
      editValues(await contextOf({ reviews: false }), bringIn, 'Add', signal),
      refusedWith('NC1240', /TF402455.*- 10\.0\.0\.11,\+ {6}- 10\.0\.0\.60/),
    );
    protect('the message does not follow the pattern');
    await assert.rejects(
      editValues(await contextOf(), bringIn, 'Add', signal),
      refusedWith('NC1240', /pattern/),
    );
    assert.equal(server.pulls.length, 0);
  });

  it('is seen by a run that turns the cycle round, which withdraws it', async () => {
    await assert.rejects(editValues(await contextOf(), bringIn, 'Add', signal), Refused);
    const ctx = await contextOf();
    const facts = factsFromAnnotations((await readLockOf(ctx, signal))?.annotations ?? {});
    const proposals = (direction: 'forward' | 'back', scheduled = false) =>
      readProposals(ctx, planInput({ direction, scheduled }), facts, signal);
    assert.deepEqual(await proposals('forward'), []);
    assert.deepEqual(await proposals('back', true), [], 'a schedule turns nothing');
    assert.deepEqual(await proposals('back'), [`${server.url}/pullrequest/1`]);
    await withdrawAll(ctx, signal);
    assert.deepEqual(await proposals('back'), []);
    assert.deepEqual(
      server.pulls.map(({ status }) => status),
      ['abandoned'],
    );
  });
});
