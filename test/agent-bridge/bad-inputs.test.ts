/** Every bad input that we know, against a running bridge: nothing is made, nothing is run, it goes on answering. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issue } from '../../agent-bridge/service/certificates/issue.ts';
import { random } from '../../ports/random.ts';
import { addresses, json, names, operations, paths, stop } from './bad-inputs/bodies.ts';
import type { Door, Row } from './bad-inputs/door.ts';
import { framing, jobs, slow, targets } from './bad-inputs/framing.ts';
import { peers, signedBy } from './bad-inputs/peers.ts';
import type { Pair } from './bad-inputs/peers.ts';
import { WAIT, foundVm, rig } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

const DAY_MS = 86_400_000;
const MEMORY_LIMIT_KB = 50 * 1024;
/** Connections at a time: enough to be quick, few enough that the slow rows keep their places. */
const AT_ONCE = 16;

interface Result {
  group: string;
  input: string;
  expected: string;
  got: string;
}

describe('bad inputs', function () {
  this.timeout(60_000);
  let r: Rig;
  let door: Door;
  let atStart: { rssKb: number; jobFolders: string; children: string };
  let atDoor: Row[];
  let waiting: Promise<Result[]>;
  let afterKb = 0;
  const table: Result[] = [];

  const rssKb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${r.pid}/status`, 'utf8'))?.[1]);
  const jobFolders = () => readdirSync(join(r.dataDir, 'jobs'), { recursive: true }).sort().join('\n');
  const children = () => readFileSync(join(r.world, 'runs'), 'utf8');
  const accepted = () => r.log().match(/"event":"accepted"/g)?.length ?? 0;

  async function askAll(group: string, rows: readonly Row[], atOnce = AT_ONCE): Promise<Result[]> {
    const left = [...rows];
    const results: Result[] = [];
    const worker = async () => {
      for (let one = left.shift(); one; one = left.shift()) {
        const { input, expected } = one;
        results.push({ group, input, expected, got: await one.ask(door) });
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    table.push(...results);
    return results;
  }

  function assertAll(results: readonly Result[]): void {
    const wrong = results.filter(({ expected, got }) => expected !== got);
    assert.deepEqual(wrong, []);
  }

  /** Certificates that are on the host or are made from what is there, and yet open nothing. */
  function certificates(): { bad: Record<string, Pair>; good: Pair } {
    const serial = () => Uint8Array.from(random.bytes(16), (byte, n) => (n === 0 ? 0x41 : byte));
    const now = Date.now();
    const file = (name: string) => readFileSync(join(r.dataDir, 'keys', name), 'utf8');
    const listedPair = (name: string, pair: Pair, fingerprint = pair.fingerprint) => {
      writeFileSync(join(r.dataDir, 'clients', `${name}.pem`), pair.cert);
      appendFileSync(
        join(r.dir, 'bridge.yaml'),
        `  - { name: ${name}, fingerprint: '${fingerprint}', clusters: [prod], operations: [host.read] }\n`,
      );
      return pair;
    };
    const unlisted = issue('agent-u', 'client', serial(), now);
    writeFileSync(join(r.dataDir, 'clients', 'agent-u.pem'), unlisted.cert);
    const mine = r.enrolled['agent-a'];
    assert.ok(mine);
    const good = listedPair('fine', issue('fine', 'client', serial(), now));
    const bad = {
      'a certificate of its own making': issue('agent-a', 'client', serial(), now),
      'a certificate on the disk that the policy does not list': unlisted,
      'a listed certificate that has expired': listedPair(
        'old',
        issue('old', 'client', serial(), now - 400 * DAY_MS),
      ),
      'a listed certificate that is not good yet': listedPair(
        'new',
        issue('new', 'client', serial(), now + 9 * DAY_MS),
      ),
      'a listed certificate for servers': listedPair('web', issue('web', 'server', serial(), now)),
      'a name that is listed with another fingerprint': listedPair(
        'odd',
        issue('odd', 'client', serial(), now),
        'ab'.repeat(32),
      ),
      'the server’s own certificate': { cert: file('server.crt'), key: file('server.key'), fingerprint: '' },
      'one that a listed client’s key signed': signedBy('agent-a', mine.key, 'agent-x', now),
      'one that a listed client’s key signed, with the listed one': {
        ...signedBy('agent-a', mine.key, 'agent-x', now),
      },
    };
    return { good, bad };
  }

  before(async () => {
    r = await rig();
    r.setVms([foundVm(1), foundVm(2, { name: 'other-n2' }), foundVm(3, { name: 'printer' })]);
    for (const name of ['prod', 'other']) {
      const words = ['adopt', '--cluster', name, '--all-matching', `${name}-*`, '--yes'];
      const { code, out } = await r.cli('bridge', ...words);
      assert.equal(code, 0, out);
    }
    const { bad: pairs, good } = certificates();
    const chained = pairs['one that a listed client’s key signed, with the listed one'];
    const { cert, key } = r.enrolled['agent-a'] ?? {};
    const { cert: otherCert, key: otherKey } = r.enrolled['agent-b'] ?? {};
    assert.ok(chained && cert && key && otherCert && otherKey);
    chained.cert += cert;
    const config = join(r.dir, 'bridge.yaml');
    writeFileSync(config, readFileSync(config, 'utf8').replace('stops: 3 }', 'stops: 0 }'));
    await r.start();

    const job = await r.client().submit('vm.stop', stop as never, 'a'.repeat(64), WAIT);
    assert.equal((await r.client().waitFor(job, WAIT)).kind, 'done');
    door = { port: r.port, mine: { cert, key }, other: { cert: otherCert, key: otherKey }, jobId: job.id };
    await r.client().read('host.read', {}, WAIT);
    assert.equal(accepted(), 1);
    atStart = { rssKb: rssKb(), jobFolders: jobFolders(), children: children() };

    const isSlow = ({ input }: Row) => /idle|1 byte\/s|nothing at all|a TLS record longer/.test(input);
    atDoor = peers(pairs, good);
    waiting = Promise.all([
      askAll('slow', slow, slow.length),
      askAll('peers', atDoor.filter(isSlow), atDoor.length),
    ]).then((both) => both.flat());
    atDoor = atDoor.filter((one) => !isSlow(one));
  });

  after(async () => {
    await r.end();
    const width = (key: keyof Result) => Math.max(...table.map((one) => one[key].length));
    const line = (one: Result) =>
      (['group', 'input', 'expected', 'got'] as const)
        .map((key) => one[key].padEnd(width(key)))
        .join('  ')
        .trimEnd();
    const title = { group: 'group', input: 'input', expected: 'expected', got: 'got' };
    console.log([title, ...table].map(line).join('\n'));
    console.log(
      `${table.length} inputs; resident memory ${atStart.rssKb} KB at the start, ${afterKb} KB at the end`,
    );
  });

  const groups: [name: string, sentence: string, rows: readonly Row[]][] = [
    ['names', 'refuses every name that a shell, a file system or WMI would read otherwise', names],
    ['paths', 'refuses paths where names are, and ids that are not this client’s', paths],
    ['addresses', 'refuses addresses and records outside the grant', addresses],
    ['json', 'refuses JSON that is not byte for byte what it means', json],
    ['operations', 'knows no operation but its eight, and no parameter but theirs', operations],
    ['http', 'refuses or cuts off what is not one plain HTTP request', framing],
    ['targets', 'has nothing at any other path', targets],
    ['jobs', 'gives a job, its log and its key to nobody else, and no range that is not there', jobs],
  ];
  for (const [name, sentence, rows] of groups) {
    it(sentence, async () => {
      assertAll(await askAll(name, rows));
    });
  }

  it('lets nobody in who has not a listed, good certificate over TLS 1.3', async () => {
    assertAll(await askAll('peers', atDoor));
  });

  it('cuts off who is slow or silent, and has the others answered meanwhile', async () => {
    assertAll(await waiting);
  });

  it('has made no job, started no child, kept its memory, and still answers', async () => {
    afterKb = rssKb();
    assert.equal(accepted(), 1);
    assert.equal(jobFolders(), atStart.jobFolders);
    assert.equal(children(), atStart.children);
    assert.ok(table.length >= 200, `${table.length} inputs`);
    assert.ok(afterKb - atStart.rssKb < MEMORY_LIMIT_KB, `${atStart.rssKb} KB at first, ${afterKb} KB now`);
    assert.equal((await r.client().read('host.read', {}, WAIT)).hosts.length, 1);
    assert.equal((await r.client('agent-b').read('vm.read', { cluster: 'other' }, WAIT)).vms.length, 3);
    const { code, out } = await r.cli('bridge', 'audit', 'verify');
    assert.equal(code, 0, out);
  });
});
