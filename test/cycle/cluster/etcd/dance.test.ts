import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  endpointOf,
  observeEtcd,
  post,
  removeMember,
  transferLeadership,
} from '../../../../cycle/cluster/etcd/members.ts';
import type { EtcdObservation, EtcdTarget } from '../../../../cycle/cluster/etcd/members.ts';
import { bestSuccessor, judgeAddition, judgeRemoval } from '../../../../cycle/cluster/etcd/quorum.ts';
import { whyStillMember } from '../../../../cycle/cluster/etcd/removal.ts';
import { checkSnapshot, takeSnapshot } from '../../../../cycle/cluster/etcd/snapshot.ts';
import { etcdVersion, realEtcd } from '../../../../lab/servers/etcd-real.ts';
import { createAuthority } from '../../../../lab/world/certs/issue.ts';
import type { EtcdCluster } from '../../../../lab/world/world.ts';
import { files } from '../../../../ports/files.ts';
import { openHttp } from '../../../../ports/http.ts';
import { Secret } from '../../../../ports/secret.ts';
import { statusOf } from './etcdctl.ts';

const PORTS = { client: 23_910, peer: 23_920 };
const NET = `127.84.${process.pid % 250}`;
const WRITERS = 4;
const address = (n: number) => `${NET}.${n}`;
const name = (n: number) => `etcd-n${n}`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('the members of a real etcd with TLS, 3 → 4 → 3 under four writers', function () {
  this.timeout(120_000);
  let dir: string | undefined;
  let etcd: EtcdCluster | undefined;
  let target: EtcdTarget;
  const adapter = openHttp();
  const { http } = adapter;
  const killed: string[] = [];

  before(async function () {
    if (etcdVersion() === undefined && process.env['CI'] !== 'true') this.skip();
    dir = mkdtempSync(join(tmpdir(), 'nc-dance-'));
    const ca = await createAuthority('kube-ca', Date.now());
    const sans = ['127.0.0.1', ...[1, 2, 3, 4].map(address)];
    const issued = await Promise.all(
      [1, 2, 3, 4].map((n) => ca.issue({ commonName: name(n), sans, usage: 'both' })),
    );
    const own = issued[0];
    assert.ok(own !== undefined);
    const material = (at: string) => {
      const leaf = issued[Number(at.split('.').at(-1)) - 1];
      assert.ok(leaf !== undefined);
      return { caPem: ca.certPem, certPem: leaf.certPem, keyPem: leaf.keyPem };
    };
    etcd = realEtcd({ dir, ports: PORTS, material });
    const endpoints = [1, 2, 3, 4].map((n) => `https://${address(n)}:${PORTS.client}`);
    target = { endpoints, ca: ca.certPem, cert: own.certPem, key: new Secret(own.keyPem) };
    await etcd.bootstrap([1, 2, 3].map((n) => ({ name: name(n), address: address(n) })));
  });
  after(async () => {
    await etcd?.close();
    adapter.close();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  const cluster = () => {
    assert.ok(etcd !== undefined);
    return etcd;
  };
  const observe = () =>
    observeEtcd(http, target, { wait: { deadlineMs: 2_000 }, nowMs: Date.now(), memberMs: 1_000 });

  async function until<T>(what: string, found: () => Promise<T | undefined>): Promise<T> {
    const endMs = Date.now() + 20_000;
    let last = '';
    for (;;) {
      const one = await found().catch((error: unknown) => void (last = String(error)));
      if (one !== undefined) return one;
      assert.ok(Date.now() < endMs, `${what}: not in time; ${last}`);
      await sleep(50);
    }
  }

  const healthy = (count: number) =>
    until(`${count} healthy members`, async () => {
      const seen = await observe();
      const well = seen.members.length === count && seen.members.every((one) => one.healthy);
      return well && seen.members.some((one) => one.leader) ? seen : undefined;
    });

  /** Starts the action, kills the leader of that moment in the middle of it, brings it back as Docker would. */
  async function underKill(act: (seen: EtcdObservation) => Promise<unknown>): Promise<void> {
    const seen = await observe();
    const leader = seen.members.find((one) => one.leader);
    assert.ok(leader !== undefined, 'somebody leads before the action');
    const going = act(seen).catch((error: unknown) => error);
    await sleep(1 + (killed.length % 4) * 3);
    await cluster().stop(leader.name, 'kill');
    killed.push(leader.name);
    await sleep(700);
    await Promise.all([
      going,
      cluster()
        .start(leader.name, leader.address)
        .catch(() => undefined),
    ]);
  }

  it('loses no acknowledged write, with the leader killed in the middle of each action', async () => {
    const writers = openWriters(target);
    const startedMs = Date.now();
    try {
      const before = await healthy(3);
      assert.deepEqual(judgeAddition(before), []);
      await underKill(() => cluster().memberAdd(name(4), address(4)));
      await until('the fourth member is listed', async () => {
        const seen = await observe();
        if (seen.members.some((one) => one.address === address(4))) return seen;
        await cluster().memberAdd(name(4), address(4));
        return undefined;
      });
      // Not started, it counts as unhealthy: nobody may leave now.
      assert.ok(judgeRemoval(await observe(), name(1)).length > 0);
      await underKill(() => cluster().start(name(4), address(4)));
      await until('the fourth member runs', () =>
        cluster()
          .start(name(4), address(4))
          .then(() => true),
      );
      await healthy(4);

      const path = join(dir ?? '', 'snapshot.db');
      await underKill((seen) => snapshot(seen, path));
      const taken = await until('a snapshot', async () => snapshot(await observe(), path));
      assert.equal((await checkSnapshot(files, path)).revision, statusOf(path));
      assert.ok(BigInt(taken.revision) > 1n);

      await until('the one that leaves leads', async () => {
        const seen = await healthy(4);
        const leader = seen.members.find((one) => one.leader);
        if (leader?.name === name(1)) return true;
        await move(seen, seen.members.find((one) => one.name === name(1))?.id);
        return undefined;
      });
      await underKill((seen) => move(seen));
      await until('another leads', async () => {
        const seen = await healthy(4);
        if (seen.members.find((one) => one.leader)?.name !== name(1)) return true;
        await move(seen);
        return undefined;
      });

      assert.deepEqual(judgeRemoval(await healthy(4), name(1), { snapshotTaken: true }), []);
      await underKill((seen) => remove(seen));
      await until('the member is gone for every survivor', async () => {
        const seen = await observe();
        if (whyStillMember(seen, name(1)) === undefined) return true;
        if (judgeRemoval(seen, name(1), { snapshotTaken: true }).length === 0) await remove(seen);
        return undefined;
      });
      const end = await healthy(3);
      assert.deepEqual(end.members.map((one) => one.name).sort(), [name(2), name(3), name(4)]);
      assert.equal(killed.length, 5);
    } finally {
      await writers.end();
    }
    const acknowledged = writers.acknowledged();
    assert.ok(acknowledged.length > 200, `${acknowledged.length} writes`);
    for (const n of [2, 3, 4]) {
      const kept = await keysAt(`https://${address(n)}:${PORTS.client}`);
      assert.deepEqual(
        acknowledged.filter((key) => !kept.has(key)),
        [],
        `lost on ${name(n)}`,
      );
    }
    assert.ok(Date.now() - startedMs < 60_000, 'within a minute');
  });

  function snapshot(seen: EtcdObservation, path: string) {
    const endpoint = seen.members.filter((one) => one.healthy).map((one) => endpointOf(target, one))[0] ?? '';
    return takeSnapshot({ http, files }, target, endpoint, path, { deadlineMs: 5_000 });
  }

  async function move(seen: EtcdObservation, to?: string): Promise<void> {
    const leader = seen.members.find((one) => one.leader);
    assert.ok(leader !== undefined);
    const heir = to ?? bestSuccessor(seen.members, leader.id)?.id ?? '';
    await transferLeadership(http, target, endpointOf(target, leader) ?? '', heir, { deadlineMs: 3_000 });
  }

  async function remove(seen: EtcdObservation): Promise<void> {
    const leaving = seen.members.find((one) => one.name === name(1));
    const asked = seen.members.find((one) => one.healthy && one.name !== name(1));
    if (leaving === undefined || asked === undefined) return;
    await removeMember(http, target, endpointOf(target, asked) ?? '', leaving.id, { deadlineMs: 3_000 });
  }

  async function keysAt(endpoint: string): Promise<Set<string>> {
    const kept = new Set<string>();
    for (let writer = 0; writer < WRITERS; writer += 1) {
      const range = { key: base64(`w${writer}/`), range_end: base64(`w${writer}0`), keys_only: true };
      const answer = await until('a range', async () => {
        const one = await post<{ kvs?: { key: string }[] }>(http, target, endpoint, '/v3/kv/range', range, {
          deadlineMs: 5_000,
        });
        return one.ok ? one.value : undefined;
      });
      for (const { key } of answer.kvs ?? []) kept.add(Buffer.from(key, 'base64').toString());
    }
    return kept;
  }
});

/** Each writes one new key after the other, to whichever member takes it, and notes those that were acknowledged. */
function openWriters(target: EtcdTarget): { end(): Promise<void>; acknowledged(): string[] } {
  const stop = new AbortController();
  const acknowledged: string[] = [];
  const write = async (writer: number) => {
    const adapter = openHttp();
    let at = writer;
    for (let count = 0; !stop.signal.aborted; count += 1) {
      const key = `w${writer}/${String(count).padStart(6, '0')}`;
      const endpoint = target.endpoints[at % target.endpoints.length] ?? '';
      const put = { key: base64(key), value: base64(String(count)) };
      const answer = await post(adapter.http, target, endpoint, '/v3/kv/put', put, { deadlineMs: 1_500 });
      if (answer.ok) acknowledged.push(key);
      else at += 1;
      await sleep(3);
    }
    adapter.close();
  };
  const all = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  return {
    async end() {
      stop.abort();
      await all;
    },
    acknowledged: () => acknowledged,
  };
}
