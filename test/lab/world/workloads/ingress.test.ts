import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { serveWorkloads } from '../../../../lab/servers/workloads.ts';
import type { WorkloadServer } from '../../../../lab/servers/workloads.ts';
import { isReady } from '../../../../lab/world/kube/objects.ts';
import { timing } from '../../../../lab/world/timing.ts';
import { eventually, testCluster } from '../cluster.ts';
import type { TestCluster } from '../cluster.ts';

const HTTP_PORT = 18_081;
const STREAM_PORT = 19_001;

let cluster: TestCluster;
let server: WorkloadServer;

interface Answered {
  status: number;
  node: string;
  pod: string;
}

function request(host: string, path = '/', method = 'GET'): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ host, port: HTTP_PORT, path, method, agent: false }, (response) => {
      response.resume();
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          node: String(response.headers['x-served-by']),
          pod: String(response.headers['x-pod']),
        }),
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** Sends requests to these addresses in turn until stopped; gives how many were sent and how many failed. */
function traffic(
  addresses: () => string[],
  method = 'GET',
): { stop(): Promise<{ sent: number; failures: string[] }> } {
  let on = true;
  let sent = 0;
  const failures: string[] = [];
  const loop = async (): Promise<void> => {
    while (on) {
      const hosts = addresses();
      const host = hosts[sent % hosts.length] ?? '';
      sent += 1;
      await request(host, '/', method).then(
        ({ status, node }) => status === 200 || failures.push(`${status} from ${node}`),
        (error: unknown) => failures.push(`${host}: ${String(error)}`),
      );
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  };
  const running = [loop(), loop()];
  return {
    async stop() {
      on = false;
      await Promise.all(running);
      return { sent, failures };
    },
  };
}

const addressOf = (at: number): string => cluster.workers[at]?.address ?? '';
const ingressOn = (node: string) =>
  cluster.world.kube.store.list('pods', 'ingress-nginx').find(({ spec }) => spec.nodeName === node);
/** As the cycle does it: only what tolerates our taint stays. */
const taint = (node: string): void =>
  void cluster.world.kube.store.change('nodes', node, undefined, (draft) => {
    draft.spec.unschedulable = true;
    draft.spec.taints = [{ key: 'node-cycle/leaving', effect: 'NoExecute' }];
  });

describe('the ingress of the lab', () => {
  beforeEach(async () => {
    cluster = testCluster({
      subnet: '127.34.0.',
      ports: { http: HTTP_PORT, stream: STREAM_PORT },
      timing: { ...timing(), heartbeat: 100, notReadyAfter: 500 },
    });
    server = serveWorkloads(cluster.world, {
      listen: ({ address }) => ({ host: address, httpPort: HTTP_PORT, streamPort: STREAM_PORT }),
    });
    const ready = () => cluster.world.kube.store.list('pods').filter(isReady).length === 18;
    await eventually(ready, 'all pods Ready');
    const seen = () => cluster.world.kube.store.get('endpointslices', 'shop-lab', 'shop')?.endpoints;
    await eventually(
      () => seen()?.filter(({ conditions }) => conditions.ready).length === 4,
      'four endpoints',
    );
    // Every ingress has its own lag behind the slices.
    await new Promise((resolve) => setTimeout(resolve, cluster.world.timing.ingressLagMax + 20));
    for (const at of [0, 1, 2]) assert.equal((await request(addressOf(at))).status, 200);
  });

  afterEach(async () => {
    await server.close();
    cluster.world.close();
  });

  it('names the node that took a request and the pod that answered it', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => request(addressOf(1))));
    assert.deepEqual(
      answers.filter(({ status, node }) => status !== 200 || node !== 'test-w2'),
      [],
    );
    assert.equal(new Set(answers.map(({ pod }) => pod)).size, 4);
    assert.ok((server.servedBy.get('test-w2') ?? 0) >= 12);
    assert.equal((await request(addressOf(1), '/healthz')).status, 200);
  });

  it('answers lines on its stream port', async () => {
    const line = await new Promise<string>((resolve, reject) => {
      const socket = net.connect(STREAM_PORT, addressOf(0), () => socket.write('hello\n'));
      socket.on('data', (data) => {
        resolve(data.toString());
        socket.destroy();
      });
      socket.on('error', reject);
    });
    assert.match(line, /^test-w1 shop-\S+ hello\n$/);
  });

  it('loses no request when traffic leaves a node before its pods do', async () => {
    const addresses = { current: [0, 1, 2].map(addressOf) };
    const flow = traffic(() => addresses.current, 'POST');
    await new Promise((resolve) => setTimeout(resolve, 150));
    addresses.current = [1, 2].map(addressOf);
    await new Promise((resolve) => setTimeout(resolve, 50));
    taint('test-w1');
    await eventually(() => ingressOn('test-w1') === undefined, 'the ingress has left');
    const shopOn = () =>
      cluster.world.kube.store.list('pods', 'shop').filter(({ spec }) => spec.nodeName === 'test-w1').length;
    await eventually(() => shopOn() === 0, 'the shop has left');
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { sent, failures } = await flow.stop();
    assert.ok(sent > 150, `${sent} sent`);
    assert.deepEqual(failures, []);
  });

  it('loses requests when the ingress ends while traffic still comes', async () => {
    const flow = traffic(() => [0, 1, 2].map(addressOf));
    await new Promise((resolve) => setTimeout(resolve, 100));
    taint('test-w1');
    await eventually(() => ingressOn('test-w1') === undefined, 'the ingress has left');
    await new Promise((resolve) => setTimeout(resolve, 150));
    const { failures } = await flow.stop();
    assert.ok(failures.length > 0);
  });

  it('ends the requests that it has before it exits, and takes no new one', async () => {
    const slow = request(addressOf(0), '/slow?ms=500');
    await new Promise((resolve) => setTimeout(resolve, 50));
    cluster.world.kube.store.remove('pods', ingressOn('test-w1')?.metadata.name ?? '', 'ingress-nginx');
    await new Promise((resolve) => setTimeout(resolve, 80));
    await assert.rejects(request(addressOf(0)), { code: 'ECONNREFUSED' });
    assert.equal((await slow).status, 200);
  });

  it('answers 502 when every pod that it still believes in has ended', async () => {
    const { kube } = cluster.world;
    // No preStop: they stop serving long before the endpoints say so.
    kube.store.change('deployments', 'shop', 'shop', (draft) => (draft.spec.replicas = 0));
    for (const pod of kube.store.list('pods', 'shop')) {
      kube.store.remove('pods', pod.metadata.name, 'shop', { graceSeconds: 0 });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal((await request(addressOf(0))).status, 502);
  });

  it('resets what is open when its machine loses power, and serves again after it is back', async () => {
    const slow = request(addressOf(0), '/slow?ms=2000');
    const lost = assert.rejects(slow);
    await new Promise((resolve) => setTimeout(resolve, 50));
    cluster.world.faults.apply({ fault: 'powerOff', machine: 'test-w1' });
    await lost;
    await assert.rejects(request(addressOf(0)), { code: 'ECONNREFUSED' });
    cluster.world.faults.apply({ fault: 'powerOff', machine: 'test-w1', on: false });
    await eventually(
      async () => (await request(addressOf(0)).catch(() => undefined))?.status === 200,
      'served again',
    );
  });
});
