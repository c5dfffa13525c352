/** Facts on the Lease: they survive, and what is unreadable counts as absent. */
import assert from 'node:assert/strict';
import { factsFromAnnotations, factsToAnnotations, NO_FACTS, pairOf, type Facts } from '../../cycle/facts.ts';
import { applied, begun, travel } from './journey.ts';
import { configOf, worldOf } from './world.ts';

const config = configOf();
const whole = travel(
  config,
  { leaving: 'home-n1', staying: 'home-n5', dead: false },
  begun(config, worldOf(config)),
);

function stored(facts: Facts): Record<string, string> {
  return Object.fromEntries(
    Object.entries(factsToAnnotations(facts)).filter((entry): entry is [string, string] => entry[1] !== null),
  );
}

describe('Facts on the Lease', () => {
  it('come back as they were written, at every point of a cycle', () => {
    assert.ok(applied(whole).length > 20);
    for (const { facts } of whole.worlds) {
      const back = factsFromAnnotations(stored(facts));
      assert.deepEqual(stored(back), stored(facts));
      if (facts.old !== undefined) assert.deepEqual(back, JSON.parse(JSON.stringify(facts)));
    }
  });

  it('are all removed when the cycle is cleared, and none by accident', () => {
    const cleared = factsToAnnotations(NO_FACTS);
    assert.ok(Object.values(cleared).every((value) => value === null));
    for (const { facts } of whole.worlds)
      assert.ok(
        Object.keys(stored(facts)).every((key) => key in cleared),
        'every key that is written can be removed',
      );
  });

  it('that are missing or unreadable count as absent, the others stay', () => {
    const { facts } = whole.worlds[20] ?? assert.fail();
    const damaged = factsFromAnnotations({ ...stored(facts), 'node-cycle/swapped': '{"cp-home', other: 'x' });
    assert.deepEqual(damaged.swapped, {});
    assert.deepEqual(damaged.old, facts.old);
    assert.deepEqual(factsFromAnnotations({}), NO_FACTS);
  });

  it('name who leaves and who stays, in both directions', () => {
    const { facts } = whole.worlds[0] ?? assert.fail();
    assert.deepEqual(pairOf(facts), { leaving: 'home-n1', staying: 'home-n5' });
    assert.deepEqual(pairOf({ ...facts, direction: 'back' }), { leaving: 'home-n5', staying: 'home-n1' });
    assert.equal(pairOf(NO_FACTS), undefined);
  });
});
