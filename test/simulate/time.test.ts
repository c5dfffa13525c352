import assert from 'node:assert/strict';
import { clockOf, heardBy, life, Stalled, TooLong, virtualTime } from '../../simulate/time.ts';

describe('Virtual time', () => {
  it('runs what is due in the order of its time, and equal times in the order in which they were set', async () => {
    const time = virtualTime(0, 10_000);
    const order: string[] = [];
    const note = (name: string) => () => void order.push(`${name} at ${time.nowMs()}`);
    time.after(20, note('late'));
    time.after(10, note('first'));
    time.after(10, note('second'));
    time.after(5, () => time.after(5, note('third'))).cancel();
    await time.run(
      new Promise<void>((resolve) => {
        time.after(30, () => resolve());
      }),
    );
    assert.deepEqual(order, ['first at 10', 'second at 10', 'late at 20']);
  });

  it('lets every promise settle before it moves on', async () => {
    const time = virtualTime(0, 10_000);
    const clock = clockOf(time, life('task'));
    let seenAt = -1;
    time.after(1_000, () => void (seenAt = turns));
    let turns = 0;
    const chain = async () => {
      for (; turns < 500; turns += 1) await Promise.resolve();
      await clock.sleep(2_000);
    };
    await time.run(chain());
    assert.equal(seenAt, 500);
    assert.equal(clock.now(), 2_000);
  });

  it('stands still while real threads are at work', async () => {
    const time = virtualTime(0, 10_000);
    const threads = time.outside(new Promise<void>((resolve) => setTimeout(resolve, 20)));
    let done = false;
    void threads.then(() => (done = true));
    await time.run(clockOf(time, life('task')).sleep(1));
    assert.equal(done, true);
  });

  it('says when nobody will do what is waited for, and when it takes too long', async () => {
    const forever = new Promise<never>(() => undefined);
    await assert.rejects(virtualTime(0, 10_000).run(forever), Stalled);
    const time = virtualTime(0, 1_000);
    const tick = () => void time.after(300, tick);
    tick();
    await assert.rejects(time.run(forever), TooLong);
  });

  it('tells a killed process nothing any more', async () => {
    const time = virtualTime(0, 10_000);
    const task = life('task');
    const heard: string[] = [];
    void clockOf(time, task)
      .sleep(100)
      .then(() => heard.push('its sleep'));
    void heardBy(task, clockOf(time, life('other')).sleep(50)).then(() => heard.push('an answer'));
    time.after(10, () => task.kill());
    await time.run(clockOf(time, life('watcher')).sleep(1_000));
    assert.deepEqual(heard, []);
  });

  it('ends a sleep when its signal is aborted', async () => {
    const time = virtualTime(0, 10_000);
    const stop = new AbortController();
    const asleep = clockOf(time, life('task')).sleep(5_000, stop.signal);
    time.after(10, () => stop.abort());
    await assert.rejects(time.run(asleep), /aborted/);
    assert.equal(time.nowMs(), 10);
  });
});
