import assert from 'node:assert/strict';
import { DEPTH_LIMIT, canonicalJson, parseCanonical } from '../../../agent-bridge/protocol/canonical.ts';

const reasonOf = (bytes: string | Uint8Array) => {
  const parsed = parseCanonical(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  return parsed.ok ? 'accepted' : parsed.reason;
};

describe('canonical JSON', () => {
  const tricks: [what: string, bytes: string | Uint8Array, reason: string][] = [
    ['a duplicate key', '{"a":1,"a":2}', 'notCanonical'],
    ['keys out of order', '{"b":1,"a":2}', 'notCanonical'],
    ['white space', '{"a": 1}', 'notCanonical'],
    ['a number past the largest', '{"a":1e999}', 'notCanonical'],
    ['minus zero', '{"a":-0}', 'notCanonical'],
    ['an integer that a double cannot hold', '{"a":9007199254740993}', 'notCanonical'],
    ['another spelling of a number', '{"a":1.0}', 'notCanonical'],
    ['an escape that is not needed', '{"\\u0061":1}', 'notCanonical'],
    ['an escaped slash', '{"a":"\\/"}', 'notCanonical'],
    ['a BOM', '\ufeff{"a":1}', 'notJson'],
    ['UTF-16', Buffer.from('{"a":1}', 'utf16le'), 'notJson'],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'notUtf8'],
    ['a surrogate encoded alone', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'notUtf8'],
    ['a lone surrogate as an escape', '{"a":"\\ud800"}', 'notCanonical'],
    ['a lone surrogate in a key, deep inside', '[{"x\\udfff":[]}]', 'notCanonical'],
    ['a pair of surrogates as escapes', '"\\ud83d\\ude00"', 'notCanonical'],
    ['two documents', '{"a":1}{"a":1}', 'notJson'],
    ['a document that ends early', '{"a":1', 'notJson'],
    ['an empty body', '', 'notJson'],
    ['100,000 levels', '['.repeat(30_000) + ']'.repeat(30_000), 'tooDeep'],
    ['one level too many', '['.repeat(DEPTH_LIMIT + 1) + ']'.repeat(DEPTH_LIMIT + 1), 'tooDeep'],
    ['more than 64 KB', JSON.stringify('x'.repeat(65_536)), 'tooLarge'],
  ];
  for (const [what, bytes, reason] of tricks) {
    it(`refuses ${what}`, () => {
      assert.equal(reasonOf(bytes), reason);
    });
  }

  it('accepts what it writes, and gives it back', () => {
    const value = { b: [1, 2.5, -3, null, true, 'ä"\\\n\u2028\u{1f600}'], a: { z: '', y: {} } };
    const text = canonicalJson(value);
    assert.equal(text, '{"a":{"y":{},"z":""},"b":[1,2.5,-3,null,true,"ä\\"\\\\\\n\u2028\u{1f600}"]}');
    const parsed = parseCanonical(Buffer.from(text));
    assert.deepEqual(parsed.ok && parsed.value, value);
  });

  it('does not count brackets in strings as levels', () => {
    assert.equal(reasonOf(JSON.stringify('[['.repeat(100) + '\\"')), 'accepted');
  });

  it('takes the letters of an escape for letters', () => {
    assert.equal(reasonOf(JSON.stringify('\\ud800')), 'accepted');
  });

  it('passes __proto__ on as an own key, for the schema to refuse', () => {
    const parsed = parseCanonical(Buffer.from('{"__proto__":{"x":1}}'));
    assert.ok(parsed.ok && Object.hasOwn(parsed.value as object, '__proto__'));
  });

  it('does not write what JSON cannot hold', () => {
    for (const value of [NaN, Infinity, 2 ** 53, undefined, () => 1, 1n])
      assert.throws(() => canonicalJson(value));
  });
});
