import assert from 'node:assert/strict';
import {
  bestSuccessor,
  judgeAddition,
  judgePath,
  judgeRemoval,
  quorum,
  tolerance,
} from '../../../../cycle/cluster/etcd/quorum.ts';
import type { EtcdMember, EtcdObservation } from '../../../../cycle/cluster/etcd/members.ts';

function member(i: number, more: Partial<EtcdMember> = {}): EtcdMember {
  return {
    id: `1000000000000000000${i}`,
    name: `etcd-n${i}`,
    peerUrls: [],
    clientUrls: [],
    address: `10.0.0.${i}`,
    isLearner: false,
    healthy: true,
    leader: i === 1,
    raftIndex: '9007199254740993',
    alarms: [],
    ...more,
  };
}

function cluster(n: number, change: (members: EtcdMember[]) => void = () => undefined): EtcdObservation {
  const members = Array.from({ length: n }, (_, i) => member(i + 1));
  change(members);
  return { clusterId: '1', members, reachable: [], unreachable: [], disagree: false, observedAtMs: 0 };
}

const set = (i: number, more: Partial<EtcdMember>) => (members: EtcdMember[]) => {
  members[i - 1] = member(i, more);
};
const codes = (found: { code: string }[]) => [...new Set(found.map((one) => one.code))].sort();
const SMALL = { allowSingleMember: true, snapshotTaken: true };

describe('the quorum of etcd', () => {
  it('is more than half of the voters', () => {
    assert.deepEqual([1, 2, 3, 4, 5, 7].map(quorum), [1, 2, 2, 3, 3, 4]);
    assert.deepEqual([1, 2, 3, 4, 5, 7].map(tolerance), [0, 0, 1, 1, 2, 3]);
  });

  const removals: [string, EtcdObservation, string, Parameters<typeof judgeRemoval>[2], string[]][] = [
    ['one of three healthy', cluster(3), 'etcd-n3', {}, []],
    ['one of two healthy', cluster(2), 'etcd-n2', {}, ['NC3105']],
    [
      'one of two healthy, with a snapshot and the permission',
      cluster(2),
      'etcd-n2',
      { allowSingleMember: true, snapshotTaken: true },
      [],
    ],
    ['the only one', cluster(1), 'etcd-n1', {}, ['NC3102']],
    [
      'one of three with another down',
      cluster(3, set(2, { healthy: false })),
      'etcd-n3',
      {},
      ['NC3102', 'NC3103'],
    ],
    ['a dead one of three', cluster(3, set(3, { healthy: false })), 'etcd-n3', { dead: true }, []],
    [
      'a dead one of two: the rest has no majority',
      cluster(2, set(2, { healthy: false })),
      'etcd-n2',
      { dead: true },
      ['NC3102'],
    ],
    [
      'a dead one of three with another down',
      cluster(3, (m) => {
        set(2, { healthy: false })(m);
        set(3, { healthy: false })(m);
      }),
      'etcd-n3',
      { dead: true },
      ['NC3102', 'NC3103'],
    ],
    ['one beside a learner', cluster(4, set(4, { isLearner: true })), 'etcd-n3', {}, ['NC3103']],
    [
      'one under an alarm',
      cluster(3, set(1, { alarms: ['NOSPACE'], leader: true })),
      'etcd-n3',
      {},
      ['NC3103'],
    ],
    [
      'one while another is far behind',
      cluster(3, set(2, { raftIndex: '9007199254730993' })),
      'etcd-n3',
      {},
      ['NC3103'],
    ],
    [
      'one while another is a little behind',
      cluster(3, set(2, { raftIndex: '9007199254740992' })),
      'etcd-n3',
      {},
      [],
    ],
    ['one while nobody leads', cluster(3, set(1, { leader: false })), 'etcd-n3', {}, ['NC3103']],
    ['one that is not a member', cluster(3), 'etcd-n9', {}, ['NC3104']],
    [
      'one of a set that is not expected',
      cluster(3),
      'etcd-n3',
      { expected: ['etcd-n1', 'etcd-n2'] },
      ['NC3104'],
    ],
    ['one while the members disagree', { ...cluster(3), disagree: true }, 'etcd-n3', {}, ['NC3103']],
  ];
  for (const [what, observation, name, options, expected] of removals) {
    it(`${expected.length === 0 ? 'allows' : 'refuses'} to remove ${what}`, () =>
      assert.deepEqual(codes(judgeRemoval(observation, name, options)), expected));
  }

  const paths: [string, EtcdObservation, Parameters<typeof judgePath>[2], string[]][] = [
    ['1 → 2 → 1', cluster(1), {}, ['NC3105']],
    ['1 → 2 → 1 without a snapshot', cluster(1), { allowSingleMember: true }, ['NC3105']],
    ['1 → 2 → 1 with a snapshot', cluster(1), SMALL, []],
    ['2 → 3 → 2', cluster(2), {}, []],
    ['2 → 3 → 2 with one down', cluster(2, set(2, { healthy: false })), {}, ['NC3102', 'NC3103']],
    ['3 → 4 → 3', cluster(3), {}, []],
    ['5 → 6 → 5', cluster(5), {}, []],
    [
      '3 → 2 → 3 for a dead one',
      cluster(3, set(1, { healthy: false, leader: false })),
      { dead: true },
      ['NC3103'],
    ],
    [
      '3 → 2 → 3 for a dead one, a new leader elected',
      cluster(3, (m) => {
        set(1, { healthy: false, leader: false })(m);
        set(2, { leader: true })(m);
      }),
      { dead: true },
      [],
    ],
  ];
  for (const [what, observation, options, expected] of paths) {
    it(`${expected.length === 0 ? 'allows' : 'refuses'} the path ${what}`, () =>
      assert.deepEqual(codes(judgePath(observation, 'etcd-n1', options)), expected));
  }

  it('never allows a removal that drops quorum, whatever the members are', () => {
    for (let n = 1; n <= 5; n += 1) {
      for (let mask = 0; mask < 4 ** n; mask += 1) {
        const observation = cluster(n, (members) => {
          for (let i = 0; i < n; i += 1) {
            const bits = Math.floor(mask / 4 ** i) % 4;
            set(i + 1, { healthy: (bits & 1) === 0, isLearner: (bits & 2) !== 0 })(members);
          }
        });
        for (const dead of [false, true]) {
          for (const one of observation.members) {
            if (judgeRemoval(observation, one.name, { dead }).length > 0) continue;
            const rest = observation.members.filter((other) => other !== one && !other.isLearner);
            assert.ok(
              rest.filter((other) => other.healthy).length >= quorum(rest.length) && rest.length > 0,
              JSON.stringify(observation),
            );
          }
        }
        if (judgeAddition(observation, SMALL).length === 0 && n > 1) {
          const healthy = observation.members.filter((one) => one.healthy && !one.isLearner).length;
          assert.ok(healthy >= quorum(n + 1));
        }
      }
    }
  });

  it('hands the leadership to the healthy voter that is furthest, compared as 64 bits', () => {
    const { members } = cluster(4, (m) => {
      set(2, { raftIndex: '9007199254740994' })(m);
      set(3, { raftIndex: '9007199254740999', healthy: false })(m);
      set(4, { isLearner: true, raftIndex: '9007199254740999' })(m);
    });
    assert.equal(bestSuccessor(members, members[0]?.id ?? '')?.name, 'etcd-n2');
  });
});
