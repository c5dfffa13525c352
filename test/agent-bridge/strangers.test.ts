/**
 * What a second client of a bridge learns of the first: that the host is busy. And a client that is revoked: out, at
 * once, and its running job goes on.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { JobHandle } from '../../agent-bridge/client/client.ts';
import { canonicalJson } from '../../agent-bridge/protocol/canonical.ts';
import { request } from './bad-inputs/door.ts';
import { WAIT, foundVm, key, rig, until, vmId } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

/** Ten times the goal of one second. */
const OUT_MS = 10_000;
/** What a second client waits at most while the first takes all that it can get. */
const TURN_MS = 20_000;
const UNKNOWN = '00000000-0000-4000-8000-999999999999';
const theirs = { cluster: 'prod', id: vmId(1), fence: 7 };
const own = { cluster: 'other', id: vmId(3), fence: 0 };

async function twoClients(): Promise<Rig> {
  const r = await rig();
  r.setVms([foundVm(1), foundVm(2), foundVm(3, { name: 'other-n3' })]);
  const adopt = (...words: string[]) => r.cli('bridge', 'adopt', '--cluster', ...words, '--yes');
  assert.equal((await adopt('prod', '--all-matching', 'prod-*')).code, 0);
  assert.equal((await adopt('other', vmId(3))).code, 0);
  await r.start();
  return r;
}

function open(r: Rig, name: string): Promise<TLSSocket> {
  const { cert, key: secret } = r.enrolled[name] ?? {};
  assert.ok(cert !== undefined && secret !== undefined);
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...{ host: '127.0.0.1', port: r.port, cert, key: secret, rejectUnauthorized: false },
    });
    socket.once('error', reject);
    socket.once('secureConnect', () => resolve(socket));
  });
}

/** All bytes of one answer, but for the date and the log's head, which say only when it was. */
async function ask(r: Rig, name: string, text: string): Promise<string> {
  const socket = await open(r, name);
  let got = '';
  socket.on('data', (chunk: Buffer) => (got += chunk.toString('latin1')));
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return got.replace(/^Date: .*$/m, 'Date:').replace(/^x-log-head: \d+:[0-9a-f]{64}/m, 'x-log-head:');
}

const post = (op: string, params: object, mine: string) =>
  request('POST', '/v1/jobs', [`idempotency-key: ${mine}`], canonicalJson({ op, params }));

describe('a second client of a bridge', function () {
  this.timeout(60_000);
  let r: Rig;
  let running: JobHandle<'vm.stop'>;
  let queued: JobHandle<'vm.stop'>;
  let finished: JobHandle<'vm.stop'>;
  before(async () => {
    r = await twoClients();
    const client = r.client();
    r.faults({ 'vm-stop': { chatter: 3 } });
    finished = await client.submit('vm.stop', theirs, key(1), WAIT);
    assert.equal((await client.waitFor(finished, WAIT)).kind, 'done');
    r.faults({ 'vm-stop': { sleepMs: 60_000, chatter: 3 } });
    r.setVms(r.vms().map((vm) => ({ ...vm, state: 'running' })));
    running = await client.submit('vm.stop', theirs, key(2), WAIT);
    await until(() => r.runs('vm-stop') === 2, 'the second runs');
    queued = await client.submit('vm.stop', theirs, key(3), WAIT);
  });
  after(() => r.end());

  const asks: [string, (id: string) => string][] = [
    ['a job', (id) => request('GET', `/v1/jobs/${id}`, [])],
    ['a job, and waits', (id) => request('GET', `/v1/jobs/${id}?waitMs=5000`, [])],
    ['a log', (id) => request('GET', `/v1/jobs/${id}/log`, [])],
    ['a log past its end', (id) => request('GET', `/v1/jobs/${id}/log?offset=99999999`, [])],
    ['a log at no offset', (id) => request('GET', `/v1/jobs/${id}/log?offset=-1`, [])],
    ['a cancel', (id) => request('POST', `/v1/jobs/${id}/cancel`, [])],
    ['a part that there is not', (id) => request('GET', `/v1/jobs/${id}/params`, [])],
  ];
  it('gets the same bytes for ids that are unknown and ids that are another’s, whatever it asks', async () => {
    for (const [what, text] of asks) {
      const unknown = await ask(r, 'agent-b', text(UNKNOWN));
      assert.match(unknown, /^HTTP\/1\.1 404 /, what);
      for (const { id } of [finished, running, queued])
        assert.equal(await ask(r, 'agent-b', text(id)), unknown, what);
    }
    // The last one: a result has a state of its own.
    const state = async ({ id }: JobHandle) =>
      [...(await ask(r, 'agent-a', request('GET', `/v1/jobs/${id}`, []))).matchAll(/"state":"(\w+)"/g)].at(
        -1,
      )?.[1];
    assert.deepEqual(
      [await state(finished), await state(running), await state(queued)],
      ['succeeded', 'running', 'queued'],
      'nothing was cancelled',
    );
  });

  it('gets the same bytes for a VM that is another’s and one that is nobody’s', async () => {
    const foreign = await ask(r, 'agent-b', post('vm.stop', { ...own, id: vmId(1) }, key(1)));
    assert.match(foreign, /^HTTP\/1\.1 403 /);
    assert.equal(await ask(r, 'agent-b', post('vm.stop', { ...own, id: UNKNOWN }, key(1))), foreign);
    // Nor whether a cluster that is not its own exists.
    const cluster = await ask(r, 'agent-b', post('vm.stop', theirs, key(1)));
    assert.equal(await ask(r, 'agent-b', post('vm.stop', { ...theirs, cluster: 'none' }, key(1))), cluster);
  });

  it('reads nothing of the jobs that keep the host busy', async () => {
    const read = (op: string, params: object) =>
      ask(r, 'agent-b', request('POST', `/v1/read/${op}`, [], canonicalJson(params)));
    // Before its own first job: nothing of what it is told comes from itself.
    const told = [
      await read('host.read', {}),
      await read('vm.read', { cluster: 'other' }),
      await read('vm.read', { cluster: 'prod' }),
      await read('dns.read', { zone: 'example.test', names: ['cp-prod'] }),
    ];
    assert.deepEqual(
      told.map((answer) => answer.slice(9, 12)),
      ['200', '200', '403', '403'],
    );
    assert.match(told[1] ?? '', /"jobs":\[\]/);
    const secrets = [finished.id, running.id, queued.id, key(1), key(2), key(3), 'agent-a', 'vm.stop'];
    secrets.push('"cluster":"prod"', 'line 0000', '"fence"');
    for (const secret of secrets)
      assert.ok(!told.some((answer) => answer.includes(secret)), `${secret} is in an answer`);
    const hash = /"paramsHash":"(\w+)"/.exec(r.log())?.[1];
    assert.ok(hash !== undefined && !told.some((answer) => answer.includes(hash)));
  });

  it('learns that the host is busy, by its own job that waits, and no more', async () => {
    const client = r.client();
    // The first client's key is no name for its job: each has its own keys.
    const mine = await r.client('agent-b').submit('vm.stop', own, key(2), WAIT);
    assert.ok(![finished.id, running.id, queued.id].includes(mine.id));
    assert.equal(mine.state, 'queued');
    const view = await ask(r, 'agent-b', request('GET', `/v1/jobs/${mine.id}`, []));
    const seen = JSON.parse(view.slice(view.indexOf('\r\n\r\n'))) as object;
    assert.deepEqual(Object.keys(seen), ['acceptedAt', 'id', 'op', 'paramsHash', 'state', 'target']);

    let full: string | undefined;
    for (let n = 10; n < 30 && full === undefined; n += 1) {
      const submitted = client.submit('vm.stop', theirs, key(n), { deadlineMs: 100 });
      full = await submitted.then(
        () => undefined,
        (error: unknown) => String(error),
      );
    }
    assert.match(full ?? '', /queueFull/);
    // Its own place in the queue is kept for it, and that the other's is full is not told.
    assert.match(
      await ask(r, 'agent-b', post('vm.stop', own, key(4))),
      /^HTTP\/1\.1 202 [^]*"state":"queued"/,
    );
  });
});

describe('a second client beside a greedy one', function () {
  this.timeout(90_000);
  let r: Rig;
  before(async () => {
    r = await twoClients();
  });
  after(() => r.end());

  interface Logged {
    event: string;
    client: string;
    jobId: string;
  }
  const logged = () =>
    r
      .log()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Logged);

  it('waits for one job of the first at most while that one refills the queue as fast as it can', async () => {
    r.faults({ 'vm-stop': { sleepMs: 300 } });
    const over = new AbortController();
    let taken = 0;
    const greedy = async (from: number) => {
      for (let n = from; !over.signal.aborted; n += 1) {
        r.setVms(r.vms().map((vm) => ({ ...vm, state: 'running' })));
        const answer = await ask(r, 'agent-a', post('vm.stop', theirs, key(n)));
        if (answer.startsWith('HTTP/1.1 202')) taken += 1;
        else if (answer.includes('budgetSpent')) return;
        else n -= 1;
      }
    };
    const greed = Promise.all([1_000, 2_000, 3_000].map(greedy));
    try {
      await until(() => taken >= 9, 'the queue is full', WAIT.deadlineMs);
      const client = r.client('agent-b');
      for (const n of [1, 2]) {
        const job = await client.submit('vm.stop', own, key(n), { deadlineMs: TURN_MS });
        assert.equal((await client.waitFor(job, { deadlineMs: TURN_MS })).kind, 'done');
        const entries = logged();
        const at = (event: string) =>
          entries.findIndex((entry) => entry.event === event && entry.jobId === job.id);
        const theirJobs = new Set(
          entries.filter((entry) => entry.client === 'agent-a').map(({ jobId }) => jobId),
        );
        const before = entries
          .slice(at('accepted'), at('started'))
          .filter(({ event, jobId }) => event === 'started' && theirJobs.has(jobId));
        assert.ok(before.length <= 1, `${before.length} jobs of the first went before`);
      }
    } finally {
      over.abort();
      await greed;
      r.faults({});
    }
  });

  it('is answered while the first has more reads under way than the host can run', async () => {
    r.faults({ 'dns-read': { sleepMs: 1_000 } });
    const sockets = await Promise.all(Array.from({ length: 120 }, () => open(r, 'agent-a')));
    const body = canonicalJson({ zone: 'example.test', names: ['cp-prod'] });
    for (const socket of sockets) {
      socket.on('error', () => undefined);
      socket.write(request('POST', '/v1/read/dns.read', [], body));
    }
    try {
      await until(() => r.runs('dns-read') >= 4, 'the reads run');
      const fromMs = Date.now();
      const answer = await r.client('agent-b').read('vm.read', { cluster: 'other' }, { deadlineMs: OUT_MS });
      console.log(`      a second client's read beside 120 of the first: ${Date.now() - fromMs} ms`);
      assert.equal(answer.vms.length, 3);
    } finally {
      for (const socket of sockets) socket.destroy();
      r.faults({});
    }
  });
});

describe('a client that is revoked', function () {
  this.timeout(60_000);
  let r: Rig;
  before(async () => {
    r = await twoClients();
  });
  after(() => r.end());

  it('has all its connections closed, whatever they are at; its running job finishes, nobody else is touched', async () => {
    r.faults({ 'vm-stop': { sleepMs: 3_000, chatter: 10 } });
    const job = await r.client().submit('vm.stop', theirs, key(1), WAIT);
    await until(() => r.runs('vm-stop') === 1, 'the script runs');
    const states: Record<string, string> = {
      idle: '',
      'half a head': 'POST /v1/jobs HTTP/1.1\r\nhost: b\r\n',
      'half a body': 'POST /v1/read/host.read HTTP/1.1\r\nhost: b\r\ncontent-length: 2\r\n\r\n{',
      'kept alive': 'GET /v1/jobs/x HTTP/1.1\r\nhost: b\r\n\r\n',
      'waits for its job': `GET /v1/jobs/${job.id}?waitMs=10000 HTTP/1.1\r\nhost: b\r\n\r\n`,
      'follows its log': `GET /v1/jobs/${job.id}/log?offset=590&waitMs=10000 HTTP/1.1\r\nhost: b\r\n\r\n`,
    };
    const other = await open(r, 'agent-b');
    const closedAt = new Map<string, number>();
    const closes = Object.entries(states).map(async ([state, text]) => {
      const socket = await open(r, 'agent-a');
      const closed = new Promise<void>((resolve) => {
        socket.once('close', () => {
          closedAt.set(state, Date.now());
          resolve();
        });
      });
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(text);
      return { closed };
    });
    const opened = await Promise.all(closes);
    await sleep(200);
    assert.equal(closedAt.size, 0);

    const { code, out } = await r.cli('bridge', 'revoke', 'agent-a');
    const revokedMs = Date.now();
    assert.equal(code, 0, out);
    await Promise.race([Promise.all(opened.map(({ closed }) => closed)), sleep(OUT_MS)]);
    assert.deepEqual([...closedAt.keys()].sort(), Object.keys(states).sort());
    const slowestMs = Math.max(0, ...[...closedAt.values()].map((atMs) => atMs - revokedMs));
    console.log(
      `      ${closedAt.size} connections of a revoked client closed ${slowestMs} ms after the command`,
    );

    await assert.rejects(r.client().read('host.read', {}, { deadlineMs: 1_000 }));
    assert.equal(other.destroyed, false);
    other.write(request('GET', '/v1/jobs/x', []));
    const answer = await new Promise<string>((resolve) => {
      other.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    });
    assert.match(answer, /^HTTP\/1\.1 404 /);
    const end = () =>
      r
        .log()
        .split('\n')
        .find((line) => line.includes('"event":"ended"') && line.includes(job.id));
    await until(() => end() !== undefined, 'the job ends', WAIT.deadlineMs);
    assert.match(end() ?? '', /"state":"succeeded"/);
  });
});
