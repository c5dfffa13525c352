import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { withDefaults } from '../../../lab/traffic/config.ts';
import type { HttpClass } from '../../../lab/traffic/config.ts';
import { exchange } from '../../../lab/traffic/http.ts';
import { startTraffic } from '../../../lab/traffic/run.ts';
import type { TrafficResult } from '../../../lab/traffic/statistics.ts';
import { sleep, tcp } from './servers.ts';
import type { Tcp } from './servers.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nx-served-by: n1\r\ncontent-length: 2\r\n\r\nok';

/** Calls `answer` for each request's head, with its number on that connection. */
function onRequest(socket: Socket, answer: (nth: number) => void): void {
  let nth = 0;
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      const length = /content-length: (\d+)/i.exec(text.slice(0, end))?.[1] ?? '0';
      text = text.slice(end + 4 + Number(length));
      nth += 1;
      answer(nth);
    }
  });
}

async function load(port: number, forMs: number, more: Partial<HttpClass> = {}): Promise<TrafficResult> {
  const http = { address: '127.0.0.1', port, host: 'app.home', perSecond: 200, ...more };
  const traffic = startTraffic(withDefaults({ http }));
  await sleep(forMs);
  return traffic.stop();
}

describe('application requests', () => {
  let server: Tcp | undefined;
  afterEach(() => server?.close());

  it('are counted with the node that served them, over new and over reused connections', async () => {
    let connections = 0;
    server = await tcp((socket) => {
      connections += 1;
      onRequest(socket, () => socket.write(ANSWER));
    });
    const result = await load(server.port, 600);
    assert.equal(result.requests.failed, 0);
    assert.ok(result.requests.total >= 60, `${result.requests.total} requests`);
    assert.equal(result.servedBy['n1'], result.requests.total);
    assert.ok(connections > result.requests.total * 0.4 && connections < result.requests.total * 0.8);
    assert.equal(
      result.perSecond.reduce((sum, second) => sum + second.ok, 0),
      result.requests.total,
    );
  });

  it('excuse the reset of a connection that had answered, when a new one answers at once', async () => {
    // Only the second request of the first connection is met with a reset.
    server = await tcp((socket, nth) =>
      onRequest(socket, (request) =>
        nth === 1 && request === 2 ? socket.resetAndDestroy() : socket.write(ANSWER),
      ),
    );
    const result = await load(server.port, 900, { newConnections: 0, posts: 0, keepAliveConnections: 1 });
    assert.ok(result.requests.total >= 100, `${result.requests.total} requests`);
    assert.deepEqual([result.requests.failed, result.requests.resetOnIdle], [0, 1]);
  });

  it('do not excuse more than one reset in a hundred requests', async () => {
    server = await tcp((socket) =>
      onRequest(socket, (request) => (request === 2 ? socket.resetAndDestroy() : socket.write(ANSWER))),
    );
    const { requests, failures } = await load(server.port, 500, { newConnections: 0, posts: 0 });
    assert.equal(requests.resetOnIdle, Math.floor(requests.total * 0.01));
    assert.ok(requests.failed > 10);
    assert.match(failures[0]?.error ?? '', /above the 1 %/);
  });

  it('fail when the retry is not answered within a second', async () => {
    server = await tcp((socket, nth) =>
      onRequest(socket, (request) => {
        if (nth === 1) return request === 1 ? socket.write(ANSWER) : socket.resetAndDestroy();
        return undefined;
      }),
    );
    const result = await load(server.port, 400, {
      newConnections: 0,
      posts: 0,
      keepAliveConnections: 1,
      perSecond: 20,
      deadlineMs: 1_500,
    });
    assert.equal(result.requests.resetOnIdle, 0);
    assert.match(
      result.failures[0]?.error ?? '',
      /reused connection, and its retry: no whole answer within 1000 ms/,
    );
  });

  for (const [what, reply, error] of [
    ['a 502', 'HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n', /^status 502$/],
    [
      'an answer that stops in its middle',
      'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf',
      /the answer was cut/,
    ],
  ] as const) {
    it(`fail on ${what}, with class and target named`, async () => {
      server = await tcp((socket) => onRequest(socket, () => socket.end(reply)));
      const { requests, failures } = await load(server.port, 200);
      assert.ok(requests.total > 10);
      assert.equal(requests.failed, requests.total);
      assert.equal(failures[0]?.class, 'http');
      assert.match(failures[0].target, /^(GET|POST) 127\.0\.0\.1:\d+\/$/);
      assert.match(failures[0].error, error);
    });
  }

  it('fail when nobody listens, and list the first fifty', async () => {
    server = await tcp(() => undefined);
    const { port } = server;
    await server.close();
    server = undefined;
    const { requests, failures, perSecond } = await load(port, 500);
    assert.ok(requests.total > 50);
    assert.equal(requests.failed, requests.total);
    assert.equal(failures.length, 50);
    assert.match(failures[0]?.error ?? '', /ECONNREFUSED/);
    assert.equal(
      perSecond.reduce((sum, second) => sum + second.failed, 0),
      requests.total,
    );
  });
});

describe('a reset is called idle', () => {
  let server: Tcp | undefined;
  const pool = new Agent({ keepAlive: true, maxSockets: 1 });
  afterEach(() => server?.close());
  after(() => pool.destroy());

  /** Sends two requests over one connection; the second is met with `second`. */
  async function twice(second: (socket: Socket) => void, agent: Agent | undefined): Promise<unknown> {
    server = await tcp((socket) =>
      onRequest(socket, (request) =>
        request === 1 && agent !== undefined ? socket.write(ANSWER) : second(socket),
      ),
    );
    const where = { host: '127.0.0.1', port: server.port };
    const ask = { where, host: 'app.home', path: '/', method: 'GET', agent, deadlineMs: 1_000 };
    if (agent !== undefined) assert.equal((await exchange(ask)).ok, true);
    await sleep(20);
    return exchange(ask);
  }

  it('on a connection that had answered, before any byte', async () => {
    const answer = (await twice((socket) => socket.resetAndDestroy(), pool)) as { idleReset: boolean };
    assert.equal(answer.idleReset, true);
  });

  it('not after the first bytes of the answer', async () => {
    const cut = (socket: Socket): void =>
      void socket.write('HTTP/1.1 200', () => setTimeout(() => socket.resetAndDestroy(), 20));
    const answer = (await twice(cut, pool)) as { idleReset: boolean };
    assert.equal(answer.idleReset, false);
  });

  it('not on a connection of its own', async () => {
    const answer = (await twice((socket) => socket.resetAndDestroy(), undefined)) as { idleReset: boolean };
    assert.equal(answer.idleReset, false);
  });

  it('not when the answer is late', async () => {
    const answer = (await twice(() => undefined, pool)) as { idleReset: boolean; error: string };
    assert.equal(answer.idleReset, false);
    assert.match(answer.error, /within 1000 ms/);
  });
});
