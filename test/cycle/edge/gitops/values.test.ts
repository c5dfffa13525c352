import assert from 'node:assert/strict';
import {
  addIngressAddress,
  ingressAddresses,
  removeIngressAddress,
} from '../../../../cycle/edge/gitops/values.ts';
import { corpus, marked } from '../marked.ts';

const [OLD, NEW] = ['10.0.0.11', '10.0.0.13'];

/** The first line of a file is the path; the rest is the file. */
const shapes = [...corpus('gitops')].map(([name, text]) => {
  const end = text.indexOf('\n');
  return { name, path: text.slice(0, end), ...marked(text.slice(end + 1)) };
});
const everything = [
  ...shapes,
  {
    name: 'three thousand lines',
    path: 'n1499.ips',
    ...marked(
      Array.from({ length: 1_500 }, (_none, n) =>
        n < 1_499 ? `n${n}: # ${n}\n  ips: [${OLD}]\n` : `n${n}:\n  ips: [⟦${OLD}, ⟧«${NEW}, »10.0.0.12]`,
      ).join(''),
    ),
  },
];

describe('ingress addresses in a values file', () => {
  it('are written in at least sixty ways', () => assert.ok(everything.length >= 60));

  for (const { name, path, before, added, out } of everything) {
    it(`${name}: come in and go, there and back, and nothing else changes`, () => {
      const held = ingressAddresses(before, path);
      assert.ok(held.includes(OLD));
      assert.equal(addIngressAddress(before, path, OLD, NEW), added);
      assert.equal(addIngressAddress(added, path, OLD, NEW), added, 'once is enough');
      assert.equal(removeIngressAddress(added, path, OLD), out);
      assert.equal(removeIngressAddress(added, path, NEW), before, 'and back again');
      const back = addIngressAddress(out, path, NEW, OLD);
      assert.deepEqual(ingressAddresses(back, path).sort(), [...held, NEW].sort());
      assert.deepEqual(ingressAddresses(removeIngressAddress(back, path, NEW), path).sort(), held.sort());
    });
  }

  it('puts an address last when the old one is not there, and into an empty list', () => {
    assert.equal(
      addIngressAddress('a:\n  - 10.0.0.12\n', 'a', OLD, NEW),
      'a:\n  - 10.0.0.12\n  - 10.0.0.13\n',
    );
    assert.equal(addIngressAddress('a: [] # none\n', 'a', OLD, NEW), 'a: [10.0.0.13] # none\n');
    assert.equal(removeIngressAddress('a:\n  - 10.0.0.12\n', 'a', OLD), 'a:\n  - 10.0.0.12\n');
  });

  it('knows one IPv6 address in every spelling', () => {
    const text = 'a:\n  - 2001:DB8:0::1\n  - "2001:db8::2"\n';
    assert.deepEqual(ingressAddresses(text, 'a'), ['2001:db8::1', '2001:db8::2']);
    assert.equal(removeIngressAddress(text, 'a', '2001:db8::1'), 'a:\n  - "2001:db8::2"\n');
    assert.equal(
      addIngressAddress('a: [10.0.0.1]\n', 'a', 'x', '2001:DB8::7'),
      'a: [10.0.0.1, "2001:db8::7"]\n',
    );
  });

  const refused: [string, RegExp, () => unknown][] = [
    ['a path where nothing is', /NC4020.*nothing is there/, () => ingressAddresses('a: 1\n', 'b.c')],
    ['a mapping', /NC4020.*a mapping/, () => ingressAddresses('a: { b: 1 }\n', 'a')],
    ['an empty value', /NC4020/, () => ingressAddresses('a:\n', 'a')],
    [
      'a path that two documents have',
      /NC4020.*2 documents/,
      () => ingressAddresses('a: [x]\n---\na: [y]\n', 'a'),
    ],
    ['broken YAML, with its line', /NC4021.*Line 2/, () => ingressAddresses('a: [x\nb: }\n', 'a')],
    ['an alias', /NC4022.*\*ips/, () => ingressAddresses('x: &ips [10.0.0.1]\na: *ips\n', 'a')],
    ['a folded block of YAML', /NC4022.*folded/, () => ingressAddresses('v: >\n  a: [x]\n', 'v|.a')],
    [
      'an item whose anchor others use',
      /NC4021/,
      () => removeIngressAddress('a:\n  - &x 10.0.0.11\n  - 10.0.0.12\nb: *x\n', 'a', OLD),
    ],
    ['the last address', /NC4023/, () => removeIngressAddress('a: [10.0.0.11]\n', 'a', OLD)],
    [
      'a second address for a load balancer of one',
      /NC4022.*single/,
      () => addIngressAddress('loadBalancerIP: 10.0.0.11\n', 'loadBalancerIP', OLD, NEW),
    ],
    [
      'an address with a newline',
      /NC4003/,
      () => addIngressAddress('a: [10.0.0.11]\n', 'a', OLD, '10.0.0.1\nb: 1'),
    ],
    [
      'an address with a tag',
      /NC4003/,
      () => addIngressAddress('a: [10.0.0.11]\n', 'a', OLD, '!!js/function x'),
    ],
    ['an empty path', /NC4024/, () => ingressAddresses('a: 1\n', '')],
    ['a path that ends with a dot', /NC4024/, () => ingressAddresses('a: 1\n', 'a.')],
    ['a path with an open bracket', /NC4024/, () => ingressAddresses('a: 1\n', 'a[x')],
  ];
  for (const [what, message, act] of refused) {
    it(`refuses ${what}`, () => assert.throws(act, message));
  }
});
