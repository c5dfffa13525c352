/**
 * Connections that live as long as the run: a stream, a WebSocket, and a client of HTTP/2 that makes a new session when
 * the proxy says that the old one ends (GOAWAY), as every HTTP/2 client does.
 */
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

export interface Life {
  /** Messages that came back. */
  echoes: number;
  /** Why it ended before it was told to; undefined while it lives. */
  cut: string | undefined;
  end(): void;
}

const PING_MS = 100;
const ANSWER_MS = 5_000;

export async function openStream(port: number): Promise<Life> {
  const socket = connect(port, '127.0.0.1');
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return live(
    socket,
    (n) => `t${n}\n`,
    (text) => text.split('\n').length - 1,
  );
}

/** The far side echoes what comes, so the bytes of a frame are as good as a frame's meaning. */
export async function openWebSocket(port: number): Promise<Life> {
  const socket = await new Promise<Duplex>((resolve, reject) => {
    const headers = {
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      'sec-websocket-key': randomBytes(16).toString('base64'),
    };
    const sent = request({ host: '127.0.0.1', port, path: '/socket', headers });
    sent.once('upgrade', (response, upgraded) => {
      if (response.headers['sec-websocket-accept'] === undefined) reject(new Error('not a WebSocket'));
      resolve(upgraded);
    });
    sent.once('response', (response) => reject(new Error(`status ${response.statusCode}`)));
    sent.once('error', reject);
    sent.end();
  });
  return live(
    socket,
    () => '\x81\x02hi',
    (text) => text.length / 4,
  );
}

function live(socket: Duplex, message: (n: number) => string, count: (text: string) => number): Life {
  let [told, sent, text] = [false, 0, ''];
  let pendingSince = 0;
  const life: Life = {
    echoes: 0,
    cut: undefined,
    end() {
      told = true;
      clearInterval(timer);
      socket.destroy();
    },
  };
  const cut = (why: string): void => {
    if (told || life.cut !== undefined) return;
    life.cut = `${why} after ${life.echoes} echoes`;
    clearInterval(timer);
    socket.destroy();
  };
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    life.echoes = count(text);
  });
  socket.on('error', (error) => cut(error.message));
  socket.on('close', () => cut('closed'));
  const timer = setInterval(() => {
    if (life.echoes >= sent) {
      pendingSince = Date.now();
      socket.write(message((sent += 1)), 'latin1');
    } else if (Date.now() - pendingSince > ANSWER_MS) cut(`no answer within ${ANSWER_MS} ms`);
  }, PING_MS);
  return life;
}

export interface Http2Counts {
  answered: number;
  /** Streams that a closing session did not take (RFC 9113, 6.8 and 8.7): the client asks again on a new one. */
  notTaken: number;
  failures: string[];
  sessions: number;
}

export interface Http2Client {
  counts: Http2Counts;
  end(): Promise<void>;
}

/** HTTP/2 with prior knowledge: the proxy's port speaks nothing else. */
export function http2Client(port: number, everyMs: number): Http2Client {
  const counts: Http2Counts = { answered: 0, notTaken: 0, failures: [], sessions: 0 };
  let session: ClientHttp2Session | undefined;
  const current = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const made = connectHttp2(`http://127.0.0.1:${port}`);
    counts.sessions += 1;
    made.on('error', () => undefined);
    made.on('goaway', () => {
      if (session === made) session = undefined;
      made.close();
    });
    return (session = made);
  };
  const one = async (again: boolean): Promise<void> => {
    const stream = current().request({ ':path': '/' });
    let status = 0;
    stream.on('response', (headers) => (status = Number(headers[':status'])));
    stream.resume();
    const outcome = await new Promise<string>((resolve) => {
      stream.setTimeout(ANSWER_MS, () => stream.close(constants.NGHTTP2_CANCEL));
      stream.on('error', () => undefined);
      stream.on('close', () => {
        if (stream.rstCode === constants.NGHTTP2_NO_ERROR && status !== 0)
          resolve(status === 200 ? 'ok' : `status ${status}`);
        else if (status === 0 && stream.rstCode !== constants.NGHTTP2_CANCEL) resolve('not taken');
        else resolve(`reset ${stream.rstCode} after status ${status}`);
      });
    });
    if (outcome === 'ok') counts.answered += 1;
    else if (outcome === 'not taken' && again) {
      counts.notTaken += 1;
      session = undefined;
      await one(false);
    } else counts.failures.push(outcome);
  };
  const underWay = new Set<Promise<void>>();
  const timer = setInterval(() => {
    const asked: Promise<void> = one(true).finally(() => underWay.delete(asked));
    underWay.add(asked);
  }, everyMs);
  return {
    counts,
    async end() {
      clearInterval(timer);
      await Promise.all(underWay);
      session?.close();
    },
  };
}
