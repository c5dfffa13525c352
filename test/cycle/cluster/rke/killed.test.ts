import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { rkeUp } from '../../../../cycle/cluster/rke/driver.ts';
import { clock } from '../../../../ports/clock.ts';
import { CodedError } from '../../../../ports/errors.ts';
import { files } from '../../../../ports/files.ts';
import { random } from '../../../../ports/random.ts';
import { run } from '../../../../ports/run.ts';

const FINISH = [
  'Running RKE version: v1.2.23',
  '[reconcile] Reconciling cluster state',
  'Finished building Kubernetes cluster successfully',
]
  .map((message) => `echo 'time="2026-11-22T16:38:31Z" level=info msg="${message}"'`)
  .join('; ');
const TASK = new URL('task-process.ts', import.meta.url).pathname;

const lives = (pid: number) => {
  try {
    // A process that has ended and was not waited for yet is still there by `kill -0`.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

async function until(holds: () => boolean, withinMs: number): Promise<void> {
  const endMs = Date.now() + withinMs;
  while (!holds()) {
    assert.ok(Date.now() < endMs, `it did not come to hold within ${withinMs} ms`);
    await sleep(20);
  }
}

describe('rke, when its task is killed in the middle of rke up', function () {
  this.timeout(30_000);
  let dir: string;
  const rke = (script: string) => {
    const path = join(dir, 'rke');
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const here = (binary: string) =>
    rkeUp({
      ports: { run, files, clock, random },
      binary,
      workDir: dir,
      configName: 'cluster.yml',
      sshAuthSock: '/nowhere',
      expectation: { existingCluster: true },
      deadlineMs: 10_000,
    });
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'nc-killed-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  for (const [how, by] of [
    ['bound', 'the signal that setpriv sets'],
    ['watched', 'the watcher, where there is no setpriv'],
  ] as const)
    it(`is gone within 2 s by ${by}, and the next run has the lock and ends well`, async () => {
      const pidFile = join(dir, 'pid');
      // It would take a polite end for none.
      const long = rke(
        `trap '' TERM HUP INT PIPE; echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 90`,
      );
      const task = spawn(process.execPath, ['--import', 'tsx', TASK, long, dir, how], { stdio: 'ignore' });
      try {
        await until(() => existsSync(pidFile), 15_000);
        const pid = Number(readFileSync(pidFile, 'utf8'));
        assert.ok(lives(pid));
        await assert.rejects(
          here(long),
          (error) =>
            error instanceof CodedError &&
            error.code === 'NC3220' &&
            error.detail.includes(`process ${pid} of task ${task.pid ?? 0}`),
        );
        task.kill('SIGKILL');
        await until(() => !lives(pid), 2_000);
        assert.equal((await here(rke(FINISH))).outcome.outcome, 'succeeded');
      } finally {
        task.kill('SIGKILL');
        if (existsSync(pidFile) && lives(Number(readFileSync(pidFile, 'utf8'))))
          process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
      }
    });

  it('leaves no watcher behind a run that ended by itself, and none that holds the lock', async () => {
    const binary = rke(`echo $$ > ${join(dir, 'pid')}; ${FINISH}`);
    for (let i = 0; i < 3; i += 1) assert.equal((await here(binary)).outcome.outcome, 'succeeded');
    const own = () => watchersOf(join(dir, '.cluster.lock'));
    await until(() => own().length === 0, 2_500);
  });

  it('says so when the program is there and cannot be run', async () => {
    const path = join(dir, 'rke');
    writeFileSync(path, 'no program', { mode: 0o644 });
    await assert.rejects(here(path), (error) => error instanceof CodedError && error.code === 'NC3222');
  });
});

/** Processes whose arguments name the lock file. */
function watchersOf(lock: string): number[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return processes.map(Number).filter((pid) => {
    try {
      return lives(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(lock);
    } catch {
      return false;
    }
  });
}
