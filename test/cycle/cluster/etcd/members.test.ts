import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  endpointOf,
  memberList,
  observeEtcd,
  post,
  removeMember,
  transferLeadership,
} from '../../../../cycle/cluster/etcd/members.ts';
import { bestSuccessor, judgeRemoval } from '../../../../cycle/cluster/etcd/quorum.ts';
import { statusOf } from './etcdctl.ts';
import { checkSnapshot, takeSnapshot } from '../../../../cycle/cluster/etcd/snapshot.ts';
import { CodedError } from '../../../../ports/errors.ts';
import { files } from '../../../../ports/files.ts';
import { openHttp } from '../../../../ports/http.ts';
import { PortError } from '../../../../ports/ports.ts';
import type { Http } from '../../../../ports/ports.ts';

const WAIT = { deadlineMs: 5_000 };

function answering(answer: (path: string) => unknown): Http {
  return async (request) => {
    async function* body() {
      yield new TextEncoder().encode(JSON.stringify(answer(new URL(request.url).pathname)));
    }
    return { status: 200, headers: {}, body: body() };
  };
}

describe('an etcd that answers oddly', () => {
  const target = { endpoints: ['https://10.0.0.1:2379'] };

  it('is not believed when ids come as numbers', async () => {
    const list = await memberList(
      answering(() => ({ members: [{ ID: 9223372036854775807, name: 'a' }] })),
      target,
      'https://10.0.0.1:2379',
      WAIT,
    );
    assert.ok(!list.ok && /ids as texts/.test(list.message));
  });

  it('does not count as healthy when another member answers at its address', async () => {
    const http = answering((path) =>
      path.endsWith('/list')
        ? {
            header: { cluster_id: '1' },
            members: [{ ID: '12345678901234567890', name: 'a', peerURLs: ['https://10.0.0.1:2380'] }],
          }
        : { header: { member_id: '2' }, leader: '2', health: 'true' },
    );
    const seen = await observeEtcd(http, target, { wait: WAIT, nowMs: 0 });
    const [odd] = seen.members;
    assert.equal(odd?.healthy, false);
    assert.match(String(odd.trouble), /answered by member 2/);
  });

  it('is a failure to wait out when nobody answers', async () => {
    const dead: Http = () => Promise.reject(new PortError('refused', 'http', 'refused'));
    await assert.rejects(observeEtcd(dead, target, { wait: WAIT, nowMs: 0 }), PortError);
  });
});

function installed(): boolean {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('a real etcd of three members', () => {
  let dir: string | undefined;
  const running: ChildProcess[] = [];
  const endpoints: string[] = [];
  const adapter = openHttp();
  const { http } = adapter;

  before(async function () {
    if (!installed() && process.env['CI'] !== 'true') this.skip();
    const home = mkdtempSync(join(tmpdir(), 'nc-etcd-'));
    dir = home;
    const places = await Promise.all(
      [1, 2, 3].map(async (i) => ({
        name: `etcd-n${i}`,
        host: `127.0.71.${i}`,
        client: await freePort(),
        peer: await freePort(),
      })),
    );
    const initial = places.map((one) => `${one.name}=http://${one.host}:${one.peer}`).join(',');
    for (const { name, host, client, peer } of places) {
      endpoints.push(`http://${host}:${client}`);
      const args = [
        '--name',
        name,
        '--data-dir',
        join(home, name),
        '--initial-cluster',
        initial,
        '--logger',
        'zap',
        '--log-level',
        'error',
      ];
      args.push(
        '--listen-client-urls',
        `http://${host}:${client}`,
        '--advertise-client-urls',
        `http://${host}:${client}`,
      );
      args.push(
        '--listen-peer-urls',
        `http://${host}:${peer}`,
        '--initial-advertise-peer-urls',
        `http://${host}:${peer}`,
      );
      args.push('--heartbeat-interval', '50', '--election-timeout', '500');
      running.push(spawn('etcd', args, { stdio: 'ignore' }));
    }
    await until(
      async () =>
        (await observe()).members.every((one) => one.healthy) &&
        (await observe()).members.some((one) => one.leader),
    );
  });

  after(() => {
    adapter.close();
    for (const child of running) child.kill('SIGKILL');
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  const target = { endpoints };
  const observe = () => observeEtcd(http, target, { wait: { deadlineMs: 2_000 }, nowMs: 0 });

  async function until(holds: () => Promise<boolean>): Promise<void> {
    for (let left = 150; left > 0; left -= 1) {
      if (await holds().catch(() => false)) return;
      await sleep(100);
    }
    throw new Error('it never came to hold');
  }

  it('is observed whole: ids, health, leader, sizes', async () => {
    const seen = await observe();
    assert.deepEqual(seen.members.map((one) => one.name).sort(), ['etcd-n1', 'etcd-n2', 'etcd-n3']);
    assert.ok(seen.members.every((one) => /^\d+$/.test(one.id) && one.healthy && (one.dbSizeBytes ?? 0) > 0));
    assert.equal(seen.members.filter((one) => one.leader).length, 1);
    assert.deepEqual([seen.disagree, seen.unreachable], [false, []]);
    assert.deepEqual(judgeRemoval(seen, 'etcd-n1'), []);
  });

  it('hands its leadership over', async () => {
    const seen = await observe();
    const leader = seen.members.find((one) => one.leader);
    const next = bestSuccessor(seen.members, leader?.id ?? '');
    assert.ok(leader !== undefined && next !== undefined);
    const moved = await transferLeadership(http, target, endpointOf(target, leader) ?? '', next.id, WAIT);
    assert.ok(moved.ok, JSON.stringify(moved));
    await until(async () => (await observe()).members.find((one) => one.leader)?.id === next.id);
  });

  it('gives a snapshot that is whole, and notices one that is not', async () => {
    const path = join(dir ?? '', 'snapshot.db');
    for (let i = 0; i < 300; i += 1) {
      const put = { key: Buffer.from(`k${i % 7}`).toString('base64'), value: 'eA==' };
      const answer = await post(http, target, endpoints[i % 3] ?? '', '/v3/kv/put', put, WAIT);
      assert.ok(answer.ok, JSON.stringify(answer));
    }
    const taken = await takeSnapshot({ http, files }, target, endpoints[0] ?? '', path, WAIT);
    const { sizeBytes, sha256, revision } = taken;
    assert.deepEqual(await checkSnapshot(files, path), { sizeBytes, sha256, revision });
    assert.equal(revision, statusOf(path));
    truncateSync(path, taken.sizeBytes - 512);
    await assert.rejects(
      checkSnapshot(files, path),
      (error) => error instanceof CodedError && error.code === 'NC3111',
    );
    await assert.rejects(
      takeSnapshot({ http, files }, target, endpoints[0] ?? '', path, WAIT, { maxBytes: 1000 }),
      (error) => error instanceof CodedError && error.code === 'NC3110',
    );
  });

  it('shows a member that is down, and lets it be removed', async () => {
    const victim = (await observe()).members.find((one) => !one.leader);
    const at = endpoints.indexOf(victim?.clientUrls[0] ?? '');
    running[at]?.kill('SIGKILL');
    await until(
      async () => (await observe()).members.find((one) => one.id === victim?.id)?.healthy === false,
    );
    const seen = await observe();
    assert.equal(seen.unreachable.length, 1);
    assert.ok(judgeRemoval(seen, victim?.name ?? '').length > 0);
    assert.deepEqual(judgeRemoval(seen, victim?.name ?? '', { dead: true }), []);
    const asked = endpoints.find((_one, i) => i !== at) ?? '';
    const removed = await removeMember(http, target, asked, victim?.id ?? '', WAIT);
    assert.ok(removed.ok, JSON.stringify(removed));
    assert.equal((await observe()).members.length, 2);
  });
});
