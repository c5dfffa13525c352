import assert from 'node:assert/strict';
import { readNotes, withMarker, withoutMarker } from '../../../agent-bridge/host/notes.ts';

const marker = { cluster: 'prod', node: 'prod-n1', createdAt: '2026-01-01T00:00:00Z' };
const other = { ...marker, node: 'prod-n2' };

describe('the marker in a VM’s notes', () => {
  const notes: [string, 'none' | 'json' | 'text'][] = [
    ['', 'none'],
    ['{}', 'none'],
    ['{"startGroup": 2, "delayOffset": 30}', 'json'],
    ['{\r\n  "a": {"b": [1]},\r\n  "a2": "}"\r\n}\r\n', 'json'],
    ['printer server\r\nask Ann', 'text'],
    ['one line\n', 'text'],
    ['one line\r\n', 'text'],
    ['one\n\n', 'text'],
    [' \r\n', 'none'],
    ['[1, 2]', 'text'],
  ];
  for (const [text, owner] of notes) {
    it(`lives in ${JSON.stringify(text)} and leaves the rest as it was`, () => {
      assert.deepEqual(readNotes(text), { owner });
      const marked = withMarker(text, marker);
      assert.deepEqual(readNotes(marked), { owner, marker });
      if (owner === 'json')
        assert.deepEqual(JSON.parse(marked), { ...(JSON.parse(text) as object), nodeCycle: marker });
      const bare = withoutMarker(marked);
      assert.equal(bare, text === '{}' ? '' : text);
      assert.equal(withMarker(marked, marker), marked, 'once more changes nothing');
      assert.equal(readNotes(withMarker(marked, other)).marker?.node, 'prod-n2');
    });
  }

  it('keeps the bytes of JSON notes when the marker goes', () => {
    const text = '{ "startGroup" : 2,\n "delayOffset": 30 }';
    assert.equal(withoutMarker(withMarker(text, marker)), text);
  });

  it('is not there when its form is wrong', () => {
    assert.deepEqual(readNotes('{"nodeCycle":{"cluster":"$(x)"}}'), { owner: 'none' });
  });
});
