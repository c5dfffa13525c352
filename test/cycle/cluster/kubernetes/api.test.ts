import assert from 'node:assert/strict';
import { createKubeApi, maybe, must } from '../../../../cycle/cluster/kubernetes/api.ts';
import { parseKubeconfig, withServers } from '../../../../cycle/cluster/kubernetes/kubeconfig.ts';
import {
  judgeLock,
  lockName,
  readLock,
  releaseLock,
  takeLock,
  annotateLock,
} from '../../../../cycle/cluster/kubernetes/lease.ts';
import { observeKube, quantity } from '../../../../cycle/cluster/kubernetes/observe.ts';
import { clock } from '../../../../ports/clock.ts';
import { PortError } from '../../../../ports/ports.ts';
import { run } from '../../../../ports/run.ts';
import { kubeDouble } from './kube-double.ts';

const WAIT = { deadlineMs: 2_000 };

function world(servers = ['https://a:6443']) {
  const double = kubeDouble();
  return { double, api: createKubeApi({ http: double.http, clock }, { servers }) };
}

describe('the Kubernetes client', () => {
  it('reads all pages of a list', async () => {
    const { double, api } = world();
    for (let i = 0; i < 25; i += 1) double.put(`/api/v1/nodes/n${i}`, { metadata: { name: `n${i}` } });
    const all = must(await api.list('/api/v1/nodes', WAIT, { limit: 10 }), 'nodes');
    assert.equal(all.items.length, 25);
    assert.equal(double.seen.length, 3);
  });

  it('begins a list again when its page has expired, once', async () => {
    const { double, api } = world();
    for (let i = 0; i < 5; i += 1) double.put(`/api/v1/nodes/n${i}`, { metadata: { name: `n${i}` } });
    let expired = 0;
    double.before = (request) =>
      request.url.includes('continue=') && (expired += 1) === 1
        ? { status: 410, body: { kind: 'Status', reason: 'Expired' } }
        : undefined;
    assert.equal(must(await api.list('/api/v1/nodes', WAIT, { limit: 3 }), 'nodes').items.length, 5);
  });

  it('asks the next server when one does not answer a read, and stays there', async () => {
    const { double, api } = world(['https://dead:6443', 'https://b:6443', 'https://c:6443']);
    double.put('/api/v1/nodes/n1', { metadata: { name: 'n1' } });
    double.before = (request) => (request.url.includes('//dead') ? 'reset' : undefined);
    assert.ok((await api.get('/api/v1/nodes/n1', WAIT)).ok);
    assert.ok((await api.get('/api/v1/nodes/n1', WAIT)).ok);
    assert.deepEqual(api.counts, { requests: 3, retried: 1 });
  });

  it('does not send a change again that a server may have seen', async () => {
    const { double, api } = world(['https://a:6443', 'https://b:6443']);
    double.before = () => 'reset';
    const answer = await api.patch('/api/v1/nodes/n1', 'merge', {}, WAIT);
    assert.ok(!answer.ok && answer.status === 0 && answer.sent);
    assert.equal(double.seen.length, 1);
  });

  it('gives refusals as values, with status and reason', async () => {
    const { api } = world();
    const answer = await api.get('/api/v1/nodes/none', WAIT);
    assert.ok(!answer.ok && answer.status === 404 && answer.reason === 'NotFound');
    assert.equal(maybe(answer, 'x'), undefined);
    assert.throws(() => must(answer, 'node none'), /NC3010/);
  });

  it('makes an engine wait for a server that is away, and stop for one that refuses', async () => {
    const { double, api } = world();
    double.before = () => ({ status: 503, body: {} });
    const away = await api.get('/api/v1/nodes/n', WAIT);
    assert.throws(() => must(away, 'x'), PortError);
  });

  it('gives a DELETE its length and preconditions', async () => {
    const { double, api } = world();
    double.put('/api/v1/nodes/n1', { metadata: { name: 'n1' } });
    assert.ok((await api.delete('/api/v1/nodes/n1', WAIT, { uid: 'u1' })).ok);
    const [sent] = double.seen;
    assert.ok(sent !== undefined);
    assert.equal(sent.headers?.['content-length'], String(Buffer.byteLength(sent.body ?? '')));
    assert.match(Buffer.from(sent.body ?? '').toString(), /"preconditions":\{"uid":"u1"\}/);
  });

  it('evicts by the policy version that is served', async () => {
    const { double, api } = world();
    double.groupVersions = ['policy/v1beta1'];
    double.put('/api/v1/namespaces/d/pods/p', { metadata: { name: 'p' } });
    assert.ok((await api.evict({ namespace: 'd', name: 'p' }, WAIT)).ok);
    assert.match(Buffer.from(double.seen[1]?.body ?? '').toString(), /policy\/v1beta1/);
  });

  it('observes a cluster that only has v1beta1', async () => {
    const { double, api } = world();
    double.groupVersions = ['policy/v1beta1', 'discovery.k8s.io/v1beta1'];
    double.put('/api/v1/nodes/n1', {
      metadata: {
        name: 'n1',
        creationTimestamp: '2026-01-01T00:00:00Z',
        labels: { 'node-cycle/hold': 'disk' },
      },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }],
        addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
        allocatable: { cpu: '1500m', memory: '2Gi', pods: '110' },
      },
    });
    double.put('/apis/discovery.k8s.io/v1beta1/namespaces/d/endpointslices/s', {
      metadata: { name: 's', namespace: 'd', labels: { 'kubernetes.io/service-name': 'web' } },
      endpoints: [
        { addresses: ['1.1.1.1'], topology: { 'kubernetes.io/hostname': 'n1' }, conditions: { ready: true } },
      ],
    });
    const seen = await observeKube(api, { wait: WAIT, nowMs: 5 });
    const node = seen.nodes[0];
    assert.deepEqual(
      [node?.ready, node?.internalIp, node?.holdReason, node?.unschedulable],
      [true, '10.0.0.1', 'disk', true],
    );
    assert.deepEqual(node?.allocatable, { cpuMillis: 1500, memoryBytes: 2 ** 31, pods: 110 });
    assert.equal(seen.endpointSlices[0]?.endpoints[0]?.nodeName, 'n1');
    assert.ok(double.seen.some((one) => one.url.includes('/apis/policy/v1beta1/poddisruptionbudgets')));
  });

  it('reads quantities in all their forms', () => {
    assert.deepEqual(['250m', '2', '1.5Gi', '1e3', '100k', 'x', undefined].map(quantity), [
      0.25,
      2,
      1.5 * 2 ** 30,
      1000,
      100_000,
      0,
      0,
    ]);
  });
});

const KUBECONFIG = (user: string) => `
apiVersion: v1
current-context: home
contexts: [{name: home, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://cp.home:6443/", certificate-authority-data: ${Buffer.from('CA').toString('base64')}}}]
users: [{name: u, user: ${user}}]
`;

describe('a kubeconfig', () => {
  it('gives server, CA and client certificate, the key as a secret', () => {
    const b64 = (text: string) => Buffer.from(text).toString('base64');
    const target = parseKubeconfig(
      KUBECONFIG(`{client-certificate-data: ${b64('CERT')}, client-key-data: ${b64('KEY')}}`),
    );
    assert.deepEqual(
      [target.servers, target.ca, target.clientCert],
      [['https://cp.home:6443'], 'CA', 'CERT'],
    );
    assert.equal(String(target.clientKey), '***');
    assert.equal(target.clientKey?.reveal(), 'KEY');
    assert.equal(withServers(target, ['https://10.0.0.1:6443']).serverName, 'cp.home');
  });

  it('refuses what it cannot use, by name', () => {
    const broken: [string, RegExp][] = [
      ['a: [', /not YAML/],
      ['{}', /Expected the context/],
      [KUBECONFIG('{client-key: k.pem}'), /k\.pem, which was not given/],
      [KUBECONFIG('{exec: {args: [x]}}'), /no command/],
      [KUBECONFIG('{}').replace('https://cp.home:6443/', 'cp.home'), /to be a URL/],
    ];
    for (const [text, message] of broken) assert.throws(() => parseKubeconfig(text), message, text);
  });

  it('has its exec plugin run once, and again when the token ends', async () => {
    const expiry = new Date(Date.now() + 3_600_000).toISOString();
    const script = `echo '{"kind":"ExecCredential","status":{"token":"t-1","expirationTimestamp":"${expiry}"}}'`;
    const target = parseKubeconfig(
      KUBECONFIG(
        `{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: ["-c", ${JSON.stringify(script)}]}}`,
      ),
    );
    const double = kubeDouble();
    let runs = 0;
    const counted: typeof run = (request) => {
      runs += 1;
      return run(request);
    };
    const api = createKubeApi(
      { http: double.http, clock, run: counted, env: { PATH: '/usr/bin:/bin' } },
      target,
    );
    await api.get('/api/v1/nodes/a', WAIT);
    await api.get('/api/v1/nodes/a', WAIT);
    assert.equal(double.seen[1]?.headers?.['authorization'], 'Bearer t-1');
    assert.equal(runs, 1);
  });
});

describe('the lock', () => {
  const DAY = 86_400_000;

  it('is free, mine, held, or to be taken over', () => {
    const held = {
      name: 'l',
      holder: 'run-1',
      fence: 3,
      acquiredAtMs: 0,
      annotations: {},
      resourceVersion: '1',
    };
    assert.equal(judgeLock(undefined, 'run-2', 5, DAY), 'free');
    assert.equal(judgeLock({ ...held, holder: undefined }, 'run-2', 5, DAY), 'free');
    assert.equal(judgeLock(held, 'run-1', 99 * DAY, DAY), 'mine');
    assert.deepEqual(judgeLock(held, 'run-2', DAY - 1, DAY), { heldBy: 'run-1', sinceMs: 0, untilMs: DAY });
    assert.equal(judgeLock(held, 'run-2', DAY, DAY), 'takeOver');
    assert.equal(judgeLock(held, 'run-2', 5, DAY, true), 'takeOver');
  });

  it('goes to one of two that read the same', async () => {
    const { api } = world();
    for (let round = 1; round <= 3; round += 1) {
      const seen = await readLock(api, 'Home', WAIT);
      const [a, b] = await Promise.all([
        takeLock(api, 'Home', seen, `a${round}`, 1000, WAIT),
        takeLock(api, 'Home', seen, `b${round}`, 1000, WAIT),
      ]);
      assert.equal(Number(a.ok) + Number(b.ok), 1);
      const now = await readLock(api, 'Home', WAIT);
      assert.deepEqual([now?.fence, now?.name, now?.acquiredAtMs], [round, 'node-cycle-home', 1000]);
    }
  });

  it('counts as taken when only the answer was lost', async () => {
    const { double, api } = world();
    const http = double.http;
    let lose = true;
    const api2 = createKubeApi(
      {
        clock,
        http: async (request) => {
          const answer = await http(request);
          if (request.method === 'POST' && lose) {
            lose = false;
            throw new PortError('closed', 'http', 'reset', true);
          }
          return answer;
        },
      },
      { servers: ['https://a'] },
    );
    assert.ok((await takeLock(api2, 'c', undefined, 'me', 1000, WAIT)).ok);
    assert.equal((await readLock(api, 'c', WAIT))?.holder, 'me');
  });

  it('lets only its holder with its fence write facts', async () => {
    const { double, api } = world();
    const mine = await takeLock(api, 'c', undefined, 'me', 1000, WAIT, { 'node-cycle/pair': 'a b' });
    assert.ok(mine.ok);
    assert.ok((await annotateLock(api, 'c', 'me', 1, { 'node-cycle/ttl': '60' }, WAIT)).ok);
    const taken = await takeLock(api, 'c', await readLock(api, 'c', WAIT), 'you', 2000, WAIT);
    assert.ok(taken.ok && taken.lock.fence === 2);
    assert.deepEqual((await readLock(api, 'c', WAIT))?.annotations['node-cycle/ttl'], '60');
    const late = await annotateLock(api, 'c', 'me', 1, { x: 'y' }, WAIT);
    assert.ok(!late.ok && late.why === 'held');
    assert.ok(!(await releaseLock(api, 'c', 'me', WAIT)).ok);
    assert.ok((await releaseLock(api, 'c', 'you', WAIT, { 'node-cycle/pair': null })).ok);
    const free = await readLock(api, 'c', WAIT);
    assert.deepEqual(
      [free?.holder, free?.fence, free?.annotations['node-cycle/pair']],
      [undefined, 2, undefined],
    );
    assert.ok(double.objects.has('/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/node-cycle-c'));
  });

  it('has a name that Kubernetes takes', () => {
    assert.equal(lockName('My Cluster_1'), 'node-cycle-my-cluster-1');
    assert.ok(lockName('x'.repeat(100)).length <= 63);
  });
});
