import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isBolt, revisionOf } from '../../../../cycle/cluster/etcd/revision.ts';
import { databaseOf } from '../../../../lab/world/etcd/database.ts';
import { etcdVersion } from '../../../../lab/servers/etcd-real.ts';
import { statusOf } from './etcdctl.ts';

describe('the revision of a database of etcd', () => {
  it('is read as 64 bits', () => {
    for (const revision of [1n, 9_007_199_254_740_993n]) {
      const database = databaseOf(revision);
      assert.ok(isBolt(database));
      assert.equal(revisionOf(database), revision);
    }
  });

  it('is never made up: a file that points outside of itself or in a circle is none', () => {
    const good = databaseOf(7n);
    let refused = 0;
    for (let at = 0; at < 5 * 4096; at += 4096)
      for (let offset = 0; offset < 120; offset += 1) {
        const spoiled = Buffer.from(good);
        spoiled[at + offset] = 0xff;
        try {
          revisionOf(spoiled);
        } catch (error) {
          refused += 1;
          assert.ok(error instanceof RangeError, `${at + offset}: ${String(error)}`);
        }
      }
    assert.ok(refused > 20, `${refused}`);
    for (const size of [0, 100, 4096, 8192, 12_288])
      assert.throws(() => revisionOf(good.subarray(0, size)), RangeError);
  });

  it('is what etcdctl reads from the same file', function () {
    if (etcdVersion() === undefined && process.env['CI'] !== 'true') this.skip();
    const dir = mkdtempSync(join(tmpdir(), 'nc-revision-'));
    try {
      const database = databaseOf(4711n);
      const hash = createHash('sha256').update(database).digest();
      writeFileSync(join(dir, 'db'), Buffer.concat([database, hash]));
      assert.equal(statusOf(join(dir, 'db')), '4711');
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
