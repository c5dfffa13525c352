/** A task's context as the agent's inputs and the configuration make it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from '../../cycle/context.ts';
import { observeSync, requestSync } from '../../cycle/edge/gitops/observe-sync.ts';
import { createAuthority } from '../../lab/world/certs/issue.ts';
import { PortError } from '../../ports/ports.ts';
import { Secret } from '../../ports/secret.ts';
import type { Connection, PipelineAgent } from '../../tasks/agent.ts';
import { sshHost } from '../../tasks/git-credential.ts';
import { openContext } from '../../tasks/open.ts';
import { configOf } from '../cycle/world.ts';

const AZURE = 'https://dev.azure.com/fabrikam/home/_git/cluster';
const COMMIT = 'c'.repeat(40);
const OTHER = 'https://git.example/gitops.git';

describe('The context of a task', () => {
  let stateDir: string;
  let client: { certificate: string; key: string };
  before(async () => {
    const { certPem, keyPem } = await createAuthority('agent-a', Date.now());
    client = { certificate: certPem, key: keyPem };
  });
  beforeEach(() => (stateDir = mkdtempSync(join(tmpdir(), 'node-cycle-open-'))));
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  const connection = (name: string, secrets: Record<string, string>, data = {}): Connection => ({
    ...{ name, url: 'https://hv1.example:8443' },
    secret: (key) => (secrets[key] === undefined ? undefined : new Secret(secrets[key])),
    data: (key) => (data as Record<string, string>)[key],
  });

  async function within<T>(
    over: {
      url?: string;
      repository?: string;
      connections?: Record<string, Connection>;
      ingress?: object;
      rke?: object;
    },
    look: (ctx: Context) => Promise<T> | T,
  ): Promise<T> {
    const connections: Record<string, Connection> = {
      bridge: connection('bridge', client, { serverFingerprint: 'a'.repeat(64) }),
      nodes: connection('nodes', { privateKey: 'NODE KEY' }),
      ...over.connections,
    };
    const variables: Record<string, string> = { 'Build.Repository.Uri': over.url ?? AZURE };
    const agent = {
      connection: (input: string) => connections[input],
      connections: (input: string) => [connections[input]].filter((one) => one !== undefined),
      variable: (name: string) => variables[name],
      accessToken: () => new Secret('job-token'),
      network: () => ({ proxy: undefined, caFile: undefined }),
      ...{ mask: () => undefined, line: () => undefined },
    } as unknown as PipelineAgent;
    const base = configOf();
    const config = configOf({
      ...{ rke: { stateDir, ...over.rke }, proxies: [], dns: undefined },
      ingress: { ...base.ingress, repository: over.repository ?? OTHER, ...over.ingress },
    });
    const opened = await openContext(agent, config, new AbortController().signal, () => undefined, []);
    try {
      return await look(opened.ctx);
    } finally {
      await opened.close();
    }
  }

  it('knows how a protected branch is changed where the repository is one of Azure Repos and its credential is HTTPS', async () => {
    const gitops = connection('gitops', { username: 'u', password: 'p' });
    const reviews = (over: Parameters<typeof within>[0]) =>
      within(over, (ctx) => [ctx.reviews.cluster?.target, ctx.reviews.gitops?.target]);
    assert.deepEqual(await reviews({}), ['main', undefined]);
    assert.deepEqual(await reviews({ url: 'https://git.example/home.git' }), [undefined, undefined]);
    assert.deepEqual(
      await reviews({ repository: AZURE, ingress: { branch: 'live' }, connections: { gitops } }),
      ['main', 'live'],
    );
    assert.deepEqual(await reviews({ repository: AZURE }), ['main', undefined], 'no credential, no request');
  });

  it('asks Argo CD in the cluster of its own kubeconfig, and in this one without', async () => {
    const seen: string[] = [];
    const argo = createServer((request, response) => {
      seen.push(`${request.headers.authorization} ${request.url}`);
      const status = { sync: { status: 'Synced', revision: COMMIT }, health: { status: 'Healthy' } };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ spec: { syncPolicy: { automated: {} } }, status }));
    }).listen(0, '127.0.0.1');
    await new Promise((done) => argo.once('listening', done));
    const { port } = argo.address() as AddressInfo;
    const kubeconfig = join(stateDir, 'argocd.kubeconfig');
    writeFileSync(join(stateDir, 'token'), 'argo-token\n');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        'current-context': 'a',
        contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
        clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
        users: [{ name: 'u', user: { tokenFile: 'token' } }],
      }),
    );
    const signal = new AbortController().signal;
    const sync = { tool: 'argocd', application: 'ingress-nginx' };
    try {
      await within({ ingress: { sync: { ...sync, kubeconfig } } }, async (ctx) => {
        assert.equal(await observeSync(ctx, COMMIT, signal), undefined);
        await requestSync(ctx, COMMIT, '2026-06-15T12:00:00Z', signal);
      });
    } finally {
      argo.close();
      argo.closeAllConnections();
    }
    const path = '/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/ingress-nginx';
    assert.deepEqual([...new Set(seen)], [`Bearer argo-token ${path}`]);
    assert.ok(seen.length >= 3, 'read, read, refreshed');
    await within({ ingress: { sync } }, (ctx) => assert.equal(ctx.gitopsCluster, undefined));
  });

  it('gives git a private key with the pinned host key, in files that go with the task', async () => {
    const gitKey = connection('key', { privateKey: 'PRIVATE KEY' });
    const hostKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N';
    const url = 'ssh://git@git.example:2222/home.git';
    const written = () =>
      readdirSync(stateDir)
        .filter((name) => /^git-.*\.(key|hosts)$/.test(name))
        .sort(
          (a, b) =>
            a
              .split('.')
              .pop()
              ?.localeCompare(b.split('.').pop() ?? '') ?? 0,
        )
        .map((name) => {
          const mode = (statSync(join(stateDir, name)).mode & 0o777).toString(8);
          return `${mode} ${readFileSync(join(stateDir, name), 'utf8')}`;
        });
    await within({ url, rke: { hostKey }, connections: { gitKey } }, async (ctx) => {
      assert.deepEqual(written(), [`600 [git.example]:2222 ${hostKey}\n`, '600 PRIVATE KEY\n']);
      assert.deepEqual(ctx.reviews, { cluster: undefined, gitops: undefined });
      // Nobody is there: what counts is that ssh was asked, with this key and no other way in.
      await assert.rejects(ctx.repo.tip({ deadlineMs: 5_000 }), (error) => error instanceof PortError);
    });
    assert.deepEqual(written(), []);
  });

  it('refuses a key without the pinned host key, or for a repository that is not reached over SSH', async () => {
    const gitKey = connection('key', { privateKey: 'PRIVATE KEY' });
    const opening = (over: object) => within({ connections: { gitKey }, ...over }, () => undefined);
    const url = 'ssh://git@git.example/home.git';
    await assert.rejects(opening({ url }), /NC5004 .*rke\.hostKey in node-cycle\.yml is empty/);
    await assert.rejects(opening({}), /NC5004 .*https:\/\/dev\.azure\.com.* is not reached over SSH/);
    const gitopsKey = connection('key', { privateKey: 'PRIVATE KEY' });
    await assert.rejects(
      within({ connections: { gitopsKey }, repository: 'git@git.example:gitops.git' }, () => undefined),
      /NC5004 .*ingress\.hostKey/,
    );
    assert.deepEqual(
      readdirSync(stateDir).filter((name) => name.endsWith('.key')),
      [],
    );
  });

  it('names a server as known_hosts does', () => {
    for (const [url, host] of [
      ['ssh://git@git.example/a', 'git.example'],
      ['ssh://git.example:22/a', 'git.example'],
      ['ssh://git@Git.Example:2222/a', '[git.example]:2222'],
      ['ssh://git@[fd00::1]:2222/a', '[fd00::1]:2222'],
      ['git@ssh.dev.azure.com:v3/o/p/r', 'ssh.dev.azure.com'],
      ['https://git.example/a', undefined],
      ['/srv/git/a', undefined],
    ] as const)
      assert.equal(sshHost(url), host, url);
  });
});
