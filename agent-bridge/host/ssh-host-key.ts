/**
 * A node's SSH host key, made before the node exists, so that its first login is already pinned. The private half
 * goes into the seed and nowhere else.
 */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { Random } from '../../ports/ports.ts';
import { Secret } from '../../ports/secret.ts';

/** RFC 8410: the 16 bytes before an ed25519 seed in PKCS#8. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const TYPE = 'ssh-ed25519';
/** The key file pads its private part to the cipher's block: 8 bytes without a cipher. */
const BLOCK_BYTES = 8;

export interface SshHostKey {
  /** `ssh-ed25519 AAAA…`. */
  publicKey: string;
  /** OpenSSH's own format (`openssh-key-v1`). */
  privateKey: Secret;
}

export function makeSshHostKey(random: Random): SshHostKey {
  const seed = Buffer.from(random.bytes(32));
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const raw = spki.subarray(spki.length - 32);
  const blob = Buffer.concat([string(TYPE), string(raw)]);
  const check = Buffer.from(random.bytes(4));
  const secret = Buffer.concat([
    check,
    check,
    string(TYPE),
    string(raw),
    string(Buffer.concat([seed, raw])),
    string(''),
  ]);
  const padding = Buffer.from(
    Array.from({ length: (BLOCK_BYTES - (secret.length % BLOCK_BYTES)) % BLOCK_BYTES }, (_, i) => i + 1),
  );
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    string('none'),
    string('none'),
    string(''),
    Buffer.from([0, 0, 0, 1]),
    string(blob),
    string(Buffer.concat([secret, padding])),
  ]);
  const body = file.toString('base64').replace(/.{70}/g, '$&\n');
  return {
    publicKey: `${TYPE} ${blob.toString('base64')}`,
    privateKey: new Secret(
      `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----\n`,
    ),
  };
}

/** RFC 4251 `string`: a length of 4 bytes, then the bytes. */
function string(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as Uint8Array);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
