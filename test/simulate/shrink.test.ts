import assert from 'node:assert/strict';
import { shrink } from '../../simulate/shrink.ts';

/** A story that breaks when all of `needed` happen. */
const storyOf = (all: string[], needed: string[]) => (without: string[]) => {
  const faults = all.filter((id) => !without.includes(id));
  const breaks = needed.every((id) => faults.includes(id));
  return Promise.resolve({ faults, violations: breaks ? ['quorum is kept: lost'] : [] });
};

describe('Shrinking a story', () => {
  const all = Array.from({ length: 12 }, (_, at) => `fault ${at}`);

  it('leaves only the faults without which nothing breaks', async () => {
    const play = storyOf(all, ['fault 3', 'fault 9']);
    const short = await shrink(await play([]), play);
    assert.deepEqual(short.faults, ['fault 3', 'fault 9']);
  });

  it('keeps to the invariant that was broken first', async () => {
    const play = (without: string[]) => {
      const faults = all.filter((id) => !without.includes(id));
      const quorum = faults.includes('fault 5') ? ['quorum is kept: lost'] : [];
      return Promise.resolve({ faults, violations: [...quorum, 'another one: also broken'] });
    };
    const short = await shrink(await play([]), play);
    assert.deepEqual(short.faults, ['fault 5']);
  });

  it('gives the story as it is when it breaks without any fault', async () => {
    const play = storyOf([], []);
    assert.deepEqual((await shrink(await play([]), play)).faults, []);
  });
});
