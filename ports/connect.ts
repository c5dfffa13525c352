/** The real adapter of `Connect`: opens a TCP or TLS connection, reads a banner if asked, and closes it. */
import { connect as open, type Socket } from 'node:net';
import { connect as openTls } from 'node:tls';
import type { HttpOptions } from './http.ts';
import { rootsWith } from './http-connection.ts';
import { PortError } from './ports.ts';
import type { Connect, PortFailure } from './ports.ts';

/** An SSH banner line has at most 255 bytes (RFC 4253, 4.2); more than this is no banner. */
const BANNER_BYTES = 512;

/** `ca` is trusted besides the system's roots, as by the `http` port. */
export function openConnect({ ca = [] }: Pick<HttpOptions, 'ca'> = {}): Connect {
  const roots = rootsWith(ca);
  return (request) => connection(request, roots);
}

export const connect: Connect = openConnect();

function connection(
  { host, port, deadlineMs, signal, servername, banner = false }: Parameters<Connect>[0],
  roots: string[] | undefined,
): ReturnType<Connect> {
  return new Promise((resolve, reject) => {
    let text = '';
    let connected = false;
    const socket: Socket =
      servername === undefined
        ? open({ host, port })
        : openTls({ host, port, servername, ...(roots === undefined ? {} : { ca: roots }) });
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
    socket.on('error', (error: Error) => fail(failureOf(error), error.message));
    socket.on(servername === undefined ? 'connect' : 'secureConnect', () => {
      connected = true;
      if (!banner) finish(() => resolve({ banner: '' }));
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\n');
      if (end >= 0 || text.length >= BANNER_BYTES) {
        const line = (end >= 0 ? text.slice(0, end) : text.slice(0, BANNER_BYTES)).replace(/\r$/, '');
        finish(() => resolve({ banner: line }));
      }
    });
    socket.on('close', () => fail('closed', 'closed before a whole line came'));
  });
}

function failureOf(error: Error): PortFailure {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code)) return 'tls';
  if (code === 'ECONNREFUSED') return 'refused';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed';
  if (code === 'ETIMEDOUT') return 'timeout';
  if (code === 'ENOTFOUND') return 'notfound';
  return 'unreachable';
}
