/** The copy in the Windows Event Log: what is copied, and that nothing that is wrong with it reaches the bridge. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildStart, Processes } from '../../../agent-bridge/jobs/processes.ts';
import type { Entry } from '../../../agent-bridge/log/chain.ts';
import { seal } from '../../../agent-bridge/log/chain.ts';
import type { LogEvent } from '../../../agent-bridge/log/events.ts';
import {
  eventLogCopy,
  headIn,
  WAITING_LIMIT,
  windowsEvent,
  WRITER,
} from '../../../agent-bridge/service/event-log.ts';
import type { WindowsEvent } from '../../../agent-bridge/service/event-log.ts';
import type { Clock } from '../../../ports/ports.ts';
import { powerShell } from '../../powershell/engine.ts';
import { rig } from '../support/rig.ts';

const sealed = (event: LogEvent, seq = 1): [Entry, string] => {
  const { line } = seal(event, { seq: seq - 1, hash: '0'.repeat(64) }, '2026-06-01T00:00:00.000Z', 'boot');
  return [JSON.parse(line) as Entry, line];
};
const refused = (seq: number) =>
  sealed({ event: 'refused', client: 'a', op: 'vm.stop', code: 'notGranted', field: '', count: 1 }, seq);

/** Children that write at once what they are given, until told otherwise; a clock whose pauses are noted and skipped. */
function stand() {
  const batches: WindowsEvent[][] = [];
  const pauses: number[] = [];
  const said: [string, object][] = [];
  const answers: { written?: number; exit?: number; err?: string; hangs?: boolean }[] = [];
  let running = 0;
  let most = 0;
  let ended = 0;
  const hanging: (() => void)[] = [];
  const processes: Pick<Processes, 'startChild' | 'endTree'> = {
    startChild(start: ChildStart) {
      running += 1;
      most = Math.max(most, running);
      const events = start.stdin
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as WindowsEvent);
      batches.push(events);
      const { written = events.length, exit = 0, err = '', hangs = false } = answers.shift() ?? {};
      const end = (async () => {
        await new Promise((resolve) => setImmediate(resolve));
        for (let n = 1; n <= written; n += 1) start.onStdout(Buffer.from(`##NC-COPIED ${n}\r\n`));
        start.onStderr(Buffer.from(err));
        if (hangs) await new Promise<void>((resolve) => hanging.push(resolve));
        running -= 1;
        return { exitCode: hangs ? null : exit, signal: null };
      })();
      return { pid: 7, ended: end };
    },
    async endTree() {
      ended += 1;
      hanging.splice(0).forEach((resolve) => resolve());
      return 0;
    },
  };
  const clock: Clock = {
    now: () => 0,
    async sleep(ms, signal) {
      if (ms !== 60_000 || answersHang()) {
        if (ms !== 60_000) pauses.push(ms);
        await new Promise((resolve) => setImmediate(resolve));
        await new Promise((resolve) => setImmediate(resolve));
        await new Promise((resolve) => setImmediate(resolve));
        return;
      }
      await new Promise<void>((_, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
      });
    },
  };
  const answersHang = () => hangsNext;
  let hangsNext = false;
  const copy = eventLogCopy({
    ...{ processes, clock },
    powershell: { file: 'C:\\ps.exe', env: {} },
    say: (event, fields = {}) => said.push([event, fields]),
  });
  return {
    ...{ batches, pauses, said, answers, copy },
    hang: () => (hangsNext = true),
    most: () => most,
    ended: () => ended,
    async quiet() {
      for (let round = 0; round < 200; round += 1) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('the copy in the Event Log', () => {
  it('has the beginnings, ends, refusals and decisions, each with its number and hash first', () => {
    const kinds: [LogEvent['event'], number | undefined][] = [
      ['boot', 1000],
      ['torn', 1001],
      ['policy', 1002],
      ['admin', 1003],
      ['fenceSet', 1004],
      ['accepted', 1010],
      ['ended', 1011],
      ['refused', 1012],
      ['started', undefined],
      ['rotated', undefined],
      ['strangers', undefined],
      ['forgotten', undefined],
    ];
    for (const [name, id] of kinds) {
      const [entry, line] = sealed({ event: name } as LogEvent, 12);
      const event = windowsEvent(entry, line);
      assert.equal(event?.id, id, name);
      if (event) assert.deepEqual(headIn(event.text), { seq: 12, hash: entry.hash });
    }
    assert.equal(windowsEvent(...sealed({ event: 'ended', state: 'failed' } as LogEvent))?.type, 'Warning');
    assert.equal(
      windowsEvent(...sealed({ event: 'ended', state: 'succeeded' } as LogEvent))?.type,
      'Information',
    );
  });

  it('cuts an entry that the Event Log would refuse, and keeps its head', () => {
    const [entry, line] = sealed({ event: 'ended', result: 'x'.repeat(60_000) } as unknown as LogEvent);
    const event = windowsEvent(entry, line);
    assert.ok((event?.text.length ?? 0) < 31_839);
    assert.match(event?.text ?? '', /x \(cut\)$/);
    assert.equal(headIn(event?.text ?? '')?.hash, entry.hash);
  });

  it('reads no head from what has none', () => {
    for (const text of [
      '',
      '12',
      `x:${'a'.repeat(64)} `,
      `1:${'a'.repeat(63)} `,
      `${'9'.repeat(16)}:${'a'.repeat(64)} `,
    ])
      assert.equal(headIn(text), undefined, text);
  });

  it('writes what came together with one child, in order, and never two at once', async () => {
    const s = stand();
    for (let seq = 1; seq <= 450; seq += 1) s.copy.offer(...refused(seq));
    await s.quiet();
    assert.deepEqual(
      s.batches.map((batch) => batch.length),
      [200, 200, 50],
    );
    assert.deepEqual(
      s.batches.flat().map(({ text }) => headIn(text)?.seq),
      Array.from({ length: 450 }, (_, n) => n + 1),
    );
    assert.equal(s.most(), 1);
    assert.deepEqual(s.said, []);
  });

  it('says once that it fails, tries again ever more rarely, repeats nothing, and says that it works again', async () => {
    const s = stand();
    s.answers.push({ written: 0, exit: 1, err: 'The source was not found\r\nat line 7' });
    for (let n = 0; n < 7; n += 1) s.answers.push({ written: 0, exit: 1 });
    s.answers.push({ written: 2, exit: 1 });
    for (const seq of [1, 2, 3]) s.copy.offer(...refused(seq));
    await s.quiet();
    assert.deepEqual(
      s.said.map(([event]) => event),
      ['eventLogFailed', 'eventLogWritten'],
    );
    assert.match(JSON.stringify(s.said[0]), /The source was not found/);
    assert.deepEqual(
      s.pauses,
      [2_000, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000],
    );
    assert.deepEqual(
      s.batches.at(-1)?.map(({ text }) => headIn(text)?.seq),
      [3],
    );
  });

  it('holds so many entries and no more, and writes down how many it left out', async () => {
    const s = stand();
    s.answers.push({ written: 0, exit: 1 });
    for (let seq = 1; seq <= WAITING_LIMIT + 25; seq += 1) s.copy.offer(...refused(seq));
    await s.quiet();
    const written = s.batches.slice(1).flat();
    assert.equal(written.length, WAITING_LIMIT + 1);
    assert.match(written.at(-1)?.text ?? '', /^25 entries were not copied/);
  });

  it('ends a child that does not end', async () => {
    const s = stand();
    s.hang();
    s.answers.push({ written: 0, hangs: true });
    s.copy.offer(...refused(1));
    await s.quiet();
    assert.ok(s.ended() >= 1);
    assert.match(JSON.stringify(s.said[0]), /no end within 60000 ms/);
  });

  it('lets the bridge stop although nothing can be written', async () => {
    const s = stand();
    for (let n = 0; n < 50; n += 1) s.answers.push({ written: 0, exit: 1 });
    s.copy.offer(...refused(1));
    await s.copy.stop();
    assert.ok(s.batches.length < 50);
  });

  it('is off unless bridge.yaml asks for it, and a bridge whose copy fails answers and stops as ever', async function () {
    this.timeout(60_000);
    // The stand-in for PowerShell is Node, which knows no -NoLogo.
    const r = await rig('eventLog: true\n');
    try {
      await r.start();
      for (let n = 0; n < 3; n += 1) await r.client().read('host.read', {}, { deadlineMs: 10_000 });
      assert.equal(await r.stop(), 0);
    } finally {
      await r.end();
    }
  });
});

describe('what writes to the Event Log', function () {
  this.timeout(120_000);

  it('is text that can be an argument on Windows, without double quotes and in ASCII', () => {
    assert.doesNotMatch(WRITER, /"|[^\x20-\x7e\n]/);
  });

  it('in the real engine takes text from stdin as it is and evaluates nothing', async function () {
    const found = await powerShell();
    if (typeof found === 'string') return this.skip();
    const dir = mkdtempSync(join(tmpdir(), 'event-log-'));
    try {
      // .NET has an Event Log on Windows alone: the call is noted instead.
      const call =
        /\[System\.Diagnostics\.EventLog\]::WriteEntry\(('NodeCycleBridge'), (\[string\] \$event\.text), \$type, (\[int\] \$event\.id)\)/;
      assert.match(WRITER, call);
      const text = WRITER.replace(
        call,
        `[System.IO.File]::AppendAllText('${dir}/noted', $1 + '|' + [string] $type + '|' + ($3) + '|' + ($2) + [char] 0)`,
      );
      writeFileSync(join(dir, 'writer.ps1'), text);
      const events: WindowsEvent[] = [
        { id: 1000, type: 'Information', text: '1:abc\n{"a":"$(throw 1)`n; exit 9"}' },
        { id: 1011, type: 'Warning', text: '2026-06-01T00:00:00Z Ünï\u2028 \u{1f600} \'";' },
      ];
      const run = spawnSync(found.file, ['-NoLogo', '-NoProfile', '-File', join(dir, 'writer.ps1')], {
        input: events.map((event) => `${JSON.stringify(event)}\n`).join(''),
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      });
      assert.equal(run.status, 0, run.stderr);
      assert.match(run.stdout, /^##NC-COPIED 1\r?\n##NC-COPIED 2\r?\n/m);
      assert.deepEqual(
        readFileSync(join(dir, 'noted'), 'utf8').split('\0').slice(0, -1),
        events.map(({ id, type, text: said }) => `NodeCycleBridge|${type}|${id}|${said}`),
      );
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
