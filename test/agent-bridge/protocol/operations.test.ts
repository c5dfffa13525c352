import assert from 'node:assert/strict';
import { CHANGES, OPERATIONS } from '../../../agent-bridge/protocol/operations.ts';
import { change, param } from '../../../agent-bridge/protocol/operation.ts';
import * as s from '../../../agent-bridge/protocol/shapes.ts';

describe('the operations’ definitions', () => {
  it('lists eight operations and takes no name from Object.prototype', () => {
    assert.deepEqual([...OPERATIONS.keys()].sort(), [
      'dns.read',
      'dns.swap',
      'host.read',
      'image.build',
      'vm.create',
      'vm.delete',
      'vm.read',
      'vm.stop',
    ]);
    for (const name of ['toString', '__proto__', 'constructor'])
      assert.equal(OPERATIONS.get(name), undefined);
  });

  it('does not compile a parameter without a policy rule', () => {
    const definition = {
      name: 'x',
      does: '',
      result: s.Name,
      deadlineMs: 1,
      redact: [],
      lane: 'vm' as const,
      budget: 'stops' as const,
      target: () => '',
    };
    change({ ...definition, params: { a: param(s.Name, 'names') } });
    // @ts-expect-error: a schema alone is no parameter.
    change({ ...definition, params: { a: s.Name } });
    // @ts-expect-error: every parameter names its rule.
    change({ ...definition, params: { a: { schema: s.Name } } });
  });

  it('refuses in vm.create whatever is not exactly its shape', () => {
    const good = { cluster: 'prod', node: 'prod-n1', size: 'small', image: 'ubuntu', fence: 0 };
    const { schema } = CHANGES['vm.create'];
    assert.ok(schema.safeParse(good).success);
    const bad: object[] = [
      { fence: '0' },
      { fence: -1 },
      { fence: 1.5 },
      { fence: [0] },
      { extra: 1 },
      JSON.parse('{"__proto__":{}}') as object,
      { constructor: 1 },
      { Node: 'a' },
      { address: '010.0.0.1' },
      { address: '::ffff:1.2.3.4' },
      { mac: '00-15-5D-00-00-01' },
      { inheritFrom: '..\\..' },
    ];
    for (const change of bad) {
      const value = Object.fromEntries([...Object.entries(good), ...Object.entries(change)]);
      if (Object.hasOwn(change, '__proto__'))
        Object.defineProperty(value, '__proto__', { value: {}, enumerable: true });
      assert.ok(!schema.safeParse(value).success, JSON.stringify(change));
    }
  });

  it('takes no name that a shell, PowerShell, Packer, a path or an eye could read as something else', () => {
    const names = [
      'x$(calc)',
      '`',
      'x"; Remove-VM *',
      "x'",
      '\u2018',
      '\u201c',
      '*',
      '?',
      '[a-z]*',
      '',
      ' ',
      'a.',
      'CON',
      'NUL.txt',
      'a'.repeat(64),
      '-force',
      '--%',
      '@args',
      '{{user "x"}}',
      '${env:PATH}',
      '%PATH%',
      'a&calc',
      'a|b',
      'a\0',
      'a\r\n',
      '\u001b[31m',
      '\u202e',
      'а',
      '\ud800',
      'e\u0301',
      'a/b',
      'a\\b',
      'a:b',
      'a-',
      'a\n',
    ];
    for (const name of names) assert.ok(!s.Name.safeParse(name).success, JSON.stringify(name));
  });

  it('takes no host name that ends in a number: to some readers it is an address', () => {
    for (const name of ['8.8.8.8', '010.0.0.1', '8.8', 'a.test.7', '10.0x1', '1.0x'])
      assert.ok(!s.DomainName.safeParse(name).success, name);
    for (const name of ['example.test', '20.10.in-addr.arpa', 'cp.test1', 'a.0xg', '7.a'])
      assert.ok(s.DomainName.safeParse(name).success, name);
  });
});
