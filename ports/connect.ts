/** The real adapter of `Connect`: opens a TCP connection, reads a banner if asked, and closes it. */
import { connect as open } from 'node:net';
import { PortError } from './ports.ts';
import type { Connect, PortFailure } from './ports.ts';

/** An SSH banner line has at most 255 bytes (RFC 4253, 4.2); more than this is no banner. */
const BANNER_BYTES = 512;

export const connect: Connect = ({ host, port, deadlineMs, signal, banner = false }) =>
  new Promise((resolve, reject) => {
    let text = '';
    let connected = false;
    const socket = open({ host, port });
    const where = `${host}:${port}`;

    const finish = (act: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      socket.destroy();
      act();
    };
    const fail = (kind: PortFailure, message: string) =>
      finish(() => reject(new PortError(kind, 'connect', `${where}: ${message}`, connected)));
    const onAbort = () => fail('aborted', 'aborted');
    const timer = setTimeout(
      () => fail('timeout', `${connected ? 'no banner' : 'no connection'} within ${deadlineMs} ms`),
      deadlineMs,
    );

    if (signal?.aborted) {
      onAbort();
      return;
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.on('error', (error) => fail(failureOf(error), error.message));
    socket.on('connect', () => {
      connected = true;
      if (!banner) finish(() => resolve({ banner: '' }));
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\n');
      if (end >= 0 || text.length >= BANNER_BYTES) {
        const line = (end >= 0 ? text.slice(0, end) : text.slice(0, BANNER_BYTES)).replace(/\r$/, '');
        finish(() => resolve({ banner: line }));
      }
    });
    socket.on('close', () => fail('closed', 'closed before a whole line came'));
  });

function failureOf(error: Error): PortFailure {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ECONNREFUSED') return 'refused';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed';
  if (code === 'ETIMEDOUT') return 'timeout';
  if (code === 'ENOTFOUND') return 'notfound';
  return 'unreachable';
}
