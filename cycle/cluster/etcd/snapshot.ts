/** A snapshot of etcd, taken over its gateway and checked before anyone relies on it. */
import { createHash } from 'node:crypto';
import { CodedError } from '../../../ports/errors.ts';
import { PortError } from '../../../ports/ports.ts';
import type { Files, Http, Wait } from '../../../ports/ports.ts';
import { etcdTls, post } from './members.ts';
import type { EtcdTarget, StatusAnswer } from './members.ts';
import { isBolt, revisionOf } from './revision.ts';

export interface EtcdSnapshot {
  path: string;
  /** With the 32 bytes of the hash at its end, as `etcdctl snapshot save` writes it. */
  sizeBytes: number;
  /** Of the database, in lower-case hex. */
  sha256: string;
  /** That the snapshot holds: at least the member's own right before. */
  revision: string;
  endpoint: string;
}

/** The `Files` port writes whole files, so a snapshot passes through memory: etcd's default quota is 2 GiB. */
const MAX_BYTES = 2 * 1024 * 1024 * 1024;
const HASH_BYTES = 32;
const PAGE_BYTES = 512;

/** @throws CodedError NC3110 (cannot be taken) or NC3111 (taken, and wrong). */
export async function takeSnapshot(
  ports: { http: Http; files: Files },
  target: EtcdTarget,
  endpoint: string,
  path: string,
  wait: Wait,
  options: { maxBytes?: number | undefined } = {},
): Promise<EtcdSnapshot> {
  const status = await post<StatusAnswer>(ports.http, target, endpoint, '/v3/maintenance/status', {}, wait);
  if (!status.ok) throw notTaken(`${endpoint}: ${status.message}`);
  const before = status.value.header?.revision ?? '0';
  const data = await download(ports.http, target, endpoint, wait, options.maxBytes ?? MAX_BYTES);
  const { sha256, revision } = checkBytes(data, endpoint);
  if (BigInt(revision) < BigInt(before))
    throw damaged(`${endpoint}: expected revision ${before} or newer, found ${revision}.`);
  const size = Number(status.value.dbSize ?? 0);
  // The database never shrinks while it is served, so less than it had is a part of it.
  if (data.byteLength - HASH_BYTES < size) {
    throw damaged(
      `${endpoint}: expected at least ${size} bytes of database, found ${data.byteLength - HASH_BYTES}.`,
    );
  }
  await ports.files.write(path, data, 0o600);
  const written = await checkSnapshot(ports.files, path);
  if (written.sha256 !== sha256) throw damaged(`${path} is not what was written.`);
  return { path, sizeBytes: data.byteLength, sha256, revision, endpoint };
}

export interface CheckedSnapshot {
  sizeBytes: number;
  sha256: string;
  revision: string;
}

/**
 * Reads a snapshot file again and checks hash, size, database header and that its revision can be read.
 *
 * @throws CodedError NC3111
 */
export async function checkSnapshot(files: Files, path: string): Promise<CheckedSnapshot> {
  const data = await files.read(path).catch((error: unknown) => {
    throw damaged(`${path} cannot be read: ${(error as Error).message}`);
  });
  return checkBytes(data, path);
}

function checkBytes(data: Uint8Array, where: string): CheckedSnapshot {
  const size = data.byteLength - HASH_BYTES;
  if (size <= 0 || size % PAGE_BYTES !== 0) {
    throw damaged(
      `${where}: expected whole pages of ${PAGE_BYTES} bytes and a hash, found ${data.byteLength} bytes.`,
    );
  }
  const database = data.subarray(0, size);
  const sha256 = createHash('sha256').update(database).digest('hex');
  const trailer = Buffer.from(data.subarray(size)).toString('hex');
  if (sha256 !== trailer) throw damaged(`${where}: expected SHA-256 ${trailer}, found ${sha256}.`);
  if (!isBolt(database)) throw damaged(`${where}: the first page is not one of etcd's database.`);
  try {
    return { sizeBytes: data.byteLength, sha256, revision: String(revisionOf(database)) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw damaged(`${where}: the database holds no revision that can be read: ${error.message}.`);
  }
}

interface Piece {
  result?: { remaining_bytes?: string; blob?: string };
  error?: { message?: string };
}

/** The gateway streams one JSON object a line; the last blob is the hash. */
async function download(
  http: Http,
  target: EtcdTarget,
  endpoint: string,
  wait: Wait,
  maxBytes: number,
): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let size = 0;
  let remaining: string | undefined;
  const take = (line: string) => {
    if (line.trim() === '') return;
    const piece = JSON.parse(line) as Piece;
    if (piece.error !== undefined)
      throw notTaken(`${endpoint}: ${piece.error.message ?? 'the stream failed'}`);
    const part = Buffer.from(piece.result?.blob ?? '', 'base64');
    size += part.byteLength;
    if (size > maxBytes) throw notTaken(`${endpoint}: the snapshot is larger than ${maxBytes} bytes.`);
    remaining = piece.result?.remaining_bytes;
    parts.push(part);
  };
  try {
    const url = `${endpoint}/v3/maintenance/snapshot`;
    const headers = { 'content-type': 'application/json' };
    const response = await http({ method: 'POST', url, headers, body: '{}', tls: etcdTls(target), ...wait });
    const decoder = new TextDecoder();
    let rest: string[] = [];
    for await (const chunk of response.body) {
      const lines = decoder.decode(chunk, { stream: true }).split('\n');
      const last = lines.pop() ?? '';
      for (const line of lines) {
        take(rest.join('') + line);
        rest = [];
      }
      rest.push(last);
    }
    take(rest.join(''));
    if (response.status !== 200) throw notTaken(`${endpoint}: status ${response.status}.`);
  } catch (error) {
    if (error instanceof SyntaxError)
      throw notTaken(`${endpoint}: the stream ended in the middle of a message.`);
    if (error instanceof PortError && error.kind !== 'aborted') throw notTaken(error.message);
    throw error;
  }
  if (remaining !== undefined && remaining !== '0')
    throw notTaken(`${endpoint}: ${remaining} bytes did not come.`);
  return Buffer.concat(parts);
}

function notTaken(detail: string): CodedError {
  return new CodedError('NC3110', detail);
}

function damaged(detail: string): CodedError {
  return new CodedError('NC3111', detail);
}
