import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../../../../lab/world/certs/issue.ts';
import type { Authority, Issued } from '../../../../lab/world/certs/issue.ts';
import { openEtcd } from '../../../../lab/servers/etcd.ts';
import { gateway, parseMembers } from '../../../../lab/servers/etcd-gateway.ts';
import type { GatewayAnswer } from '../../../../lab/servers/etcd-gateway.ts';
import { etcdVersion } from '../../../../lab/servers/etcd-real.ts';
import { realClock } from '../../../../lab/world/clock.ts';
import type { EtcdCluster } from '../../../../lab/world/world.ts';

const PORTS = { client: 23_790, peer: 23_800 };
const kinds: { kind: 'real' | 'stand-in'; net: string }[] = [{ kind: 'stand-in', net: '127.81.1' }];
if (etcdVersion() !== undefined) kinds.push({ kind: 'real', net: '127.81.2' });

for (const { kind, net } of kinds)
  describe(`etcd, ${kind}`, function () {
    this.timeout(30_000);
    const address = (n: number) => `${net}.${String(n)}`;
    const clock = realClock();
    const dir = mkdtempSync(join(tmpdir(), 'node-cycle-etcd-'));
    let ca: Authority;
    const leaves = new Map<string, Issued>();
    let etcd: EtcdCluster;
    const material = (at: string) => {
      const leaf = leaves.get(at);
      assert.ok(leaf, `no certificate for ${at}`);
      return { caPem: ca.certPem, certPem: leaf.certPem, keyPem: leaf.keyPem };
    };
    const post = (n: number, path: string, body: unknown = {}): Promise<GatewayAnswer> =>
      gateway(
        { address: address(n), port: PORTS.client, material: material(address(n)) },
        'POST',
        path,
        body,
        2000,
      );
    const status = async (n: number) =>
      JSON.parse((await post(n, '/v3/maintenance/status')).text) as Record<string, unknown> & {
        header: Record<string, string>;
      };
    async function until(what: () => Promise<boolean>): Promise<void> {
      const endMs = Date.now() + 6_000;
      while (!(await what().catch(() => false))) {
        assert.ok(Date.now() < endMs, 'not in time');
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
    }

    before(async () => {
      ca = await createAuthority('kube-ca', Date.now());
      for (let n = 1; n <= 4; n++)
        leaves.set(
          address(n),
          await ca.issue({
            commonName: `etcd-${String(n)}`,
            sans: ['127.0.0.1', ...[1, 2, 3, 4].map(address)],
            usage: 'both',
          }),
        );
      etcd = openEtcd({
        clock,
        random: Math.random,
        ports: PORTS,
        material,
        dir,
        kind,
        healthIntervalMs: 1_000,
      });
      await etcd.bootstrap([1, 2, 3].map((n) => ({ name: `etcd-n${String(n)}`, address: address(n) })));
    });
    after(async () => {
      await etcd.close();
      clock.close();
      rmSync(dir, { recursive: true, force: true });
    });

    it('starts three members that are healthy and have 64-bit ids as strings', async () => {
      const members = await etcd.members();
      assert.deepEqual(
        members.map((m) => [m.name, m.address, m.healthy, m.started, m.isLearner]).sort(),
        [1, 2, 3].map((n) => [`etcd-n${String(n)}`, address(n), true, true, false]),
      );
      for (const { id } of members) assert.match(id, /^\d{15,20}$/);
      const listed = parseMembers((await post(1, '/v3/cluster/member/list')).text);
      assert.deepEqual(listed.map((m) => m.id).sort(), members.map((m) => m.id).sort());
    });

    it('gives its status with numbers as strings, and one leader that all name', async () => {
      const all = await Promise.all([1, 2, 3].map(status));
      assert.equal(new Set(all.map((one) => one['leader'])).size, 1);
      for (const one of all) {
        assert.match(String(one['raftIndex']), /^\d+$/);
        assert.equal(typeof one['dbSize'], 'string');
        assert.match(String(one['version']), /^3\.4\./);
        assert.equal(typeof one.header['cluster_id'], 'string');
      }
    });

    it('refuses a member right after the start, and takes it when the cluster has been connected long enough', async () => {
      const early = await post(1, '/v3/cluster/member/add', {
        peerURLs: [`https://${address(4)}:${String(PORTS.peer)}`],
      });
      assert.equal(early.status, 503);
      assert.match(early.text, /etcdserver: unhealthy cluster/);
      await etcd.memberAdd('etcd-n4', address(4));
      const added = (await etcd.members()).find((m) => m.address === address(4));
      assert.equal(added?.started, false);
      assert.equal(added.name, '');
      await etcd.start('etcd-n4', address(4));
      assert.ok(await etcd.healthy(address(4)));
      assert.equal((await etcd.members()).length, 4);
    });

    it('answers errors as gRPC codes with their HTTP status', async () => {
      const missing = await post(1, '/v3/cluster/member/remove', { ID: '77' });
      assert.equal(missing.status, 404);
      assert.deepEqual(JSON.parse(missing.text), {
        error: 'etcdserver: member not found',
        message: 'etcdserver: member not found',
        code: 5,
      });
      assert.equal((await post(1, '/v3/nonsense')).status, 404);
      const get = await gateway(
        { address: address(1), port: PORTS.client, material: material(address(1)) },
        'GET',
        '/v3/maintenance/status',
        undefined,
        2000,
      );
      assert.equal(get.status, 405);
    });

    it('raises and clears an alarm', async () => {
      const one = { memberID: '5', alarm: 'NOSPACE' };
      assert.equal((await post(1, '/v3/maintenance/alarm', { action: 'GET' })).text, '{}');
      await post(1, '/v3/maintenance/alarm', { action: 'ACTIVATE', ...one });
      assert.deepEqual(JSON.parse((await post(2, '/v3/maintenance/alarm', { action: 'GET' })).text), {
        alarms: [one],
      });
      await post(1, '/v3/maintenance/alarm', { action: 'DEACTIVATE', ...one });
      await until(async () => (await post(2, '/v3/maintenance/alarm', { action: 'GET' })).text === '{}');
    });

    it('moves leadership only when the leader is asked, and only to a voter', async () => {
      const ids = new Map((await etcd.members()).map((m) => [m.address, m.id]));
      const leader = String((await status(1))['leader']);
      const from = [1, 2, 3, 4].find((n) => ids.get(address(n)) === leader) ?? 0;
      const to = [1, 2, 3, 4].find((n) => n !== from) ?? 0;
      const targetID = ids.get(address(to));
      const path = '/v3/maintenance/transfer-leadership';
      assert.match((await post(to, path, { targetID })).text, /etcdserver: not leader/);
      assert.match((await post(from, path, { targetID: '1' })).text, /etcdserver: bad leader transferee/);
      assert.equal((await post(from, path, { targetID })).status, 200);
      await until(async () => (await status(from))['leader'] === targetID);
    });

    it('streams a snapshot that ends with the SHA-256 of what went before', async () => {
      const { text } = await post(1, '/v3/maintenance/snapshot');
      const blobs = text
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { result: { blob: string } }).result.blob);
      const all = Buffer.concat(blobs.map((blob) => Buffer.from(blob, 'base64')));
      const [file, trailer] = [all.subarray(0, -32), all.subarray(-32)];
      assert.equal(file.length % 512, 0);
      assert.equal(file.readUInt32LE(16), 0xed0cdaed);
      assert.deepEqual(createHash('sha256').update(file).digest(), trailer);
    });

    it('elects another leader when the leader is killed, and the killed member comes back', async () => {
      const ids = new Map((await etcd.members()).map((m) => [m.id, m]));
      const leader = ids.get(String((await status(1))['leader']));
      assert.ok(leader);
      await etcd.stop(leader.name, 'kill');
      assert.equal(await etcd.healthy(leader.address), false);
      const other = [1, 2, 3, 4].find((n) => address(n) !== leader.address) ?? 1;
      await until(async () => {
        const now = (await status(other))['leader'];
        return now !== undefined && now !== leader.id && (await etcd.healthy(address(other)));
      });
      await etcd.start(leader.name, leader.address);
      await until(() => etcd.healthy(leader.address));
    });

    it('removes a member, whose process then ends by itself', async () => {
      await etcd.memberRemove('etcd-n4');
      assert.deepEqual((await etcd.members()).map((m) => m.address).sort(), [1, 2, 3].map(address));
      await until(async () => !(await etcd.healthy(address(4))));
    });

    it('is unhealthy without a majority, and says so with 503', async () => {
      await etcd.stop('etcd-n2', 'term');
      await etcd.stop('etcd-n3', 'kill');
      await until(async () => {
        const answer = await gateway(
          { address: address(1), port: PORTS.client, material: material(address(1)) },
          'GET',
          '/health',
          undefined,
          3000,
        );
        return answer.status === 503 && answer.text.includes('"health":"false"');
      });
    });

    it('does not talk to a client without a certificate', async () => {
      const bare = { caPem: ca.certPem, certPem: '', keyPem: '' };
      await assert.rejects(
        gateway(
          { address: address(1), port: PORTS.client, material: bare },
          'POST',
          '/v3/cluster/member/list',
          {},
          2000,
        ),
      );
    });
  });
