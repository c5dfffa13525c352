import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeText, encodeText } from '../../../../cycle/edge/nginx/frames.ts';
import { parseNginx, writeNginx } from '../../../../cycle/edge/nginx/grammar.ts';
import {
  addBeside,
  markDown,
  markUp,
  placesOf,
  removeAddress,
  restore,
} from '../../../../cycle/edge/nginx/upstreams.ts';
import { realNginx } from '../../../../lab/servers/proxy/nginx.ts';
import { corpus, marked } from '../marked.ts';
import type { Marked } from '../marked.ts';

const [OLD, NEW] = ['127.0.0.11', '127.0.0.13'];

const tenThousandLines = Array.from(
  { length: 2_500 },
  (_none, n) =>
    `upstream ten_thousand_${n} {\n    server 127.0.0.12:${10_000 + n};\n${
      n % 500 === 0
        ? `⟦    server ${OLD}:${10_000 + n}‹ down›;\n⟧«    server ${NEW}:${10_000 + n};\n»`
        : `    server 127.0.0.14:${10_000 + n};\n`
    }}`,
).join('\n');

const shapes = new Map<string, Marked>();
for (const [name, text] of [...corpus('nginx'), ['http-ten-thousand-lines.conf', tenThousandLines] as const])
  shapes.set(name, marked(text));
const one = (name: string, text: string) => ({ [name]: text });

describe('files of nginx as people write them', function () {
  this.timeout(60_000);
  it('are at least sixty, one of them with ten thousand lines', () => {
    assert.ok(shapes.size >= 60);
    assert.equal(shapes.get('http-ten-thousand-lines.conf')?.before.split('\n').length, 10_000);
  });

  for (const [name, { before, added, down, out }] of shapes) {
    it(`${name}: comes back byte for byte, and a change touches only its lines, there and back`, () => {
      for (const text of [before, added, down, out]) {
        assert.equal(writeNginx(parseNginx(text, name)), text);
        assert.deepEqual(encodeText(decodeText(Buffer.from(text))), Buffer.from(text));
      }
      const held = placesOf(one(name, before), OLD);
      assert.ok(held.length > 0);
      assert.deepEqual(addBeside(one(name, before), OLD, NEW), one(name, added));
      assert.deepEqual(addBeside(one(name, added), OLD, NEW), {}, 'once is enough');
      assert.equal(placesOf(one(name, added), NEW).length, held.length);
      const wasDown = held.some((place) => place.down);
      assert.deepEqual(markDown(one(name, added), OLD), wasDown ? {} : one(name, down));
      if (!wasDown) assert.deepEqual(markUp(one(name, down), OLD), one(name, added));
      const gone = removeAddress(one(name, added), OLD);
      assert.deepEqual(gone.files, one(name, out));
      assert.deepEqual(placesOf(one(name, out), OLD), []);
      let back: Record<string, string> = one(name, out);
      for (const line of gone.removed) back = { ...back, ...restore(back, line) };
      assert.deepEqual(back, one(name, added), 'the old one is in its place again');
      assert.deepEqual(removeAddress(back, NEW).files, one(name, before), 'as it was');
    });
  }

  it('hold the servers of an upstream in a file of their own too, which two upstreams may share', () => {
    const files = {
      '/etc/nginx/nginx.conf':
        'http {\n  upstream a { include servers/web.conf; keepalive 4; }\n  upstream b { include servers/*.conf; }\n}\n',
      '/etc/nginx/servers/web.conf': `server ${OLD}:80 weight=2; # one\nserver 127.0.0.12:80;\n`,
    };
    assert.deepEqual(
      placesOf(files, OLD).map(({ file, upstream, context, line }) => [file, upstream, context, line]),
      ['a', 'b'].map((upstream) => ['/etc/nginx/servers/web.conf', upstream, 'http', 1]),
    );
    const added = { ...files, ...addBeside(files, OLD, NEW) };
    assert.equal(
      added['/etc/nginx/servers/web.conf'],
      `server ${OLD}:80 weight=2; # one\nserver ${NEW}:80 weight=2;\nserver 127.0.0.12:80;\n`,
    );
    const gone = removeAddress(added, OLD);
    assert.equal(
      gone.files['/etc/nginx/servers/web.conf'],
      `server ${NEW}:80 weight=2;\nserver 127.0.0.12:80;\n`,
    );
    let back = { ...added, ...gone.files };
    for (const line of gone.removed) back = { ...back, ...restore(back, line) };
    assert.deepEqual(back, added);
    const only = { ...files, '/etc/nginx/servers/web.conf': `server ${OLD}:80;\n` };
    assert.throws(() => removeAddress(only, OLD), /NC4004/);
  });

  const real = realNginx();
  if (real) {
    for (const state of ['before', 'added', 'down', 'out'] as const) {
      it(`are valid to the real nginx ${state === 'before' ? 'as they are' : `in the state "${state}"`}`, () => {
        const dir = mkdtempSync(join(tmpdir(), 'node-cycle-shapes-'));
        try {
          for (const folder of ['http', 'stream', 'tmp']) mkdirSync(join(dir, folder));
          writeFileSync(join(dir, 'mime.types'), 'types { text/html html; }\n');
          const mains: string[] = [];
          for (const [name, texts] of shapes) {
            const kind = name.split('-')[0];
            if (kind === 'http' || kind === 'stream') writeFileSync(join(dir, kind, name), texts[state]);
            if (kind !== 'main') continue;
            const load = texts[state].includes('stream {') && real.streamModule !== undefined;
            writeFileSync(
              join(dir, name),
              (load ? `load_module ${String(real.streamModule)};\n` : '') + texts[state],
            );
            mains.push(join(dir, name));
          }
          const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
            .map((temp) => `${temp}_temp_path ${dir}/tmp/${temp};`)
            .join(' ');
          const all = join(dir, 'all.conf');
          writeFileSync(
            all,
            `${real.streamModule === undefined ? '' : `load_module ${real.streamModule};\n`}pid ${dir}/pid;\nevents {}\nhttp { access_log off; ${temps} proxy_headers_hash_max_size 2048; include ${dir}/http/*; }\nstream { include ${dir}/stream/*; }\n`,
          );
          for (const conf of [all, ...mains]) {
            const settings = `error_log ${dir}/error.log;${conf === all ? '' : ` pid ${dir}/pid;`}`;
            const result: { status: number | null; stderr: string } = spawnSync(
              real.binary,
              ['-t', '-p', dir, '-c', conf, '-g', settings],
              { encoding: 'utf8' },
            );
            assert.equal(result.status, 0, result.stderr);
          }
        } finally {
          rmSync(dir, { recursive: true, force: true });
        }
      });
    }
  }
});
