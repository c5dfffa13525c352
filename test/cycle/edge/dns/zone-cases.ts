import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aliasNeeds, disagreeing, retime, retype, ttlOf } from '../../../../cycle/edge/dns/alias.ts';
import { rfc2136Zone, tsigKeyFile } from '../../../../cycle/edge/dns/rfc2136.ts';
import { membersOn } from '../../../../cycle/edge/dns/zone.ts';
import type { DnsZone, RecordSet, Swap } from '../../../../cycle/edge/dns/zone.ts';
import { startDns } from '../../../../lab/servers/dns/dns.ts';
import type { RunningDns } from '../../../../lab/servers/dns/dns.ts';
import { freePort } from '../../../../lab/servers/proxy/child.ts';
import { dns } from '../../../../ports/dns.ts';
import { run } from '../../../../ports/run.ts';
import { Secret } from '../../../../ports/secret.ts';

const WAIT = { deadlineMs: 5_000 };
const ZONE = 'k8s.test';
const API: RecordSet = { name: `api.${ZONE}`, type: 'A' };
const WEB: RecordSet = { name: `web.${ZONE}`, type: 'CNAME' };

/** One table for BIND with nsupdate and for the stand-ins: the answers must be equal. */
export function zoneCases(kind: 'real' | 'stand-in'): void {
  describe(`a zone with dynamic updates (${kind})`, () => {
    let dir: string;
    let lab: RunningDns;
    let zone: DnsZone;
    const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };

    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'node-cycle-dns-'));
      lab = await startDns({
        dir,
        zone: ZONE,
        address: '127.0.0.1',
        port: 0,
        secondary: { address: '127.0.0.1', port: 0 },
        use: kind,
        records: [
          { name: 'api', type: 'A', ttl: 30, data: '10.0.0.11' },
          { name: 'api', type: 'A', ttl: 30, data: '10.0.0.12' },
          { name: 'web', type: 'CNAME', ttl: 60, data: 'node-1.k8s.test' },
          { name: 'node-1', type: 'A', ttl: 30, data: '10.0.0.11' },
          { name: 'six', type: 'AAAA', ttl: 30, data: '2001:db8::11' },
        ],
      });
      zone = zoneOver(lab.servers, lab.keyFile);
    });
    after(async () => {
      await lab.stop();
      rmSync(dir, { recursive: true, force: true });
    });

    const zoneOver = (servers: readonly string[], keyFile: string, name = ZONE) =>
      rfc2136Zone({ zone: name, servers, dns, run, keyFile, env, nsupdate: lab.nsupdate });
    const held = async (set: RecordSet) => membersOn((await zone.read([set], WAIT))[0]!, set);
    const refusal = async (change: Swap, over = zone) => {
      const outcome = await over.swap(change, WAIT);
      assert.ok(typeof outcome === 'object', 'expected a refusal');
      return outcome.refused;
    };
    const agreed = async (set: RecordSet) => {
      const limit = Date.now() + 8_000;
      for (;;) {
        const lagging = disagreeing(await zone.read([set], WAIT), set);
        if (lagging.length === 0) return;
        assert.ok(Date.now() < limit, lagging.join('; '));
        await new Promise((done) => setTimeout(done, 50));
      }
    };

    it('reads every server with serial, TTL and data', async () => {
      await agreed(API);
      const views = await zone.read([API, WEB, { name: `six.${ZONE}`, type: 'AAAA' }], WAIT);
      assert.deepEqual(
        views.map((v) => v.server),
        lab.servers,
      );
      for (const view of views) {
        assert.deepEqual(membersOn(view, API), ['10.0.0.11', '10.0.0.12']);
        assert.deepEqual(membersOn(view, WEB), ['node-1.k8s.test']);
        assert.equal(view.records.find((r) => r.type === 'CNAME')?.ttl, 60);
        assert.equal(view.records.find((r) => r.type === 'AAAA')?.data, '2001:db8::11');
        assert.equal(view.serial, 1);
      }
      assert.ok(lab.calls() > 0);
    });

    it('moves a member of a set, in before out, until every server agrees', async () => {
      const move = { ...API, member: '10.0.0.13', leaving: '10.0.0.12', ttl: 300 };
      const seen: string[] = [];
      for (let turn = 0; turn < 10; turn++) {
        const needs = aliasNeeds(await zone.read([API], WAIT), move);
        const next = needs[0];
        if (!next) break;
        if (next.kind === 'agree') {
          await agreed(API);
          continue;
        }
        assert.equal(await zone.swap(next.swap, WAIT), 'swapped');
        seen.push(next.kind);
        assert.ok((await held(API)).length >= 2);
      }
      assert.deepEqual(seen, ['add', 'remove']);
      assert.deepEqual(await held(API), ['10.0.0.11', '10.0.0.13']);
      const views = await zone.read([API], WAIT);
      assert.ok(views.every((v) => (v.serial ?? 0) > 1));
      assert.equal(views[0]?.records[0]?.ttl, 30);
    });

    it('refuses a swap whose expectation is stale, and changes nothing', async () => {
      const before = await held(API);
      assert.equal(
        await refusal({ ...API, expect: ['10.0.0.11'], add: ['10.0.0.99'], remove: [], ttl: 30 }),
        'stale',
      );
      assert.equal(await refusal({ ...API, expect: [], add: ['10.0.0.99'], remove: [], ttl: 30 }), 'stale');
      assert.equal(
        await refusal({ ...API, expect: [...before, '10.0.0.77'], add: ['10.0.0.99'], remove: [], ttl: 30 }),
        'stale',
      );
      assert.deepEqual(await held(API), before);
    });

    it('lowers the TTL of a set and of a CNAME before a change, and restores it', async () => {
      for (const set of [API, WEB]) {
        const before = await zone.read([set], WAIT);
        const members = await held(set);
        const old = ttlOf(before[0]!, set) ?? 0;
        for (const ttl of [5, old]) {
          const swap = retime(await zone.read([set], WAIT), set, ttl);
          assert.ok(swap);
          assert.equal(await zone.swap(swap, WAIT), 'swapped');
          await agreed(set);
          const views = await zone.read([set], WAIT);
          assert.ok(views.every((view) => view.records.every((record) => record.ttl === ttl)));
          assert.deepEqual(await held(set), members);
          assert.equal(retime(views, set, ttl), undefined);
          assert.equal(
            await refusal({ ...swap, expect: [swap.type === 'A' ? '10.9.9.9' : 'x.test'] }),
            'stale',
          );
        }
      }
    });

    it('exchanges a CNAME in one message', async () => {
      const needs = aliasNeeds(await zone.read([WEB], WAIT), {
        ...WEB,
        member: 'Node-2.k8s.test.',
        leaving: 'node-1.k8s.test',
        ttl: 300,
      });
      assert.equal(needs[0]?.kind, 'exchange');
      assert.equal(await zone.swap((needs[0] as { swap: Swap }).swap, WAIT), 'swapped');
      assert.deepEqual(await held(WEB), ['node-2.k8s.test']);
    });

    it('turns a CNAME into a set of addresses and back', async () => {
      const swap = retype(await zone.read([WEB], WAIT), WEB, 'A', ['10.0.0.21', '10.0.0.22'], 30);
      assert.equal(await zone.swap(swap, WAIT), 'swapped');
      const set: RecordSet = { ...WEB, type: 'A' };
      assert.deepEqual(await held(set), ['10.0.0.21', '10.0.0.22']);
      const back = retype(await zone.read([set], WAIT), set, 'CNAME', ['node-1.k8s.test'], 60);
      assert.equal(await zone.swap(back, WAIT), 'swapped');
      assert.deepEqual(await held(WEB), ['node-1.k8s.test']);
    });

    it('sees through the A beside a CNAME, which ends 0 and is ignored', async () => {
      const naive = await run({
        file: lab.nsupdate,
        args: ['-k', lab.keyFile],
        stdin: `server ${lab.servers[0]?.replace(':', ' ')}\nzone ${ZONE}.\nupdate add web.${ZONE}. 30 A 10.0.0.50\nsend\n`,
        env,
        ...WAIT,
      });
      assert.equal(naive.exitCode, 0);
      assert.deepEqual(await held({ ...WEB, type: 'A' }), []);
      assert.equal(
        await refusal({ ...WEB, type: 'A', expect: [], add: ['10.0.0.50'], remove: [], ttl: 30 }),
        'stale',
      );
      // A CNAME beside an address is the same trap; here the prerequisite holds and only reading back tells.
      assert.equal(
        await refusal({
          name: `api.${ZONE}`,
          type: 'CNAME',
          expectType: 'A',
          expect: await held(API),
          add: ['x.k8s.test'],
          remove: [],
          ttl: 30,
        }),
        'ignored',
      );
    });

    it('makes a record where there was none', async () => {
      const set: RecordSet = { name: `node-9.${ZONE}`, type: 'A' };
      assert.equal(
        await zone.swap({ ...set, expect: [], add: ['10.0.0.29'], remove: [], ttl: 30 }, WAIT),
        'swapped',
      );
      assert.deepEqual(await held(set), ['10.0.0.29']);
      assert.equal(
        await zone.swap({ ...set, expect: ['10.0.0.29'], add: [], remove: ['10.0.0.29'], ttl: 30 }, WAIT),
        'swapped',
      );
      assert.deepEqual(await held(set), []);
    });

    it('tells a wrong TSIG secret, an unknown key and a policy apart', async () => {
      const change: Swap = { ...API, expect: await held(API), add: ['10.0.0.99'], remove: [], ttl: 30 };
      const other = (name: string, file: string) => {
        const path = join(dir, file);
        writeFileSync(
          path,
          tsigKeyFile(name, 'hmac-sha256', new Secret(Buffer.alloc(32, 7).toString('base64'))),
          { mode: 0o600 },
        );
        return zoneOver(lab.servers, path);
      };
      assert.equal(await refusal(change, other(lab.key.name, 'wrong-secret')), 'key');
      assert.equal(await refusal(change, other('somebody', 'wrong-name')), 'key');
      const notTheirs = await zoneOver(lab.servers, lab.keyFile, 'other.test').swap(
        { name: 'a.other.test', type: 'A', expect: [], add: ['10.0.0.1'], remove: [], ttl: 30 },
        WAIT,
      );
      assert.ok(typeof notTheirs === 'object');
      assert.deepEqual(await held(API), change.expect);
    });

    it('says which server cannot be asked, and goes on with the others', async () => {
      const gone = `127.0.0.1:${await freePort('127.0.0.1')}`;
      const views = await zoneOver([lab.servers[0] ?? '', gone], lab.keyFile).read([API], {
        deadlineMs: 1_500,
      });
      assert.deepEqual(membersOn(views[0]!, API), await held(API));
      assert.match(views[1]?.failure ?? '', new RegExp(gone));
      assert.match(disagreeing(views, API).join(), new RegExp(gone));
      assert.equal(
        await refusal(
          { ...API, expect: [], add: ['10.0.0.1'], remove: [], ttl: 30 },
          zoneOver([gone], lab.keyFile),
        ),
        'unreachable',
      );
      const foreign = await zoneOver(lab.servers, lab.keyFile, 'other.test').read([], WAIT);
      assert.match(foreign[0]?.failure ?? '', /NC4040.*REFUSED/);
    });
  });
}
