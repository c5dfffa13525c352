import assert from 'node:assert/strict';
import { refusalOf } from '../../../agent-bridge/server/decide.ts';
import { parsePolicy } from '../../../agent-bridge/server/policy.ts';
import { OPERATIONS } from '../../../agent-bridge/protocol/operations.ts';
import { describePolicy } from '../../../agent-bridge/service/check.ts';
import type { CodedError } from '../../../ports/errors.ts';
import { policyText } from '../support/rig.ts';

const text = policyText('/srv/bridge', '/srv/world');
const policy = parsePolicy(text, 'bridge.yaml');
const VM = '00000000-0000-4000-8000-000000000001';
const OTHERS = '00000000-0000-4000-8000-000000000002';

describe('the bridge’s policy', () => {
  const judge = (op: string, params: object, name = 'agent-a') => {
    const client = policy.clients.find((one) => one.name === name);
    const operation = OPERATIONS.get(op);
    assert.ok(client && operation);
    const parsed = operation.schema.safeParse(params);
    assert.ok(parsed.success, 'a case of this table must have the operation’s shape');
    const clusterOf = (id: string) => ({ [VM]: 'prod', [OTHERS]: 'other' })[id];
    const refusal = refusalOf(operation, params as never, { policy, client, clusterOf });
    return refusal ? `${refusal.field ?? op} ${refusal.rule ?? ''}` : 'allowed';
  };

  const create = { cluster: 'prod', node: 'prod-n1', size: 'small', image: 'ubuntu', fence: 0 };
  const swap = {
    cluster: 'prod',
    zone: 'example.test',
    name: 'cp-prod',
    type: 'A',
    expect: [],
    add: [],
    remove: [],
    fence: 0,
  };
  const table: [op: string, params: object, expected: string, client?: string][] = [
    ['host.read', {}, 'allowed'],
    ['vm.read', { cluster: 'prod' }, 'allowed'],
    ['vm.read', { cluster: 'other' }, 'cluster clusters'],
    ['vm.create', create, 'allowed'],
    ['vm.create', create, 'vm.create operations', 'agent-b'],
    ['vm.create', { ...create, cluster: 'other' }, 'cluster clusters'],
    ['vm.create', { ...create, node: 'dc01' }, 'node names'],
    ['vm.create', { ...create, node: 'xprod-1' }, 'node names'],
    ['vm.create', { ...create, size: 'huge' }, 'size sizes'],
    ['vm.create', { ...create, image: 'windows' }, 'image images'],
    ['vm.create', { ...create, address: '10.0.20.100' }, 'allowed'],
    ['vm.create', { ...create, address: '10.0.20.149' }, 'allowed'],
    ['vm.create', { ...create, address: '10.0.20.99' }, 'address addressRanges'],
    ['vm.create', { ...create, address: '10.0.20.150' }, 'address addressRanges'],
    ['vm.create', { ...create, address: '0.0.0.0' }, 'address addressRanges'],
    ['vm.create', { ...create, address: '127.0.0.1' }, 'address addressRanges'],
    ['vm.create', { ...create, address: '169.254.1.1' }, 'address addressRanges'],
    ['vm.create', { ...create, mac: '00:15:5d:01:02:03' }, 'allowed'],
    ['vm.create', { ...create, mac: '00:50:56:01:02:03' }, 'mac macPrefixes'],
    ['vm.create', { ...create, inheritFrom: VM }, 'allowed'],
    ['vm.create', { ...create, inheritFrom: OTHERS }, 'inheritFrom ownVm'],
    ['vm.create', { ...create, replaces: 'dc01' }, 'replaces names'],
    ['vm.stop', { cluster: 'prod', id: VM, fence: 0 }, 'allowed'],
    ['vm.stop', { cluster: 'prod', id: OTHERS, fence: 0 }, 'id ownVm'],
    ['vm.delete', { cluster: 'other', id: OTHERS, fence: 0 }, 'cluster clusters'],
    ['dns.read', { zone: 'example.test', names: ['cp-prod'] }, 'allowed'],
    ['dns.read', { zone: 'example.test', names: ['cp-prod', 'dc01'] }, 'names dnsNames'],
    ['dns.read', { zone: 'corp.test', names: ['cp-prod'] }, 'zone zones'],
    ['dns.swap', { ...swap, add: ['10.0.20.101'], remove: ['10.0.20.1'] }, 'allowed'],
    ['dns.swap', { ...swap, add: ['10.0.21.101'] }, 'add dnsData'],
    ['dns.swap', { ...swap, name: 'dc01' }, 'name dnsNames'],
    ['dns.swap', { ...swap, type: 'CNAME', add: ['evil.test'] }, 'type dnsTypes'],
    ['dns.swap', { ...swap, ttlSeconds: 86_400 }, 'ttlSeconds ttl'],
    ['image.build', { image: 'ubuntu' }, 'allowed'],
    ['image.build', { image: 'other' }, 'image images'],
  ];
  it('grants no address by a pattern for the names that a CNAME may point to', () => {
    const anyTarget = text.replace(
      'names: [cp-prod] }',
      "names: [cp-prod], types: [CNAME], targets: ['*'] }",
    );
    const [client] = parsePolicy(anyTarget, 'bridge.yaml').clients;
    const operation = OPERATIONS.get('dns.swap');
    assert.ok(client && operation);
    const granted = (data: string) =>
      refusalOf(
        operation,
        { ...swap, type: 'CNAME', add: [data] },
        { policy, client, clusterOf: () => undefined },
      ) === undefined;
    assert.equal(granted('cp.nodes.test'), true);
    for (const data of ['8.8.8.8', '10.0.20.101', '010.8.8.8', '8.0x8', '8.8'])
      assert.equal(granted(data), false, data);
  });

  for (const [op, params, expected, client] of table) {
    it(`${expected === 'allowed' ? 'allows' : 'refuses'} ${client ?? 'agent-a'} ${op} ${JSON.stringify(params)}`, () => {
      assert.equal(judge(op, params, client), expected);
    });
  }

  it('names the line of bridge.yaml that a refusal rests on', () => {
    const [client] = policy.clients;
    const operation = OPERATIONS.get('vm.create');
    assert.ok(client && operation);
    const refusal = refusalOf(
      operation,
      { ...create, node: 'dc01' },
      { policy, client, clusterOf: () => undefined },
    );
    assert.equal(refusal?.line, text.split('\n').findIndex((line) => line.includes("names: ['prod-*']")) + 1);
  });

  it('names the line of each fault of the file, all at once', () => {
    const lines = text.split('\n');
    const broken = text
      .replace('port: 0', 'port: 70000')
      .replace('vmRoot:', 'vmroot:')
      .replace('sizes: [small]', 'sizes: [tiny]');
    assert.throws(
      () => parsePolicy(broken, 'bridge.yaml'),
      (error: CodedError) => {
        const at = (part: string) => `bridge.yaml:${lines.findIndex((line) => line.includes(part)) + 1}:`;
        assert.equal(error.code, 'NC2001');
        assert.ok(
          error.evidence.some((line) => line.startsWith(at('port: 0'))),
          error.evidence.join('\n'),
        );
        assert.ok(error.evidence.some((line) => line.startsWith(at('vmRoot:')) && line.includes('vmroot')));
        return true;
      },
    );
    const dangling = text.replace('sizes: [small]', 'sizes: [tiny]');
    assert.throws(
      () => parsePolicy(dangling, 'bridge.yaml'),
      (error: CodedError) => /no size "tiny"/.test(error.evidence[0] ?? ''),
    );
    const zone = '{ zone: example.test, names: [cp-prod] }';
    assert.throws(
      () => parsePolicy(text.replace(zone, `${zone}, ${zone}`), 'bridge.yaml'),
      (error: CodedError) => /the zone example\.test is there twice/.test(error.evidence[0] ?? ''),
    );
    assert.throws(() => parsePolicy(`${text}version: 1\n`, 'bridge.yaml'), /NC2001/, 'a key twice');
  });

  it('says in words what each client may do', () => {
    const words = describePolicy(policy).join('\n');
    assert.match(words, /Client agent-a \(not enrolled: it cannot connect\) may:/);
    assert.match(words, /node: a name like prod-\*/);
    assert.match(words, /at most 50 in 24 hours/);
    assert.match(words, /It may not: image\.build, vm\.create, vm\.delete, dns\.swap/);
  });

  it('takes no source from outside the template’s folder, and no variable that is the bridge’s own or is there twice', () => {
    const image = (more: string) =>
      parsePolicy(text.replace(/template: \S+\.pkr\.hcl/, `template: /t/a.pkr.hcl, ${more}`), 'bridge.yaml');
    const faultOf = (more: string): string => {
      try {
        image(more);
      } catch (error) {
        return (error as CodedError).evidence.join(' ');
      }
      return '';
    };
    assert.deepEqual(image('sources: [/t/b.sh, /t/seed/user-data]').images['ubuntu']?.keep, 2);
    for (const source of ['/other/b.sh', '/t2/b.sh', '/t/../b.sh', '/t', 'b.sh'])
      assert.match(
        faultOf(`sources: [${source}]`),
        /images\.ubuntu\.sources\.0: must lie below .*, \/t\.$/,
        source,
      );
    for (const name of ['vm_name', 'base_path', 'Upper', 'a-b', 'a b'])
      assert.match(faultOf(`variables: { ${JSON.stringify(name)}: x }`), /images\.ubuntu\.variables/, name);
    for (const value of ['{{user `x`}}', 'a${b}', 'a`b', '"', "'", 'two\nlines'])
      assert.notEqual(faultOf(`variables: { a: ${JSON.stringify(value)} }`), '', value);
    assert.match(faultOf('variables: { a: x }, secrets: { a: /s }'), /secrets\.a: is a variable too/);
    assert.match(faultOf('perNode: true, differencing: true'), /differencing: what is built for each node/);
    assert.match(faultOf('keep: 1'), /images\.ubuntu\.keep: at least 2/);
  });
});
