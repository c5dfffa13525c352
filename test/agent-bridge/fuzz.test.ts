/** Random requests: what the bridge allows is what a second reading of bridge.yaml grants, and within its budget. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { KEY_HEADER } from '../../agent-bridge/protocol/wire.ts';
import { parsePolicy } from '../../agent-bridge/server/policy.ts';
import { generator } from './fuzz/generate.ts';
import type { Case } from './fuzz/generate.ts';
import { inProcess } from './fuzz/in-process.ts';
import { READ_NAMES, meaning, oracleOf } from './fuzz/oracle.ts';
import type { Oracle } from './fuzz/oracle.ts';
import { seeded } from './fuzz/seeded.ts';
import type { Seeded } from './fuzz/seeded.ts';
import { CLIENTS, OWNED, fuzzedPolicy } from './fuzz/world.ts';
import { WAIT, foundVm, rig, supervisors, until } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

const CASES = 100_000;
const SOCKET_CASES = 5_000;
/** A mutated fence number can be high, and all that are lower are refused from then on: the log starts anew. */
const EPOCH_CASES = 500;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** FUZZ_SEED runs a failure again. */
const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

interface Asked {
  op: string;
  params: unknown;
}

/** What a request asks for when it is well formed in every way; undefined otherwise. */
function asked({ method, target, key, body }: Case): Asked | undefined {
  const value = meaning(body);
  const path = target.split('?')[0] ?? '';
  if (method !== 'POST' || value === undefined) return undefined;
  if (path.startsWith('/v1/read/')) {
    const op = path.slice('/v1/read/'.length);
    return READ_NAMES.includes(op) ? { op, params: value } : undefined;
  }
  const keyed = key?.length === 64 && Array.from(key).every((c) => '0123456789abcdef'.includes(c));
  if (path !== '/v1/jobs' || !keyed || typeof value !== 'object' || value === null) return undefined;
  const { op, params, ...more } = value as Record<string, unknown>;
  const whole = typeof op === 'string' && params !== undefined && Object.keys(more).length === 0;
  return whole && !READ_NAMES.includes(op) ? { op, params } : undefined;
}

const described = ({ body, ...one }: Case, client: string): string =>
  `seed ${SEED}, ${client}: ${JSON.stringify({ ...one, body: body.toString('latin1') })}`;

/** Keys, fences and budgets as the second reading keeps them. */
function ledger(oracle: Oracle) {
  const keys = new Map<string, { id: string; body: string }>();
  const fences = new Map<string, number>();
  const charges = new Map<string, number[]>();
  let highestMs = 0;
  return {
    keys,
    /** The status that a granted job gets. */
    expected(client: string, { op, params }: Asked, one: Case, nowMs: number, waiting: number): number {
      const known = keys.get(`${client}/${one.key ?? ''}`);
      if (known) return known.body === one.body.toString('latin1') ? 200 : 422;
      const { cluster, fence } = params as { cluster?: string; fence?: number };
      const seen = fences.get(cluster ?? '');
      const most = seen === undefined ? 4_000_000 : seen + 1_000;
      if (fence !== undefined && (fence < (seen ?? 0) || fence > most)) return 409;
      if (waiting >= 8) return 429;
      const from = Math.max(nowMs, highestMs) - DAY_MS;
      const used = (charges.get(`${client}/${op}`) ?? []).filter((ms) => ms > from).length;
      return used < oracle.budgetOf(client, op) ? 202 : 403;
    },
    accepted(client: string, { op, params }: Asked, one: Case, nowMs: number, id: string): void {
      const { cluster, fence } = params as { cluster?: string; fence?: number };
      highestMs = Math.max(highestMs, nowMs);
      keys.set(`${client}/${one.key ?? ''}`, { id, body: one.body.toString('latin1') });
      if (cluster !== undefined && fence !== undefined)
        fences.set(cluster, Math.max(fence, fences.get(cluster) ?? 0));
      charges.set(`${client}/${op}`, [...(charges.get(`${client}/${op}`) ?? []).slice(-9), highestMs]);
    },
  };
}

describe('random requests', function () {
  this.timeout(120_000);

  it(`allows in process exactly what is granted and within budget, ${CASES} times`, async () => {
    const madeOnly = `seed ${SEED}: as many folders and entries as jobs`;
    const text = fuzzedPolicy('/srv/bridge', '/srv/world');
    const oracle = oracleOf(text, OWNED);
    const policy = parsePolicy(text, 'bridge.yaml');
    const random = seeded(SEED);
    const cases = generator(random, 0.25);
    const counts = new Map<string, number>();
    const { signal } = new AbortController();
    let bridge = inProcess(policy);
    let book = ledger(oracle);
    let owners = new Map<string, string>();

    for (let n = 0; n < CASES; n += 1) {
      if (n % EPOCH_CASES === 0) {
        assert.deepEqual([bridge.folders, bridge.entries.length], [owners.size, owners.size], madeOnly);
        bridge = inProcess(policy);
        book = ledger(oracle);
        owners = new Map();
      }
      if (random.chance(0.01))
        bridge.nowMs += random.pick([DAY_MS + 1, DAY_MS, HOUR_MS, -HOUR_MS, -3 * DAY_MS]);
      bridge.nowMs += random.below(1_000);
      bridge.waiting = random.chance(0.02) ? 8 : random.below(8);
      const client = random.pick(CLIENTS);
      const one = random.chance(0.03) ? aboutAJob(random, [...owners.keys()].slice(-50)) : cases.next();
      const { status, body } = await bridge.handler(bridge.client(client), {
        ...{ method: one.method, target: one.target, body: one.body, signal },
        headers: one.key === undefined ? {} : { [KEY_HEADER]: one.key },
      });
      const what = () => `${described(one, client)} got ${status} ${String(body)}`;
      counts.set(String(status), (counts.get(String(status)) ?? 0) + 1);

      const id = /^\/v1\/jobs\/([0-9a-f-]{36})/.exec(one.target)?.[1];
      if (id !== undefined) {
        assert.equal(status, owners.get(id) === client ? 200 : 404, what());
        continue;
      }
      const request = asked(one);
      const granted = request !== undefined && oracle.granted(client, request.op, request.params);
      if (!granted) {
        assert.ok(status >= 400 && status < 500, what());
        continue;
      }
      if (READ_NAMES.includes(request.op)) {
        assert.equal(status, 200, what());
        continue;
      }
      assert.equal(status, book.expected(client, request, one, bridge.nowMs, bridge.waiting), what());
      if (status >= 400) continue;
      const job = JSON.parse(String(body)) as { id: string };
      if (status === 200) assert.equal(job.id, book.keys.get(`${client}/${one.key ?? ''}`)?.id, what());
      else {
        const entry = bridge.entries.at(-1);
        assert.deepEqual(
          [entry?.['jobId'], entry?.['client'], entry?.['op'], entry?.['redactedParams']],
          [job.id, client, request.op, request.params],
          what(),
        );
        owners.set(job.id, client);
        book.accepted(client, request, one, bridge.nowMs, job.id);
      }
    }
    assert.deepEqual([bridge.folders, bridge.entries.length], [owners.size, owners.size], madeOnly);
    console.log(
      `seed ${SEED}: ${[...counts]
        .sort()
        .map(([status, count]) => `${status} × ${count}`)
        .join(', ')}`,
    );
    for (const status of ['200', '202', '400', '403', '404', '409', '422', '429'])
      assert.ok(
        (counts.get(status) ?? 0) >= 20,
        `seed ${SEED}: only ${counts.get(status)} answers ${status}`,
      );
  });

  describe('on the socket', () => {
    let r: Rig;
    let oracle: Oracle;
    before(async () => {
      r = await rig();
      r.setVms([foundVm(1), foundVm(2, { name: 'stage-n2' }), foundVm(3, { name: 'other-n3' })]);
      for (const name of ['prod', 'stage', 'other']) {
        const words = ['adopt', '--cluster', name, '--all-matching', `${name}-*`, '--yes'];
        const { code, out } = await r.cli('bridge', ...words);
        assert.equal(code, 0, out);
      }
      const prints = Object.fromEntries(CLIENTS.map((name) => [name, r.enrolled[name]?.fingerprint ?? '']));
      const text = fuzzedPolicy(r.dir, r.world, prints);
      writeFileSync(join(r.dir, 'bridge.yaml'), text);
      oracle = oracleOf(text, OWNED);
      await r.start();
    });
    after(() => r.end());

    it(`allows nothing that is not granted, ${SOCKET_CASES} times, and its log says the same`, async () => {
      const random = seeded(SEED + 1);
      const cases = generator(random, 0.03);
      const agents = new Map(
        CLIENTS.map((name) => {
          const { cert, key } = r.enrolled[name] ?? {};
          return [name, new Agent({ ...{ cert, key }, keepAlive: true, rejectUnauthorized: false })];
        }),
      );
      const accepted = new Set<string>();
      let left = SOCKET_CASES;
      const worker = async () => {
        while (left > 0) {
          left -= 1;
          const client = random.pick(CLIENTS);
          const one = cases.next();
          if (random.chance(0.15)) {
            // The bytes of the whole request are mangled; what came of it is read from the log.
            await mangled(r, client, bytesOf(one, random));
            continue;
          }
          const { status, body } = await posted(r.port, agents.get(client) as Agent, one);
          if (status >= 400 && status < 500) continue;
          const request = asked(one);
          const what = `${described(one, client)} got ${status} ${body}`;
          assert.ok(request && oracle.granted(client, request.op, request.params), what);
          if (status === 202) accepted.add((JSON.parse(body) as { id: string }).id);
          else assert.equal(status, 200, what);
        }
      };
      await Promise.all([worker(), worker(), worker(), worker()]);
      for (const agent of agents.values()) agent.destroy();

      const entries = r
        .log()
        .split('\n')
        .filter((line) => line.includes('"event":"accepted"'))
        .map(
          (line) =>
            JSON.parse(line) as Record<'client' | 'op' | 'jobId', string> & { redactedParams: unknown },
        );
      const spent = new Map<string, number>();
      for (const { client, op, jobId, redactedParams } of entries) {
        const what = `seed ${SEED}: ${client} ${op} ${JSON.stringify(redactedParams)}`;
        assert.ok(oracle.granted(client, op, redactedParams), what);
        accepted.delete(jobId);
        spent.set(`${client} ${op}`, (spent.get(`${client} ${op}`) ?? 0) + 1);
        assert.ok((spent.get(`${client} ${op}`) ?? 0) <= oracle.budgetOf(client, op), what);
      }
      assert.ok(entries.length > 0, `seed ${SEED}: nothing was allowed`);
      assert.deepEqual([...accepted], [], 'each accepted job is in the log');
      assert.equal(
        (await r.client('agent-b').read('vm.read', { cluster: 'other' }, WAIT)).jobs.length > 0,
        true,
      );
      assert.ok(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${r.pid}/status`, 'utf8'))?.[1]) < 300_000);
      await until(() => supervisors(join(r.dataDir, 'jobs')).length === 0, 'the jobs end', 30_000);
      assert.equal((await r.cli('bridge', 'audit', 'verify')).code, 0);
    });
  });
});

function aboutAJob(random: Seeded, ids: readonly string[]): Case {
  const id =
    ids.length === 0 || random.chance(0.1) ? '0000ffff-0000-4000-8000-000000000001' : random.pick(ids);
  const [method, rest] = random.pick([
    ['GET', ''],
    ['GET', '/log'],
    ['POST', '/cancel'],
  ] as const);
  return { method, target: `/v1/jobs/${id}${rest}`, key: undefined, body: Buffer.alloc(0) };
}

function posted(port: number, agent: Agent, one: Case): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-length': one.body.length,
      ...(one.key === undefined ? {} : { [KEY_HEADER]: one.key }),
    };
    const { method, target } = one;
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        agent,
        method, // A lone surrogate has no bytes.
        path: encodeURI(Buffer.from(target).toString()) || '/',
        headers,
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body });
        });
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(one.body);
  });
}

function bytesOf(one: Case, random: Seeded): Buffer {
  const head = [
    `${one.method} ${one.target} HTTP/1.1`,
    'host: b',
    `${KEY_HEADER}: ${one.key ?? ''}`,
    `content-length: ${one.body.length}`,
    '',
    '',
  ].join('\r\n');
  const whole = Buffer.concat([Buffer.from(head), one.body]);
  const at = random.below(whole.length);
  return random.pick([
    () => random.bytes(1 + random.below(300)),
    () => whole.subarray(0, at),
    () => Buffer.concat([whole.subarray(0, at), random.bytes(1 + random.below(4)), whole.subarray(at)]),
    () => Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1 + random.below(4))]),
    () => Buffer.concat([whole, whole.subarray(at)]),
    () => Buffer.concat([whole, whole]),
  ])();
}

function mangled(r: Rig, client: string, bytes: Buffer): Promise<void> {
  const { cert, key } = r.enrolled[client] ?? {};
  return new Promise((resolve) => {
    const socket = connect({ ...{ cert, key }, host: '127.0.0.1', port: r.port, rejectUnauthorized: false });
    socket.on('secureConnect', () => socket.end(bytes));
    socket.on('data', () => undefined);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve();
    });
  });
}
