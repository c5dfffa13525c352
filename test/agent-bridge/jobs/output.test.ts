import assert from 'node:assert/strict';
import { capped, maskFilter, resultFinder } from '../../../agent-bridge/jobs/output.ts';

const text = (chunks: Uint8Array[]) => Buffer.concat(chunks).toString();

describe('a child’s output', () => {
  it('has its secrets masked wherever the chunks are cut', () => {
    const secret = 'p4ssw\u00f6rd';
    const bytes = Buffer.from(`before ${secret} between p4ssw\u00f6rd after`);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const filter = maskFilter([secret]);
      const got = text([filter.push(bytes.subarray(0, cut)), filter.push(bytes.subarray(cut)), filter.end()]);
      assert.equal(got, 'before *** between *** after');
    }
  });

  it('has each line of a secret masked', () => {
    const filter = maskFilter(['first line\nsecond line']);
    const got = text([filter.push(Buffer.from('second line, first line')), filter.end()]);
    assert.equal(got, '***, ***');
  });

  it('masks a secret that comes byte by byte', () => {
    const filter = maskFilter(['topsecret']);
    const chunks = [...Buffer.from('x topsecret y')].map((byte) => filter.push(Buffer.from([byte])));
    assert.equal(text([...chunks, filter.end()]), 'x *** y');
  });

  it('is stored up to the limit, then marked once', () => {
    const stored: Uint8Array[] = [];
    const store = capped(10, (bytes) => stored.push(Buffer.from(bytes)));
    for (let n = 0; n < 5; n += 1) store(Buffer.from('abcd'));
    assert.match(text(stored), /^abcdabcdab\n##NC-LOG-CAPPED 10 bytes[^#]*$/);
  });

  const NONCE = 'n'.repeat(32);
  const frameOf = (...chunks: string[]) => {
    const finder = resultFinder(NONCE);
    for (const chunk of chunks) finder.push(Buffer.from(chunk));
    return finder.frame();
  };

  it('gives its result only in the last line and only with the nonce', () => {
    assert.equal(frameOf(`log\n##NC-RESULT ${NONCE} {"a":"ä"}\r\n\n  \n`), '{"a":"ä"}');
    assert.equal(frameOf('##NC-RES', `ULT ${NONCE} {}`), '{}');
    assert.equal(frameOf(`##NC-RESULT ${NONCE} {}\nmore\n`), undefined);
    assert.equal(frameOf(`##NC-RESULT ${'0'.repeat(32)} {}\n`), undefined);
    assert.equal(frameOf(`x ##NC-RESULT ${NONCE} {}\n`), undefined);
    // PowerShell's own form of a stream of objects, and a guest's text in it.
    const objects = `<Objs Version="1.1.0.1"><S>##NC-RESULT ${NONCE} {}</S></Objs>`;
    assert.equal(frameOf(`#< CLIXML\r\n${objects}`), undefined);
    assert.equal(frameOf(`##NC-RESULT ${NONCE} {}\r\n#< CLIXML\r\n${objects}`), undefined);
    assert.equal(frameOf(''), undefined);
  });

  it('does not grow with a line of 1 GB, whatever it begins with', () => {
    const finder = resultFinder(NONCE);
    finder.push(Buffer.from(`##NC-RESULT ${NONCE} `));
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    const before = process.memoryUsage();
    for (let n = 0; n < 1024; n += 1) finder.push(chunk);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    const grown = heapUsed + arrayBuffers - before.heapUsed - before.arrayBuffers;
    assert.ok(grown < 64 * 2 ** 20, `${grown} bytes more`);
    assert.equal(finder.frame(), undefined);
  });
});
