/** Requests: good ones, good ones with something changed, and bytes. */
import { OWNED } from './world.ts';
import { READ_NAMES, spelt } from './oracle.ts';
import type { Seeded } from './seeded.ts';

export interface Case {
  method: string;
  target: string;
  key: string | undefined;
  body: Buffer;
}

type Params = Record<string, unknown>;

const HOSTILE: readonly unknown[] = [
  ...['', '*', '..', 'x$(calc)', 'prod-$(x)', 'prod-n1\n', '__proto__', 'con', '{{user "x"}}', '\ud800', 'а'],
  ...[
    '010.0.20.101',
    '::ffff:10.0.20.101',
    '2001:db8:20::7',
    '10.0.20.101 ',
    '0.0.0.0',
    'prod',
    'other',
    'p'.repeat(64),
    '10.0.20.101.',
  ],
  ...[null, true, 0, -1, 1.5, 1e300, 2 ** 53, [], {}, ['prod'], [['cp-prod']], { toString: 'prod' }],
];
const POOLS: Record<string, { good: readonly unknown[]; odd: readonly unknown[] }> = {
  cluster: { good: ['prod', 'stage', 'other'], odd: ['pro', 'prod-', 'PROD', 'third'] },
  node: {
    good: ['prod-n1', 'st-1-n', 'exact', 'prod-', 'st--n'],
    odd: ['prod', 'xprod-n', 'st-n', 'exactly', 'st-1-nn'],
  },
  role: { good: ['server', 'worker'], odd: ['-'] },
  size: { good: ['small', 'large'], odd: ['huge', 'toString'] },
  image: { good: ['ubuntu'], odd: ['windows', 'ubunt'] },
  address: {
    good: ['10.0.20.100', '10.0.20.149', '10.0.20.7'],
    odd: ['10.0.20.99', '10.0.20.150', '10.0.30.1', '10.0.40.9', '10.0.20.07'],
  },
  mac: {
    good: ['00:15:5d:00:00:01', '02:aa:00:00:00:01'],
    odd: ['00:15:5e:00:00:01', '02:ab:00:00:00:01', '00:15:5D:00:00:01'],
  },
  inheritFrom: { good: Object.keys(OWNED), odd: ['0000ffff-0000-4000-8000-000000000001'] },
  id: {
    good: Object.keys(OWNED),
    odd: ['0000ffff-0000-4000-8000-000000000009', '00000000-0000-4000-8000-00000000000A'],
  },
  replaces: { good: ['prod-n1', 'exact'], odd: ['dc01'] },
  zone: { good: ['example.test', 'corp.test'], odd: ['test', 'evil.example.test', 'example.test.'] },
  name: { good: ['cp-prod', 'x-1', 'b', 'any'], odd: ['x', '@', '_msdcs', 'cp-prodx', 'dc01'] },
  names: {
    good: [['cp-prod'], ['x-1', 'cp-prod'], ['any']],
    odd: [[], ['dc01'], ['cp-prod', 'dc01'], Array(65).fill('b')],
  },
  type: { good: ['A', 'A', 'AAAA', 'CNAME'], odd: ['aaaa', 'a', 'ANY'] },
  expect: { good: [[], ['10.0.20.101'], ['a.nodes.test']], odd: [['x']] },
  remove: { good: [[], ['10.0.20.101'], ['a.nodes.test']], odd: ['10.0.20.101'] },
  add: {
    good: [
      [],
      ['10.0.20.101'],
      ['10.0.30.3', '10.0.20.7'],
      ['a.nodes.test'],
      ['exact.test'],
      ['10.0.40.255'],
      ['2001:db8:20::7'],
      ['2001:db8:40::1f'],
    ],
    odd: [
      ['10.0.20.101', '10.0.21.1'],
      ['nodes.test'],
      ['a.nodes.test.evil.test'],
      ['exact.test', '8.8.8.8'],
      ['169.254.1.1'],
      ['2001:db8:21::1'],
      ['2001:db8:40::20'],
      ['2001:db8:20:0::7'],
      ['2001:DB8:20::7'],
    ],
  },
  ttlSeconds: { good: [1, 60, 300, 3600], odd: [0, 61, 3601, 86_401] },
  fence: { good: [0, 1, 2, 2, 2, 2, 2, 2], odd: [-1, 9007199254740991.5, '1'] },
};
const SHAPES: Record<string, string> = {
  'host.read': '',
  'vm.read': 'cluster',
  'dns.read': 'zone names',
  'image.build': 'image',
  'vm.create': 'cluster node role? size image address? mac? inheritFrom? replaces? fence',
  'vm.stop': 'cluster id fence',
  'vm.delete': 'cluster id fence',
  'dns.swap': 'cluster zone name type expect add remove ttlSeconds? fence',
};
const OPERATIONS = Object.keys(SHAPES);
const UNKNOWN = ['toString', '__proto__', 'vm.purge', 'VM.STOP', 'vm.stop ', '', 'constructor'];
const SPELLINGS: [from: RegExp, to: string][] = [
  [/:/, ': '],
  [/"c/, '"\\u0063'],
  [/(\d)([,}])/, '$1.0$2'],
  [/(\d)([,}])/, '$1e0$2'],
  [/\{"(\w+)":/, '{"$1":1,"$1":'],
  [/$/, '\n'],
  [/^/, '\ufeff'],
  [/\}$/, ',"zz":1}'],
  [/"params":\{/, '"params":{"__proto__":{},'],
];
const TARGETS = [
  '/v1/jobs/',
  '/v1/job',
  '/v1',
  '/v2/jobs',
  '//v1/jobs',
  '/v1/read/',
  '/v1/jobs/x/cancel',
  '*',
  '',
];

export interface Generator {
  next(): Case;
}

/** `readShare`: of the whole requests; a read that is granted runs scripts when the bridge is a real one. */
export function generator(random: Seeded, readShare: number): Generator {
  const { pick, chance, below } = random;
  let lastKeys: string[] = [];

  const value = (name: string): unknown => {
    const pool = POOLS[name];
    if (!pool || chance(0.02)) return pick(HOSTILE);
    return chance(0.06) ? pick(pool.odd) : pick(pool.good);
  };

  function parameters(op: string): Params {
    const params: Params = {};
    for (const part of (Object.hasOwn(SHAPES, op) ? (SHAPES[op] ?? '') : '')
      .split(' ')
      .filter((one) => one !== '')) {
      const name = part.replace('?', '');
      if (name === part || chance(0.4)) params[name] = value(name);
    }
    // What belongs together, more often than chance would have it.
    if (op === 'dns.swap' && chance(0.7)) {
      const isA = params['type'] === 'A';
      params['zone'] = isA ? 'example.test' : 'corp.test';
      params['add'] = isA ? ['10.0.20.101'] : ['a.nodes.test'];
      params['name'] = isA ? pick(['cp-prod', 'x-2']) : 'any';
      if ('ttlSeconds' in params) params['ttlSeconds'] = pick([1, 60, 61]);
    }
    if ('id' in params && chance(0.7)) {
      const [id, cluster] = pick(Object.entries(OWNED));
      Object.assign(params, { id, cluster });
    }
    return params;
  }

  function key(): string | undefined {
    if (chance(0.02)) return pick([undefined, '', 'abc', 'A'.repeat(64), 'a'.repeat(65)]);
    if (lastKeys.length > 0 && chance(0.25)) return pick(lastKeys);
    const made = random.bytes(32).toString('hex');
    lastKeys = [...lastKeys.slice(-8), made];
    return made;
  }

  function whole(change: (request: { op: unknown; params: unknown }) => unknown = (one) => one): Case {
    const reads = chance(readShare);
    const op = chance(0.03)
      ? pick(UNKNOWN)
      : pick(OPERATIONS.filter((one) => READ_NAMES.includes(one) === reads));
    const request = { op: op as unknown, params: parameters(op) as unknown };
    const changed = change(request);
    const asRead = reads && typeof request.op === 'string';
    return {
      method: chance(0.01) ? pick(['GET', 'PUT', 'HEAD']) : 'POST',
      target: chance(0.01) ? pick(TARGETS) : asRead ? `/v1/read/${String(request.op)}` : '/v1/jobs',
      key: key(),
      body: Buffer.from(spelt(asRead ? request.params : changed)),
    };
  }

  /** Another shape, spelt as it should be. */
  const restructured = (): Case =>
    whole((request) => {
      const params = request.params as Params;
      const name = pick(Object.keys(params).concat('op'));
      switch (below(7)) {
        case 0:
          delete params[name];
          break;
        case 1:
          params[pick(['extra', 'Cluster', 'constructor', 'command', 'path', name.toUpperCase()])] =
            pick(HOSTILE);
          break;
        case 2:
          params[name] = pick(HOSTILE);
          break;
        case 3:
          params[name] = [params[name]];
          break;
        case 4:
          request.params = pick(HOSTILE);
          break;
        case 5:
          request.op = pick(HOSTILE);
          break;
        default:
          return { ...request, [pick(['a', 'client', '__proto', 'z'])]: pick(HOSTILE) };
      }
      return request;
    });

  function respelt(): Case {
    const one = whole();
    const [from, to] = pick(SPELLINGS);
    return { ...one, body: Buffer.from(one.body.toString().replace(from, to)) };
  }

  function bitten(): Case {
    const one = whole();
    let { body } = one;
    for (let bites = 1 + below(3); bites > 0; bites -= 1) {
      const at = below(body.length + 1);
      const left = body.subarray(0, at);
      const right = body.subarray(at + below(3));
      body = pick([
        () => Buffer.concat([left, random.bytes(1 + below(3)), right]),
        () => Buffer.concat([left, right]),
        () => left,
        () => Buffer.concat([left, body]),
        () =>
          Buffer.concat([
            left,
            Buffer.from(pick(['"', '{', '}', ',', ':', '\\', '-', '*', '.', '0'])),
            right,
          ]),
      ])();
    }
    return { ...one, body };
  }

  const noise = (): Case => ({
    ...whole(),
    body: chance(0.5)
      ? random.bytes(below(200))
      : Buffer.from(
          Array.from({ length: below(80) }, () =>
            pick(Array.from('{}[]",:0123456789.-eE\\u opramstrue')),
          ).join(''),
        ),
  });

  const made: Case[] = [];
  return {
    next() {
      // A re-send, as after a lost connection.
      if (made.length > 0 && chance(0.05)) return pick(made);
      const one = fresh();
      made.push(one);
      if (made.length > 12) made.shift();
      return one;
    },
  };

  function fresh(): Case {
    const share = below(100);
    if (share < 45) return whole();
    if (share < 65) return restructured();
    if (share < 75) return respelt();
    if (share < 90) return bitten();
    return noise();
  }
}
