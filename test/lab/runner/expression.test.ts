import assert from 'node:assert/strict';
import { evaluate, toText, type Value } from '../../../lab/runner/evaluate.ts';
import { parseExpression } from '../../../lab/runner/expression.ts';
import { treeOf, type Mapping } from '../../../lab/runner/tree.ts';

const at = { file: 'x.yml', line: 3, column: 5 };
const names: Record<string, Mapping> = {
  parameters: treeOf({
    ...{ text: 'Abc', empty: '', list: ['a', 'b'], flag: true, off: false, three: 3 },
    object: { inner: { leaf: 'deep' } },
  }) as Mapping,
};

function value(text: string): Value {
  return evaluate(parseExpression(text, at), { at, name: (name) => names[name.toLowerCase()] });
}

describe('expressions of a pipeline', () => {
  const table: [string, Value][] = [
    ["eq('ABC', parameters.text)", true],
    ["ne('x', 'X')", false],
    ['eq(parameters.flag, true)', true],
    ["eq(parameters.flag, 'false')", true],
    ["eq('false', parameters.off)", true],
    ["eq(3, '3.0')", true],
    ["eq(3, 'three')", false],
    ["eq('', null)", true],
    ["eq(parameters.nothing, '')", true],
    ["and(true, 'x', 1)", true],
    ["and(true, '')", false],
    ["or(false, '', 0)", false],
    ["not('')", true],
    ["in('B', 'a', 'b')", true],
    ["notIn('c', 'a', 'b')", true],
    ["contains('Upstream', 'STREAM')", true],
    ["startsWith('node-cycle', 'NODE')", true],
    ["endsWith('node-cycle', 'Cycle')", true],
    ["containsValue(parameters.list, 'B')", true],
    ["coalesce('', parameters.nothing, 'last')", 'last'],
    ["format('{0}-{1}-{{x}}', 'a', true)", 'a-True-{x}'],
    ["join(', ', parameters.list)", 'a, b'],
    ['length(parameters.list)', 2],
    ["length('four')", 4],
    ["lower('ABC')", 'abc'],
    ["upper('abc')", 'ABC'],
    ['gt(parameters.three, 2)', true],
    ['ge(3, 3)', true],
    ["lt(2, '10')", true],
    ["lt('2', 10)", false],
    ['le(4, 3)', false],
    ["iif(eq(1, 1), 'yes', 'no')", 'yes'],
    ["parameters['object'].inner['leaf']", 'deep'],
    ['parameters.list[1]', 'b'],
    ["'it''s'", "it's"],
    ['-1.50', -1.5],
    ['TRUE', true],
    ['EQ(1, 1)', true],
  ];
  for (const [text, expected] of table) {
    it(`takes ${text} as ${JSON.stringify(expected)}`, () => assert.deepEqual(value(text), expected));
  }

  it('writes booleans with a capital letter and numbers without needless zeros', () => {
    assert.equal(toText(true), 'True');
    assert.equal(toText(1.5), '1.5');
  });

  const refused: [string, RegExp][] = [
    ["parameters.a == 'b'", /operator '=='/],
    ['a && b', /operator '&&'/],
    ['eq(1)', /takes 2 to 2 arguments, found 1/],
    ['nope(1)', /function nope\(\) is not known/],
    ['succeeded()', /function succeeded\(\) is not known/],
    ["eq('a, 'b')", /x\.yml:3:5/],
    ["eq('a', 'b'", /expected ','|expected '\)'/],
    ['other.thing', /name 'other' is not known/],
    ["gt(1, 'x')", /cannot order/],
    ['1.2.3', /version literal/],
    ['$(macro)', /macro/],
    ["format('{2}', 'a')", /no argument/],
    [`${'not('.repeat(51)}true${')'.repeat(51)}`, /nested deeper than 50/],
    [`'${'x'.repeat(21_000)}'`, /at most 21000/],
  ];
  for (const [text, message] of refused) {
    it(`refuses ${text.slice(0, 40)}`, () => {
      assert.throws(() => value(text), message);
      assert.throws(() => value(text), /NC9103.*x\.yml:3:5/);
    });
  }
});
