import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Host } from '../../../agent-bridge/host/host.ts';
import { records } from '../../../agent-bridge/host/records.ts';
import type { LogEvent } from '../../../agent-bridge/log/events.ts';
import { openLog } from '../../../agent-bridge/log/log.ts';
import type { AuditLog } from '../../../agent-bridge/log/log.ts';
import { verifyFiles } from '../../../agent-bridge/log/verify.ts';
import { doChores } from '../../../agent-bridge/service/chores.ts';
import { realDisk } from '../../../agent-bridge/service/disk-adapter.ts';
import { refusalLog } from '../../../agent-bridge/server/refusals.ts';
import type { RefusalLog } from '../../../agent-bridge/server/refusals.ts';
import type { BridgePolicy } from '../../../agent-bridge/server/policy.ts';
import { random } from '../../../ports/random.ts';

const T0 = Date.parse('2026-05-01T12:00:00Z');
const DAY = 24 * 3_600_000;

describe('the chores of the bridge', () => {
  let dir: string;
  let log: AuditLog;
  let nowMs: number;
  let strangers: number;
  let refusals: RefusalLog;
  const clock = { now: () => nowMs, sleep: () => Promise.resolve() };

  /** Runs them once a second of the clock until `untilMs`. */
  async function chores(untilMs: number): Promise<string[]> {
    const stop = new AbortController();
    const troubles: string[] = [];
    const ticking = {
      now: () => nowMs,
      sleep: (ms: number) => {
        nowMs += ms;
        if (nowMs >= untilMs) stop.abort();
        return Promise.resolve();
      },
    };
    const lanes = {
      ...{ recover: () => undefined, pump: () => undefined, waiting: () => 0, cancel: () => undefined },
      stop: () => Promise.resolve(),
    };
    const jobsDir = join(dir, 'jobs');
    await doChores(
      {
        ...{ log, disk: realDisk, clock: ticking },
        accepting: { log, disk: realDisk, lanes, clock: ticking, random, jobsDir },
        host: { records: records(realDisk, join(dir, 'records')) } as Host,
        policy: () => ({ keepJobsDays: 90, keepJobsMb: 1 }) as BridgePolicy,
        adminDir: join(dir, 'admin'),
        strangers() {
          const count = strangers;
          strangers = 0;
          return count;
        },
        flushRefusals: refusals.flush,
        report: (line) => troubles.push(line),
      },
      stop.signal,
    );
    return troubles;
  }
  function entries<E extends LogEvent['event']>(event: E): Extract<LogEvent, { event: E }>[] {
    const found: Extract<LogEvent, { event: E }>[] = [];
    verifyFiles(realDisk, join(dir, 'audit.log'), (entry) => {
      if (entry.event === event) found.push(entry as unknown as Extract<LogEvent, { event: E }>);
    });
    return found;
  }
  function finishedJob(jobId: string, logBytes: number): void {
    mkdirSync(join(dir, 'jobs', jobId), { recursive: true });
    writeFileSync(join(dir, 'jobs', jobId, 'log'), Buffer.alloc(logBytes));
    log.append({
      ...{ event: 'accepted', jobId, client: 'a', op: 'vm.stop', key: `key-${jobId}`, paramsHash: 'h' },
      ...{ redactedParams: {}, target: 't', lane: 'vm', cluster: 'prod', fence: 7 },
    });
    log.append({ event: 'ended', jobId, state: 'succeeded', exit: 0, durMs: 1, survivors: 0 });
  }

  beforeEach(() => {
    nowMs = T0;
    strangers = 0;
    dir = mkdtempSync(join(tmpdir(), 'chores-'));
    log = openLog({
      ...{ disk: realDisk, clock, path: join(dir, 'audit.log'), bootId: 'b' },
      reserve: { ready: () => true, spend: (write) => write() },
    });
    refusals = refusalLog(log, clock);
  });
  afterEach(() => {
    log.close();
    rmSync(dir, { recursive: true });
  });

  it('count strangers and write one entry a minute, none when nobody came', async () => {
    strangers = 7_000;
    await chores(T0 + 61_000);
    strangers = 2;
    await chores(T0 + 200_000);
    await chores(T0 + 400_000);
    assert.deepEqual(
      entries('strangers').map(({ count }) => count),
      [7_000, 2],
    );
  });

  it('forget jobs past their time: folder, key and memory, and the entry stays', async () => {
    finishedJob('old', 10);
    nowMs += 89 * DAY;
    finishedJob('young', 10);
    nowMs += 2 * DAY;
    assert.deepEqual(await chores(nowMs + 61_000), []);
    assert.deepEqual(
      entries('forgotten').flatMap(({ jobIds }) => jobIds),
      ['old'],
    );
    assert.deepEqual([...log.state.jobs.keys()], ['young']);
    assert.deepEqual([...log.state.keys.values()], ['young']);
    assert.equal(log.state.fences.get('prod'), 7);
    assert.ok(!existsSync(join(dir, 'jobs', 'old')) && existsSync(join(dir, 'jobs', 'young')));
  });

  it('forget jobs whose logs take more than they may, after a day', async () => {
    for (const id of ['a', 'b', 'c']) finishedJob(id, 600_000);
    await chores(nowMs + 61_000);
    assert.equal(log.state.jobs.size, 3);
    nowMs += DAY;
    await chores(nowMs + 61_000);
    assert.deepEqual([...log.state.jobs.keys()], ['c']);
  });

  it('take what admin commands did into the log, once, and a fence number counts from then on', async () => {
    finishedJob('a', 1);
    mkdirSync(join(dir, 'admin'));
    writeFileSync(join(dir, 'admin', '1.json'), JSON.stringify({ cluster: 'prod', fence: 3, at: 'T' }));
    const adopted = { what: 'adopted', vmId: 'id', cluster: 'prod', node: 'n1', at: 'T' };
    writeFileSync(join(dir, 'admin', '2.json'), JSON.stringify(adopted));
    assert.deepEqual(await chores(nowMs + 5_000), []);
    assert.equal(log.state.fences.get('prod'), 3);
    assert.equal(entries('fenceSet').length, 1);
    assert.deepEqual(
      entries('admin').map(({ what, vmId, cluster, node, at }) => ({ what, vmId, cluster, node, at })),
      [adopted],
    );
    assert.deepEqual(readdirSync(join(dir, 'admin')), []);
  });

  it('write refusals that were merged, so that a flood that has stopped is counted whole', async () => {
    for (let n = 0; n < 500; n += 1) refusals.note('a', 'vm.stop', { code: 'badParams', field: 'id' });
    const before = entries('refused');
    assert.ok(before.length <= 10);
    await chores(T0 + 61_000);
    const all = entries('refused');
    assert.equal(all.length, before.length + 1);
    assert.equal(
      all.reduce((sum, { count }) => sum + count, 0),
      500,
    );
  });
});
