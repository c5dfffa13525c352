import assert from 'node:assert/strict';
import { scriptRunner } from '../../../agent-bridge/host/run-script.ts';
import type { Child, Processes } from '../../../agent-bridge/jobs/processes.ts';
import { clock } from '../../../ports/clock.ts';
import { random } from '../../../ports/random.ts';

describe('Scripts outside of jobs', () => {
  it('run four at a time, also when some come in the moment that others end', async () => {
    const ends: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const startChild = (): Child => {
      running += 1;
      most = Math.max(most, running);
      const ended = new Promise<void>((resolve) => ends.push(resolve)).then(() => {
        running -= 1;
        return { exitCode: 1 };
      });
      return { pid: 0, ended } as unknown as Child;
    };
    const engine = { file: 'engine', args: [], script: () => 'x.ps1', env: {} };
    const processes = { startChild } as unknown as Processes;
    const run = scriptRunner(engine, { processes, clock, random });
    const one = () => run('host-info', {} as never, 5_000);
    // Each that ends calls for another: its place is wanted by a newcomer and by those who wait.
    const again = (left: number): Promise<unknown> =>
      one().then(() => (left > 0 ? again(left - 1) : undefined));
    const all = Promise.all(Array.from({ length: 8 }, () => again(20)));
    const endTwo = () => ends.splice(0, 2).forEach((end) => end());
    const ending = setInterval(endTwo, 1);
    await all.finally(() => clearInterval(ending));
    assert.equal(most, 4);
  });
});
