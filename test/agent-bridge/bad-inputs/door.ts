/** A raw client of the bridge's port, and what came back in the words of a table. */
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';

export interface Row {
  input: string;
  /** `status code field`, several of them for several answers, `closed` when nothing came. */
  expected: string;
  ask(door: Door): Promise<string>;
}

export interface Door {
  port: number;
  /** The listed client of most rows, and a second one. */
  mine: ConnectionOptions;
  other: ConnectionOptions;
  /** A finished job of `mine`. */
  jobId: string;
}

/** Writes what a row has to say; more than one write for those who are slow. */
export type Say = (socket: Socket) => void;

/** Longer than every limit of the bridge: a peer that is still connected then is reported as `open`. */
const PATIENCE_MS = 19_000;

export const overTls = (door: Door, options: ConnectionOptions, say: Say): Promise<string> =>
  answers(say, 'secureConnect', () =>
    connect({ host: '127.0.0.1', port: door.port, rejectUnauthorized: false, ...options }),
  );

export const overTcp = (door: Door, say: Say): Promise<string> =>
  answers(say, 'connect', () => connectTcp(door.port, '127.0.0.1'));

function answers(say: Say, ready: string, open: () => Socket): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = open();
    const patience = setTimeout(() => {
      resolve('open');
      socket.destroy();
    }, PATIENCE_MS);
    socket.on(ready, () => say(socket));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(patience);
      resolve(inWords(Buffer.concat(chunks).toString('latin1')));
    });
  });
}

/** Bytes that are no HTTP (a TLS alert) are no answer. */
function inWords(text: string): string {
  const each = text.split('HTTP/1.1 ').slice(1);
  if (each.length === 0) return 'closed';
  return each
    .map((one) =>
      [
        one.slice(0, 3),
        /"code":"(\w+)"/.exec(one)?.[1] ?? '',
        /"field":"([^"]*)"/.exec(one)?.[1] ?? '',
        // The last one: a result has a state of its own.
        [...one.matchAll(/"state":"(\w+)"/g)].at(-1)?.[1] ?? '',
      ]
        .filter((word) => word !== '')
        .join(' '),
    )
    .join(' + ');
}

/** One request, after which the client has no more to say. */
export function request(method: string, target: string, headers: readonly string[], body = ''): string {
  const length = body === '' && method === 'GET' ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  return [
    `${method} ${target} HTTP/1.1`,
    'host: b',
    'connection: close',
    ...length,
    ...headers,
    '',
    body,
  ].join('\r\n');
}

export const row = (input: string, expected: string, bytes: string | Buffer): Row => ({
  input,
  expected,
  ask: (door) => overTls(door, door.mine, (socket) => socket.write(bytes)),
});

/** One byte a second, or what else `next` gives, until the bridge has had enough. */
export const slowly = (everyMs: number, first: string, next: string): Say => {
  return (socket) => {
    socket.write(first);
    const timer = setInterval(() => socket.write(next), everyMs);
    socket.on('close', () => clearInterval(timer));
  };
};
