/** A task's context as the agent's inputs and the configuration make it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from '../../cycle/context.ts';
import { observeSync, requestSync } from '../../cycle/edge/gitops/observe-sync.ts';
import { createAuthority } from '../../lab/world/certs/issue.ts';
import { Secret } from '../../ports/secret.ts';
import type { Connection, PipelineAgent } from '../../tasks/agent.ts';
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
    over: { url?: string; repository?: string; connections?: Record<string, Connection>; ingress?: object },
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
      ...{ rke: { stateDir }, proxies: [], dns: undefined },
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
});
