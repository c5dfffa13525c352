/** Bad HTTP: framing, headers, methods, paths, queries, keys. */
import { canonicalJson } from '../../../agent-bridge/protocol/canonical.ts';
import { gzipSync } from 'node:zlib';
import { keyLine, stop } from './bodies.ts';
import { overTls, request, row, slowly } from './door.ts';
import type { Row } from './door.ts';
import { vmId } from '../support/rig.ts';

const body = canonicalJson({ op: 'vm.stop', params: { ...stop, id: vmId(3) } });
/** A body that the policy refuses by name, so that one that slips through would be seen. */
const head = (...lines: string[]): string =>
  ['POST /v1/jobs HTTP/1.1', 'host: b', 'connection: close', keyLine(), ...lines, '', ''].join('\r\n');
const length = `content-length: ${body.length}`;
const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
const get = (target: string, ...lines: string[]): string => request('GET', target, lines);

export const framing: Row[] = [
  row('(a whole one, for comparison)', '403 notGranted id', head(length) + body),
  row('a length too short', 'closed', head('content-length: 10') + body),
  {
    input: 'a length too long, then the end',
    expected: '400 badRequest',
    ask: (door) =>
      overTls(door, door.mine, (socket) => socket.end(head(`content-length: ${body.length + 10}`) + body)),
  },
  row('a negative length', '400 badRequest', head('content-length: -1') + body),
  row('a length with a sign', '400 badRequest', head(`content-length: +${body.length}`) + body),
  row('a length in hex', '400 badRequest', head('content-length: 0x10') + body),
  row('a length past 2^64', '400 badRequest', head('content-length: 99999999999999999999') + body),
  row('a length of 1 PB', '413 tooLarge', head('content-length: 1125899906842624') + body),
  row('an empty length', '400 badRequest', head('content-length:') + body),
  row('two lengths that differ', '400 badRequest', head(length, 'content-length: 5') + body),
  row('two lengths in one', '400 badRequest', head(`${length}, ${body.length}`) + body),
  row('length and chunks together', '400 badRequest', head(length, 'transfer-encoding: chunked') + chunk),
  row('chunks and length together', '400 badRequest', head('transfer-encoding: chunked', length) + chunk),
  row('an unknown transfer encoding', '400 badRequest', head('transfer-encoding: xchunked') + chunk),
  row(
    'gzip under chunks',
    '400 badRequest',
    head('transfer-encoding: chunked', 'content-encoding: gzip') + chunk,
  ),
  row('chunked, then identity', '400 badRequest', head('transfer-encoding: chunked, identity') + chunk),
  row('chunked, spelt with a tab', '400 badRequest', head('transfer-encoding:\tchunked', length) + chunk),
  row(
    'a chunk size that is no number',
    '400 badRequest',
    head('transfer-encoding: chunked') + `zz\r\n${body}\r\n0\r\n\r\n`,
  ),
  row(
    'a chunk size past 2^64',
    '400 badRequest',
    head('transfer-encoding: chunked') + `fffffffffffffffff\r\n${body}`,
  ),
  row(
    'a negative chunk size',
    '400 badRequest',
    head('transfer-encoding: chunked') + `-5\r\n${body}\r\n0\r\n\r\n`,
  ),
  row(
    'a chunk longer than it says',
    '400 badRequest',
    head('transfer-encoding: chunked') + `5\r\n${body}\r\n0\r\n\r\n`,
  ),
  row(
    '100 KB of chunk extensions',
    '413 tooLarge',
    head('transfer-encoding: chunked') + `1;${'x'.repeat(102_400)}\r\n{\r\n`,
  ),
  row('a body above 64 KB', '413 tooLarge', head('content-length: 70000') + 'x'.repeat(70_000)),
  row(
    'a gzip bomb',
    '400 badRequest',
    Buffer.concat([
      Buffer.from(
        head(`content-length: ${gzipSync(Buffer.alloc(30_000_000)).length}`, 'content-encoding: gzip'),
      ),
      gzipSync(Buffer.alloc(30_000_000)),
    ]),
  ),
  row(
    'gzip without saying so',
    '400 notCanonical',
    Buffer.concat([Buffer.from(head(`content-length: ${gzipSync(body).length}`)), gzipSync(body)]),
  ),
  row(
    '10,000 headers',
    '431 tooLarge',
    head(length, ...Array.from({ length: 10_000 }, (_, n) => `x-${n}: 1`)) + body,
  ),
  row('one header of 1 MB', '431 tooLarge', head(length, `x: ${'y'.repeat(1_000_000)}`) + body),
  row('a target of 100 KB', '431 tooLarge', get(`/v1/jobs/${'a'.repeat(100_000)}`)),
  row('a header without a name', '400 badRequest', head(length, ': x') + body),
  row('a space before the colon', '400 badRequest', head(`content-length : ${body.length}`) + body),
  row('a folded header', '400 badRequest', head(length, 'x: a', ' b') + body),
  row('NUL in a header', '400 badRequest', head(length, 'x: a\0b') + body),
  row('CR alone in a header', '400 badRequest', head(length, 'x: a\rcontent-length: 1') + body),
  row('no host', '400 badRequest', 'GET /v1/jobs/x HTTP/1.1\r\nconnection: close\r\n\r\n'),
  row('a good request, then garbage behind it', 'closed', head(length) + body + 'SSH-2.0-x\r\n\r\n'),
  row(
    'a good request, kept alive, then garbage behind it',
    'closed',
    `POST /v1/jobs HTTP/1.1\r\nhost: b\r\n${keyLine()}\r\n${length}\r\n\r\n${body}SSH-2.0-x\r\n\r\n`,
  ),
  row('HTTP/1.0', '400 badRequest', 'GET /v1/jobs/x HTTP/1.0\r\nhost: b\r\n\r\n'),
  row('HTTP/2 by its preface', '400 badRequest', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  row('HTTP/0.9', '400 badRequest', 'GET /v1/jobs/x\r\n\r\n'),
  row('HTTP/9.9', '400 badRequest', 'GET /v1/jobs/x HTTP/9.9\r\nhost: b\r\n\r\n'),
  row('another protocol inside TLS', '400 badRequest', 'SSH-2.0-x\r\n\r\n'),
  row('line ends inside TLS', '400 badRequest', `${'\r\n'.repeat(50_000)}x\r\n\r\n`),
  row('random bytes inside TLS', '400 badRequest', Buffer.from('00ff16030100f0'.repeat(40), 'hex')),
  row('expect: 100-continue', '400 badRequest', head(length, 'expect: 100-continue') + body),
  row('expect: something else', '400 badRequest', head(length, 'expect: x') + body),
  row('upgrade: websocket', 'closed', get('/v1/jobs/x', 'connection: upgrade', 'upgrade: websocket')),
  row('upgrade: h2c', 'closed', get('/v1/jobs/x', 'connection: upgrade', 'upgrade: h2c')),
  row(
    'a second request behind the first',
    '404 notFound + 403 notGranted id',
    'GET /v1/jobs/x HTTP/1.1\r\nhost: b\r\n\r\n' + head(length) + body,
  ),
  row(
    'a request in the first one’s body',
    '400 notCanonical',
    head(`content-length: ${(head(length) + body).length}`) + head(length) + body,
  ),
  ...['DELETE', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'HEAD', 'PROPFIND'].map((method) =>
    row(`method ${method}`, method === 'HEAD' ? '400' : '400 badRequest', request(method, '/v1/jobs', [])),
  ),
  row('method CONNECT', 'closed', request('CONNECT', '10.0.0.1:445', [])),
  row('method EVIL', '400 badRequest', request('EVIL', '/v1/jobs', [])),
  row('method post', '400 badRequest', request('post', '/v1/jobs', [keyLine()], body)),
  row('a method in a header', '404 notFound', get('/v1/jobs', 'x-http-method-override: POST')),
];

/** Until a limit of the bridge ends it. */
export const slow: Row[] = [
  {
    input: 'headers, 1 byte/s',
    expected: '408 badRequest',
    ask: (door) => overTls(door, door.mine, slowly(1_000, 'POST /v1/jobs HTTP/1.1\r\nhost: b\r\n', 'x')),
  },
  {
    input: 'a body, 1 byte/s',
    expected: '408 badRequest',
    ask: (door) => overTls(door, door.mine, slowly(1_000, head('content-length: 60000'), 'x')),
  },
  {
    input: 'chunks of a byte, 1 a second',
    expected: '408 badRequest',
    ask: (door) => overTls(door, door.mine, slowly(1_000, head('transfer-encoding: chunked'), '1\r\nx\r\n')),
  },
  {
    input: 'a body that never comes',
    expected: '408 badRequest',
    ask: (door) => overTls(door, door.mine, (socket) => socket.write(head('content-length: 100'))),
  },
  {
    input: 'TLS and not a word',
    expected: 'closed',
    ask: (door) => overTls(door, door.mine, () => undefined),
  },
  {
    input: 'endless chunks',
    expected: '413 tooLarge',
    ask: (door) =>
      overTls(
        door,
        door.mine,
        slowly(2, head('transfer-encoding: chunked'), `400\r\n${'x'.repeat(1_024)}\r\n`),
      ),
  },
];

const TARGETS = [
  ...[
    '/',
    '/v1',
    '/v1/',
    '/v2/jobs/x',
    '/V1/jobs/x',
    '//v1/jobs/x',
    '/v1//jobs',
    '/v1/../etc/passwd',
    '/v1/jobs',
  ],
  ...[
    '/v1/jobs/..%2f..%2fserver.key',
    '/v1/jobs/%00',
    '/v1/jobs/x/log',
    '/v1/jobs/x/cancel',
    '/v1/jobs/x/log/y',
  ],
  ...[
    '/v1/jobs/\\\\host\\share',
    '/v1/jobs/C:/x',
    '/metrics',
    '/health',
    '/favicon.ico',
    '/v1/read/host.read',
    '*',
  ],
  ...[
    '/.git/config',
    'http://10.0.0.1/v1/jobs/x',
    '/v1/jobs/__proto__',
    '/v1/jobs/toString',
    '/v1;/jobs',
    '/?/v1/jobs',
  ],
];

export const targets: Row[] = TARGETS.map((target) => row(`GET ${target}`, '404 notFound', get(target)));

const OFFSETS = [
  '-1',
  '9223372036854775808',
  '1e3',
  '0x10',
  '1.5',
  '',
  '%20',
  'NaN',
  '1_000',
  '\u0661',
  '99999999999',
];

/** About a job that has ended; nothing here may make another. */
export const jobs: Row[] = [
  ...OFFSETS.map((offset): Row => ({
    input: `log from offset "${offset}"`,
    expected: '400 badRequest offset',
    ask: (door) =>
      overTls(door, door.mine, (socket) =>
        socket.write(get(`/v1/jobs/${door.jobId}/log?offset=${encodeURI(offset)}`)),
      ),
  })),
  ...(
    [
      ['waitMs -1', '400 badRequest waitMs', (id) => get(`/v1/jobs/${id}?waitMs=-1`)],
      [
        'waitMs past 2^53 on a finished job',
        '400 badRequest waitMs',
        (id) => get(`/v1/jobs/${id}?waitMs=9999999999999999`),
      ],
      ['its id in capitals', '404 notFound', (id) => get(`/v1/jobs/${id.toUpperCase()}`)],
      ['its id and a space', '404 notFound', (id) => get(`/v1/jobs/${id}%20`)],
      ['its id and a slash', '404 notFound', (id) => get(`/v1/jobs/${id}/`)],
      ['cancel of a finished job', '200 succeeded', (id) => request('POST', `/v1/jobs/${id}/cancel`, [])],
      ['cancel by GET', '404 notFound', (id) => get(`/v1/jobs/${id}/cancel`)],
      ['the params file of a job', '404 notFound', (id) => get(`/v1/jobs/${id}/params.json`)],
      ['the log by POST', '404 notFound', (id) => request('POST', `/v1/jobs/${id}/log`, [])],
    ] satisfies [string, string, (id: string) => string][]
  ).map(([input, expected, bytes]): Row => ({
    input,
    expected,
    ask: (door) => overTls(door, door.mine, (socket) => socket.write(bytes(door.jobId))),
  })),
  ...(
    [
      ['another client’s job', '404 notFound', (id) => get(`/v1/jobs/${id}`)],
      ['another client’s log', '404 notFound', (id) => get(`/v1/jobs/${id}/log`)],
      [
        'another client’s job, to cancel',
        '404 notFound',
        (id) => request('POST', `/v1/jobs/${id}/cancel`, []),
      ],
      [
        'a job beyond the budget',
        '403 budgetSpent',
        () =>
          request(
            'POST',
            '/v1/jobs',
            [keyLine()],
            canonicalJson({ op: 'vm.stop', params: { cluster: 'other', fence: 0, id: vmId(2) } }),
          ),
      ],
      [
        'an operation of another client',
        '403 notGranted',
        () =>
          request(
            'POST',
            '/v1/jobs',
            [keyLine()],
            canonicalJson({ op: 'image.build', params: { image: 'ubuntu' } }),
          ),
      ],
    ] satisfies [string, string, (id: string) => string][]
  ).map(([input, expected, bytes]): Row => ({
    input,
    expected,
    ask: (door) => overTls(door, door.other, (socket) => socket.write(bytes(door.jobId))),
  })),
  row(
    'a used key with another body',
    '422 keyReused',
    request(
      'POST',
      '/v1/jobs',
      [keyLine('a'.repeat(64))],
      canonicalJson({ op: 'vm.stop', params: { ...stop, fence: 10 } }),
    ),
  ),
  row(
    'a used key with its own body',
    '200 succeeded',
    request('POST', '/v1/jobs', [keyLine('a'.repeat(64))], canonicalJson({ op: 'vm.stop', params: stop })),
  ),
  row('no key', '400 badRequest', request('POST', '/v1/jobs', [], body)),
  ...['abc', 'A'.repeat(64), 'g'.repeat(64), 'a'.repeat(65), '', '../../x', 'a'.repeat(63)].map((key) =>
    row(
      `key "${key.slice(0, 8)}", ${key.length} long`,
      '400 badRequest',
      request('POST', '/v1/jobs', [`idempotency-key: ${key}`], body),
    ),
  ),
  row('two keys', '400 badRequest', request('POST', '/v1/jobs', [keyLine(), keyLine()], body)),
];
