/**
 * The real adapter of `Ssh`: one connection a command, with the host key pinned.
 *
 * TCP_NODELAY is set on our own socket (ssh2 leaves Nagle on, which adds 40 ms to each small exchange).
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Client } from 'ssh2';
import type { ClientChannel, ServerHostKeyAlgorithm } from 'ssh2';
import { PortError } from './ports.ts';
import type { PortFailure, Ssh, SshRequest, SshResult } from './ports.ts';

/** Bytes of stdout and of stderr that one command may answer; the rest is read and dropped. */
const KEEP_BYTES = 64 * 1024 * 1024;

export const ssh: Ssh = (request) =>
  new Promise<SshResult>((resolve, reject) => {
    const { target, signal } = request;
    const where = `${target.user}@${target.host}:${target.port}`;
    if (signal?.aborted) {
      reject(new PortError('aborted', 'ssh', `${where}: aborted before its start`));
      return;
    }
    const socket: Socket = connect({ host: target.host, port: target.port, noDelay: true });
    const client = new Client();
    let sent = false;
    let keyRefused: string | undefined;
    let finished = false;
    const finish = (settle: () => void) => {
      if (finished) return;
      finished = true;
      clearTimeout(deadline);
      signal?.removeEventListener('abort', onAbort);
      client.end();
      socket.destroy();
      settle();
    };
    const fail = (kind: PortFailure, message: string) =>
      finish(() => reject(new PortError(kind, 'ssh', `${where}: ${message}`, sent)));
    const onAbort = () => fail('aborted', 'aborted');
    const deadline = setTimeout(
      () => fail('timeout', `no answer within ${request.deadlineMs} ms`),
      Math.min(request.deadlineMs, 2_147_483_647),
    );
    signal?.addEventListener('abort', onAbort, { once: true });

    socket.once('error', (error: NodeJS.ErrnoException) => fail(socketFailure(error.code), error.message));
    client.on('error', (error: Error & { level?: string }) => {
      if (keyRefused !== undefined) fail('hostkey', `the host key is not a pinned one: ${keyRefused}`);
      else if (error.level === 'client-authentication') fail('auth', error.message);
      else fail(sent ? 'closed' : 'protocol', error.message);
    });
    client.on('close', () => fail('closed', 'the connection ended before the answer'));
    client.on('ready', () => {
      sent = true;
      client.exec(request.command, (error, channel) => {
        if (error) fail('denied', error.message);
        else collect(channel, request, (result) => finish(() => resolve(result)), fail);
      });
    });
    try {
      client.connect({
        sock: socket,
        username: target.user,
        privateKey: target.privateKey,
        readyTimeout: 0,
        algorithms: { serverHostKey: algorithmsOf(target.hostKeys) },
        hostVerifier: (key: Buffer) => {
          const found = `${keyType(key)} ${key.toString('base64')}`;
          const known = target.hostKeys.some(
            (pin) => pin.trim().split(/\s+/).slice(0, 2).join(' ') === found,
          );
          if (!known) keyRefused = found;
          return known;
        },
      });
    } catch (error) {
      // ssh2 throws at once for a private key that it cannot read; its message does not hold the key.
      fail('auth', error instanceof Error ? error.message : String(error));
    }
  });

function collect(
  channel: ClientChannel,
  request: SshRequest,
  done: (result: SshResult) => void,
  fail: (kind: PortFailure, message: string) => void,
): void {
  const kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const size = { stdout: 0, stderr: 0 };
  const keep = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    if (size[stream] < KEEP_BYTES) kept[stream].push(chunk.subarray(0, KEEP_BYTES - size[stream]));
    size[stream] += chunk.length;
  };
  let ended = false;
  let exitCode: number | null = null;
  channel.on('data', keep('stdout'));
  channel.stderr.on('data', keep('stderr'));
  channel.on('exit', (code: number | null) => {
    ended = true;
    exitCode = code;
  });
  channel.on('error', (error: Error) => fail('closed', error.message));
  channel.on('close', () => {
    if (!ended) {
      fail('closed', 'the command ended without an exit code');
      return;
    }
    done({
      exitCode,
      stdout: Buffer.concat(kept.stdout).toString('utf8'),
      stderr: Buffer.concat(kept.stderr).toString('utf8'),
    });
  });
  channel.end(request.stdin === undefined ? undefined : Buffer.from(request.stdin));
}

/** A host key blob starts with its type as a length-prefixed string. */
function keyType(key: Buffer): string {
  if (key.length < 4) return '';
  const length = key.readUInt32BE(0);
  return length > 64 ? '' : key.subarray(4, 4 + length).toString('latin1');
}

/** Only algorithms of pinned keys are offered, so that a server with several keys shows the one that is pinned. */
function algorithmsOf(pins: readonly string[]): ServerHostKeyAlgorithm[] {
  const types = new Set(pins.map((pin) => pin.trim().split(/\s+/)[0] ?? ''));
  const known: ServerHostKeyAlgorithm[] = [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
  ];
  const offered = known.filter((type) => types.has(type));
  if (types.has('ssh-rsa')) offered.push('rsa-sha2-512', 'rsa-sha2-256');
  return offered.length > 0 ? offered : known;
}

function socketFailure(code: string | undefined): PortFailure {
  if (code === 'ECONNREFUSED') return 'refused';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed';
  return 'unreachable';
}
