import assert from 'node:assert/strict';
import { Ipv6 } from '../../../agent-bridge/protocol/shapes.ts';
import { OPERATIONS } from '../../../agent-bridge/protocol/operations.ts';
import { refusalOf } from '../../../agent-bridge/server/decide.ts';
import { parsePolicy } from '../../../agent-bridge/server/policy.ts';
import { inRange, parseRange, usableAddress } from '../../../agent-bridge/server/ranges.ts';
import { policyText } from '../support/rig.ts';

describe('address ranges', () => {
  it('are CIDRs, pairs and single addresses of one family', () => {
    const cases: [address: string, range: string, inside: boolean][] = [
      ['10.0.20.0', '10.0.20.0/24', true],
      ['10.0.20.255', '10.0.20.0/24', true],
      ['10.0.21.0', '10.0.20.0/24', false],
      ['255.255.255.255', '0.0.0.0/0', true],
      ['10.0.20.9', '10.0.20.9', true],
      ['10.0.20.100', '10.0.20.99-10.0.20.101', true],
      ['10.0.20.102', '10.0.20.99-10.0.20.101', false],
      ['2001:db8::1', '2001:db8::/64', true],
      ['2001:db8::ffff:ffff:ffff:ffff', '2001:db8::/64', true],
      ['2001:db8:0:1::', '2001:db8::/64', false],
      ['2001:db8::20', '2001:db8::10-2001:db8::2f', true],
      ['2001:db8::30', '2001:db8::10-2001:db8::2f', false],
      ['::1', '0.0.0.0/0', false],
      ['10.0.0.1', '::/0', false],
    ];
    for (const [address, range, inside] of cases)
      assert.equal(inRange(address, range), inside, `${address} in ${range}`);
  });

  it('are refused when they are none', () => {
    for (const range of [
      ...['', '10.0.20.1/24', '10.0.20.0/33', '10.0.20.9-10.0.20.1', '10.0.20.1-10.0.20.2-10.0.20.3'],
      ...['010.0.0.0/8', '10.0.0.0/08', '2001:db8::1/64', '2001:db8::/129', '10.0.0.1-::1', '2001:DB8::/64'],
    ])
      assert.equal(parseRange(range), undefined, range);
  });

  it('take an IPv6 address in one spelling, and none that is an IPv4 address', () => {
    for (const good of ['::1', '2001:db8::1', 'fe80::1', '2001:db8:0:1:1:1:1:1', '::'])
      assert.ok(Ipv6.safeParse(good).success, good);
    for (const bad of [
      ...[
        '2001:DB8::1',
        '2001:db8:0::1',
        '2001:0db8::1',
        '0:0:0:0:0:0:0:1',
        '::ffff:1.2.3.4',
        '::ffff:102:304',
      ],
      ...['1.2.3.4', 'fe80::1%eth0', '[::1]', ':::', '1::2::3', 'g::', '', '::1/64', '2001:db8::1 '],
    ])
      assert.ok(!Ipv6.safeParse(bad).success, bad);
  });

  it('show of a guest only what can be a node’s IPv4 address', () => {
    assert.ok(usableAddress('10.0.0.7'));
    for (const bad of ['169.254.1.1', 'fe80::1', '0.0.0.0', '010.0.0.1', '::ffff:1.2.3.4'])
      assert.ok(!usableAddress(bad), bad);
  });
});

describe('data of DNS records', () => {
  const text = policyText('/srv/bridge', '/srv/world')
    .replace(
      'addressRanges: [10.0.20.100-10.0.20.149]',
      "addressRanges: [10.0.20.100-10.0.20.149, '2001:db8:20::/64']",
    )
    .replace(
      'dns: [{ zone: example.test, names: [cp-prod] }]',
      "dns: [{ zone: example.test, names: [cp-prod], types: [A, AAAA, CNAME], targets: ['*'] }]",
    );
  const policy = parsePolicy(text, 'bridge.yaml');
  const allowed = (type: string, data: string): boolean => {
    const operation = OPERATIONS.get('dns.swap');
    const client = policy.clients[0];
    assert.ok(operation && client);
    const params = {
      ...{ cluster: 'prod', zone: 'example.test', name: 'cp-prod', type, expect: [], remove: [] },
      ...{ add: [data], fence: 0 },
    };
    const parsed = operation.schema.safeParse(params);
    return (
      parsed.success &&
      refusalOf(operation, params, { policy, client, clusterOf: () => undefined }) === undefined
    );
  };

  it('are of the record’s own type, and in the client’s ranges or targets', () => {
    const table: [type: string, data: string, expected: boolean][] = [
      ['A', '10.0.20.100', true],
      ['A', '10.0.20.99', false],
      ['A', '2001:db8:20::7', false],
      ['A', 'n1.example.test', false],
      ['AAAA', '2001:db8:20::7', true],
      ['AAAA', '2001:db8:21::7', false],
      ['AAAA', '10.0.20.100', false],
      ['CNAME', 'n1.example.test', true],
      ['CNAME', '10.0.20.100', false],
      ['CNAME', '2001:db8:20::7', false],
      ['TXT', 'n1.example.test', false],
    ];
    for (const [type, data, expected] of table)
      assert.equal(allowed(type, data), expected, `${type} ${data}`);
  });
});
