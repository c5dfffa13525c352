import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seal } from '../../../agent-bridge/log/chain.ts';
import type { LogEvent } from '../../../agent-bridge/log/events.ts';
import { logFileFrom, logFiles } from '../../../agent-bridge/log/files.ts';
import { folded } from '../../../agent-bridge/log/fold.ts';
import type { State } from '../../../agent-bridge/log/state.ts';
import { openLog } from '../../../agent-bridge/log/log.ts';
import { checkWitness, verifyFiles } from '../../../agent-bridge/log/verify.ts';
import { realDisk } from '../../../agent-bridge/service/disk-adapter.ts';

const T0 = Date.parse('2026-05-01T12:00:00Z');
const FILE_BYTES = 4_096;

/** What a busy bridge writes: jobs that begin and end, some cancelled, some forgotten, fences that rise. */
function story(count: number): LogEvent[] {
  const events: LogEvent[] = [];
  for (let n = 0; n < count; n += 1) {
    const jobId = `j${n}`;
    events.push({
      ...{ event: 'accepted', jobId, client: `c${n % 3}`, op: 'vm.stop', key: `k${n}`, paramsHash: `h${n}` },
      ...{ redactedParams: { n }, target: `vm:${n % 5}`, lane: 'vm', budget: 'stops' },
      ...{ cluster: `prod${n % 2}`, fence: Math.floor(n / 4) },
    });
    events.push({ event: 'started', jobId, attempt: 1 });
    if (n % 4 === 1) events.push({ event: 'cancelAsked', jobId, client: 'c0' });
    if (n % 7 !== 6) {
      const result = { n };
      events.push({ event: 'ended', jobId, state: 'succeeded', result, exit: 0, durMs: n, survivors: 0 });
    }
    if (n % 10 === 9) events.push({ event: 'forgotten', jobIds: [`j${n - 9}`] });
    if (n % 25 === 24) events.push({ event: 'fenceSet', cluster: 'prod0', fence: 1, at: 'T' });
  }
  return events;
}

describe('a log of several files', () => {
  let dir: string;
  let path: string;
  let nowMs: number;
  const roomy = { ready: () => true, spend: <T>(write: () => T) => write() };
  const open = (fileLimitBytes = FILE_BYTES, at = path) =>
    openLog({
      ...{ disk: realDisk, path: at, bootId: 'b', reserve: roomy, fileLimitBytes },
      clock: { now: () => (nowMs += 1_000), sleep: () => Promise.resolve() },
    });
  const write = (events: readonly LogEvent[]): State => {
    const log = open();
    for (const event of events) log.append(event);
    log.close();
    return log.state;
  };
  beforeEach(() => {
    nowMs = T0;
    dir = mkdtempSync(join(tmpdir(), 'rotation-'));
    path = join(dir, 'audit.log');
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('has the same state as one of one file, whenever it was opened in between', () => {
    const events = story(120);
    for (let from = 0; from < events.length; from += 37) write(events.slice(from, from + 37));
    assert.ok(logFiles(realDisk, path).length > 3, 'it had to rotate');
    const rotated = open().state;

    nowMs = T0;
    const whole = open(Infinity, join(dir, 'whole.log'));
    for (const event of events) whole.append(event);
    const jobs = (state: State) =>
      [...state.jobs.values()].map(({ id, state: is, result }) => [id, is, result]);
    assert.deepEqual(jobs(rotated), jobs(whole.state));
    assert.deepEqual(folded(rotated).fences, folded(whole.state).fences);
    assert.deepEqual([...rotated.keys].sort(), [...whole.state.keys].sort());
    assert.deepEqual(
      [...rotated.charges].map(([key, times]) => [key, times.length]).sort(),
      [...whole.state.charges].map(([key, times]) => [key, times.length]).sort(),
    );
  });

  it('is one chain over its files, in which every head that a caller kept is found', () => {
    const log = open();
    const heads = story(80).map((event) => {
      log.append(event);
      return `${log.head().seq}:${log.head().hash}`;
    });
    log.close();
    const hashes = new Map<number, string>();
    const { faults, entries, head } = verifyFiles(realDisk, path, (entry) =>
      hashes.set(entry.seq, entry.hash),
    );
    assert.deepEqual(faults, []);
    assert.equal(entries, head.seq);
    assert.equal(`${head.seq}:${head.hash}`, heads.at(-1));
    assert.deepEqual(checkWitness(hashes, 1, heads.join('\n')), []);
  });

  it('names a file that is missing, one that was edited, and one that was cut', () => {
    write(story(120));
    const files = logFiles(realDisk, path).map((file) => file.path);
    assert.ok(files.length > 4);
    const [, second = '', third = ''] = files;
    const faultAfter = (change: () => void): string => {
      const kept = files.map((file) => readFileSync(file));
      change();
      const { faults } = verifyFiles(realDisk, path);
      files.forEach((file, n) => {
        writeFileSync(file, kept[n] ?? '');
      });
      return faults.join();
    };
    const missing = faultAfter(() => {
      rmSync(second);
    });
    assert.match(missing, /begins with entry \d+; the entries from \d+ on are missing/);
    const edited = faultAfter(() => {
      writeFileSync(second, readFileSync(second, 'utf8').replace('"durMs":', '"durMs":1'));
    });
    assert.match(edited, /was edited/);
    assert.ok(edited.startsWith(second));
    const cut = faultAfter(() => {
      const text = readFileSync(second, 'utf8');
      writeFileSync(second, text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1));
    });
    assert.ok(cut.startsWith(third) && /missing/.test(cut), cut);
    const torn = faultAfter(() => {
      appendFileSync(second, '{"half');
    });
    assert.match(torn, /incomplete line, and another file follows/);
    assert.deepEqual(verifyFiles(realDisk, path).faults, []);
  });

  it('shows that a folded state is not what the files before it say, even in a chain that is whole', () => {
    const log = open(Infinity);
    for (const event of story(5)) log.append(event);
    log.close();
    const state = folded(log.state);
    const { line, head } = seal(
      { event: 'rotated', state: { ...state, jobs: state.jobs.slice(1) } },
      log.head(),
      new Date(T0).toISOString(),
      'b',
    );
    writeFileSync(logFileFrom(path, head.seq), line);
    assert.match(
      verifyFiles(realDisk, path).faults.join(),
      /folded state is not what the files before it say/,
    );
  });

  it('begins with a later entry when old files were put away, and can still be opened', () => {
    write(story(120));
    const files = logFiles(realDisk, path);
    renameSync(path, join(dir, 'elsewhere'));
    const { faults, firstSeq, entries, head } = verifyFiles(realDisk, path);
    assert.deepEqual(faults, []);
    assert.equal(firstSeq, files[1]?.firstSeq);
    assert.equal(entries, head.seq - firstSeq + 1);
    assert.equal(open().state.jobs.size, 108);
  });

  it('cuts a torn last line of its newest file only, and says so', () => {
    write(story(120));
    const newest = logFiles(realDisk, path).at(-1)?.path ?? '';
    appendFileSync(newest, '{"event":"acc');
    const log = open();
    log.close();
    assert.ok(readFileSync(newest, 'utf8').includes('"bytes":13,"event":"torn"'));
    assert.deepEqual(verifyFiles(realDisk, path).faults, []);
  });

  it('goes on in the old file when the new one could not be made, and loses nothing', () => {
    let fail = true;
    const disk = {
      ...realDisk,
      write(file: string, data: string | Uint8Array) {
        if (fail) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
        realDisk.write(file, data);
      },
    };
    const clock = { now: () => (nowMs += 1_000), sleep: () => Promise.resolve() };
    const log = openLog({ disk, clock, path, bootId: 'b', reserve: roomy, fileLimitBytes: FILE_BYTES });
    const events = story(60);
    for (const event of events.slice(0, 60)) log.append(event);
    assert.equal(logFiles(realDisk, path).length, 1);
    fail = false;
    for (const event of events.slice(60)) log.append(event);
    log.close();
    assert.ok(logFiles(realDisk, path).length > 1);
    assert.deepEqual(verifyFiles(realDisk, path).faults, []);
    assert.deepEqual(folded(open().state).jobs, folded(log.state).jobs);
  });
});
