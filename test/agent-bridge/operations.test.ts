import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CodedError } from '../../ports/errors.ts';
import { jobKey } from '../../agent-bridge/client/client.ts';
import { isoFiles } from '../../lab/world/hosts/iso-files.ts';
import { WAIT, foundVm, key, rig, until, vmId } from './support/rig.ts';
import type { Rig } from './support/rig.ts';

describe('the operations of the bridge', () => {
  let r: Rig;
  before(async () => {
    r = await rig('keepStoppedHours: 0.0003\n');
    r.setVms([
      foundVm(1, { notes: '{"startGroup": 2, "delayOffset": 30}', vlan: 7 }),
      foundVm(2),
      foundVm(3, { name: 'somebody-else', notes: 'printer\nserver' }),
    ]);
  });
  after(() => r.end());

  it('adopts VMs that it did not make and keeps the other tool’s notes', async () => {
    const refused = await r.cli('bridge', 'adopt', '--cluster', 'prod', '--all-matching', 'prod-*');
    assert.equal(refused.code, 1);
    assert.equal(r.vms()[0]?.notes, '{"startGroup": 2, "delayOffset": 30}');
    const { code, out } = await r.cli(
      'bridge',
      'adopt',
      '--cluster',
      'prod',
      '--all-matching',
      'prod-*',
      '--yes',
    );
    assert.equal(code, 0, out);
    assert.match(out, /disk {3}\/vms\/prod-n1\/disk\.vhdx/);
    const notes = r.vms()[0]?.notes ?? '';
    assert.ok(notes.startsWith('{"startGroup": 2, "delayOffset": 30,"nodeCycle":{'), notes);
    assert.equal(r.vms()[2]?.notes, 'printer\nserver');
    await r.start();
    await until(() => r.log().includes('"what":"adopted"'), 'the adoption in the log');
  });

  it('reads the host and what the client may do', async () => {
    const client = r.client();
    const host = await client.read('host.read', {}, WAIT);
    assert.equal(host.hosts[0]?.memoryFreeMb, 64000);
    assert.equal(host.images[0]?.stale, true);
    assert.deepEqual(host.clientPolicy.addressRanges, ['10.0.20.100-10.0.20.149']);
    assert.equal(host.clientPolicy.budgetsLeft.creations, 50);
    assert.match(client.lastHead() ?? '', /^\d+:[0-9a-f]{64}$/);
  });

  it('creates a VM that inherits notes, start order and VLAN, and gives its host key', async () => {
    const client = r.client();
    const params = {
      cluster: 'prod',
      node: 'prod-n4',
      size: 'small',
      image: 'ubuntu',
      address: '10.0.20.104',
      inheritFrom: vmId(1),
      replaces: 'prod-n1',
      fence: 3,
    };
    const job = await client.submit(
      'vm.create',
      params,
      jobKey('vm.create', params, 'prod', undefined),
      WAIT,
    );
    const lines: string[] = [];
    const outcome = await client.waitFor(job, { ...WAIT, onLog: (line) => lines.push(line) });
    assert.equal(outcome.kind, 'done');
    assert.equal(outcome.result.address, '10.0.20.104');
    assert.match(outcome.result.sshHostKeys[0] ?? '', /^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI/);

    const input = r.inputs('vm-create')[0] ?? {};
    assert.equal(input['vlan'], 7);
    assert.equal(input['startDelaySeconds'], 30);
    const notes = JSON.parse(String(input['notes'])) as {
      startGroup: number;
      nodeCycle: { replaces: string };
    };
    assert.equal(notes.startGroup, 2);
    assert.equal(notes.nodeCycle.replaces, 'prod-n1');

    const { vms, jobs } = await client.read('vm.read', { cluster: 'prod' }, WAIT);
    const made = vms.find(({ name }) => name === 'prod-n4');
    assert.equal(made?.adopted, true);
    assert.equal(made.marker?.node, 'prod-n4');
    assert.deepEqual(made.addresses, ['10.0.20.104']);
    assert.deepEqual(made.sshHostKeys, outcome.result.sshHostKeys);
    assert.equal(vms.find(({ name }) => name === 'somebody-else')?.adopted, false);
    assert.equal(jobs.find(({ id }) => id === job.id)?.state, 'succeeded');
  });

  it('keeps the private host key out of every file that stays', () => {
    const { base64 } = (r.inputs('vm-create')[0] as { seed: { base64: string } }).seed;
    const userData = isoFiles(Buffer.from(base64, 'base64')).get('user-data') ?? '';
    const seed = JSON.parse(userData.replace('#cloud-config\n', '')) as {
      ssh_keys: { ed25519_private: string };
    };
    const secretLine = seed.ssh_keys.ed25519_private.split('\n')[2] ?? '';
    assert.ok(secretLine.length > 40);
    const jobs = join(r.dataDir, 'jobs');
    for (const name of readdirSync(r.dataDir, { recursive: true, encoding: 'utf8' })) {
      const path = join(r.dataDir, name);
      if (/\.(json|log)$|\/(log|stdin)$/.test(path) && existsSync(path)) {
        const text = readFileSync(path, 'utf8');
        assert.ok(!text.includes(secretLine) && !text.includes(base64), path);
      }
    }
    const [created] = readdirSync(jobs);
    assert.match(
      readFileSync(join(jobs, created ?? '', 'log'), 'utf8'),
      /BEGIN OPENSSH PRIVATE KEY-----\n\*\*\*\n/,
    );
  });

  it('refuses a name and an address that a VM of the host holds', async () => {
    const client = r.client();
    const base = { cluster: 'prod', size: 'small', image: 'ubuntu', fence: 3 };
    const taken = await client.submit('vm.create', { ...base, node: 'prod-n2' }, key(1), WAIT);
    const outcome = await client.waitFor(taken, WAIT);
    assert.equal(outcome.kind === 'failed' && outcome.error, 'nameTaken');
    const address = { ...base, node: 'prod-n9', address: '10.0.20.104' };
    const second = await client.waitFor(await client.submit('vm.create', address, key(2), WAIT), WAIT);
    assert.equal(second.kind === 'failed' && second.error, 'addressTaken');
  });

  it('refuses a fence number lower than one that it has seen', async () => {
    await assert.rejects(
      r.client().submit('vm.stop', { cluster: 'prod', id: vmId(2), fence: 2 }, key(3), WAIT),
      (error: CodedError) => error.code === 'NC2004' && error.detail.includes('fenceTooLow'),
    );
  });

  it('refuses a fence number that leaps, and a person can give a cluster another one', async () => {
    const stop = (fence: number, n: number) =>
      r.client().submit('vm.stop', { cluster: 'prod', id: vmId(2), fence }, key(n), WAIT);
    const refused = (code: string) => (error: CodedError) => error.detail.includes(code);
    await assert.rejects(stop(Number.MAX_SAFE_INTEGER, 4), refused('fenceTooHigh'));
    await assert.rejects(stop(2_000, 5), refused('fenceTooHigh'));
    const shown = await r.cli('bridge', 'fence', 'prod');
    assert.match(shown.out, /prod: the highest fence is 3\./);
    assert.equal((await r.cli('bridge', 'fence', 'prod', '2', '--yes')).code, 0);
    await until(() => r.log().includes('"event":"fenceSet"'), 'the bridge has taken it');
    const job = await stop(2, 6);
    await r.client().waitFor(job, WAIT);
    for (const wrong of ['-1', '1e3', 'x'])
      assert.equal((await r.cli('bridge', 'fence', 'prod', wrong, '--yes')).code, 1, wrong);
  });

  it('answers alike for a VM of another cluster, one without record and one that is not there', async () => {
    const client = r.client('agent-b');
    const texts = new Set<string>();
    for (const [n, id] of [vmId(1), vmId(3), vmId(77)].entries()) {
      await assert.rejects(
        client.submit('vm.stop', { cluster: 'other', id, fence: 0 }, key(10 + n), WAIT),
        (error: CodedError) => {
          texts.add(error.message);
          return error.code === 'NC2004';
        },
      );
    }
    assert.equal(texts.size, 1);
  });

  it('shows another client’s VM as a stranger', async () => {
    const { vms } = await r.client('agent-b').read('vm.read', { cluster: 'other' }, WAIT);
    const foreign = vms.find(({ name }) => name === 'prod-n4');
    assert.equal(foreign?.marker, undefined);
    assert.deepEqual(foreign?.sshHostKeys, []);
    assert.deepEqual(foreign.addresses, ['10.0.20.104']);
  });

  it('swaps DNS records only when the set is the expected one, and never empties it', async () => {
    r.setDns(['10.0.20.1', '10.0.20.101'].map((data) => ({ name: 'cp-prod', type: 'A', ttl: 300, data })));
    const client = r.client();
    const base = { cluster: 'prod', zone: 'example.test', name: 'cp-prod', type: 'A' as const, fence: 3 };
    const run = async (n: number, change: { expect: string[]; add: string[]; remove: string[] }) =>
      client.waitFor(await client.submit('dns.swap', { ...base, ...change }, key(n), WAIT), WAIT);
    const stale = await run(20, { expect: ['10.0.20.1'], add: ['10.0.20.104'], remove: ['10.0.20.1'] });
    assert.equal(stale.kind === 'failed' && stale.error, 'setChanged');
    const empty = await run(21, {
      expect: ['10.0.20.1', '10.0.20.101'],
      add: [],
      remove: ['10.0.20.1', '10.0.20.101'],
    });
    assert.equal(empty.kind === 'failed' && empty.error, 'wouldBeEmpty');
    const swap = { expect: ['10.0.20.1', '10.0.20.101'], add: ['10.0.20.104'], remove: ['10.0.20.1'] };
    const done = await run(22, swap);
    assert.deepEqual(done.kind === 'done' && done.result.records.map(({ data }) => data).sort(), [
      '10.0.20.101',
      '10.0.20.104',
    ]);
    const again = await run(23, swap);
    assert.equal(again.kind, 'done', 'the same swap once more finds the world as wanted');
    assert.equal(r.runs('dns-swap'), 1);
  });

  it('sets a deleted VM aside and purges it by itself when its time is over', async () => {
    const client = r.client();
    const params = { cluster: 'prod', id: vmId(2), fence: 3 };
    const outcome = await client.waitFor(await client.submit('vm.delete', params, key(30), WAIT), WAIT);
    assert.equal(outcome.kind, 'done');
    assert.ok(outcome.result.purgeAt > outcome.result.setAsideAt);
    await until(() => r.runs('vm-purge') === 1, 'the purge');
    await until(() => !r.vms().some(({ id }) => id === vmId(2)), 'the VM gone');
    await until(() => !existsSync(join(r.dataDir, 'records', `${vmId(2)}.json`)), 'the record gone');
  });

  it('cleans up after a creation that failed', async () => {
    const client = r.client();
    r.faults({ 'vm-create': { mode: 'afterwards' } });
    const params = { cluster: 'prod', node: 'prod-n8', size: 'small', image: 'ubuntu', fence: 3 };
    const outcome = await client.waitFor(await client.submit('vm.create', params, key(40), WAIT), WAIT);
    r.faults({});
    assert.equal(outcome.kind === 'failed' && outcome.error, 'noResult');
    assert.ok(!r.vms().some(({ name }) => name === 'prod-n8'), 'the VM that it had made is gone');
  });

  it('ends on SIGTERM with exit code 0', async () => {
    assert.equal(await r.stop(), 0);
    const { code, out } = await r.cli('bridge', 'audit', 'verify');
    assert.equal(code, 0, out);
  });
});
