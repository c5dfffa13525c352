import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { turns } from '../../../agent-bridge/server/turns.ts';

describe('the turns of a client', () => {
  const { signal } = new AbortController();

  it('come in order, so many at a time, and keep nobody else waiting', async () => {
    const inTurn = turns(2);
    const begun: string[] = [];
    const ends = new Map<string, () => void>();
    const ask = (client: string, what: string) =>
      inTurn(client, signal, async () => {
        begun.push(what);
        await new Promise<void>((resolve) => ends.set(what, resolve));
        return what;
      });
    const all = [ask('a', '1'), ask('a', '2'), ask('a', '3'), ask('a', '4'), ask('b', 'other')];
    await turn();
    assert.deepEqual(begun, ['1', '2', 'other']);
    ends.get('2')?.();
    // At the moment at which a place is handed on, nobody new slips in.
    all.push(all[1]?.then(() => ask('a', '5')) ?? ask('a', '5'));
    await turn();
    assert.deepEqual(begun, ['1', '2', 'other', '3']);
    for (const what of ['1', '3', 'other', '4', '5']) {
      ends.get(what)?.();
      await turn();
    }
    assert.deepEqual(await Promise.all(all), ['1', '2', '3', '4', 'other', '5']);
  });

  it('pass over who has gone, and survive who fails', async () => {
    const inTurn = turns(1);
    const gone = new AbortController();
    const failing = inTurn('a', signal, async () => {
      await turn();
      throw new Error('broken');
    });
    const left = inTurn('a', gone.signal, async () => 'never');
    const after = inTurn('a', signal, async () => 'done');
    gone.abort();
    await assert.rejects(failing, /broken/);
    assert.equal(await left, undefined);
    assert.equal(await after, 'done');
  });
});
