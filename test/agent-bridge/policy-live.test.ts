/** bridge.yaml while the bridge runs: taken whole or not at all; a revoked client is out, its job goes on. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { WAIT, foundVm, key, rig, until, vmId } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

/** Ten times the goal of one second. */
const OUT_MS = 10_000;

describe('the policy of a bridge that runs', () => {
  let r: Rig;
  const file = () => join(r.dir, 'bridge.yaml');
  const edit = (change: (text: string) => string) => {
    writeFileSync(file(), change(readFileSync(file(), 'utf8')));
  };
  const stop = { cluster: 'prod', id: vmId(1), fence: 0 };
  const allowed = (name = 'agent-a') =>
    r
      .client(name)
      .read('vm.read', { cluster: name === 'agent-a' ? 'prod' : 'other' }, { deadlineMs: 2_000 })
      .then(
        () => true,
        () => false,
      );
  const eventually = async (met: () => Promise<boolean>, what: string) => {
    const endMs = Date.now() + OUT_MS;
    while (!(await met())) assert.ok(Date.now() < endMs, `still not: ${what}`);
  };

  before(async () => {
    r = await rig();
    r.setVms([foundVm(1), foundVm(2)]);
    assert.equal(
      (await r.cli('bridge', 'adopt', '--cluster', 'prod', '--all-matching', 'prod-*', '--yes')).code,
      0,
    );
    await r.start();
  });
  after(() => r.end());

  it('takes a grant away without a restart', async () => {
    assert.ok(await allowed());
    edit((text) => text.replace('vm.read, dns.read,', 'dns.read,'));
    await eventually(async () => !(await allowed()), 'vm.read is refused');
    edit((text) => text.replace('dns.read,', 'vm.read, dns.read,'));
    await eventually(() => allowed(), 'vm.read is granted again');
    assert.match(r.log(), /"event":"policy"/);
  });

  it('keeps the old one when the new one is broken, and goes on with the next that is whole', async () => {
    const good = readFileSync(file(), 'utf8');
    edit((text) => text.replace('clusters: [prod]', 'clusters: [prod]\n    grants: everything'));
    // Long enough for several looks at the file.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.ok(await allowed());
    assert.ok(await allowed('agent-b'));
    writeFileSync(file(), good);
    assert.ok(await allowed());
  });

  it('lets a revoked client go: its connection closes, its running job finishes, nobody else is touched', async () => {
    r.faults({ 'vm-stop': { sleepMs: 1_500 } });
    const job = await r.client().submit('vm.stop', stop, key(1), WAIT);
    await until(() => r.runs('vm-stop') === 1, 'the script runs');
    const mine = r.enrolled['agent-a'];
    assert.ok(mine);
    const open = connect({
      host: '127.0.0.1',
      port: r.port,
      cert: mine.cert,
      key: mine.key,
      rejectUnauthorized: false,
    });
    await new Promise<void>((resolve) => open.once('secureConnect', resolve));
    const closed = new Promise<void>((resolve) => open.once('close', () => resolve()));
    open.on('error', () => undefined);

    const { code, out } = await r.cli('bridge', 'revoke', 'agent-a');
    assert.equal(code, 0, out);
    await closed;
    assert.equal(await allowed(), false);
    assert.ok(await allowed('agent-b'));
    const ended = () =>
      r
        .log()
        .split('\n')
        .find((line) => line.includes('"event":"ended"') && line.includes(job.id));
    await until(() => ended() !== undefined, 'the job ends');
    assert.match(ended() ?? '', /"state":"succeeded"/);
    assert.match(readFileSync(file(), 'utf8'), /agent-a # the agent of cluster prod/);
  });

  it('takes a client that is enrolled while it runs', async () => {
    const json = join(r.dir, 'again.json');
    assert.equal((await r.cli('bridge-admin', 'enroll', 'agent-a', '--json', json)).code, 0);
    r.enrolled['agent-a'] = JSON.parse(readFileSync(json, 'utf8')) as (typeof r.enrolled)[string];
    await eventually(() => allowed(), 'the new certificate is let in');
  });

  it('has no client to revoke by a name that is not there', async () => {
    const { code, out } = await r.cli('bridge', 'revoke', 'nobody');
    assert.notEqual(code, 0);
    assert.match(out, /NC2010.*nobody/);
  });

  const explained: [string, string[], unknown, number, RegExp][] = [
    [
      'a grant',
      ['agent-a', 'vm.stop'],
      stop,
      0,
      /^Allowed: vm\.stop \(line \d+\)\n {2}cluster: one of the clusters prod \(line \d+\)/,
    ],
    [
      'another cluster',
      ['agent-a', 'vm.stop'],
      { ...stop, cluster: 'other' },
      1,
      /^Denied: line \d+: cluster is not one of the clusters prod/,
    ],
    [
      'an operation that is not listed',
      ['agent-b', 'image.build'],
      { image: 'ubuntu' },
      1,
      /^Denied: line \d+: image\.build is not among the operations of agent-b/,
    ],
    [
      'an operation that does not exist',
      ['agent-a', 'vm.format'],
      {},
      1,
      /^Denied: there is no operation "vm\.format"/,
    ],
    [
      'a parameter too many',
      ['agent-a', 'vm.stop'],
      { ...stop, force: true },
      1,
      /^Denied: force: no such parameter/,
    ],
    [
      'a foreign VM',
      ['agent-a', 'vm.stop'],
      { ...stop, id: vmId(9) },
      1,
      /^Denied: line \d+: id is not a VM of that cluster/,
    ],
    ['a stranger', ['nobody', 'vm.stop'], stop, 1, /^Denied: line \d+: no client has the name "nobody"/],
  ];
  for (const [what, words, params, code, said] of explained) {
    it(`explains ${what}`, async () => {
      const path = join(r.dir, 'params.json');
      writeFileSync(path, JSON.stringify(params));
      const answer = await r.cli('bridge', 'explain', ...words, path);
      assert.match(answer.out, said);
      assert.equal(answer.code, code);
    });
  }
});
