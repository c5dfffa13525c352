import assert from 'node:assert/strict';
import {
  addBeside,
  markDown,
  markUp,
  mentionsOf,
  placesOf,
  removeAddress,
  restore,
  upstreamServers,
} from '../../../../cycle/edge/nginx/upstreams.ts';

const FILE = '/etc/nginx/conf.d/lb.conf';
const one = (text: string) => ({ [FILE]: text });
const OLD = '10.0.0.11';
const NEW = '10.0.0.13';

/** Before; with the successor; old down; old out. */
const edits: [string, string, string, string, string][] = [
  [
    'a line of its own with a comment',
    `upstream a {\n    server 10.0.0.11:80 weight=5 max_fails=2; # rack 1\n    # two\n    server 10.0.0.12:80;\n}\n`,
    `upstream a {\n    server 10.0.0.11:80 weight=5 max_fails=2; # rack 1\n    server 10.0.0.13:80 weight=5 max_fails=2;\n    # two\n    server 10.0.0.12:80;\n}\n`,
    `upstream a {\n    server 10.0.0.11:80 weight=5 max_fails=2 down; # rack 1\n    # two\n    server 10.0.0.12:80;\n}\n`,
    `upstream a {\n    # two\n    server 10.0.0.12:80;\n}\n`,
  ],
  [
    'all on one line',
    `upstream a { server 10.0.0.11; server 10.0.0.12; keepalive 3; }`,
    `upstream a { server 10.0.0.11; server 10.0.0.13; server 10.0.0.12; keepalive 3; }`,
    `upstream a { server 10.0.0.11 down; server 10.0.0.12; keepalive 3; }`,
    `upstream a { server 10.0.0.12; keepalive 3; }`,
  ],
  [
    'CRLF and tabs',
    `upstream a {\r\n\tserver 10.0.0.12:80;\r\n\tserver\t10.0.0.11:80\tbackup;\r\n}\r\n`,
    `upstream a {\r\n\tserver 10.0.0.12:80;\r\n\tserver\t10.0.0.11:80\tbackup;\r\n\tserver\t10.0.0.13:80\tbackup;\r\n}\r\n`,
    `upstream a {\r\n\tserver 10.0.0.12:80;\r\n\tserver\t10.0.0.11:80\tbackup down;\r\n}\r\n`,
    `upstream a {\r\n\tserver 10.0.0.12:80;\r\n}\r\n`,
  ],
  [
    'a quoted address over several lines',
    `upstream a {\n  server\n    "10.0.0.11:443"\n    weight=2\n  ;\n  server 10.0.0.12:443;\n}\n`,
    `upstream a {\n  server\n    "10.0.0.11:443"\n    weight=2\n  ;\n  server\n    "10.0.0.13:443"\n    weight=2\n  ;\n  server 10.0.0.12:443;\n}\n`,
    `upstream a {\n  server\n    "10.0.0.11:443"\n    weight=2 down\n  ;\n  server 10.0.0.12:443;\n}\n`,
    `upstream a {\n  server 10.0.0.12:443;\n}\n`,
  ],
  [
    'two upstreams with two ports',
    `upstream a { server 10.0.0.11:80; server 10.0.0.12:80; }\nupstream b {\n  server 10.0.0.12:443;\n  server 10.0.0.11:443 max_conns=9;\n}\n`,
    `upstream a { server 10.0.0.11:80; server 10.0.0.13:80; server 10.0.0.12:80; }\nupstream b {\n  server 10.0.0.12:443;\n  server 10.0.0.11:443 max_conns=9;\n  server 10.0.0.13:443 max_conns=9;\n}\n`,
    `upstream a { server 10.0.0.11:80 down; server 10.0.0.12:80; }\nupstream b {\n  server 10.0.0.12:443;\n  server 10.0.0.11:443 max_conns=9 down;\n}\n`,
    `upstream a { server 10.0.0.12:80; }\nupstream b {\n  server 10.0.0.12:443;\n}\n`,
  ],
];

describe('the places of an address in the upstreams', () => {
  for (const [name, before, added, down, out] of edits) {
    it(`adds, marks and removes only where it must: ${name}`, () => {
      assert.deepEqual(addBeside(one(before), OLD, NEW), one(added));
      assert.deepEqual(addBeside(one(added), OLD, NEW), {}, 'once is enough');
      assert.deepEqual(markDown(one(before), OLD), one(down));
      assert.deepEqual(markDown(one(down), OLD), {});
      assert.deepEqual(markUp(one(down), OLD), one(before));
      const { files, removed } = removeAddress(one(before), OLD);
      assert.deepEqual(files, one(out));
      let back: Record<string, string> = files;
      for (const line of removed) back = { ...back, ...restore(back, line) };
      assert.deepEqual(back, one(before), 'and back again');
      for (const line of removed) assert.deepEqual(restore(back, line), {});
    });
  }

  it('does not give a successor the mark of a server that is down', () => {
    const text = `upstream a {\n  server 10.0.0.11:80 down weight=2;\n  server 10.0.0.12:80;\n}\n`;
    assert.match(addBeside(one(text), OLD, NEW)[FILE] ?? '', /\n {2}server 10\.0\.0\.13:80 weight=2;\n/);
  });

  it('reads places with file, line, port and parameters, http and stream, through includes', () => {
    const files = {
      '/etc/nginx/nginx.conf':
        'http { include conf.d/*.conf; }\nstream { include /etc/nginx/stream.d/*; upstream own { server 10.0.0.11:1 resolve; } }\n',
      '/etc/nginx/conf.d/a.conf':
        'include parts/p.conf;\nupstream web {\n  server 10.0.0.11:80 weight=2;\n}\n',
      '/etc/nginx/parts/p.conf': 'upstream nested { server [2001:DB8::1]:80; }\n',
      '/etc/nginx/stream.d/s':
        'upstream web { server 10.0.0.11:6443 backup; server unix:/run/x.sock; server db.test:5432 down; }\n',
      '/etc/other.conf': 'upstream lonely { server 10.0.0.9; }\n',
    };
    const found = upstreamServers(files).map((s) => [
      s.context,
      s.upstream,
      s.address,
      s.port,
      s.line,
      s.params.join(' '),
    ]);
    assert.deepEqual(found, [
      ['stream', 'own', '10.0.0.11', 1, 2, 'resolve'],
      ['http', 'web', '10.0.0.11', 80, 3, 'weight=2'],
      ['http', 'nested', '2001:db8::1', 80, 1, ''],
      ['stream', 'web', '10.0.0.11', 6443, 1, 'backup'],
      ['stream', 'web', 'unix:/run/x.sock', undefined, 1, ''],
      ['stream', 'web', 'db.test', 5432, 1, 'down'],
      ['unknown', 'lonely', '10.0.0.9', undefined, 1, ''],
    ]);
    assert.equal(placesOf(files, '2001:db8:0::1').length, 1);
    assert.deepEqual(Object.keys(addBeside(files, OLD, NEW)).sort(), [
      '/etc/nginx/conf.d/a.conf',
      '/etc/nginx/nginx.conf',
      '/etc/nginx/stream.d/s',
    ]);
  });

  it('refuses an upstream that two files define, but not one of http and one of stream', () => {
    const twice = { '/a': 'upstream x { server 10.0.0.1; }', '/b': '\nupstream x { server 10.0.0.2; }' };
    assert.throws(() => upstreamServers(twice), /NC4002.*\/a:1 and in \/b:2/);
    assert.throws(() => upstreamServers(one('upstream x { server a; }\nupstream x { server b; }')), /NC4002/);
    const apart = {
      '/m': 'http { upstream x { server 10.0.0.1; } }\nstream { upstream x { server 10.0.0.1; } }',
    };
    assert.equal(upstreamServers(apart).length, 2);
  });

  it('never leaves an upstream without a server that takes traffic', () => {
    const last = one('upstream a { server 10.0.0.11; }');
    const restDown = one('upstream a { server 10.0.0.11; server 10.0.0.12 down; }');
    for (const files of [last, restDown]) {
      assert.throws(() => removeAddress(files, OLD), /NC4004/);
      assert.throws(() => markDown(files, OLD), /NC4004/);
    }
  });

  it('lets nothing but an address in', () => {
    const files = one('upstream a { server 10.0.0.11; }');
    for (const hostile of [
      '10.0.0.13; } evil {',
      '10.0.0.13\n',
      '$(id)',
      'node-3',
      '10.0.0.300',
      '',
      '10.0.0.13:80',
      '::1; x',
    ]) {
      assert.throws(() => addBeside(files, OLD, hostile), /NC4003/, hostile);
    }
    assert.match(
      addBeside(one('upstream a { server [::1]:80; }'), '::1', '2001:DB8::2')[FILE] ?? '',
      /server \[2001:db8::2\]:80;/,
    );
  });

  it('puts a line back at the end when its neighbour is gone, and says so when the upstream is', () => {
    const { removed } = removeAddress(
      one('upstream a {\n  server 10.0.0.12;\n  server 10.0.0.11; # x\n}\n'),
      OLD,
    );
    const [line] = removed;
    assert.ok(line);
    assert.deepEqual(
      restore(one('upstream a {\n  server 10.0.0.14;\n}\n'), line),
      one('upstream a {\n  server 10.0.0.14;\n  server 10.0.0.11; # x\n}\n'),
    );
    assert.throws(() => restore(one('upstream b { server 10.0.0.14; }'), line), /NC4007/);
  });

  it('finds an address outside the upstreams, but not in comments or in a longer address', () => {
    const text =
      '# 10.0.0.11\nmap $a $b { default 10.0.0.11; }\nserver { location / { proxy_pass http://10.0.0.11:80; } set $x 10.0.0.110; }\nupstream a { server 10.0.0.11; }\n';
    assert.deepEqual(mentionsOf(one(text), OLD), [
      { file: FILE, line: 2, directive: 'default' },
      { file: FILE, line: 3, directive: 'proxy_pass' },
    ]);
  });

  it('finds a host name that follows DNS, with `resolve` and in variables, but not as a name that users open', () => {
    const text = `upstream a {\n  server node-1.k8s.test:80 resolve;\n  server node-1.k8s.test.other:80;\n}\nserver {\n  server_name node-1.k8s.test;\n  set $to node-1.k8s.test;\n  location / { proxy_pass http://Node-1.k8s.test:80/; }\n}\n`;
    assert.deepEqual(
      mentionsOf(one(text), 'node-1.k8s.test').map(({ line, directive }) => [line, directive]),
      [
        [2, 'server'],
        [7, 'set'],
        [8, 'proxy_pass'],
      ],
    );
  });
});
