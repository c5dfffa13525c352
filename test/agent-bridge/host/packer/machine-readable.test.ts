import assert from 'node:assert/strict';
import {
  LINE_LIMIT_BYTES,
  lines,
  packerEvent,
  printable,
} from '../../../../agent-bridge/host/packer/machine-readable.ts';

describe('Packer\u2019s machine-readable output', () => {
  it('is read as target, type and fields with their commas and line ends', () => {
    assert.deepEqual(packerEvent('1795402391,null.x,error,a%!(PACKER_COMMA) b\\nc\\r'), {
      target: 'null.x',
      type: 'error',
      data: ['a, b\nc\r'],
    });
    assert.deepEqual(packerEvent('1795402391,,ui,say,==> x: y')?.data, ['say', '==> x: y']);
    assert.deepEqual(packerEvent('1795402391,x,artifact,0,end')?.data, ['0', 'end']);
  });

  it('does not take other lines for events', () => {
    for (const line of [
      '',
      'panic: runtime error',
      'a,b,c',
      '1795402391',
      '1795402391,x',
      '17,x,',
      '##NC-RESULT x {}',
    ])
      assert.equal(packerEvent(line), undefined, line);
  });

  it('is cut into lines wherever its chunks end, and a line without end keeps no more than the limit', () => {
    const bytes = Buffer.from('eins\r\nzw\u00f6lf\n\nlast');
    for (let size = 1; size <= bytes.length; size += 1) {
      const found: string[] = [];
      const into = lines((line) => found.push(line));
      for (let at = 0; at < bytes.length; at += size) into.push(bytes.subarray(at, at + size));
      into.end();
      assert.deepEqual(found, ['eins', 'zw\u00f6lf', '', 'last']);
    }
    const lengths: number[] = [];
    const into = lines((line) => lengths.push(line.length));
    for (let n = 0; n < 64; n += 1) into.push(Buffer.alloc(16 * 1024, 'x'));
    into.push(Buffer.from('\nnext\n'));
    assert.deepEqual(lengths, [LINE_LIMIT_BYTES, 4]);
  });

  it('cannot steer a terminal', () => {
    assert.equal(
      printable('\u001b[31mred\u001b[0m\tand \u001b]0;title\u0007 \u009b1m'),
      'red\tand \ufffd]0;title\ufffd \ufffd1m',
    );
  });
});
