/** A line to the bridge that is cut at random places: in the handshake, in a head, in a body. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface CuttingLine {
  port: number;
  /** Connections that ended before their time. */
  cuts(): number;
  close(): Promise<void>;
}

/** One connection in so many lives long enough for the largest answer. */
const LUCKY = 45;
const LUCKY_BYTES = 1_500_000;
const ANSWER_BYTES = 1_100_000;

/** `chance` gives 0 to 1. Most cuts are early, so that heads and handshakes have their share. */
export async function cuttingLine(to: number, chance: () => number): Promise<CuttingLine> {
  let opened = 0;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    opened += 1;
    let left = opened % LUCKY === 0 ? LUCKY_BYTES * (1 + chance()) : Math.floor(ANSWER_BYTES ** chance());
    let isCut = false;
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    near.pipe(far);
    far.on('data', (chunk: Buffer) => {
      if (isCut) return;
      if (chunk.length < left) {
        left -= chunk.length;
        if (!near.write(chunk)) {
          far.pause();
          near.once('drain', () => far.resume());
        }
        return;
      }
      isCut = true;
      cuts += 1;
      near.write(chunk.subarray(0, left), end);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cuts: () => cuts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
