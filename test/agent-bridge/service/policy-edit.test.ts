/** Edits of bridge.yaml: one value changes, every other byte of a person's file stays. */
import assert from 'node:assert/strict';
import { parse } from 'yaml';
import { withFingerprints, withoutFingerprint } from '../../../agent-bridge/service/policy-edit.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const DIGITS = '1'.repeat(64);

/** `%` is where the fingerprint's value stands. */
const LAYOUTS: [layout: string, text: string][] = [
  [
    'a block with comments',
    'version: 1\n# who\nclients:\n  # the first\n  - name: one # agent\n    fingerprint: % # May\n    clusters: [ a,b ]   # odd\n\n  - name:   two\n    fingerprint: x\n# end\n',
  ],
  ['a list that is not indented', 'clients:\n- name: one\n  clusters: []\n  fingerprint: %\nversion: 1\n'],
  ['a flow map', 'clients:\n  - {name: one,fingerprint:   %,  clusters: [ ] }\n'],
  ['a flow map, last in it', 'clients: [ { name: two }, {name: one, fingerprint: %} ]  # flow\n'],
  [
    'flow over many lines',
    'clients:\n  - {\n      name: one, # who\n      fingerprint: %, # what\n      clusters: [],\n    }\n',
  ],
  ['quoted keys', 'clients:\n  - "name": "one"\n    \'fingerprint\':  %\n    "clusters": []\n'],
  ['CRLF', 'version: 1\r\nclients:\r\n  - name: one\r\n    fingerprint: %\r\n    clusters: []\r\n'],
  ['the fingerprint first', 'clients:\n  - fingerprint: % # old\n    # grants\n    name: one\n'],
  ['no end of the last line', 'clients:\n  - name: one\n    fingerprint: %'],
  ['a mark at the beginning', '\uFEFFclients:\n  - name: one\n    fingerprint: %\n'],
  ['JSON', '{"version": 1, "clients": [{"name": "one", "fingerprint": %, "clusters": []}], "x": 2}'],
];
const OLD = [`'${A}'`, `"${A.toUpperCase()}"`, `[ '${A}',\t"${B}" ]`, `!!str ${A}`];

describe('edits of bridge.yaml', () => {
  for (const [layout, text] of LAYOUTS) {
    it(`changes the value and no other byte: ${layout}`, () => {
      for (const old of OLD) {
        const tag = old.startsWith('!!str ') ? '!!str ' : '';
        const source = text.replace('%', old);
        const one = withFingerprints(source, 'one', [B]);
        assert.equal(one, text.replace('%', `${tag}'${B}'`), old);
        if (tag === '') {
          const two = withFingerprints(one, 'one', [B, DIGITS]);
          assert.equal(two, text.replace('%', `['${B}', '${DIGITS}']`));
          assert.equal(withFingerprints(two, 'one', [DIGITS]), text.replace('%', `'${DIGITS}'`));
        }
      }
    });

    it(`takes the value away, puts it back, and loses no grant and no comment: ${layout}`, () => {
      const source = text.replace('%', `'${A}'`);
      const without = withoutFingerprint(source, 'one');
      assert.ok(without !== undefined);
      const client = (yaml: string) =>
        (parse(yaml) as { clients: { name: string }[] }).clients.find(({ name }) => name === 'one');
      const { fingerprint, ...kept } = client(source) as { name: string; fingerprint: string };
      assert.equal(fingerprint, A);
      assert.deepEqual(client(without), kept);
      // Besides the pair (and the comment on its line) only white space and a comma may go.
      const bare = (yaml: string) =>
        yaml.replace(/["']?fingerprint["']?:\s*\S*a{64}["']?,?([ ]*# (May|old))?/, '').replace(/[\s,]/g, '');
      assert.equal(without.replace(/[\s,]/g, ''), bare(source));
      assert.deepEqual(client(withFingerprints(without, 'one', [A])), client(source));
    });
  }

  it('turns a list in lines into one value', () => {
    for (const indent of ['    ', '      ']) {
      const text = `clients:\n  - name: one\n    fingerprint:\n${indent}- ${A}\n${indent}- ${B}\n    clusters: []\n`;
      assert.equal(
        withFingerprints(text, 'one', [B]),
        `clients:\n  - name: one\n    fingerprint: '${B}'\n    clusters: []\n`,
      );
    }
  });

  const entry = `  - name: new\n    fingerprint: '${A}'\n    clusters: []\n    operations: []\n`;
  const flow = `{ name: new, fingerprint: '${A}', clusters: [], operations: [] }`;
  const added: [what: string, before: string, after: string][] = [
    [
      'an empty list',
      'a: 1\nclients: []\n  # - name: example\n',
      `a: 1\nclients:\n${entry}  # - name: example\n`,
    ],
    [
      'an empty list with a comment',
      'clients: []   # none yet\nb: 1\n',
      `clients:   # none yet\n${entry}b: 1\n`,
    ],
    ['no list', 'a: 1\n# end\n', `a: 1\nclients:\n${entry}# end\n`],
    ['no list, no end of the line', 'a: 1', `a: 1\nclients:\n${entry.trimEnd()}`],
    ['CRLF', 'clients: []\r\n', `clients:\r\n${entry.replaceAll('\n', '\r\n')}`],
    [
      'a list behind whose last entry comments stand',
      'clients:\n    - name: one\n      dns: [] # none\n    # - name: two\n\nz: 1\n',
      `clients:\n    - name: one\n      dns: [] # none\n${entry.replace(/^/gm, '  ').trimEnd()}\n    # - name: two\n\nz: 1\n`,
    ],
    ['a flow list', 'clients: [ { name: one }, ]\n', `clients: [ { name: one }, ${flow}, ]\n`],
    ['an empty flow list over two lines', 'clients: [ # none\n  ]\n', `clients: [ # none\n  ${flow} ]\n`],
    ['JSON', '{"a": 1, "clients": []}\n', `{"a": 1, "clients": [ ${flow} ]}\n`],
    ['JSON without a list', '{"a": 1}\n', `{"a": 1, clients: [${flow}]}\n`],
  ];
  for (const [what, before, after] of added)
    it(`adds a client to ${what}`, () => {
      assert.equal(withFingerprints(before, 'new', [A]), after);
    });

  it('knows no client of another name, and leaves one that is not enrolled alone', () => {
    const text = 'clients:\n  - name: one\n';
    assert.equal(withoutFingerprint(text, 'two'), undefined);
    assert.equal(withoutFingerprint(text, 'one'), text);
  });

  it('refuses what it cannot change alone', () => {
    for (const text of [
      '- 1\n',
      'clients: none\n',
      `x: &x { name: one, fingerprint: ${A} }\nclients: [*x]\n`,
    ])
      assert.throws(() => withFingerprints(text, 'one', [B]), /NC2010/);
  });
});
