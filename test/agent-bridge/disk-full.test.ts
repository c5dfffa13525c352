/** A bridge whose data folder is a small file system of its own, which something else fills. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CodedError } from '../../ports/errors.ts';
import { RESERVE_BYTES } from '../../agent-bridge/log/reserve.ts';
import { WAIT, foundVm, key, rig, until, vmId } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

const params = (n: number) => ({ cluster: 'prod', id: vmId(n), fence: 0 });

/** Puts a file system of `megabytes` at the rig's data folder; false when this account may not mount. */
function mountSmall(r: Rig, megabytes: number): boolean {
  const kept = mkdtempSync(join(tmpdir(), 'data-'));
  cpSync(r.dataDir, kept, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', r.dataDir], {
      stdio: 'ignore',
    });
  } catch {
    return false;
  }
  cpSync(kept, r.dataDir, { recursive: true });
  rmSync(kept, { recursive: true });
  return true;
}

/** Writes until nothing more fits, byte by byte at the end. */
function fill(path: string): void {
  const fd = openSync(path, 'w');
  for (let block = 65_536; block >= 1;) {
    try {
      if (writeSync(fd, Buffer.alloc(block, 7)) < block) block = Math.floor(block / 2);
    } catch {
      block = Math.floor(block / 2);
    }
  }
  closeSync(fd);
}

describe('a bridge on a full disk', function () {
  this.timeout(60_000);
  let r: Rig;
  let mounted = false;
  const filler = () => join(r.dataDir, 'filler');
  const makeRoom = () => {
    for (const name of ['filler', 'more']) rmSync(join(r.dataDir, name), { force: true });
  };
  before(async function () {
    r = await rig();
    r.setVms([foundVm(1), foundVm(2), foundVm(3)]);
    const adopted = await r.cli('bridge', 'adopt', '--cluster', 'prod', '--all-matching', 'prod-*', '--yes');
    assert.equal(adopted.code, 0, adopted.out);
    mounted = mountSmall(r, 4);
    if (!mounted) this.skip();
    await r.start();
  });
  after(async () => {
    await r.kill();
    if (mounted) execFileSync('umount', ['-l', r.dataDir]);
    await r.end();
  });
  const refusedWith = (code: string) => (error: CodedError) =>
    error.code === 'NC2004' && error.detail.includes(`code ${code}`);

  it('records the end of the job that runs, begins no other one, and goes on when there is room again', async () => {
    r.faults({ 'vm-stop': { sleepMs: 1_000 } });
    const client = r.client();
    const job = await client.submit('vm.stop', params(1), key(1), WAIT);
    await until(() => r.runs('vm-stop') === 1, 'the script runs');
    assert.equal(statSync(join(r.dataDir, 'reserve')).size, RESERVE_BYTES);
    fill(filler());
    const outcome = await client.waitFor(job, WAIT);
    assert.equal(outcome.kind, 'done', JSON.stringify(outcome));
    // What the job's end had been held for is free again.
    fill(join(r.dataDir, 'more'));
    await assert.rejects(client.submit('vm.stop', params(2), key(2), WAIT), refusedWith('logUnwritable'));
    assert.equal(r.runs('vm-stop'), 1);
    assert.equal((await client.read('vm.read', { cluster: 'prod' }, WAIT)).vms.length, 3);

    makeRoom();
    r.faults({});
    const again = await client.submit('vm.stop', params(2), key(2), WAIT);
    assert.equal((await client.waitFor(again, WAIT)).kind, 'done');
    assert.equal(r.runs('vm-stop'), 2);
  });

  it('starts again on the full disk and records what ended while it was dead', async () => {
    r.faults({ 'vm-stop': { sleepMs: 1_500 } });
    const job = await r.client().submit('vm.stop', params(3), key(3), WAIT);
    await until(() => r.runs('vm-stop') === 3, 'the script runs');
    fill(filler());
    await r.kill();
    await r.start();
    assert.equal((await r.client().waitFor(job, WAIT)).kind, 'done');
    assert.equal(r.runs('vm-stop'), 3);
    makeRoom();
    const verified = await r.cli('bridge', 'audit', 'verify');
    assert.equal(verified.code, 0, verified.out);
  });

  it('ends a job in order whose own words fill the disk', async () => {
    r.setVms(r.vms().map((vm) => ({ ...vm, state: 'running' })));
    r.faults({ 'vm-stop': { chatter: 100_000 } });
    const job = await r.client().submit('vm.stop', params(1), key(4), WAIT);
    const outcome = await r.client().waitFor(job, WAIT);
    assert.equal(outcome.kind, 'done', JSON.stringify(outcome));
  });
});
