/** `fingerprint` in bridge.yaml: one, or two while a client changes its certificate. */
import assert from 'node:assert/strict';
import type { CodedError } from '../../../ports/errors.ts';
import { fingerprintsOf, parsePolicy } from '../../../agent-bridge/server/policy.ts';
import { policyText } from '../support/rig.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const printed = (hex: string) => hex.toUpperCase().replace(/(..)(?=.)/g, '$1:');
const policy = (a: string, b = '') =>
  parsePolicy(
    policyText('/d', '/w')
      .replace('clusters: [prod]', `clusters: [prod]\n    fingerprint: ${a}`)
      .replace('clusters: [other]', `clusters: [other]${b === '' ? '' : `\n    fingerprint: ${b}`}`),
    'bridge.yaml',
  );
const faults = (a: string, b?: string): string => {
  try {
    policy(a, b);
  } catch (error) {
    const { code, evidence } = error as CodedError;
    assert.equal(code, 'NC2001');
    return evidence.join('\n');
  }
  return '';
};

describe('the fingerprints of a client in bridge.yaml', () => {
  it('are none, one or two, in any spelling', () => {
    const of = (text: string) => policy(text).clients.map(fingerprintsOf);
    assert.deepEqual(of(`'${A}'`), [[A], []]);
    assert.deepEqual(of(`"${printed(A)}"`), [[A], []]);
    assert.deepEqual(of(`[${A}, '${printed(B)}']`), [[A, B], []]);
  });

  for (const [what, listed, says] of [
    ['an empty list', '[]', /: at least 1/],
    [
      'three',
      `[${A}, ${B}, ${'c'.repeat(64)}]`,
      /: expected a SHA-256 fingerprint .* or a list of one or two/,
    ],
    ['one that is too short', `'${A.slice(1)}'`, /: does not have the form/],
    ['a list with one that is too short', `[${A}, ${B.slice(1)}]`, /\.1: does not have the form/],
    ['a number', '12', /: expected a SHA-256 fingerprint .* or a list of one or two/],
    ['a map', '{ sha256: x }', /: expected a SHA-256 fingerprint .* or a list of one or two/],
  ] as const)
    it(`are refused with their line: ${what}`, () => {
      const said = faults(listed);
      assert.match(said, /^bridge\.yaml:20: clients\.0\.fingerprint/);
      assert.match(said, says);
    });

  it('belong to one client and are there once', () => {
    for (const [a, b] of [
      [`[${A}, ${A}]`, undefined],
      [A, A],
      [`[${A}, ${B}]`, `'${printed(B)}'`],
    ] as const)
      assert.match(faults(a, b), /clients\.[01]\.fingerprint: is there twice/);
  });

  it('are written where they count: an alias is refused with its line', () => {
    assert.match(faults(`&mine ${A}`, '*mine'), /^bridge\.yaml:\d+: an alias/);
  });
});
