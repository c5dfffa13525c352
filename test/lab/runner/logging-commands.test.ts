import assert from 'node:assert/strict';
import { parseLoggingCommand } from '../../../lab/runner/logging-commands.ts';
import { createMasks } from '../../../lab/runner/masks.ts';
import { createVariables, expandMacros, resolveNested } from '../../../lab/runner/variables.ts';

describe('a logging command', () => {
  const parse = (line: string): unknown => {
    const command = parseLoggingCommand(line);
    return command && [command.name, Object.fromEntries(command.properties), command.message];
  };
  const cases: [string, unknown][] = [
    ['plain text', undefined],
    ['##vso[task.debug]hello', ['task.debug', {}, 'hello']],
    ['before ##vso[task.debug]after', ['task.debug', {}, 'after']],
    ['##VSO[task.debug]x', undefined],
    ['##vso[task]x', undefined],
    ['##vso[task.debug x', undefined],
    [
      '##vso[task.setvariable variable=a;isOutput=true;]v',
      ['task.setvariable', { variable: 'a', isoutput: 'true' }, 'v'],
    ],
    [
      '##vso[task.setvariable variable=a;issecret = true]v',
      ['task.setvariable', { variable: 'a', 'issecret ': ' true' }, 'v'],
    ],
    ['##vso[task.x a=;=b;c]v', ['task.x', {}, 'v']],
    [
      '##vso[task.x a=1%3B2%5D%0A%AZP25%25]%25 %AZP25 %0D%0A %3B',
      ['task.x', { a: '1;2]\n%%25' }, '%25 % \r\n %3B'],
    ],
    ['##vso[task.x a=b=c]', ['task.x', { a: 'b=c' }, '']],
  ];
  for (const [line, expected] of cases) {
    it(`is read from: ${line}`, () => assert.deepEqual(parse(line), expected));
  }
});

describe('a macro', () => {
  const values: Record<string, string> = { a: 'b', b: '$(a)', 'x.y': 'dotted' };
  const get = (name: string): string | undefined => values[name.toLowerCase()];
  const cases: [string, string][] = [
    ['$(a)', 'b'],
    ['$(A)-$(x.y)', 'b-dotted'],
    ['$(unknown)', '$(unknown)'],
    ['$(b)', '$(a)'],
    ['$($(a))', '$(b)'],
    ['$(a', '$(a'],
    ['$()', '$()'],
  ];
  for (const [text, expected] of cases) {
    it(`${text} becomes ${expected}`, () => assert.equal(expandMacros(text, get), expected));
  }

  it('in a variable is resolved when the job begins, and hands on that it is secret', () => {
    const variables = createVariables();
    variables.set('key', 'hidden-key', { secret: true });
    variables.set('path', '/k/$(key)/$(none)');
    variables.set('loop', '$(loop)');
    resolveNested(variables);
    assert.equal(variables.get('path'), '/k/hidden-key/$(none)');
    assert.ok(variables.isSecret('path'));
    assert.equal(variables.get('loop'), '$(loop)');
  });
});

describe('a mask', () => {
  it('hides the whole secret, its lines and its forms in JSON and URLs, longest first', () => {
    const masks = createMasks();
    masks.add('pass');
    masks.add('pass word"1');
    masks.add('first line\nsecond line\n}');
    assert.equal(masks.text('a pass word"1 b'), 'a *** b');
    assert.equal(masks.text(JSON.stringify({ a: 'pass word"1' })), '{"a":"***"}');
    assert.equal(masks.text('?q=pass%20word%221&'), '?q=***&');
    assert.equal(masks.text('x second line } y'), 'x *** } y');
    assert.deepEqual(masks.deep({ list: ['pass', 1], none: undefined }), {
      list: ['***', 1],
      none: undefined,
    });
  });
});
