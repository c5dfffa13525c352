/** The answer for a monitor on the host: there only when asked for, on the loopback, and with no name in it. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { WAIT, foundVm, key, rig, vmId } from '../support/rig.ts';
import type { Rig } from '../support/rig.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function get(
  port: number,
  path: string,
  change: { host?: string; method?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, timeout: 5_000, ...change }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.once('error', reject);
    sent.end();
  });
}

describe('the health answer of the bridge', () => {
  let r: Rig;
  let port: number;
  before(async () => {
    port = await freePort();
    r = await rig(`health: { port: ${String(port)}, metrics: true }\n`);
    r.setVms([foundVm(1)]);
    await r.cli('bridge', 'adopt', '--cluster', 'prod', '--all-matching', 'prod-*', '--yes');
    await r.start();
  });
  after(() => r.end());

  it('says that it can act', async () => {
    assert.deepEqual(await get(port, '/health'), { status: 200, body: '{"ok":true}\n' });
  });

  it('counts jobs by state for Prometheus, and names nothing of them', async () => {
    const client = r.client();
    const job = await client.submit('vm.stop', { cluster: 'prod', id: vmId(1), fence: 0 }, key(1), WAIT);
    await client.waitFor(job, WAIT);
    const { status, body } = await get(port, '/metrics');
    assert.equal(status, 200);
    assert.match(body, /^node_cycle_bridge_jobs\{state="succeeded"\} 1$/m);
    assert.match(body, /^node_cycle_bridge_log_writable 1$/m);
    assert.match(body, /^node_cycle_bridge_certificate_expires_timestamp_seconds \d{10}/m);
    for (const secret of ['agent-a', 'prod', vmId(1), job.id, 'vm.stop'])
      assert.ok(!body.includes(secret), secret);
  });

  it('answers nothing else, no other method, and no page that comes under another name', async () => {
    assert.equal((await get(port, '/v1/jobs')).status, 404);
    assert.equal((await get(port, '/health', { method: 'POST' })).status, 404);
    assert.equal((await get(port, '/health', { headers: { host: 'evil.example' } })).status, 404);
  });

  it('is not there for other machines', async function () {
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal);
    for (const { address } of others) await assert.rejects(get(port, '/health', { host: address }));
    // 127.0.0.2 is this machine under a name that the bridge does not listen on: true on every Linux.
    await assert.rejects(get(port, '/health', { host: '127.0.0.2' }));
  });
});
