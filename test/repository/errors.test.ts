import assert from 'node:assert/strict';
import { ERRORS } from '../../ports/errors.ts';
import { filesBelow, textOf } from './tree.ts';

const SOURCES = ['agent-bridge', 'bench', 'cli', 'cycle', 'lab', 'ports', 'report', 'tasks'];

function codesIn(paths: string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of paths) for (const [code] of textOf(path).matchAll(/\bNC\d{4}\b/g)) found.set(code, path);
  return found;
}

describe('the list of error codes', () => {
  const sources = SOURCES.flatMap(filesBelow).filter(
    (path) => /\.(ts|ps1|psm1)$/.test(path) && path !== 'ports/errors.ts',
  );

  it('has every code that the source uses', () => {
    const unlisted = [...codesIn(sources)].filter(([code]) => !(code in ERRORS));
    assert.deepEqual(unlisted, []);
  });

  it('has no code that nothing uses', () => {
    const used = codesIn(sources);
    assert.deepEqual(
      Object.keys(ERRORS).filter((code) => !used.has(code)),
      [],
    );
  });

  it('names each code once and says in sentences what is wrong and what to do', () => {
    const listed = [...textOf('ports/errors.ts').matchAll(/^ {2}(NC\d{4}):/gm)].map(([, code]) => code);
    assert.equal(new Set(listed).size, listed.length, 'a code stands twice');
    assert.deepEqual(new Set(listed), new Set(Object.keys(ERRORS)));
    for (const [code, { title, remedy }] of Object.entries(ERRORS)) {
      assert.match(title, /^[A-Za-z`].*\.$/, `${code}: title`);
      assert.match(remedy, /^[A-Za-z`].*\.$/, `${code}: remedy`);
      assert.ok(!title.includes('\n') && title.length <= 120, `${code}: the title is one line`);
    }
  });
});
