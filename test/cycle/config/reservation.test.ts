/** addresses.source: reservation in node-cycle.yml: what may be written, and what is refused before anything is asked. */
import assert from 'node:assert/strict';
import { loadConfig, renderErrors } from '../../../cycle/config.ts';
import { edited } from './example.ts';

const STATIC = 'source: static\n  ranges:\n    - 10.0.0.60-10.0.0.79\n    - 10.0.1.10-10.0.1.19';
const file = (service: string) =>
  edited(
    STATIC,
    `source: reservation\n  ranges: [10.0.0.60-10.0.0.79]\n  service:\n${service.replace(/^/gm, '    ')}`,
  );
const faults = (service: string) => {
  const loaded = loadConfig(file(service), 'node-cycle.yml');
  return 'errors' in loaded ? loaded.errors.map((error) => renderErrors([error])) : [];
};
const WEBHOOK = 'kind: webhook\nurl: https://dhcp.example/api';

describe('A reservation service in node-cycle.yml', () => {
  it('needs a kind and a URL, and has defaults for the rest', () => {
    const loaded = loadConfig(file(WEBHOOK), 'node-cycle.yml');
    assert.ok('config' in loaded && loaded.config.addresses.source === 'reservation');
    assert.deepEqual(loaded.config.addresses.service, {
      kind: 'webhook',
      url: 'https://dhcp.example/api',
      reserve: { method: 'POST', path: '/reservations' },
      release: { method: 'DELETE', path: '/reservations/{mac}' },
      fields: { name: 'name', mac: 'mac', address: 'address' },
      macForm: 'colons',
      deadlineSeconds: 30,
    });
  });

  it('may be a program with fixed arguments', () => {
    const loaded = loadConfig(
      file('kind: command\nrun: [/usr/local/bin/lease, --pool, k8s]'),
      'node-cycle.yml',
    );
    assert.ok('config' in loaded && loaded.config.addresses.source === 'reservation');
    assert.deepEqual(loaded.config.addresses.service, {
      kind: 'command',
      run: ['/usr/local/bin/lease', '--pool', 'k8s'],
      find: false,
      deadlineSeconds: 30,
    });
  });

  it('is spoken to in clear only on the agent itself', () => {
    for (const url of ['http://127.0.0.1:8080', 'http://localhost/x', 'http://[::1]:1/'])
      assert.deepEqual(faults(`kind: webhook\nurl: ${url}`), [], url);
    for (const url of [
      'http://dhcp.example',
      'http://127.example',
      'http://10.0.0.1',
      'http://127.0.0.1.example',
    ])
      assert.match(
        faults(`kind: webhook\nurl: ${url}`).join(),
        /NC1123.*https, or http to an address of the agent/,
        url,
      );
  });

  const bad: [string, string, RegExp][] = [
    [
      'a URL with a password',
      'kind: webhook\nurl: https://me:secret@dhcp.example',
      /NC1123.*without a user name/,
    ],
    ['a URL with a query', 'kind: webhook\nurl: https://dhcp.example/?k=v', /NC1123.*without \?/],
    ['another scheme', 'kind: webhook\nurl: ftp://dhcp.example', /NC1123.*http:\/\/ or https:\/\//],
    ['a release without its MAC', `${WEBHOOK}\nrelease: { path: /free }`, /NC1123.*a path with \{mac\}/],
    [
      'a placeholder that is unknown',
      `${WEBHOOK}\nreserve: { path: "/r/{host}" }`,
      /NC1123.*\{name\} and no other/,
    ],
    ['a look-up without the name', `${WEBHOOK}\nfind: { path: /all }`, /NC1123.*a path with \{name\}/],
    [
      'a path that is none',
      `${WEBHOOK}\nreserve: { path: reservations }`,
      /NC1106.*a path that begins with \//,
    ],
    ['a field that is none', `${WEBHOOK}\nfields: { mac: "a b" }`, /NC1106.*a JSON field/],
    ['a fingerprint that is none', `${WEBHOOK}\ncertificate: abc`, /NC1106.*64 hexadecimal digits/],
    ['a program without a name', 'kind: command\nrun: []', /NC1106.*at least 1 entry/],
    [
      'a program with its arguments in one text',
      'kind: command\nrun: ["lease --json"]',
      /NC1123.*entries of their own/,
    ],
    ['a program beside the checkout', 'kind: command\nrun: [./lease]', /NC1123.*absolute path/],
    ['an option as the program', 'kind: command\nrun: [--json]', /NC1123.*absolute path/],
    ['a kind that is unknown', 'kind: dhcp', /NC1106.*webhook or command/],
  ];
  for (const [what, service, words] of bad)
    it(`refuses ${what}`, () => assert.match(faults(service).join('\n'), words));

  it('shows no password of a URL in its message', () => {
    assert.doesNotMatch(faults('kind: webhook\nurl: https://me:hunter22@dhcp.example').join(), /hunter22/);
  });
});
