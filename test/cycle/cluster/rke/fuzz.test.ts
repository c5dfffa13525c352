import assert from 'node:assert/strict';
import { judgeRun } from '../../../../cycle/cluster/rke/log.ts';
import { ownCorpus, realLogs } from './corpus.ts';
import type { CorpusCase } from './corpus.ts';

/** Rounds of one way to spoil a log; together some ten seconds of reading. */
const ROUNDS = 1_500;

/** They only end too early: with the end of another run they read as one that ended well. */
const WORDLESS = ['ended-by-sigterm', 'silent-host', 'ended-before-its-end', '70b-sigterm-ctl'];

type Random = (below: number) => number;

/** xorshift32: the same seed spoils the same logs twice. */
function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % Math.max(1, below);
  };
}

const cutAt = (text: string, places: number[]) => {
  const sorted = [0, ...places.sort((a, b) => a - b), text.length];
  return sorted.slice(1).map((end, i) => text.slice(sorted[i], end));
};

/** Ways in which a pipe, a logger or two writers spoil a text. Each keeps at least what one failure is made of. */
const SPOIL: Record<string, (text: string, good: string, random: Random) => string> = {
  'cut at its end': (text, _good, random) => text.slice(0, random(text.length)),
  'cut at its start': (text, _good, random) => text.slice(1 + random(text.length - 1)),
  'split by line ends': (text, _good, random) =>
    cutAt(text, [random(text.length), random(text.length), random(text.length)]).join('\n'),
  'joined where lines ended': (text, _good, random) => {
    const lines = text.split('\n');
    const at = random(lines.length - 1);
    return [...lines.slice(0, at), `${lines[at] ?? ''}${lines[at + 1] ?? ''}`, ...lines.slice(at + 2)].join(
      '\n',
    );
  },
  'interleaved with a good run, in pieces': (text, good, random) => {
    const count = 1 + random(12);
    const pieces = (whole: string) =>
      cutAt(
        whole,
        Array.from({ length: count }, () => random(whole.length)),
      );
    const [bad, other] = [pieces(text), pieces(good)];
    const bothWays = random(2) === 0;
    return bad.map((piece, i) => (bothWays ? piece + (other[i] ?? '') : (other[i] ?? '') + piece)).join('');
  },
  'interleaved with a good run, line by line': (text, good, random) => {
    const [bad, other] = [text.split('\n'), good.split('\n')];
    const mixed: string[] = [];
    while (bad.length + other.length > 0)
      mixed.push(...(random(2) === 0 ? bad : other).splice(0, 1 + random(4)));
    return mixed.join('\n');
  },
  'followed by the end of a good run': (text, good, random) =>
    `${text}${random(2) === 0 ? '\n' : ''}${good.slice(random(good.length))}`,
  'doubled in parts': (text, _good, random) => {
    const [from, to] = [random(text.length), random(text.length)].sort((a, b) => a - b) as [number, number];
    return text.slice(0, to) + text.slice(from);
  },
  'with Windows line ends or without any': (text, _good, random) =>
    text.replaceAll('\n', random(2) === 0 ? '\r\n' : ' '),
};

describe('a spoiled log of a run that failed', function () {
  this.timeout(60_000);
  const corpus = ownCorpus();
  const good = corpus.filter(({ outcome }) => outcome === 'succeeded').map(({ lines }) => lines.join('\n'));
  // Those that only the command line's intent shows (nothing was removed, nobody joined) keep their expectation.
  const bad: Pick<CorpusCase, 'name' | 'lines' | 'expectation'>[] = [
    ...corpus.filter(({ outcome, lines }) => outcome !== 'succeeded' && lines.length > 0),
    ...realLogs()
      .filter(({ exit, lines }) => exit !== 0 && lines.length > 0)
      .map(({ name, lines }) => ({ name, lines, expectation: { existingCluster: true } })),
  ];

  for (const [how, spoil] of Object.entries(SPOIL)) {
    it(`is never a success when it is ${how}, even if the exit code says 0`, () => {
      const random = seeded(0x5eed + how.length);
      const candidates = how.startsWith('followed')
        ? bad.filter(({ name }) => !WORDLESS.includes(name))
        : bad;
      for (let round = 0; round < ROUNDS; round += 1) {
        const one = candidates[round % candidates.length];
        assert.ok(one !== undefined);
        const text = spoil(one.lines.join('\n'), good[random(good.length)] ?? '', random);
        const run = { lines: text.split('\n'), exitCode: 0, signal: null };
        const { outcome } = judgeRun(run, one.expectation);
        assert.notEqual(outcome, 'succeeded', `${one.name}, round ${round}:\n${text}`);
      }
    });
  }

  it('is a failure whatever its text is, when the exit code is not 0 or a signal ended it', () => {
    const random = seeded(77);
    for (let round = 0; round < ROUNDS; round += 1) {
      const lines = (good[random(good.length)] ?? '').split('\n').slice(random(3));
      const run =
        round % 2 === 0 ? { exitCode: 1 + random(3), signal: null } : { exitCode: null, signal: 'SIGKILL' };
      assert.equal(judgeRun({ lines, ...run }, { existingCluster: true }).outcome, 'failed');
    }
  });
});
