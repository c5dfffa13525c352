/** The listening socket among those who want it for themselves, and the words in which it says no. */
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import {
  CLIENT_CONNECTIONS_LIMIT,
  CONNECTIONS_LIMIT,
  HANDSHAKES_LIMIT,
} from '../../../agent-bridge/server/listen-adapter.ts';
import { WAIT, foundVm, key, rig, until, vmId } from '../support/rig.ts';
import type { Rig } from '../support/rig.ts';

describe('the bridge’s listening socket', function () {
  this.timeout(60_000);
  let r: Rig;
  const opened: Socket[] = [];
  before(async () => {
    r = await rig();
    r.setVms([foundVm(1)]);
    assert.equal((await r.cli('bridge', 'adopt', '--cluster', 'prod', vmId(1), '--yes')).code, 0);
    await r.start();
  });
  after(() => r.end());
  afterEach(() => {
    for (const socket of opened.splice(0)) socket.destroy();
  });

  const note = <S extends Socket>(socket: S): S => {
    opened.push(socket);
    socket.on('error', () => undefined);
    return socket;
  };
  function listed(name: string): Promise<TLSSocket> {
    const { cert, key: secret } = r.enrolled[name] ?? {};
    assert.ok(cert !== undefined && secret !== undefined);
    return new Promise((resolve) => {
      const socket = note(
        connect({ host: '127.0.0.1', port: r.port, cert, key: secret, rejectUnauthorized: false }),
      );
      socket.once('secureConnect', () => resolve(socket));
      socket.once('close', () => resolve(socket));
    });
  }
  const open = () => opened.filter((socket) => !socket.destroyed).length;
  const accepted = () => r.log().match(/"event":"accepted"/g)?.length ?? 0;
  const isAnswered = (name: string) => r.client(name).read('host.read', {}, WAIT);
  /** All that comes back until the bridge closes. */
  async function ask(...writes: string[]): Promise<string> {
    const socket = await listed('agent-a');
    let got = '';
    socket.on('data', (chunk: Buffer) => (got += chunk.toString()));
    for (const bytes of writes) socket.write(bytes);
    await new Promise((resolve) => socket.once('close', resolve));
    return got;
  }

  it('lets a client in beside more silent strangers than it has places', async () => {
    for (let n = 0; n < CONNECTIONS_LIMIT + 100; n += 1) note(connectTcp(r.port, '127.0.0.1'));
    await until(() => open() <= HANDSHAKES_LIMIT, 'the oldest are cut off');
    await isAnswered('agent-a');
    assert.ok(open() > HANDSHAKES_LIMIT / 2, 'the newest are still there');
  });

  it('lets other clients in, and this one too, when a client takes all the connections that it can get', async () => {
    for (let n = 0; n < CLIENT_CONNECTIONS_LIMIT + 20; n += 1) await listed('agent-a');
    await until(() => open() <= CLIENT_CONNECTIONS_LIMIT, 'its oldest are closed');
    assert.ok(open() >= CLIENT_CONNECTIONS_LIMIT - 1);
    await isAnswered('agent-b');
    await isAnswered('agent-a');
  });

  it('says in JSON what was wrong with what is no request of ours', async () => {
    const cases: [what: string, bytes: string, status: string, code: string][] = [
      ['no host', 'GET /v1/jobs/x HTTP/1.1\r\n\r\n', '400 Bad Request', 'badRequest'],
      ['HTTP/1.0', 'GET /v1/jobs/x HTTP/1.0\r\nhost: b\r\n\r\n', '400 Bad Request', 'badRequest'],
      [
        'an expectation',
        'POST /v1/jobs HTTP/1.1\r\nhost: b\r\nexpect: x\r\ncontent-length: 9\r\n\r\n',
        '400 Bad Request',
        'badRequest',
      ],
      ['another protocol', 'SSH-2.0-x\r\n\r\n', '400 Bad Request', 'badRequest'],
      [
        'too many headers',
        `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
        '431 Request Header Fields Too Large',
        'tooLarge',
      ],
    ];
    await Promise.all(
      cases.map(async ([what, bytes, status, code]) => {
        const [head = '', body] = (await ask(bytes)).split('\r\n\r\n');
        assert.equal(head.split('\r\n')[0], `HTTP/1.1 ${status}`, what);
        assert.equal(body, `{"code":"${code}"}`, what);
        const names = head
          .split('\r\n')
          .slice(1)
          .map((line) => line.split(':')[0]?.toLowerCase());
        const ours = ['content-type', 'content-length', 'connection', 'x-log-head', 'date', 'keep-alive'];
        assert.deepEqual(
          names.filter((name) => !ours.includes(name ?? '')),
          [],
          what,
        );
        assert.match(head, /^content-length: \d+\r$/m, what);
        assert.match(head, /^x-log-head: \d+:[0-9a-f]{64}\r?$/m, what);
      }),
    );
  });

  it('gives no refusal in the place of an answer that is due: the request before it may have been accepted', async () => {
    const before = accepted();
    const body = `{"op":"vm.stop","params":{"cluster":"prod","fence":0,"id":"${vmId(1)}"}}`;
    const head = ['POST /v1/jobs HTTP/1.1', 'host: b', `content-length: ${body.length}`];
    const post = [...head, `idempotency-key: ${key(1)}`, '', body].join('\r\n');
    assert.equal(await ask(`${post}SSH-2.0-x\r\n\r\n`), '');
    const job = await r.client().submit('vm.stop', { cluster: 'prod', id: vmId(1), fence: 0 }, key(1), WAIT);
    assert.equal((await r.client().waitFor(job, WAIT)).kind, 'done');
    assert.equal(accepted(), before + 1);
  });

  it('takes nothing from a connection that it has refused, and refuses none that has sent nothing', async () => {
    const before = accepted();
    const body = `{"op":"vm.stop","params":{"cluster":"prod","fence":0,"id":"${vmId(1)}"}}`;
    const head = ['host: b', `content-length: ${body.length}`, `idempotency-key: ${key(2)}`, '', ''].join(
      '\r\n',
    );
    const late = async (first: string, rest: string) => {
      const socket = await listed('agent-a');
      let got = '';
      socket.on('data', (chunk: Buffer) => {
        got += chunk.toString();
        socket.write(rest);
      });
      socket.write(first);
      await new Promise((resolve) => socket.once('close', resolve));
      return got.replace(/\r\n[^]*\r\n\r\n/, ' ');
    };
    const [lateHead, lateBody, silent] = await Promise.all([
      late('POST /v1/jobs HTTP/1.1\r\n', head + body),
      late(`POST /v1/jobs HTTP/1.1\r\n${head}${body.slice(0, 5)}`, body.slice(5)),
      ask(),
    ]);
    const slow = 'HTTP/1.1 408 Request Timeout {"code":"badRequest"}';
    assert.deepEqual([lateHead, lateBody, silent], [slow, slow, '']);
    assert.equal(accepted(), before);
  });
});
