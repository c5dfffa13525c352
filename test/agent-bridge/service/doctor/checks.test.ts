/** `doctor`: each check over facts, and the whole command over an installation that is broken bit by bit. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { CHECKS } from '../../../../agent-bridge/service/doctor/checks.ts';
import type { Installation } from '../../../../agent-bridge/service/doctor/facts.ts';
import { ROOT } from '../../../repository/tree.ts';
import { rig } from '../../support/rig.ts';
import type { Rig } from '../../support/rig.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');
const DAY_MS = 86_400_000;
const certificate = (days: number, fingerprint = 'a'.repeat(64)) => ({
  ...{ pem: '', fingerprint },
  startsMs: NOW - DAY_MS,
  endsMs: NOW + days * DAY_MS,
});
const file = (mode: number, folder = false) => ({ folder, mode, executable: true });

/** An installation without a fault. */
const sound = (change: Partial<Installation> = {}): Installation => ({
  nowMs: NOW,
  unreadable: [],
  guarded: [
    { what: 'bridge.yaml', path: '/b/bridge.yaml', secret: false, found: file(0o644) },
    { what: 'The data folder', path: '/b/data', secret: true, found: file(0o700, true) },
    { what: 'The server’s key', path: '/b/data/server.key', secret: true, found: file(0o600) },
  ],
  server: { certificate: certificate(200), keyFits: true },
  clients: [{ name: 'one', listed: ['b'.repeat(64)], kept: [certificate(200, 'b'.repeat(64))] }],
  unlisted: [],
  programs: [{ what: 'The engine', path: '/e', there: true, executable: true }],
  relative: [],
  missingScripts: [],
  scriptsDir: '/s',
  log: { files: 1, entries: 10, faults: [], tornBytes: 0, highestMs: NOW - 1_000, lastSeq: 10 },
  needs: { dns: true, packer: false, eventLog: true },
  holder: { pid: 7, alive: true },
  disks: [{ what: 'vmRoot', path: '/v', freeBytes: 100, leastBytes: 10 }],
  listen: { host: '0.0.0.0', port: 8443, state: 'taken' },
  ...change,
});
const found = (change: Partial<Installation>) =>
  CHECKS.flatMap((check) => check(sound(change))).filter(({ level }) => level !== 'ok');
const guarded = (path: string, secret: boolean, mode: number, folder = false) => ({
  guarded: [{ what: 'It', path, secret, found: file(mode, folder) }],
});
const one = (...days: number[]) => {
  const kept = days.map((each, n) => certificate(each, String(n).repeat(64)));
  return { clients: [{ name: 'one', listed: kept.map(({ fingerprint }) => fingerprint), kept }] };
};

describe('the checks of doctor', () => {
  it('find nothing in a sound installation, and say each thing that is well', () => {
    assert.deepEqual(found({}), []);
    assert.ok(CHECKS.flatMap((check) => check(sound())).length >= 8);
  });

  const cases: [what: string, change: Partial<Installation>, ...says: RegExp[]][] = [
    [
      'a policy that others can write',
      guarded('/y', false, 0o666),
      /^wrong .*\/y, can be written.*0666.*go-w/,
    ],
    ['a key that its group can read', guarded('/k', true, 0o640), /^wrong .*\/k, is open to others.*go=/],
    ['a data folder that others may enter', guarded('/d', true, 0o755, true), /^warning .*open to others/],
    ['a data folder that others can write', guarded('/d', true, 0o777, true), /^wrong .*can be written/],
    ['what could not be read', { unreadable: ['/x: EACCES'] }, /^wrong .*\/x: EACCES.*as the account/],
    ['no server certificate', { server: { keyFits: false } }, /^wrong .*no certificate.*init/],
    [
      'a server key of another certificate',
      { server: { certificate: certificate(200), keyFits: false } },
      /^wrong .*not the one of its certificate/,
    ],
    [
      'a finish that was broken off',
      { server: { certificate: certificate(200), keyFits: false, next: certificate(300, 'c'.repeat(64)) } },
      /^wrong .*rotate --finish again/,
      /^warning .*rotation is not finished/,
    ],
    [
      'a server certificate in its last month',
      { server: { certificate: certificate(29), keyFits: true } },
      /^warning .*server’s certificate ends on 2026-06-30, in 29 day.*Run bridge-admin rotate/,
    ],
    [
      'a server certificate that ended',
      { server: { certificate: certificate(-1 / 24), keyFits: true } },
      /^wrong .*server’s certificate ended on/,
    ],
    ['a client certificate in its last month', one(3), /^warning .*of one ends on.*in 3 day.*rotate one/],
    ['a client certificate that ended', one(-1), /^wrong .*of one ended on/],
    ['a rotation that is not finished', one(-1, 300), /^warning .*rotate one --finish/],
    ['two certificates that both ended', one(-2, -1), /^wrong .*later certificate of one ended/, /^warning /],
    [
      'a certificate of tomorrow',
      { nowMs: NOW - 2 * DAY_MS, clients: [], log: { ...sound().log, highestMs: 0 } },
      /^wrong .*not good before.*clock/,
    ],
    [
      'a listed client without certificate',
      { clients: [{ name: 'one', listed: ['b'.repeat(64)], kept: [] }] },
      /^wrong .*lists b+ for one.*enroll one.*revoke one/,
    ],
    [
      'a certificate that nobody lists',
      { unlisted: [{ path: '/c', fingerprint: 'd' }] },
      /^warning \/c holds d/,
    ],
    [
      'an engine that is not there, and one that may not be started',
      {
        programs: [
          { what: 'The engine', path: '/e', there: false, executable: false },
          { what: 'Packer', path: '/p', there: true, executable: false },
        ],
      },
      /^wrong The engine, \/e, is not there/,
      /^wrong Packer, \/p, may not be started/,
    ],
    ['a relative path', { relative: ['pwsh'] }, /^wrong pwsh is no absolute path/],
    [
      'missing scripts',
      { missingScripts: ['a.ps1', 'b.ps1'] },
      /^wrong Missing in \/s, or not this version’s: a\.ps1, b\.ps1/,
    ],
    [
      'a broken log',
      { log: { ...sound().log, faults: ['Entry 3 was edited.'] } },
      /^wrong The log is broken: Entry 3/,
    ],
    [
      'a torn line of a bridge that does not run',
      {
        log: { ...sound().log, tornBytes: 5 },
        holder: { pid: 7, alive: false },
        listen: { ...sound().listen, state: 'free' },
      },
      /^warning The last line.*5 bytes/,
    ],
    [
      'a clock that was set back',
      { log: { ...sound().log, highestMs: NOW + 3_600_000 } },
      /^wrong The log has an entry of 2026-06-01T01:00:00.*clock says 2026-06-01T00:00:00/,
    ],
    [
      'a full disk',
      { disks: [{ what: 'vmRoot', path: '/v', freeBytes: 1, leastBytes: 10 }] },
      /^warning vmRoot, \/v/,
    ],
    [
      'a bridge that runs and listens nowhere',
      { listen: { ...sound().listen, state: 'free' } },
      /^wrong The bridge runs with process id 7, but nothing listens on 0\.0\.0\.0:8443/,
    ],
    [
      'another program on its port',
      { holder: { pid: 7, alive: false } },
      /^wrong .*process, 7, ended without a clean stop.*another program listens/,
    ],
    [
      'an address that is not the host’s',
      { holder: { pid: 7, alive: false }, listen: { ...sound().listen, state: { failed: 'EADDRNOTAVAIL' } } },
      /^wrong .*cannot be listened on: EADDRNOTAVAIL/,
    ],
  ];
  for (const [what, change, ...says] of cases)
    it(`find ${what}`, () => {
      const lines = found(change).map(
        ({ level, says: said, remedy }) => `${level} ${said} → ${remedy ?? ''}`,
      );
      assert.equal(lines.length, says.length, lines.join('\n'));
      for (const [n, said] of says.entries()) assert.match(lines[n] ?? '', said);
    });

  it('say nothing of a torn line while the bridge writes, nor of bits that the system does not have', () => {
    assert.deepEqual(found({ log: { ...sound().log, tornBytes: 5 } }), []);
    const found1 = { folder: false, executable: true };
    assert.deepEqual(found({ guarded: [{ what: 'It', path: '/y', secret: true, found: found1 }] }), []);
  });
});

describe('doctor on a host', () => {
  let r: Rig;
  const source = join(ROOT, 'agent-bridge', 'host', 'scripts');
  const doctor = () => r.cli('bridge', 'doctor');
  const config = () => join(r.dir, 'bridge.yaml');
  before(async () => {
    r = await rig();
    for (const dir of ['vms', 'images']) mkdirSync(join(r.dir, dir), { mode: 0o755 });
    // Room is what this machine has: the least is not the point here.
    const text = readFileSync(config(), 'utf8').replace('networks:', 'reserveDiskBytes: 1\nnetworks:');
    writeFileSync(config(), text.replace(/packer: .*\n/, ''));
    chmodSync(config(), 0o644);
    chmodSync(join(r.dir, 'ubuntu.pkr.hcl'), 0o644);
  });
  after(() => r.end());

  it('finds nothing wrong before the first start, while it runs, and afterwards', async () => {
    const said = [await doctor()];
    await r.start();
    said.push(await doctor());
    await r.client().read('host.read', {}, { deadlineMs: 5_000 });
    assert.equal(await r.stop(), 0);
    said.push(await doctor());
    for (const { code, out } of said) assert.equal(code, 0, out);
    assert.match(said[0]?.out ?? '', /There is no log yet/);
    assert.match(said[1]?.out ?? '', new RegExp(`runs with process id ${r.pid}`));
    assert.match(said[2]?.out ?? '', /The log is whole: \d+ entries/);
    assert.match(said[2]?.out ?? '', /does not run; 127\.0\.0\.1:0 is free/);
    assert.doesNotMatch(r.log(), /strangers/, 'doctor is no stranger to the bridge');
  });

  it('knows every script that there is', async () => {
    for (const name of readdirSync(source)) rmSync(join(r.dir, 'scripts', name));
    const { code, out } = await doctor();
    assert.equal(code, 1);
    for (const name of readdirSync(source)) assert.ok(out.includes(name), name);
    writeFileSync(join(r.dir, 'scripts', 'common.ps1'), '# another one');
    assert.match((await doctor()).out, /not this version’s: common\.ps1/);
    assert.equal((await r.cli('bridge-admin', 'init')).code, 0);
    assert.equal((await doctor()).code, 0);
  });

  const breaks: [what: string, spoil: () => void, mend: () => void, says: RegExp][] = [
    [
      'bridge.yaml with a fault, by its line',
      () => writeFileSync(config(), `${readFileSync(config(), 'utf8')}    grants: all\n`),
      () => writeFileSync(config(), readFileSync(config(), 'utf8').replace('    grants: all\n', '')),
      /wrong {4}.*bridge\.yaml:\d+: .*grants/,
    ],
    [
      'a bridge.yaml that everybody can write',
      () => chmodSync(config(), 0o666),
      () => chmodSync(config(), 0o644),
      /bridge\.yaml, can be written by others \(0666\).*\n.*chmod go-w/,
    ],
    [
      'a key that everybody can read',
      () => chmodSync(join(r.dataDir, 'keys', 'server.key'), 0o644),
      () => chmodSync(join(r.dataDir, 'keys', 'server.key'), 0o600),
      /server\.key, is open to others \(0644\)/,
    ],
    [
      'an edited log',
      () => writeFileSync(join(r.dataDir, 'audit.log'), r.log().replace('"boot"', '"bout"')),
      () => writeFileSync(join(r.dataDir, 'audit.log'), r.log().replace('"bout"', '"boot"')),
      /The log is broken: .*Entry 1 .*was edited/,
    ],
    [
      'a client whose certificate is gone',
      () => renameSync(join(r.dataDir, 'clients', 'agent-a.pem'), join(r.dir, 'a')),
      () => renameSync(join(r.dir, 'a'), join(r.dataDir, 'clients', 'agent-a.pem')),
      /lists [0-9a-f]{64} for agent-a, but/,
    ],
  ];
  for (const [what, spoil, mend, says] of breaks)
    it(`finds ${what}`, async () => {
      spoil();
      const { code, out } = await doctor();
      assert.match(out, says);
      assert.equal(code, 1);
      mend();
      const mended = await doctor();
      assert.equal(mended.code, 0, mended.out);
    });

  it('finds another program on the port', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const text = readFileSync(config(), 'utf8');
    writeFileSync(config(), text.replace('port: 0', `port: ${port}`));
    const { code, out } = await doctor();
    assert.match(out, new RegExp(`another program listens on 127\\.0\\.0\\.1:${port}`));
    assert.equal(code, 1);
    await new Promise<void>((resolve) => other.close(() => resolve()));
    assert.equal((await doctor()).code, 0);
    writeFileSync(config(), text);
  });

  it('warns of a certificate that nobody lists, and of a rotation that is not finished', async () => {
    copyFileSync(join(r.dataDir, 'clients', 'agent-a.pem'), join(r.dir, 'a'));
    assert.equal((await r.cli('bridge-admin', 'enroll', 'agent-a', '--json', join(r.dir, 'x.json'))).code, 0);
    copyFileSync(join(r.dir, 'a'), join(r.dataDir, 'clients', 'old.pem'));
    assert.equal((await r.cli('bridge-admin', 'rotate')).code, 0);
    const { code, out } = await doctor();
    assert.equal(code, 0, out);
    assert.match(out, /warning .*old\.pem holds [0-9a-f]{64}, which no client/);
    assert.match(out, /warning .*server has a next certificate.*not finished/);
  });
});
