import assert from 'node:assert/strict';
import { realDns } from '../../lab/servers/dns/dns.ts';
import { findProgram } from '../../lab/servers/proxy/child.ts';
import { realNginx } from '../../lab/servers/proxy/nginx.ts';
import { swapsUnderLoad } from './load.ts';

if (realNginx() && realDns() && findProgram('sshd')) {
  describe('swaps forward and back under load (real nginx, sshd, BIND and git)', function () {
    this.timeout(60_000);
    // The everyday size; the full one is `npm run proof -- --only edge-swaps`.
    it('lose no request, and streams and WebSockets live through all of them', async () => {
      const swaps = 1;
      const report = await swapsUnderLoad({ swaps, requestsPerSecond: 150 });
      assert.deepEqual(report.traffic.failures, []);
      assert.equal(report.traffic.requests.failed, 0);
      assert.ok(report.perSecond >= 120, `${report.perSecond} requests a second`);
      assert.deepEqual(report.http2.failures, []);
      assert.ok(report.http2.answered > 50);
      assert.ok(report.http2.sessions > 1, 'each reload ends a session of HTTP/2');
      for (const life of report.lives) {
        assert.equal(life.cut, undefined);
        assert.ok(life.echoes > 10);
      }
      assert.equal(report.traffic.streamsDrained, 0);
      for (const address of ['127.0.0.11', '127.0.0.12', '127.0.0.13'])
        assert.ok((report.traffic.servedBy[address] ?? 0) > 0, address);
      assert.equal(report.reloads, swaps * 2 * 3);
      assert.equal(report.commits, swaps * 2 * 2);
      assert.ok(report.asItWas);
    });
  });
}
