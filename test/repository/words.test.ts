import assert from 'node:assert/strict';
import { filesBelow, textOf } from './tree.ts';

const TEXT = /\.(ts|mjs|cjs|js|json|md|yml|yaml|ps1|psm1|sh)$|^\.ci\/run$/;
/** Logs of real runs, kept as they were. */
const AS_FOUND = /^(test\/corpus\/|package-lock\.json$|test\/repository\/words\.test\.ts$)/;

function hits(pattern: RegExp, only: (path: string) => boolean = () => true): string[] {
  return filesBelow('')
    .filter((path) => TEXT.test(path) && !AS_FOUND.test(path) && only(path))
    .flatMap((path) =>
      textOf(path)
        .split('\n')
        .flatMap((line, at) =>
          pattern.test(line) ? [`${path}:${at + 1}: ${line.trim().slice(0, 100)}`] : [],
        ),
    );
}

describe('the files of the repository', () => {
  it('name no folder of the machine that they were written on', () => {
    assert.deepEqual(hits(/(^|[^A-Za-z0-9_.-])\/(work|home\/[a-z]+|Users\/[A-Za-z]+)\/[a-z]/), []);
  });

  it('leave nothing for later', () => {
    assert.deepEqual(hits(/\b(TODO|FIXME|XXX|HACK)\b|not (yet )?implemented/), []);
  });

  it('skip no test and single none out', () => {
    const single = /\b(describe|it|context)\.(only|skip)\(|\bx(it|describe)\(/;
    assert.deepEqual(
      hits(single, (path) => path.startsWith('test/')),
      [],
    );
  });

  it('name no registry host and no lock entry that points to one', () => {
    assert.deepEqual(hits(/registry\.(npmjs|yarnpkg|terraform)\.|artifactory|nexus\./), []);
    assert.doesNotMatch(textOf('package-lock.json'), /"resolved": "https?:/);
  });

  it('hold no private key outside the tests', () => {
    assert.deepEqual(
      hits(/BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY-----$/, (path) => !path.startsWith('test/')),
      [],
    );
  });

  it('have at most 400 lines where they are source', () => {
    const long = filesBelow('')
      .filter((path) => /\.(ts|mjs|cjs|ps1)$/.test(path) && !path.endsWith('.test.ts'))
      // A list of codes grows with the program.
      .filter((path) => path !== 'ports/errors.ts')
      .map((path) => ({ path, lines: textOf(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > 400);
    assert.deepEqual(long, []);
  });
});
