import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeText, encodeText } from '../../../../cycle/edge/nginx/frames.ts';
import { parseNginx, walk, writeNginx } from '../../../../cycle/edge/nginx/grammar.ts';
import { globMatches } from '../../../../cycle/edge/nginx/includes.ts';
import { realNginx } from '../../../../lab/servers/proxy/nginx.ts';

/** Name → text, and whether Debian's nginx-light accepts it inside `http { … }` (Lua and others need modules). */
const shapes: [string, string, ('http' | 'main' | 'no')?][] = [
  ['an empty file', ''],
  ['only blanks', ' \t\n\n'],
  ['only a comment without a newline', '# nothing'],
  ['one directive without a newline', 'gzip on;'],
  ['CRLF', '# a\r\nupstream a {\r\n\tserver 127.0.0.1:80; # b\r\n}\r\n'],
  ['mixed line ends', 'gzip on;\r\ngzip_vary on;\n\r\n'],
  ['tabs and several on a line', 'upstream a {\tserver 127.0.0.1:80;\tserver 127.0.0.2:80 backup; }'],
  [
    'a statement over several lines',
    'upstream a {\n  server\n    127.0.0.1:80\n    weight=5\n    # in between\n    max_fails=2;\n}\n',
  ],
  ['double quotes with blanks', 'log_format "a b" "$remote_addr \\"x\\" ;{}#";\n'],
  ['single quotes with a semicolon', "add_header X-A 'a;b{c}d # e';\n"],
  ['an escaped blank in a plain word', 'add_header X-A a\\ b;\n'],
  ['an escaped quote in a plain word', 'add_header X-A a\\"b;\n'],
  ['a hash inside a word', 'add_header X-A a#b;\n'],
  ['a quote inside a word', "add_header X-A it's;\n"],
  ['a comment with braces and quotes', '# } { ; " \'\ngzip on; # "\n'],
  ['a comment right behind the semicolon', 'gzip on;# x\n'],
  ['a variable in braces', 'add_header X-A ${remote_addr}x;\n'],
  [
    'a variable in braces with a block behind it',
    'server { location / { if ($host = "${host}") { return 404; } } listen 127.0.0.1:1; }\n',
  ],
  [
    'a closing parenthesis behind a quote',
    'server { listen 127.0.0.1:1; location / { if ($arg_a = "x"){ return 403; } } }\n',
  ],
  [
    'a regular expression with a quantifier in quotes',
    'server { listen 127.0.0.1:1; location ~ "^/x{1,3}$" { return 200; } }\n',
  ],
  [
    'a regular expression with a dollar and a parenthesis',
    'server { listen 127.0.0.1:1; location ~* \\.(png|jpg)$ { return 200; } }\n',
  ],
  ['a map', 'map $uri $x { default ""; ~^/a\\.b$ \'c;d\'; "/e f" 1; hostnames; }\n'],
  [
    'a map with variables and regex captures',
    "map $http_upgrade $up {\n    default upgrade;\n    ''      close;\n    ~(?<n>.+) $n;\n}\n",
  ],
  ['a geo block', 'geo $g { default 0; 10.0.0.0/8 1; ::1/128 2; }\n'],
  ['split_clients', 'split_clients $remote_addr $v { 0.5% .one; * ""; }\n'],
  ['types', 'types { text/html html htm; }\ndefault_type application/octet-stream;\n'],
  ['a limit zone with sizes', 'limit_req_zone $binary_remote_addr zone=one:10m rate=1r/s;\n'],
  [
    'a log format over several lines',
    "log_format main '$remote_addr - $status '\n                '\"$request\"';\n",
  ],
  ['a return with quotes and escapes', 'server { listen 127.0.0.1:1; return 200 \'a\\nb\\t"c"\'; }\n'],
  [
    'nested locations',
    'server {\n  listen 127.0.0.1:1;\n  location /a/ {\n    location /a/b { return 200; }\n  }\n}\n',
  ],
  ['an IPv6 upstream', 'upstream six { server [::1]:80; server [2001:db8::1]; }\n'],
  ['a unix socket upstream', 'upstream sock { server unix:/run/a.sock weight=2; }\n'],
  [
    'an upstream with everything',
    'upstream full { zone full 64k; least_conn; server 127.0.0.1:80 weight=5 max_fails=3 fail_timeout=30s max_conns=9; keepalive 16; }\n',
  ],
  ['UTF-8 in comments, words and names', '# Größe → ✓ 日本\nadd_header X-Ü "é";\n'],
  [
    'a server name with wildcards',
    'server { listen 127.0.0.1:1; server_name *.example.test ~^www\\d+\\.example\\.test$ ""; }\n',
  ],
  ['an empty word in quotes', 'server { listen 127.0.0.1:1; server_name ""; }\n'],
  [
    'a closing brace at the start of a line with another behind it',
    'server { listen 127.0.0.1:1; location / { return 200; }}\n',
  ],
  ['many blank lines at the end', 'gzip on;\n\n\n\n'],
  ['a form that ends in a comment', 'gzip on;\n# end'],
  ['a brace inside a plain word', 'add_header X-A a}b;\n'],
  [
    'a Lua block',
    'server { location / { content_by_lua_block {\n  local t = { a = "}" } -- }\n  ngx.say([[ } ]], \'{\')\n} } }\n',
    'no',
  ],
  [
    'a Lua block with long brackets and comments',
    'init_by_lua_block {\n --[==[ } ]] } ]==]\n local s = [=[ }} ]=] .. "\\"}"\n}\ngzip on;\n',
    'no',
  ],
  ['an empty Lua block', 'access_by_lua_block {}\n', 'no'],
  ['a perl_set', 'perl_set $x \'sub { my $r = shift; return "}"; }\';\n', 'no'],
  [
    'whole main file',
    'user www-data;\nworker_processes auto;\nevents { worker_connections 768; }\nhttp { include /etc/nginx/mime.types; }\nstream { upstream s { server 127.0.0.1:1; } }\n',
    'main',
  ],
  ['mail', 'mail { server { listen 127.0.0.1:25; protocol smtp; } }\n', 'no'],
  [
    'ten thousand lines',
    Array.from({ length: 5_000 }, (_n, i) => `# line ${i}\nmap $a${i} $b${i} { default ${i}; }`).join('\n'),
    'no',
  ],
];

describe("nginx's grammar", () => {
  for (const [name, text] of shapes) {
    it(`gives back ${name} byte for byte`, () => {
      const document = parseNginx(text, 'a.conf');
      assert.equal(writeNginx(document), text);
      let at = 0;
      for (const token of document.tokens) {
        assert.equal(token.start, at);
        at += token.text.length;
      }
      walk(document.body, (directive) => {
        assert.ok(text.slice(directive.start, directive.end).endsWith(directive.children ? '}' : ';'));
        assert.equal(text.slice(0, directive.start).split('\n').length, directive.line);
      });
    });
  }

  const real = realNginx();
  if (real) {
    it('reads what nginx itself reads as valid', () => {
      const dir = mkdtempSync(join(tmpdir(), 'node-cycle-grammar-'));
      mkdirSync(join(dir, 'tmp'));
      const accepted = shapes.filter(([, , where]) => (where ?? 'http') === 'http');
      assert.ok(accepted.length >= 30);
      for (const [name, text] of accepted) {
        const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
          .map((t) => `${t}_temp_path ${dir}/tmp/${t};`)
          .join(' ');
        const conf = join(dir, 'nginx.conf');
        writeFileSync(join(dir, 'part.conf'), text);
        writeFileSync(
          conf,
          `pid ${dir}/pid; error_log ${dir}/e.log; events {}\nhttp { access_log off; ${temps} include ${dir}/part.conf; }\n`,
        );
        const result: { status: number | null; stderr: string } = spawnSync(
          real.binary,
          ['-t', '-p', dir, '-c', conf],
          { encoding: 'utf8' },
        );
        assert.equal(result.status, 0, `${name}: ${result.stderr}`);
      }
      rmSync(dir, { recursive: true, force: true });
    });
    it('refuses what nginx itself refuses', () => {
      const dir = mkdtempSync(join(tmpdir(), 'node-cycle-grammar-'));
      for (const [text] of broken) {
        const conf = join(dir, 'nginx.conf');
        writeFileSync(conf, `pid ${dir}/pid; error_log ${dir}/e.log; events {}\n${text}`);
        assert.equal(spawnSync(real.binary, ['-t', '-p', dir, '-c', conf]).status, 1, text);
      }
      rmSync(dir, { recursive: true, force: true });
    });
  }

  const broken: [string, RegExp][] = [
    ['a b', /a\.conf:1: the file ends inside a directive/],
    ['a;\nb {\n', /a\.conf:2: the block of "b" does not end/],
    ['a;\n}\n', /a\.conf:2: found "}" without a block/],
    ['a { b }\n', /a\.conf:1: found "}" where ";" was expected/],
    ['a;\n;\n', /a\.conf:2: found ";"/],
    ['{ a; }', /found "{"/],
    ['a "b;\n', /does not end/],
    ['a "b"c;\n', /right behind a closing quote/],
  ];
  for (const [text, message] of broken) {
    it(`names the line of ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseNginx(text, 'a.conf'), message));
  }
  it('says when a Lua block does not end', () => {
    assert.throws(
      () => parseNginx('x_by_lua_block {\n [[ }\n', 'a.conf'),
      /Lua block of x_by_lua_block does not end/,
    );
  });

  it('resolves quotes and escapes as nginx does', () => {
    const words = parseNginx(`a "b \\"c\\"" 'd\\'e' f\\;g "h\\ti" \\$j;`, 'x').body[0]?.args.map(
      (word) => word.value,
    );
    assert.deepEqual(words, ['b "c"', "d'e", 'f\\;g', 'h\ti', '\\$j']);
  });

  it('turns bytes that are no UTF-8 into text and back', () => {
    const all = Uint8Array.from({ length: 256 }, (_n, i) => i);
    for (const bytes of [
      all,
      Buffer.from('é→𝒳\ufeff'),
      Buffer.from('\ufeffa'),
      Buffer.from([0xf0, 0x9d, 0x92]),
      Buffer.alloc(0),
    ]) {
      assert.deepEqual(Buffer.from(encodeText(decodeText(bytes))), Buffer.from(bytes));
    }
  });

  it('matches include patterns as glob does: never a leading dot, never across folders', () => {
    assert.ok(globMatches('/etc/nginx/conf.d/*.conf', '/etc/nginx/conf.d/a.conf'));
    assert.ok(globMatches('/etc/nginx/*-enabled/[a-c]?', '/etc/nginx/sites-enabled/b1'));
    assert.ok(!globMatches('/etc/nginx/sites-enabled/*', '/etc/nginx/sites-enabled/.node-cycle.a'));
    assert.ok(!globMatches('/etc/nginx/*', '/etc/nginx/conf.d/a.conf'));
    assert.ok(!globMatches('/etc/a.conf', '/etc/aXconf'));
  });
});
