/** Bad bodies of whole requests: names, paths, ids, addresses, JSON. */
import { canonicalJson } from '../../../agent-bridge/protocol/canonical.ts';
import { vmId } from '../support/rig.ts';
import { request, row } from './door.ts';
import type { Row } from './door.ts';

type Params = { [name: string]: unknown };
let keys = 0;
export const keyLine = (key?: string): string =>
  `idempotency-key: ${key ?? (keys += 1).toString(16).padStart(64, 'b')}`;

const raw = (text: string | Buffer): string | Buffer => {
  const head = `POST /v1/jobs HTTP/1.1\r\nhost: b\r\nconnection: close\r\n${keyLine()}\r\n`;
  const body = Buffer.from(text as string);
  return Buffer.concat([Buffer.from(`${head}content-length: ${body.length}\r\n\r\n`), body]);
};
const job = (op: string, params: unknown): string =>
  request('POST', '/v1/jobs', [keyLine()], canonicalJson({ op, params }));
const reading = (op: string, params: unknown): string =>
  request('POST', `/v1/read/${op}`, [], canonicalJson(params));

const create: Params = { cluster: 'prod', node: 'prod-n7', size: 'small', image: 'ubuntu', fence: 9 };
export const stop: Params = { cluster: 'prod', id: vmId(1), fence: 9 };
const swap: Params = {
  cluster: 'prod',
  zone: 'example.test',
  name: 'cp-prod',
  type: 'A',
  expect: [],
  add: ['10.0.20.101'],
  remove: [],
  fence: 9,
};

/** Printable, short: what the table shows of a value. */
export const shown = (value: unknown): string => {
  const text = JSON.stringify(value).replace(
    /[^ -~]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return text.length > 44 ? `${text.slice(0, 32)}…(${text.length} characters)` : text;
};

const NAMES = [
  ...['x$(calc)', 'x`calc`', 'x"; Remove-VM *', "x'", 'x\u2018', 'x\u2019', 'x\u201a', 'x\u201b', 'x\u201c'],
  ...[
    '*',
    '?',
    '[a-z]*',
    '',
    ' ',
    'prod-n1 ',
    'prod-n1.',
    'CON',
    'NUL.txt',
    'p'.repeat(65),
    'p'.repeat(10_000),
  ],
  ...[
    '-Force',
    '--%',
    '@args',
    '{{user "x"}}',
    '${env:PATH}',
    '%PATH%',
    'a&calc',
    'a|b',
    'prod-\0',
    'prod-\r\n',
  ],
  ...['prod-n1\n', '\u001b[31mprod', '\u202eprod', 'prod-\u0430', 'prod-e\u0301', 'prod-\u00e9'],
  ...[
    "x' OR Name LIKE '%",
    'prod-',
    '-prod',
    'PROD-n1',
    'prod_n1',
    'prod-\ufeff',
    'prod-\u200b',
    'prod-\uff11',
  ],
  ...['prod-n1;calc', 'prod-n1#', 'prod-n1>x', 'prod-$null', '(prod)', 'prod,prod', 'prod-n1\t', '~', '!'],
];

export const names: Row[] = [
  ...NAMES.map((name) =>
    row(`node ${shown(name)}`, '400 badParams node', job('vm.create', { ...create, node: name })),
  ),
  ...['con', 'nul', 'com1', 'dc01', 'xprod-n1', 'prod', 'localhost'].map((name) =>
    row(`node ${shown(name)}`, '403 notGranted node', job('vm.create', { ...create, node: name })),
  ),
  ...['cluster', 'size', 'image', 'role', 'replaces'].map((field) =>
    row(
      `${field} "x$(calc)"`,
      `400 badParams ${field}`,
      job('vm.create', { ...create, [field]: 'x$(calc)' }),
    ),
  ),
];

const PATHS = [
  ...['..\\..\\', '../../etc/passwd', 'C:foo', '\\\\host\\share', '\\\\?\\C:\\', '\\\\.\\PhysicalDrive0'],
  ...['f.vhdx:ads', 'PROGRA~1', 'COM1:.\\..\\x', '/dev/null', 'file:///c:/x', '.', '..', 'a/b', 'vms%2f..'],
];

export const paths: Row[] = [
  ...PATHS.map((path) =>
    row(`image ${shown(path)}`, '400 badParams image', job('image.build', { image: path })),
  ),
  ...[...PATHS, 'ABCDEF00-0000-4000-8000-000000000001', `{${vmId(1)}}`, `${vmId(1)}\n`, '*', ''].map((id) =>
    row(`vm id ${shown(id)}`, '400 badParams id', job('vm.stop', { ...stop, id })),
  ),
  row('id of a VM that is nobody’s', '403 notGranted id', job('vm.stop', { ...stop, id: vmId(3) })),
  row('id of another cluster’s VM', '403 notGranted id', job('vm.delete', { ...stop, id: vmId(2) })),
  row('id of no VM', '403 notGranted id', job('vm.stop', { ...stop, id: vmId(77) })),
  row(
    'inherit from another cluster’s VM',
    '403 notGranted inheritFrom',
    job('vm.create', { ...create, inheritFrom: vmId(2) }),
  ),
  row('another cluster', '403 notGranted cluster', job('vm.stop', { ...stop, cluster: 'other' })),
];

const ADDRESSES: [address: string, expected: string][] = [
  ['0.0.0.0', '403 notGranted'],
  ['127.0.0.1', '403 notGranted'],
  ['169.254.1.1', '403 notGranted'],
  ['255.255.255.255', '403 notGranted'],
  ['10.0.20.99', '403 notGranted'],
  ['10.0.20.150', '403 notGranted'],
  ['::ffff:1.2.3.4', '400 badParams'],
  ['10.0.20.100/24', '400 badParams'],
  ['10.0.20.100 ', '400 badParams'],
  ['10.0.20.\u0661\u0660\u0661', '400 badParams'],
];
/** Addresses to some readers; neither our addresses nor, since they end in a number, host names. */
const ODD_ADDRESSES = ['010.0.20.101', '10.0.20.256', '10.0.5220', '0x0a.0.20.101'];

export const addresses: Row[] = [
  row('address ::1', '400 badParams address', job('vm.create', { ...create, address: '::1' })),
  row('record ::1', '403 notGranted add', job('dns.swap', { ...swap, add: ['::1'] })),
  row('record ::1 as AAAA', '403 notGranted type', job('dns.swap', { ...swap, type: 'AAAA', add: ['::1'] })),
  ...ADDRESSES.map(([address, expected]) =>
    row(`address ${shown(address)}`, `${expected} address`, job('vm.create', { ...create, address })),
  ),
  ...ADDRESSES.map(([address, expected]) =>
    row(`record ${shown(address)}`, `${expected} add`, job('dns.swap', { ...swap, add: [address] })),
  ),
  ...ODD_ADDRESSES.map((address) =>
    row(`address ${shown(address)}`, '400 badParams address', job('vm.create', { ...create, address })),
  ),
  ...ODD_ADDRESSES.map((address) =>
    row(`record ${shown(address)}`, '400 badParams add', job('dns.swap', { ...swap, add: [address] })),
  ),
  ...['@', '*', '_msdcs', '_ldap._tcp', 'cp-prod.', 'cp-prod.example.test', ''].map((name) =>
    row(`record name ${shown(name)}`, '400 badParams name', job('dns.swap', { ...swap, name })),
  ),
  ...['dc01', 'www', 'cp-prod2'].map((name) =>
    row(`record name ${shown(name)}`, '403 notGranted name', job('dns.swap', { ...swap, name })),
  ),
  row(
    'names to read: one of them not granted',
    '403 notGranted names',
    reading('dns.read', { names: ['cp-prod', 'dc01'], zone: 'example.test' }),
  ),
  row('names to read: none', '400 badParams names', reading('dns.read', { names: [], zone: 'example.test' })),
  row(
    'names to read: 65',
    '400 badParams names',
    reading('dns.read', { names: Array(65).fill('cp-prod'), zone: 'example.test' }),
  ),
  row('zone of one label', '400 badParams zone', job('dns.swap', { ...swap, zone: 'test' })),
  row('zone "."', '400 badParams zone', job('dns.swap', { ...swap, zone: '.' })),
  row('another zone', '403 notGranted zone', job('dns.swap', { ...swap, zone: 'corp.test' })),
  row(
    'record type CNAME',
    '403 notGranted type',
    job('dns.swap', { ...swap, type: 'CNAME', add: ['a.test'] }),
  ),
  row('record type ANY', '400 badParams type', job('dns.swap', { ...swap, type: 'ANY' })),
  row('record type a', '400 badParams type', job('dns.swap', { ...swap, type: 'a' })),
  row(
    'a name among the addresses',
    '403 notGranted add',
    job('dns.swap', { ...swap, add: ['10.0.20.101', 'evil.test'] }),
  ),
  row('65 records', '400 badParams add', job('dns.swap', { ...swap, add: Array(65).fill('10.0.20.101') })),
  ...[0, -1, 86_401, 1.5, '60', null].map((ttlSeconds) =>
    row(`TTL ${shown(ttlSeconds)}`, '400 badParams ttlSeconds', job('dns.swap', { ...swap, ttlSeconds })),
  ),
  row(
    'TTL above the client’s',
    '403 notGranted ttlSeconds',
    job('dns.swap', { ...swap, ttlSeconds: 86_400 }),
  ),
  ...['00-15-5D-00-00-01', '00155d000001', '00:15:5D:00:00:01', '00:15:5d:00:00', ''].map((mac) =>
    row(`MAC ${shown(mac)}`, '400 badParams mac', job('vm.create', { ...create, mac })),
  ),
  ...['ff:ff:ff:ff:ff:ff', '00:50:56:00:00:01'].map((mac) =>
    row(`MAC ${shown(mac)}`, '403 notGranted mac', job('vm.create', { ...create, mac })),
  ),
];

const good = canonicalJson({ op: 'vm.stop', params: stop });
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

export const json: Row[] = (
  [
    ['a duplicate key', good.replace('{"op"', '{"op":"vm.stop","op"'), '400 notCanonical'],
    ['a duplicate parameter', good.replace('"fence":9', '"fence":9,"fence":9'), '400 notCanonical'],
    ['a duplicate key, one escaped', good.replace('{"op"', '{"\\u006fp":"x","op"'), '400 notCanonical'],
    ['keys in another order', '{"params":{},"op":"vm.stop"}', '400 notCanonical'],
    ['keys in another case', good.replace('"op"', '"Op"').replace('"params"', '"Params"'), '400 badRequest'],
    ['a parameter in another case', good.replace('"cluster"', '"Cluster"'), '400 badParams cluster'],
    ['__proto__ beside op', good.replace('{"op"', '{"__proto__":{},"op"'), '400 badRequest'],
    [
      '__proto__ among the parameters',
      good.replace('{"cluster"', '{"__proto__":{"id":1},"cluster"'),
      '400 badParams',
    ],
    [
      'constructor among the parameters',
      good.replace('"fence"', '"constructor":{},"fence"'),
      '400 badParams',
    ],
    ['an extra field beside op', good.replace('{"op"', '{"a":1,"op"'), '400 badRequest'],
    ['an extra parameter', good.replace('"fence"', '"extra":1,"fence"'), '400 badParams'],
    [
      'an argument in its own field',
      good.replace('"cluster"', '"args":["-Force"],"cluster"'),
      '400 badParams',
    ],
    ['30,000 levels', deep(30_000), '400 notCanonical'],
    ['17 levels', deep(17), '400 notCanonical'],
    ['levels that never close', '['.repeat(60_000), '400 notCanonical'],
    ['1e999', good.replace(':9,', ':1e999,'), '400 notCanonical'],
    ['-0', good.replace(':9,', ':-0,'), '400 notCanonical'],
    ['2^53+1', good.replace(':9,', ':9007199254740993,'), '400 notCanonical'],
    ['2^53-1 and a bit', good.replace(':9,', ':9007199254740991.5,'), '400 notCanonical'],
    ['9.0', good.replace(':9,', ':9.0,'), '400 notCanonical'],
    ['09', good.replace(':9,', ':09,'), '400 notCanonical'],
    ['0x9', good.replace(':9,', ':0x9,'), '400 notCanonical'],
    ['NaN', good.replace(':9,', ':NaN,'), '400 notCanonical'],
    ['fence "9"', good.replace(':9,', ':"9",'), '400 badParams fence'],
    ['fence 9.5', good.replace(':9,', ':9.5,'), '400 badParams fence'],
    ['fence -1', good.replace(':9,', ':-1,'), '400 badParams fence'],
    ['fence [9]', good.replace(':9,', ':[9],'), '400 badParams fence'],
    ['fence true', good.replace(':9,', ':true,'), '400 badParams fence'],
    ['no fence', good.replace('"fence":9,', ''), '400 badParams fence'],
    ['fence null', good.replace(':9,', ':null,'), '400 badParams fence'],
    ['an array for the cluster', good.replace('"prod"', '["prod"]'), '400 badParams cluster'],
    ['an object for the cluster', good.replace('"prod"', '{"toString":"prod"}'), '400 badParams cluster'],
    ['an array for the parameters', '{"op":"vm.stop","params":[]}', '400 badParams'],
    ['text for the parameters', '{"op":"vm.stop","params":"x"}', '400 badParams'],
    ['null for the parameters', '{"op":"vm.stop","params":null}', '400 badParams'],
    ['an array for op', '{"op":["vm.stop"],"params":{}}', '400 badRequest'],
    ['a number for op', '{"op":7,"params":{}}', '400 badRequest'],
    ['op of 257 characters', `{"op":"${'v'.repeat(257)}","params":{}}`, '400 badRequest'],
    ['null', 'null', '400 badRequest'],
    ['true', 'true', '400 badRequest'],
    ['an empty array', '[]', '400 badRequest'],
    ['an array of two', '["op","params"]', '400 badRequest'],
    ['a bare string', '"op,params"', '400 badRequest'],
    ['no body', '', '400 notCanonical'],
    ['a BOM', `\ufeff${good}`, '400 notCanonical'],
    ['UTF-16, little end first', Buffer.from(good, 'utf16le'), '400 notCanonical'],
    ['UTF-16 with its BOM', Buffer.from(`\ufeff${good}`, 'utf16le'), '400 notCanonical'],
    ['invalid UTF-8', Buffer.from(good.replace('prod', 'pr\u00ffd'), 'latin1'), '400 notCanonical'],
    [
      'overlong UTF-8',
      Buffer.concat([Buffer.from('"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"')]),
      '400 notCanonical',
    ],
    ['a lone surrogate as an escape', good.replace('prod', '\\ud800'), '400 notCanonical'],
    ['a lone surrogate in a key', good.replace('"fence"', '"\\udc00":1,"fence"'), '400 notCanonical'],
    ['a lone surrogate for op', '{"op":"\\ud800","params":{}}', '400 notCanonical'],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), '400 notCanonical'],
    ['two documents', good + good, '400 notCanonical'],
    ['a document that ends early', good.slice(0, -1), '400 notCanonical'],
    ['white space in it', good.replace(':', ': '), '400 notCanonical'],
    ['a line end after it', `${good}\n`, '400 notCanonical'],
    ['a comment', `${good}//`, '400 notCanonical'],
    ['a comma too many', good.replace('}}', ',}}'), '400 notCanonical'],
    ['single quotes', good.replaceAll('"', "'"), '400 notCanonical'],
    ['an escaped letter', good.replace('prod', '\\u0070rod'), '400 notCanonical'],
    ['an escaped slash', good.replace('prod', 'pr\\/d'), '400 notCanonical'],
    ['a raw control character', good.replace('prod', 'pr\u0001d'), '400 notCanonical'],
    ['NULs around it', `\0${good}\0`, '400 notCanonical'],
    ['YAML', 'op: vm.stop', '400 notCanonical'],
    ['XML', '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///c:/x">]><x>&e;</x>', '400 notCanonical'],
    ['a form', 'op=vm.stop&params=x', '400 notCanonical'],
    ['64 KB and a byte', `"${'x'.repeat(65_535)}"`, '413 tooLarge'],
  ] satisfies [string, string | Buffer, string][]
).map(([input, body, expected]) => row(input, expected, raw(body)));

export const operations: Row[] = [
  ...[
    'toString',
    'constructor',
    '__proto__',
    'hasOwnProperty',
    'VM.STOP',
    'vm.stop ',
    'vm.purge',
    'vm.adopt',
  ].map((op) => row(`op ${shown(op)}`, '404 unknownOperation', job(op, stop))),
  ...['vm.undelete', 'undelete', 'enroll', 'host.exec', '', 'vm.stop\0', 'vm.*'].map((op) =>
    row(`op ${shown(op)}`, '404 unknownOperation', job(op, stop)),
  ),
  row('a read as a job', '404 unknownOperation', job('host.read', {})),
  row('a change as a read', '404 unknownOperation', reading('vm.stop', stop)),
  row('reading toString', '404 unknownOperation', reading('toString', {})),
  row('reading with an extra field', '400 badParams', reading('host.read', { verbose: true })),
  row('reading with an array', '400 badParams', reading('host.read', [])),
  row('reading another cluster', '403 notGranted cluster', reading('vm.read', { cluster: 'other' })),
  row('a size that is not granted', '403 notGranted size', job('vm.create', { ...create, size: 'huge' })),
  row('an image that is not granted', '403 notGranted image', job('image.build', { image: 'windows' })),
  row('0 processors', '400 badParams', job('vm.create', { ...create, cpuCount: 0 })),
  row('memory of 1 PB', '400 badParams', job('vm.create', { ...create, memoryMb: 2 ** 30 })),
  row('a disk of -1', '400 badParams', job('vm.create', { ...create, diskGb: -1 })),
  row('a path of the caller’s', '400 badParams', job('vm.create', { ...create, path: 'C:\\' })),
  row('notes of the caller’s', '400 badParams', job('vm.create', { ...create, notes: 'x' })),
  row('a command for the host', '400 badParams', job('vm.create', { ...create, command: 'calc' })),
  row('a fence below the one seen', '409 fenceTooLow fence', job('vm.stop', { ...stop, fence: 8 })),
];
