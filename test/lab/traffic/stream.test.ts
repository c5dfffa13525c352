import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { withDefaults } from '../../../lab/traffic/config.ts';
import type { StreamClass } from '../../../lab/traffic/config.ts';
import { startTraffic } from '../../../lab/traffic/run.ts';
import { endedByDrain } from '../../../lab/traffic/stream.ts';
import { sleep, tcp } from './servers.ts';
import type { Tcp } from './servers.ts';

const answering = (socket: Socket): void => {
  socket.on('data', (chunk) => {
    for (const token of chunk.toString().trim().split('\n')) socket.write(`n3 shop-1 ${token}\n`);
  });
};

const settings = (port: number, more: Partial<StreamClass> = {}): Parameters<typeof withDefaults>[0] => ({
  stream: {
    address: '127.0.0.1',
    port,
    perSecond: 0,
    longLived: 2,
    pingEveryMs: 50,
    drainDeadlineMs: 800,
    ...more,
  },
});

describe('streams through the proxy', () => {
  let server: Tcp | undefined;
  afterEach(() => server?.close());

  it('are answered with their own line, on short and on long connections', async () => {
    server = await tcp(answering);
    const traffic = startTraffic(withDefaults(settings(server.port, { perSecond: 100 })));
    await sleep(500);
    const result = await traffic.stop();
    assert.equal(result.requests.failed, 0);
    assert.equal(result.servedBy['n3'], result.requests.total);
    assert.ok(result.requests.total >= 40);
    assert.equal(result.streamsDrained, 0);
  });

  it('fail when the answer is not to their line', async () => {
    server = await tcp((socket) => socket.on('data', () => socket.write('other\n')));
    const traffic = startTraffic(withDefaults(settings(server.port, { longLived: 0, perSecond: 50 })));
    await sleep(200);
    const { requests, failures } = await traffic.stop();
    assert.ok(requests.failed > 0 && requests.failed === requests.total);
    assert.match(failures[0]?.error ?? '', /expected the line t\d+, found "other"/);
  });

  it('fail when an open one is ended and no worker was told to go', async () => {
    server = await tcp(answering);
    const traffic = startTraffic(withDefaults(settings(server.port, { reloads: 'told' })));
    await sleep(200);
    for (const socket of server.sockets) socket.end();
    await sleep(200);
    const result = await traffic.stop();
    assert.deepEqual([result.requests.failed, result.streamsDrained], [2, 0]);
    assert.match(result.failures[0]?.error ?? '', /closed by the far side/);
    assert.ok(result.requests.total > 6, 'they go on over new connections');
  });

  it('may be ended by the drain deadline of a reload that they were open at', async () => {
    server = await tcp(answering);
    const traffic = startTraffic(withDefaults(settings(server.port, { reloads: 'told' })));
    await sleep(150);
    traffic.proxyReloaded(Date.now());
    await sleep(800);
    for (const socket of server.sockets) socket.end();
    await sleep(200);
    const result = await traffic.stop();
    assert.deepEqual([result.requests.failed, result.streamsDrained], [0, 2]);
  });

  const told = { drainDeadlineMs: 10_000, reloads: 'told' } as const;
  for (const [what, life, reloads, allowed] of [
    ['opened after the reload', { openedMs: 21_000, endedMs: 30_000 }, [20_000], false],
    ['ended long before the deadline', { openedMs: 0, endedMs: 25_000 }, [20_000], false],
    ['ended at the deadline', { openedMs: 0, endedMs: 30_100 }, [20_000], true],
    ['ended at the deadline of an earlier reload', { openedMs: 0, endedMs: 30_100 }, [20_000, 29_000], true],
    ['ended long after the deadline', { openedMs: 0, endedMs: 40_000 }, [20_000], false],
    ['ended without a reload', { openedMs: 0, endedMs: 40_000 }, [], false],
  ] as const) {
    it(`${what}: ${allowed ? 'drained' : 'failed'}`, () =>
      assert.equal(endedByDrain(life, reloads, told), allowed));
  }

  it('are judged by their age alone when reloads are not told', () => {
    const unknown = { drainDeadlineMs: 10_000, reloads: 'unknown' } as const;
    assert.equal(endedByDrain({ openedMs: 0, endedMs: 9_000 }, [], unknown), false);
    assert.equal(endedByDrain({ openedMs: 0, endedMs: 10_000 }, [], unknown), true);
  });
});
