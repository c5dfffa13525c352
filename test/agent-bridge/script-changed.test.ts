/** A script on the host that somebody has changed: it never runs, and nothing else runs in its name. */
import assert from 'node:assert/strict';
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CodedError } from '../../ports/errors.ts';
import { WAIT, foundVm, key, rig, vmId } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

describe('a script that is not this version’s', () => {
  let r: Rig;
  before(async () => {
    r = await rig();
    r.setVms([foundVm(1)]);
    const adopted = await r.cli('bridge', 'adopt', '--cluster', 'prod', '--all-matching', 'prod-*', '--yes');
    assert.equal(adopted.code, 0, adopted.out);
    await r.start();
  });
  after(() => r.end());
  beforeEach(async () => {
    assert.equal((await r.cli('bridge-admin', 'init')).code, 0);
  });
  const stop = async (n: number) => {
    const params = { cluster: 'prod', id: vmId(1), fence: 0 };
    return r.client().waitFor(await r.client().submit('vm.stop', params, key(n), WAIT), WAIT);
  };

  it('fails the job before a supervisor starts, and the next one runs when it is mended', async () => {
    appendFileSync(join(r.dir, 'scripts', 'vm-stop.ps1'), '# one more line\n');
    const failed = await stop(1);
    assert.equal(failed.kind === 'failed' && failed.error, 'scriptChanged');
    assert.equal(r.runs('vm-stop'), 0);
    assert.doesNotMatch(r.log(), /"event":"started"/);
    assert.equal((await r.cli('bridge-admin', 'init')).code, 0);
    assert.equal((await stop(2)).kind, 'done');
    assert.equal(r.runs('vm-stop'), 1);
  });

  it('runs neither when a file that it takes in was changed, nor when it is gone', async () => {
    appendFileSync(join(r.dir, 'scripts', 'common.ps1'), '# one more line\n');
    const before = r.runs('vm-list');
    await assert.rejects(
      r.client().read('vm.read', { cluster: 'prod' }, WAIT),
      (error: CodedError) => error.code === 'NC2004' && error.detail.includes('hostFailed'),
    );
    const failed = await stop(3);
    assert.equal(failed.kind === 'failed' && failed.error, 'scriptChanged');
    assert.equal((await r.cli('bridge-admin', 'init')).code, 0);
    rmSync(join(r.dir, 'scripts', 'vm-list.ps1'));
    await assert.rejects(r.client().read('vm.read', { cluster: 'prod' }, WAIT));
    assert.equal(r.runs('vm-list'), before);
  });
});
