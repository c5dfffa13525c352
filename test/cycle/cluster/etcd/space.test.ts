import assert from 'node:assert/strict';
import type { EtcdMember, EtcdObservation } from '../../../../cycle/cluster/etcd/members.ts';
import { whyStillMember } from '../../../../cycle/cluster/etcd/removal.ts';
import { fragmented, outOfSpace } from '../../../../cycle/cluster/etcd/space.ts';

const MIB = 1024 ** 2;

function member(n: number, over: Partial<EtcdMember> = {}): EtcdMember {
  return {
    id: `1844674407370955161${n}`,
    name: `etcd-n${n}`,
    peerUrls: [],
    clientUrls: [],
    address: `10.0.0.${n}`,
    isLearner: false,
    healthy: true,
    leader: n === 1,
    alarms: [],
    listed: true,
    dbSizeBytes: 200 * MIB,
    dbInUseBytes: 150 * MIB,
    ...over,
  };
}

function seen(over: Partial<EtcdMember> = {}, more: Partial<EtcdObservation> = {}): EtcdObservation {
  const members = [member(1), member(2), member(3, over)];
  return {
    clusterId: '1',
    members,
    reachable: [],
    unreachable: [],
    disagree: false,
    observedAtMs: 0,
    ...more,
  };
}

describe('the space of etcd', () => {
  it('is no reason to stop while a database is well below its quota', () => {
    assert.deepEqual(outOfSpace(seen()), []);
    assert.deepEqual(outOfSpace(seen({ dbSizeBytes: 1638 * MIB })), []);
    assert.deepEqual(outOfSpace(seen({ dbSizeBytes: undefined })), []);
  });

  it('is one when NOSPACE is raised, or 80% of the quota are filled', () => {
    const found = [
      outOfSpace(seen({ alarms: ['NOSPACE'] })),
      outOfSpace(seen({ dbSizeBytes: 1639 * MIB })),
      outOfSpace(seen({ dbSizeBytes: 900 * MIB }), { quotaBytes: 1000 * MIB }),
    ];
    for (const [one, ...rest] of found) {
      assert.equal(one?.code, 'NC3106');
      assert.match(`${one.message} ${one.evidence.join()}`, /etcd-n3.*bytes/);
      assert.deepEqual(rest, []);
    }
  });

  it('is mostly holes when less than half of a large file is in use', () => {
    assert.deepEqual(fragmented(seen()), []);
    assert.deepEqual(fragmented(seen({ dbInUseBytes: 100 * MIB })), [], 'just half');
    assert.deepEqual(fragmented(seen({ dbSizeBytes: 99 * MIB, dbInUseBytes: 1 })), [], 'a small file');
    const [one] = fragmented(seen({ dbInUseBytes: 100 * MIB - 1 }));
    assert.equal(one?.code, 'NC3107');
  });
});

describe('a member that should be gone', () => {
  const gone = '18446744073709551615';
  const list = (endpoint: string, ...ids: string[]) => ({
    endpoint,
    ids,
    names: ids.map((id) => `name of ${id}`),
  });

  it('is gone when every survivor was heard, is healthy and does not list it', () => {
    assert.equal(whyStillMember(seen({}, { lists: [list('https://a', '1', '2')] }), gone), undefined);
    assert.equal(whyStillMember(seen(), 'etcd-n9'), undefined);
  });

  const stays: [string, EtcdObservation, string, RegExp][] = [
    ['the first list names it', seen(), 'etcd-n3', /still has the member etcd-n3/],
    [
      'only one survivor lists it',
      seen({}, { lists: [list('https://a'), list('https://b', gone)] }),
      gone,
      /https:\/\/b still lists/,
    ],
    ['the survivors disagree', seen({}, { disagree: true }), gone, /do not agree/],
    ['a survivor gave no list', seen({ listed: false }), gone, /etcd-n3 was not heard/],
    [
      'a survivor is not healthy without it',
      seen({ healthy: false, trouble: 'no leader' }),
      gone,
      /etcd-n3 .*no leader/,
    ],
    ['nobody answers', seen({}, { members: [] }), gone, /no members at all/],
  ];
  for (const [what, observation, name, why] of stays)
    it(`is not while ${what}`, () => {
      assert.match(whyStillMember(observation, name) ?? '', why);
    });
});
