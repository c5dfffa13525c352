import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PortError } from '../../ports/ports.ts';
import type { RunRequest } from '../../ports/ports.ts';
import { run } from '../../ports/run.ts';

const WAIT = { deadlineMs: 5_000 };
const env = { PATH: '/usr/bin:/bin' };
const sh = (script: string, more: Partial<RunRequest> = {}) =>
  run({ file: 'sh', args: ['-c', script], env, ...WAIT, ...more });

/** A process that has ended but was not reaped (in a container without an init) is gone too. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function goneWithin(pid: number, ms: number): Promise<boolean> {
  for (let left = ms; left > 0; left -= 20) {
    if (!alive(pid)) return true;
    await sleep(20);
  }
  return !alive(pid);
}

async function failure(promise: Promise<unknown>): Promise<PortError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof PortError, String(error));
    return error;
  }
  throw new Error('it succeeded');
}

describe('the run adapter', () => {
  it('gives exit code and both streams, apart', async () => {
    const result = await sh('echo out; echo err >&2; exit 3');
    assert.deepEqual(result, { exitCode: 3, signal: null, stdout: 'out\n', stderr: 'err\n' });
  });

  it('gives the signal that ended it', async () => {
    const result = await sh('kill -9 $$');
    assert.deepEqual([result.exitCode, result.signal], [null, 'SIGKILL']);
  });

  it('passes nothing of its own environment on', async () => {
    process.env['NODE_CYCLE_CANARY'] = 'x';
    const result = await run({ file: '/usr/bin/env', args: [], env: { ONLY: 'this' }, ...WAIT });
    delete process.env['NODE_CYCLE_CANARY'];
    assert.equal(result.stdout, 'ONLY=this\n');
  });

  it('hands on whole lines, split anywhere, the last without its end', async () => {
    const lines: string[] = [];
    await sh('printf "o"; sleep 0.05; printf "ne\\r\\ntwo\\n\\nlast"', {
      onLine: (line, stream) => lines.push(`${stream} ${line}`),
    });
    assert.deepEqual(lines, ['stdout one', 'stdout two', 'stdout ', 'stdout last']);
  });

  it('keeps as many bytes as it was told and reads the rest', async () => {
    const result = await sh('head -c 300000 /dev/zero | tr "\\0" x', { keepBytes: 1000 });
    assert.equal(result.stdout.length, 1000);
    assert.equal(result.exitCode, 0);
  });

  it('writes stdin and closes it', async () => {
    assert.equal((await run({ file: 'cat', args: [], env, stdin: 'secret', ...WAIT })).stdout, 'secret');
    assert.equal((await run({ file: 'cat', args: [], env, ...WAIT })).stdout, '');
  });

  it('survives a child that does not read its stdin', async () => {
    const result = await run({ file: 'true', args: [], env, stdin: 'x'.repeat(1_000_000), ...WAIT });
    assert.equal(result.exitCode, 0);
  });

  it('says that a program is not there', async () => {
    for (const dieWithParent of [false, true]) {
      const error = await failure(run({ file: '/nowhere/rke', args: [], env, dieWithParent, ...WAIT }));
      assert.deepEqual([error.kind, error.sent], ['notfound', false], String(dieWithParent));
    }
  });

  it('ends the whole group at the deadline, children that hold the pipes included', async () => {
    let child = 0;
    const error = await failure(
      sh('sleep 60 & echo $!; wait', { deadlineMs: 150, onLine: (line) => (child = Number(line)) }),
    );
    assert.equal(error.kind, 'timeout');
    assert.equal(error.sent, true);
    assert.ok(child > 0 && (await goneWithin(child, 1000)));
  });

  it('ends a child that ignores SIGTERM by SIGKILL', async () => {
    let pid = 0;
    const abort = new AbortController();
    const started = Date.now();
    const running = sh('trap "" TERM; echo $$; while :; do sleep 0.1; done', {
      signal: abort.signal,
      onLine: (line) => {
        pid = Number(line);
        abort.abort();
      },
    });
    const error = await failure(running);
    assert.equal(error.kind, 'aborted');
    assert.ok(Date.now() - started < 4000);
    assert.ok(await goneWithin(pid, 500));
  });

  it('starts nothing when it is aborted already', async () => {
    const abort = new AbortController();
    abort.abort();
    const error = await failure(sh('exit 0', { signal: abort.signal }));
    assert.deepEqual([error.kind, error.sent], ['aborted', false]);
  });

  it('ends a bound child when this process is killed by SIGKILL', async function () {
    if (process.platform !== 'linux') this.skip();
    const port = fileURLToPath(new URL('../../ports/run.ts', import.meta.url));
    const script = `
      import { run } from ${JSON.stringify(port)};
      await run({ file: 'sh', args: ['-c', 'echo $$; exec sleep 60'], env: { PATH: '/usr/bin:/bin' },
        deadlineMs: 60000, dieWithParent: true, onLine: (line) => console.log(line) });
    `;
    const parent = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once('data', (data) => resolve(Number(String(data)))),
    );
    assert.ok(alive(pid));
    parent.kill('SIGKILL');
    assert.ok(await goneWithin(pid, 2000));
  });
});
