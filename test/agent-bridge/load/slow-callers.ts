/** Connections that never finish what they began, and how long the requests of others take beside them. */
import { setMaxListeners } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { WAIT, until } from '../support/rig.ts';
import type { Rig } from '../support/rig.ts';
import { enrolled } from './load-world.ts';

export interface Beside {
  /** Slow connections that were open at the end, and all that were opened: who is cut off comes back. */
  open: number;
  made: number;
  reads: number;
  p50Ms: number;
  p99Ms: number;
  worstMs: number;
}

const DRIP_MS = 500;
const LEAST_READS = 50;
const MOST_MS = 60_000;
/** By name of the client, `stranger` without TLS. Each writes something now and then. */
const WAYS: { who: string; first: string; next: string }[] = [
  { who: 'stranger', first: '', next: '' },
  { who: 'stranger', first: '\x16\x03\x01\x02\x00\x01', next: '\x00' },
  { who: 'agent-a', first: 'GET /v1/jobs/x HTTP/1.1\r\nx-slow: ', next: 'a' },
  { who: 'agent-b', first: 'POST /v1/jobs HTTP/1.1\r\nhost: b\r\ncontent-length: 900\r\n\r\n', next: '[' },
];

/** Reads for so long beside so many slow connections, then does `also` while they are still there. */
export async function besideSlow(
  r: Rig,
  { slow, forMs }: { slow: number; forMs: number },
  also: () => Promise<void>,
): Promise<Beside> {
  const over = new AbortController();
  setMaxListeners(slow * 2, over.signal);
  let open = 0;
  let made = 0;
  const keep = (way: (typeof WAYS)[number]): void => {
    if (over.signal.aborted) return;
    const isListed = way.who !== 'stranger';
    const { cert, key } = isListed ? enrolled(r, way.who) : {};
    const socket: Socket =
      cert !== undefined && key !== undefined
        ? connect({ host: '127.0.0.1', port: r.port, cert, key, rejectUnauthorized: false })
        : connectTcp(r.port, '127.0.0.1');
    let drip: NodeJS.Timeout | undefined;
    const stop = () => socket.destroy();
    socket.once(isListed ? 'secureConnect' : 'connect', () => {
      open += 1;
      made += 1;
      socket.write(way.first, 'latin1');
      drip = setInterval(() => socket.write(way.next, 'latin1'), DRIP_MS);
      socket.once('close', () => (open -= 1));
    });
    socket.on('error', () => undefined);
    // Takes what it is told, so that it sees the end.
    socket.resume();
    socket.once('close', () => {
      clearInterval(drip);
      over.signal.removeEventListener('abort', stop);
      setImmediate(() => keep(way));
    });
    over.signal.addEventListener('abort', stop);
  };
  for (let n = 0; n < slow; n += 1) {
    keep(WAYS[n % WAYS.length] as (typeof WAYS)[number]);
    // Not all handshakes in one turn: the callers share this process with the one who measures.
    if (n % 25 === 0) await sleep(5);
  }
  try {
    await until(() => open >= slow * 0.9, 'the slow ones are there', 30_000);
    const client = r.client();
    const tookMs: number[] = [];
    // So many at least: on a busy machine the handshakes of the slow ones take this process's first seconds.
    const fromMs = Date.now();
    const goesOn = () => {
      const elapsedMs = Date.now() - fromMs;
      return elapsedMs < forMs || (tookMs.length < LEAST_READS && elapsedMs < MOST_MS);
    };
    while (goesOn()) {
      const askedMs = performance.now();
      await client.read('host.read', {}, WAIT);
      tookMs.push(performance.now() - askedMs);
      await sleep(10);
    }
    const figures = { open, made };
    await also();
    const sorted = tookMs.toSorted((a, b) => a - b);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return { ...figures, reads: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), worstMs: at(1) };
  } finally {
    over.abort();
  }
}
