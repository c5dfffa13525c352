import assert from 'node:assert/strict';
import type { ScriptInput, ScriptResult } from '../../agent-bridge/host/scripts.ts';
import type { HostOnDisk, World } from './host.ts';
import { errorOf, onTraps } from './traps.ts';
import type { Trap } from './traps.ts';

const ZONE = 'example.test';
const [DC1, DC2] = ['10.0.20.2', '10.0.20.3'];

const records = (): World['dns'][string]['zones'][string]['records'] => [
  { name: 'cp-prod', type: 'A', ttl: 300, data: '10.0.20.101' },
  { name: 'cp-prod', type: 'A', ttl: 300, data: '10.0.20.102' },
  { name: 'cp-prod', type: 'AAAA', ttl: 300, data: 'fd00::1' },
  { name: 'below.cp-prod', type: 'A', ttl: 300, data: '10.0.20.200' },
  { name: 'alias', type: 'CNAME', ttl: 60, data: 'old.example.test' },
];

function dns(host: HostOnDisk, change: (dns: World['dns']) => void = () => {}): void {
  host.change((world) => {
    world.dns = {
      [DC1]: { zones: { [ZONE]: { serial: 7, records: records() } } },
      [DC2]: { zones: { [ZONE]: { serial: 6, records: [] } } },
    };
    change(world.dns);
  });
}

const now = (host: HostOnDisk, name = 'cp-prod', type = 'A'): string[] =>
  host
    .world()
    .dns[DC1]!.zones[ZONE]!.records.filter((record) => record.name === name && record.type === type)
    .map(({ data }) => data);

const swap = (more: Partial<ScriptInput<'dns-swap'>> = {}): ScriptInput<'dns-swap'> => ({
  ...{ server: DC1, zone: ZONE, name: 'cp-prod', type: 'A', ttlSeconds: 120 },
  ...{ expect: ['10.0.20.102', '10.0.20.101'], add: ['10.0.20.103'], remove: ['10.0.20.101'] },
  ...more,
});
const ALIAS = {
  name: 'alias',
  type: 'CNAME',
  expect: ['old.example.test'],
  add: ['new.example.test'],
  remove: ['old.example.test'],
} as const;

const read = (names: string[], servers = [DC1]) => ({ servers, zone: ZONE, names });

const TRAPS: Trap[] = [
  {
    title: 'asks each server by itself, and takes no record of a name below',
    script: 'dns-read',
    given: (host) => (dns(host), read(['cp-prod', 'absent'], [DC1, DC2])),
    then(outcome) {
      const { servers } = (
        outcome.ok ? outcome.result : assert.fail(outcome.stderr)
      ) as ScriptResult<'dns-read'>;
      assert.deepEqual(
        servers.map(({ server, serial }) => [server, serial]),
        [
          [DC1, '7'],
          [DC2, '6'],
        ],
      );
      assert.deepEqual(
        servers[0]?.records.map(({ type, data, ttl }) => `${type} ${data} ${ttl}`),
        ['A 10.0.20.101 300', 'A 10.0.20.102 300', 'AAAA fd00::1 300'],
      );
      assert.deepEqual(servers[1]?.records, []);
    },
  },
  {
    title: 'takes a server that does not answer for unreachable, not for one without records',
    script: 'dns-read',
    given: (host) => (dns(host, (all) => (all[DC1]!.unreachable = true)), read(['cp-prod'])),
    then: (outcome) => assert.equal(errorOf(outcome), 'unreachable'),
  },
  {
    title: 'says that it was denied',
    script: 'dns-read',
    given: (host) => (dns(host, (all) => (all[DC1]!.denied = true)), read(['cp-prod'])),
    then: (outcome) => assert.equal(errorOf(outcome), 'denied'),
  },
  {
    title: 'fails for a zone that the server does not have',
    script: 'dns-read',
    given: (host) => (dns(host), { ...read(['cp-prod']), zone: 'other.test' }),
    then: (outcome) => assert.equal(errorOf(outcome), 'scriptFailed'),
  },
  {
    title: 'adds the new record, then removes the old one and no other of that name',
    script: 'dns-swap',
    given: (host) => (dns(host), swap()),
    then(outcome, host) {
      assert.ok(outcome.ok, outcome.stderr);
      assert.deepEqual(now(host), ['10.0.20.102', '10.0.20.103']);
      assert.deepEqual(now(host, 'cp-prod', 'AAAA'), ['fd00::1']);
      const { serial, records: after } = outcome.result as ScriptResult<'dns-swap'>;
      assert.deepEqual(
        [serial, after.map(({ data, ttl }) => `${data} ${ttl}`)],
        ['9', ['10.0.20.102 300', '10.0.20.103 120']],
      );
      const writes = host.calls().filter((call) => /^(Add|Remove)/.test(call));
      assert.deepEqual(
        writes.map((call) => call.split(' ')[0]),
        ['Add-DnsServerResourceRecordA', 'Remove-DnsServerResourceRecord'],
      );
    },
  },
  {
    title: 'changes nothing when a record is there that nobody expected',
    script: 'dns-swap',
    given: (host) => (dns(host), swap({ expect: ['10.0.20.101'] })),
    then(outcome, host) {
      assert.equal(errorOf(outcome), 'setChanged');
      assert.equal(now(host).length, 2);
    },
  },
  {
    title: 'adds nothing to a set that it could not read, though an empty one was expected',
    script: 'dns-swap',
    given: (host) => (dns(host, (all) => (all[DC1]!.unreachable = true)), swap({ expect: [], remove: [] })),
    then: (outcome, host) =>
      assert.deepEqual(
        [errorOf(outcome), host.calls().filter((call) => call.startsWith('Add'))],
        ['unreachable', []],
      ),
  },
  {
    title: 'removes nothing when the new record is refused',
    script: 'dns-swap',
    given: (host) => (dns(host), host.change((world) => (world.faults = [{ at: 2, act: 'fail' }])), swap()),
    then: (outcome, host) =>
      assert.deepEqual([errorOf(outcome), now(host)], ['scriptFailed', ['10.0.20.101', '10.0.20.102']]),
  },
  {
    title: 'swaps an AAAA record',
    script: 'dns-swap',
    given: (host) => (
      dns(host),
      swap({ type: 'AAAA', expect: ['fd00::1'], add: ['fd00::2'], remove: ['fd00::1'] } as never)
    ),
    then: (outcome, host) =>
      assert.deepEqual([outcome.ok, now(host, 'cp-prod', 'AAAA')], [true, ['fd00::2']], outcome.stderr),
  },
  {
    title: 'swaps a CNAME, of which there can be only one',
    script: 'dns-swap',
    given: (host) => (dns(host), swap(ALIAS as never)),
    then: (outcome, host) =>
      assert.deepEqual(
        [outcome.ok, now(host, 'alias', 'CNAME')],
        [true, ['new.example.test']],
        outcome.stderr,
      ),
  },
  {
    title: 'puts a CNAME back when its successor is refused',
    script: 'dns-swap',
    given: (host) => (
      dns(host),
      host.change((world) => (world.faults = [{ at: 3, act: 'fail' }])),
      swap(ALIAS as never)
    ),
    then: (outcome, host) =>
      assert.deepEqual(
        [errorOf(outcome), now(host, 'alias', 'CNAME')],
        ['scriptFailed', ['old.example.test']],
      ),
  },
];

onTraps('The scripts for DNS against the stand-in of a Windows DNS server', TRAPS);
