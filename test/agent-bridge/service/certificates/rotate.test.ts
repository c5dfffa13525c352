/** Certificates change while a bridge runs and a client works: for a time both are good, then one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CodedError } from '../../../../ports/errors.ts';
import { foreignCertificate } from '../../../../agent-bridge/service/certificates/foreign-certificate.ts';
import { issue } from '../../../../agent-bridge/service/certificates/issue.ts';
import { random } from '../../../../ports/random.ts';
import { ROOT } from '../../../repository/tree.ts';
import { rig } from '../../support/rig.ts';
import type { Enrolled, Rig } from '../../support/rig.ts';

const LIMIT_MS = 10_000;
const DAY_MS = 86_400_000;

async function eventually(met: () => Promise<boolean>, what: string): Promise<void> {
  const endMs = Date.now() + LIMIT_MS;
  while (!(await met())) assert.ok(Date.now() < endMs, `still not: ${what}`);
}

/** undefined when the bridge answers, else why not. */
const trouble = (r: Rig, change: Partial<Enrolled> = {}, name = 'agent-a'): Promise<string | undefined> =>
  r
    .client(name, change)
    .read('host.read', {}, { deadlineMs: 2_000 })
    .then(
      () => undefined,
      (error: unknown) => (error as CodedError).code,
    );
const isIn = async (r: Rig, change: Partial<Enrolled> = {}) => (await trouble(r, change)) === undefined;
const isOut = async (r: Rig, change: Partial<Enrolled> = {}) => (await trouble(r, change)) !== undefined;

async function admin(r: Rig, ...args: string[]): Promise<string> {
  const { code, out } = await r.cli('bridge-admin', ...args);
  assert.equal(code, 0, out);
  return out;
}

async function refusedAdmin(r: Rig, says: RegExp, ...args: string[]): Promise<void> {
  const before = readFileSync(join(r.dir, 'bridge.yaml'), 'utf8');
  const { code, out } = await r.cli('bridge-admin', ...args);
  assert.equal(code, 1, out);
  assert.match(out, says);
  assert.equal(readFileSync(join(r.dir, 'bridge.yaml'), 'utf8'), before);
}

describe('rotation of a client’s certificate', () => {
  let r: Rig;
  const made = (file: string) => JSON.parse(readFileSync(join(r.dir, file), 'utf8')) as Enrolled;
  before(async () => {
    r = await rig();
    await r.start();
  });
  after(() => r.end());

  it('ends nothing that was not begun', async () => {
    await refusedAdmin(
      r,
      /NC2010.*no next certificate of agent-a: begin with rotate agent-a/s,
      'rotate',
      'agent-a',
      '--finish',
    );
    await refusedAdmin(r, /NC2010.*no next certificate/s, 'rotate', 'agent-a', '--cancel');
    await refusedAdmin(r, /NC2010.*no client "nobody"/s, 'rotate', 'nobody');
  });

  it('lets both in until it is finished, then the new one alone', async () => {
    const old = r.enrolled['agent-a'];
    assert.ok(old);
    assert.ok(await isIn(r));
    const json = join(r.dir, 'next.json');
    await admin(r, 'rotate', 'agent-a', '--json', json);
    const next = made('next.json');
    assert.notEqual(next.fingerprint, old.fingerprint);
    assert.equal(statSync(json).mode & 0o077, 0, 'nobody else reads the key');
    await eventually(() => isIn(r, next), 'the new certificate is let in');
    assert.ok(await isIn(r), 'the old one still is');
    assert.match(
      (await r.cli('bridge', 'check')).out,
      /agent-a \(two certificates: a rotation is not finished\)/,
    );

    await refusedAdmin(
      r,
      /NC2010.*two certificates already.*rotate agent-a --finish.*--cancel/s,
      'rotate',
      'agent-a',
    );
    await admin(r, 'rotate', 'agent-a', '--finish');
    await eventually(() => isOut(r), 'the old certificate is out');
    assert.ok(await isIn(r, next));
    assert.equal(await trouble(r, {}, 'agent-b'), undefined, 'nobody else is touched');
    await refusedAdmin(r, /no next certificate/, 'rotate', 'agent-a', '--finish');
    assert.match(readFileSync(join(r.dir, 'bridge.yaml'), 'utf8'), /agent-a # the agent of cluster prod/);
    r.enrolled['agent-a'] = next;
  });

  it('drops the new one when it is cancelled', async () => {
    await admin(r, 'rotate', 'agent-a', '--json', join(r.dir, 'lost.json'));
    const lost = made('lost.json');
    await eventually(() => isIn(r, lost), 'the new certificate is let in');
    await admin(r, 'rotate', 'agent-a', '--cancel');
    await eventually(() => isOut(r, lost), 'the new certificate is out');
    assert.ok(await isIn(r));
  });

  it('is over when the client is revoked: neither opens anything, and no file is left', async () => {
    await admin(r, 'rotate', 'agent-b', '--json', join(r.dir, 'b.json'));
    const next = made('b.json');
    const inB = async (change: Partial<Enrolled> = {}) => (await trouble(r, change, 'agent-b')) === undefined;
    await eventually(() => inB(next), 'the new certificate is let in');
    assert.equal((await r.cli('bridge', 'revoke', 'agent-b')).code, 0);
    await eventually(async () => !(await inB(next)) && !(await inB()), 'both are out');
    assert.equal(existsSync(join(r.dataDir, 'clients', 'agent-b.pem')), false);
  });
});

describe('rotation of the server’s certificate', () => {
  let r: Rig;
  before(async () => {
    r = await rig();
    await r.start();
  });
  after(() => r.end());
  const file = (name: string) => readFileSync(join(r.dataDir, 'keys', name), 'utf8');

  it('ends nothing that was not begun', async () => {
    await refusedAdmin(r, /NC2010.*no next certificate: begin with rotate/s, 'rotate', '--finish');
    await refusedAdmin(r, /NC2010 .*Either --finish or --cancel/, 'rotate', '--finish', '--cancel');
  });

  it('serves the old one until it is finished, then the new one without a restart', async () => {
    const pin = r.enrolled['agent-a']?.serverPin ?? '';
    const said = await admin(r, 'rotate');
    const both = new RegExp(`${pin},([0-9a-f]{64})`).exec(said);
    const next = both?.[1] ?? '';
    assert.notEqual(next, '');
    assert.equal(statSync(join(r.dataDir, 'keys', 'server-next.key')).mode & 0o077, 0);
    await refusedAdmin(
      r,
      new RegExp(`two certificates already.*${next}.*rotate --finish.*--cancel`, 's'),
      'rotate',
    );

    // Whoever is enrolled meanwhile is told both.
    await admin(r, 'rotate', 'agent-a', '--json', join(r.dir, 'a.json'));
    assert.equal(
      (JSON.parse(readFileSync(join(r.dir, 'a.json'), 'utf8')) as Enrolled).serverPin,
      `${pin},${next}`,
    );
    await admin(r, 'rotate', 'agent-a', '--cancel');
    const spaced = { serverPin: ` ${pin.toUpperCase()}  ${next.replace(/(..)(?=.)/g, '$1:')}\n` };
    assert.ok(await isIn(r), 'the old one is served');
    assert.ok(await isIn(r, spaced));
    assert.equal(await trouble(r, { serverPin: next }), 'NC2008');

    await admin(r, 'rotate', '--finish');
    await eventually(() => isIn(r, { serverPin: next }), 'the new one is served');
    assert.ok(await isIn(r, spaced));
    // With another pin beside it, so that it is a new connection: those that are open go on.
    assert.equal(await trouble(r, { serverPin: `${pin},${'0'.repeat(64)}` }), 'NC2008');
    assert.equal(existsSync(join(r.dataDir, 'keys', 'server-next.crt')), false);
    assert.equal(existsSync(join(r.dataDir, 'keys', 'server-next.key')), false);
    assert.equal(statSync(join(r.dataDir, 'keys', 'server.key')).mode & 0o077, 0);
    assert.equal((await admin(r, 'init')).includes(next), true);
    r.enrolled['agent-a']!.serverPin = next;
  });

  it('goes on being served when the next one is cancelled', async () => {
    await admin(r, 'rotate');
    await admin(r, 'rotate', '--cancel');
    assert.equal(existsSync(join(r.dataDir, 'keys', 'server-next.key')), false);
    assert.ok(await isIn(r));
  });

  it('can be finished again when it was broken off between key and certificate', async () => {
    await admin(r, 'rotate');
    writeFileSync(join(r.dataDir, 'keys', 'server.key'), file('server-next.key'));
    assert.ok(await isIn(r), 'the bridge that runs keeps the pair that it has');
    await r.stop();
    await assert.rejects(r.start(), /NC2010.*rotate --finish/s);
    await admin(r, 'rotate', '--finish');
    await r.start();
    assert.ok(await isIn(r, { serverPin: (await admin(r, 'init')).slice(-65).trim() }));
  });

  it('tells a fingerprint that is none before it connects', () => {
    for (const [serverPin, found] of [
      ['', /found nothing/],
      ['ab12', /Expected 64/],
      [`${'a'.repeat(64)},${'g'.repeat(64)}`, /Expected 64/],
      ['a'.repeat(128), /Expected 64/],
    ] as const)
      assert.throws(
        () => r.client('agent-a', { serverPin }),
        (error: CodedError) => error.code === 'NC2012' && found.test(error.message),
      );
  });
});

describe('a certificate whose key was made elsewhere', () => {
  let r: Rig;
  before(async () => {
    r = await rig();
    await r.start();
  });
  after(() => r.end());

  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: r.dir, stdio: 'pipe' }).toString();
  /** As docs/host.md shows it; `change` replaces or adds arguments. */
  const EC = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  function byOpenssl(name: string, extensions: string[], days = '365', newKey = EC) {
    const key = `${name}.key`;
    const cert = `${name}.crt`;
    openssl(
      ...['req', '-x509', '-newkey', ...newKey, '-nodes', '-sha256', '-days', days],
      ...['-subj', `/CN=${name}`, '-keyout', key, '-out', cert],
      ...extensions.flatMap((each) => ['-addext', each]),
    );
    const print =
      openssl('x509', '-in', cert, '-noout', '-fingerprint', '-sha256').trim().split('=')[1] ?? '';
    const read = (path: string) => readFileSync(join(r.dir, path), 'utf8');
    return { path: join(r.dir, cert), fingerprint: print, cert: read(cert), key: read(key) };
  }
  const GOOD = [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=clientAuth',
  ];

  it('is let in, and its key never came to the host', async () => {
    const mine = byOpenssl('agent-b', GOOD);
    const out = await admin(
      r,
      'enroll',
      'agent-b',
      '--certificate',
      mine.path,
      '--fingerprint',
      mine.fingerprint,
    );
    assert.match(out, /private key is the one that was made elsewhere/);
    assert.match(out, /Server fingerprint \(SHA-256\)\n[0-9a-f]{64}\n/);
    assert.doesNotMatch(out, /PRIVATE KEY/);
    await eventually(async () => (await trouble(r, mine, 'agent-b')) === undefined, 'it is let in');
    assert.notEqual(await trouble(r, {}, 'agent-b'), undefined, 'the one before is out');
  });

  it('is made by the lines that docs/host.md shows', async () => {
    const docs = readFileSync(join(ROOT, 'docs', 'host.md'), 'utf8');
    const lines = /```sh\n(openssl req [^`]*)```/.exec(docs)?.[1] ?? '';
    for (const round of ['enroll', 'rotate']) {
      const said = execFileSync('sh', ['-c', lines], { cwd: r.dir, stdio: 'pipe' }).toString();
      const print = /=([0-9A-F:]{95})/.exec(said)?.[1] ?? '';
      const [path, key] = [join(r.dir, 'agent-prod.crt'), join(r.dir, 'agent-prod.key')];
      await admin(r, round, 'agent-a', '--certificate', path, '--fingerprint', print);
      const mine = { cert: readFileSync(path, 'utf8'), key: readFileSync(key, 'utf8') };
      await eventually(() => isIn(r, mine), `it is let in after ${round}`);
      r.enrolled['agent-a'] = { ...r.enrolled['agent-a']!, ...mine };
    }
    await admin(r, 'rotate', 'agent-a', '--finish');
  });

  it('takes part in a rotation', async () => {
    const mine = byOpenssl('agent-a', GOOD);
    await admin(r, 'rotate', 'agent-a', '--certificate', mine.path, '--fingerprint', mine.fingerprint);
    await eventually(() => isIn(r, mine), 'it is let in');
    assert.ok(await isIn(r));
    await admin(r, 'rotate', 'agent-a', '--cancel');
  });

  it('is refused when it is not what the bridge would have made, and nothing is changed', async function () {
    // Sixteen runs of the admin program, seven of openssl.
    this.timeout(60_000);
    const good = byOpenssl('x', GOOD);
    const other = byOpenssl('y', GOOD).fingerprint;
    const write = (name: string, text: string) => {
      writeFileSync(join(r.dir, name), text);
      return join(r.dir, name);
    };
    const args = (path: string, fingerprint: string) => ['--certificate', path, '--fingerprint', fingerprint];
    const cases: [says: RegExp, args: string[]][] = [
      [/--fingerprint needs --certificate/, ['--fingerprint', good.fingerprint]],
      [/--certificate needs --fingerprint/, ['--certificate', good.path]],
      [/There is no .*nowhere/, args(join(r.dir, 'nowhere'), good.fingerprint)],
      [/64 hexadecimal digits; found "abc"/, args(good.path, 'abc')],
      [/Its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}/, args(good.path, other)],
      [/holds a private key/, args(write('both', good.key + good.cert), good.fingerprint)],
      [/found 2 blocks/, args(write('two', good.cert + good.cert), good.fingerprint)],
      [/found 0 blocks/, args(write('none', 'text'), good.fingerprint)],
      [
        /holds no certificate that can be read/,
        args(
          write('rest', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
          good.fingerprint,
        ),
      ],
    ];
    for (const [says, more] of cases) await refusedAdmin(r, says, 'enroll', 'agent-a', ...more);

    const made: [says: RegExp, extensions: string[], days?: string, newKey?: string[]][] = [
      [/authority \(CA:TRUE\)/, ['extendedKeyUsage=clientAuth']],
      [/for every purpose/, GOOD.slice(0, 2)],
      [
        /1\.3\.6\.1\.5\.5\.7\.3\.1.*not for TLS clients alone/,
        [...GOOD.slice(0, 2), 'extendedKeyUsage=clientAuth,serverAuth'],
      ],
      [/longer than a year/, GOOD, '800'],
      [/Its key is rsa of 1024 bits/, GOOD, '365', ['rsa:1024']],
      [/Its key is ec secp256k1/, GOOD, '365', ['ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1']],
    ];
    for (const [says, extensions, days, newKey] of made) {
      const { path, fingerprint } = byOpenssl('made', extensions, days, newKey);
      await refusedAdmin(r, says, 'enroll', 'agent-a', ...args(path, fingerprint));
    }
    const { path, fingerprint } = byOpenssl('agent-b', GOOD);
    await refusedAdmin(
      r,
      /Its subject, "CN=agent-b", is that of/,
      'rotate',
      'agent-a',
      ...args(path, fingerprint),
    );
    assert.ok(await isIn(r));
  });

  it('is refused outside its time, and when an authority signed it', () => {
    const serial = Uint8Array.from(random.bytes(16), (byte, n) => (n === 0 ? 0x40 | (byte & 0x3f) : byte));
    const nowMs = Date.now();
    const { cert, fingerprint } = issue('x', 'client', serial, nowMs);
    assert.equal(foreignCertificate(cert, fingerprint, [], nowMs).fingerprint, fingerprint);
    assert.throws(
      () => foreignCertificate(cert, fingerprint, [], nowMs + 366 * DAY_MS),
      /NC2013.*It ended at/,
    );
    assert.throws(() => foreignCertificate(cert, fingerprint, [], nowMs - DAY_MS), /NC2013.*not good before/);

    byOpenssl('ca', []);
    openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-subj',
      '/CN=leaf',
      '-keyout',
      'leaf.key',
      '-out',
      'leaf.csr',
    );
    writeFileSync(join(r.dir, 'ext'), GOOD.join('\n'));
    openssl(
      'x509',
      '-req',
      '-in',
      'leaf.csr',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '30',
      '-extfile',
      'ext',
      '-out',
      'leaf.crt',
    );
    const print =
      openssl('x509', '-in', 'leaf.crt', '-noout', '-fingerprint', '-sha256').trim().split('=')[1] ?? '';
    assert.throws(
      () => foreignCertificate(readFileSync(join(r.dir, 'leaf.crt'), 'utf8'), print, [], nowMs + 60_000),
      /NC2013.*not self-signed/,
    );
  });
});
