import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CodedError } from '../../ports/errors.ts';
import { bridgeClient } from '../../agent-bridge/client/client.ts';
import { clock } from '../../ports/clock.ts';
import { openHttp } from '../../ports/http.ts';
import { PortError } from '../../ports/ports.ts';
import type { Http } from '../../ports/ports.ts';
import { random } from '../../ports/random.ts';
import { Secret } from '../../ports/secret.ts';
import { WAIT, foundVm, key, rig, until, vmId } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

const params = { cluster: 'prod', id: vmId(1), fence: 0 };

describe('jobs of the bridge', () => {
  let r: Rig;
  before(async () => {
    r = await rig();
    r.setVms([foundVm(1), foundVm(2), foundVm(3, { name: 'other-n3' })]);
    assert.equal(
      (await r.cli('bridge', 'adopt', '--cluster', 'prod', '--all-matching', 'prod-*', '--yes')).code,
      0,
    );
    assert.equal((await r.cli('bridge', 'adopt', '--cluster', 'other', vmId(3), '--yes')).code, 0);
    await r.start();
  });
  after(() => r.end());
  beforeEach(() => {
    r.faults({});
    r.setVms(r.vms().map((vm) => ({ ...vm, state: 'running' })));
  });

  const refusedWith = (code: string) => (error: CodedError) =>
    error.code === 'NC2004' && error.detail.includes(`code ${code}`);

  it('makes one job of twenty equal requests, and refuses the key with another body', async () => {
    const client = r.client();
    const before = r.runs('vm-stop');
    const all = await Promise.all(
      Array.from({ length: 20 }, () => client.submit('vm.stop', params, key(1), WAIT)),
    );
    assert.equal(new Set(all.map(({ id }) => id)).size, 1);
    await assert.rejects(
      client.submit('vm.stop', { ...params, id: vmId(2) }, key(1), WAIT),
      refusedWith('keyReused'),
    );
    const [job] = all;
    assert.ok(job);
    assert.equal((await client.waitFor(job, WAIT)).kind, 'done');
    assert.equal(r.runs('vm-stop') - before, 1);
  });

  it('takes no result with another nonce, none that is followed by words, none of another shape, none after a failure', async () => {
    const client = r.client();
    const outcomes = [];
    const faults = [
      { mode: 'forge' as const },
      { mode: 'afterwards' as const },
      { mode: 'badShape' as const },
      { exit: 1 },
      { fail: 'denied' },
    ];
    for (const [n, fault] of faults.entries()) {
      r.faults({ 'vm-stop': fault });
      r.setVms(r.vms().map((vm) => ({ ...vm, state: 'running' })));
      const outcome = await client.waitFor(await client.submit('vm.stop', params, key(10 + n), WAIT), WAIT);
      outcomes.push(outcome.kind === 'failed' ? outcome.error : outcome.kind);
    }
    assert.deepEqual(outcomes, ['noResult', 'noResult', 'badResult', 'scriptFailed', 'denied']);
  });

  it('gives a log byte for byte through lost connections', async () => {
    r.faults({ 'vm-stop': { chatter: 30_000 } });
    const adapter = openHttp();
    let requests = 0;
    const cutting: Http = async (request) => {
      const response = await adapter.http(request);
      requests += 1;
      // Every second answer ends in the middle, as a lost connection does.
      if (requests % 2 === 0 || !request.url.includes('/log')) return response;
      return {
        ...response,
        body: (async function* () {
          for await (const chunk of response.body) {
            yield chunk.subarray(0, chunk.length / 2);
            throw new PortError('closed', 'http', 'cut', true);
          }
        })(),
      };
    };
    const mine = r.enrolled['agent-a'];
    assert.ok(mine);
    const client = bridgeClient({
      ...mine,
      ...{ http: cutting, clock, random, key: new Secret(mine.key) },
      url: `https://127.0.0.1:${r.port}`,
    });
    const job = await client.submit('vm.stop', params, key(20), WAIT);
    const got = createHash('sha256');
    let bytes = 0;
    await client.readLog(
      job.id,
      0,
      (chunk) => {
        got.update(chunk);
        bytes += chunk.length;
      },
      WAIT,
    );
    adapter.close();
    const stored = readFileSync(join(r.dataDir, 'jobs', job.id, 'log'));
    assert.ok(stored.length > 1_500_000 && requests > 3);
    assert.equal(bytes, stored.length);
    assert.equal(got.digest('hex'), createHash('sha256').update(stored).digest('hex'));
  });

  it('ends the whole tree of a job that is cancelled, once, however often it is asked', async () => {
    r.faults({ 'vm-stop': { sleepMs: 60_000, children: 3 } });
    const client = r.client();
    const job = await client.submit('vm.stop', params, key(30), WAIT);
    await until(() => r.strays().length === 3, 'the children');
    await client.cancel(job.id, WAIT);
    await client.cancel(job.id, WAIT);
    const outcome = await client.waitFor(job, WAIT);
    assert.equal(outcome.job.state, 'cancelled');
    assert.deepEqual(r.strays(), []);
    assert.equal((await client.cancel(job.id, WAIT)).state, 'cancelled', 'a finished job stays as it is');
  });

  it('queues eight behind the one that runs, refuses the next, and cancels a waiting one without running it', async () => {
    r.faults({ 'vm-stop': { sleepMs: 60_000 } });
    const client = r.client();
    const before = r.runs('vm-stop');
    const first = await client.submit('vm.stop', params, key(40), WAIT);
    await until(() => r.runs('vm-stop') > before, 'the first runs');
    const waiting = [];
    for (let n = 0; n < 8; n += 1) waiting.push(await client.submit('vm.stop', params, key(41 + n), WAIT));
    await assert.rejects(
      client.submit('vm.stop', params, key(60), { deadlineMs: 100 }),
      refusedWith('queueFull'),
    );
    for (const job of [...waiting, first]) await client.cancel(job.id, WAIT);
    for (const job of [...waiting, first])
      assert.equal((await client.waitFor(job, WAIT)).job.state, 'cancelled');
    assert.equal(r.runs('vm-stop') - before, 1);
  });

  it('shows a client neither the jobs of another nor that they exist', async () => {
    const job = await r.client().submit('vm.stop', params, key(1), WAIT);
    const other = r.client('agent-b');
    const messages = new Set<string>();
    for (const id of [job.id, '00000000-0000-4000-8000-999999999999']) {
      await assert.rejects(other.cancel(id, WAIT), (error: CodedError) =>
        Boolean(messages.add(error.message)),
      );
      await assert.rejects(
        other.readLog(id, 0, () => {}, WAIT),
        (error: CodedError) => Boolean(messages.add(error.message)),
      );
    }
    assert.equal(messages.size, 1);
    assert.deepEqual((await other.read('vm.read', { cluster: 'other' }, WAIT)).jobs, []);
  });

  it('charges a budget when it accepts, and refuses when it is spent', async () => {
    const client = r.client('agent-b');
    const own = { cluster: 'other', id: vmId(3), fence: 0 };
    for (let n = 0; n < 3; n += 1) {
      await client.waitFor(await client.submit('vm.stop', own, key(70 + n), WAIT), WAIT);
    }
    await assert.rejects(client.submit('vm.stop', own, key(80), WAIT), refusedWith('budgetSpent'));
    const again = await client.submit('vm.stop', own, key(72), WAIT);
    assert.equal(again.state, 'succeeded', 'a re-send is not charged');
    assert.equal((await client.read('host.read', {}, WAIT)).clientPolicy.budgetsLeft.stops, 0);
  });

  it('keeps budgets, keys and fences over a restart, and cuts a torn last line', async () => {
    await r.kill();
    appendFileSync(join(r.dataDir, 'audit.log'), '{"bootId":"half a li');
    await r.start();
    assert.match(r.log(), /"event":"torn"/);
    const client = r.client('agent-b');
    await assert.rejects(
      client.submit('vm.stop', { cluster: 'other', id: vmId(3), fence: 0 }, key(81), WAIT),
      refusedWith('budgetSpent'),
    );
  });

  it('does not start on a log that was edited', async () => {
    await r.stop();
    const path = join(r.dataDir, 'audit.log');
    const whole = readFileSync(path, 'utf8');
    writeFileSync(path, whole.replace('"client":"agent-a"', '"client":"agent-b"'));
    await assert.rejects(r.start(), /NC2002/);
    const { code, out } = await r.cli('bridge', 'audit', 'verify');
    assert.equal(code, 1);
    assert.match(out, /Entry \d+ \(line \d+\) was edited/);
    writeFileSync(path, whole);
  });
});
