/** Peers that must not come in: certificates, TLS versions, other protocols, and those who stop half way. */
import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import type { ConnectionOptions } from 'node:tls';
import {
  TAG,
  der,
  oid,
  pem,
  sequence,
  tagged,
  time,
} from '../../../agent-bridge/service/certificates/der.ts';
import { overTcp, overTls, request, slowly } from './door.ts';
import type { Row } from './door.ts';

const DAY_MS = 86_400_000;
const ask = request('GET', '/v1/jobs/x', []);

export interface Pair {
  cert: string;
  key: string;
  fingerprint: string;
}

/** A client's certificate that somebody else's key signed: what the owner of one listed key could make. */
export function signedBy(issuer: string, issuerKey: string, name: string, nowMs: number): Pair {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const called = (text: string) =>
    sequence(der(TAG.set, sequence(oid('2.5.4.3'), der(TAG.utf8String, Buffer.from(text)))));
  const algorithm = sequence(oid('1.2.840.10045.4.3.2'));
  const body = sequence(
    tagged(0, der(TAG.integer, Buffer.from([2]))),
    der(TAG.integer, Buffer.from([0x41, 7])),
    algorithm,
    called(issuer),
    sequence(time(nowMs - DAY_MS), time(nowMs + DAY_MS)),
    called(name),
    keys.publicKey.export({ format: 'der', type: 'spki' }),
    tagged(3, sequence(sequence(oid('2.5.29.37'), der(TAG.octetString, sequence(oid('1.3.6.1.5.5.7.3.2')))))),
  );
  const signature = sign('sha256', body, createPrivateKey(issuerKey));
  const whole = sequence(body, algorithm, der(TAG.bitString, Buffer.from([0]), signature));
  return {
    cert: pem('CERTIFICATE', whole),
    key: keys.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
    fingerprint: createHash('sha256').update(whole).digest('hex'),
  };
}

const peer = (input: string, options: ConnectionOptions, expected = 'closed'): Row => ({
  input,
  expected,
  ask: (door) => overTls(door, options, (socket) => socket.write(ask)),
});
/** With the listed certificate, so that only the rest of the options can be at fault. */
const listed = (input: string, options: ConnectionOptions, expected = 'closed'): Row => ({
  input,
  expected,
  ask: (door) => overTls(door, { ...door.mine, ...options }, (socket) => socket.write(ask)),
});
const plain = (input: string, bytes: string | Buffer): Row => ({
  input,
  expected: 'closed',
  ask: (door) =>
    overTcp(door, (socket) => {
      socket.write(bytes);
    }),
});

const hello = Buffer.from(`16030100c8010000c40303${'ab'.repeat(32)}20${'cd'.repeat(32)}`, 'hex');

/** `good` was listed in the same way as those of `certificates` that are listed, so only they can be at fault. */
export const peers = (certificates: Record<string, Pair>, good: Pair): Row[] => [
  listed('(the listed certificate, for comparison)', {}, '404 notFound'),
  peer('(another listed one, for comparison)', { cert: good.cert, key: good.key }, '404 notFound'),
  peer('no certificate', {}),
  ...Object.entries(certificates).map(([what, { cert, key }]) => peer(what, { cert, key })),
  ...(['TLSv1.2', 'TLSv1.1', 'TLSv1'] as const).map((version) =>
    listed(`nothing newer than ${version}`, {
      minVersion: 'TLSv1',
      maxVersion: version,
      ciphers: 'DEFAULT@SECLEVEL=0',
    }),
  ),
  listed('HTTP/2 alone by ALPN', { ALPNProtocols: ['h2'] }),
  listed('another server’s name', { servername: 'dc01.example.test' }, '404 notFound'),
  listed(
    'a server’s name of 250 characters',
    { servername: `${'a'.repeat(60)}.`.repeat(4) + 'test' },
    '404 notFound',
  ),
  plain('HTTP without TLS', ask),
  plain('an SSH banner', 'SSH-2.0-OpenSSH_9.6\r\n'),
  plain('an SMTP greeting', 'EHLO x\r\nSTARTTLS\r\n'),
  plain('an SMB negotiation', Buffer.from('00000054ff534d4272000000001801c8', 'hex')),
  plain('an RDP request', Buffer.from('030000130ee000000000000100080003000000', 'hex')),
  plain('SOCKS 5', Buffer.from('050100', 'hex')),
  plain('the PROXY protocol', 'PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n'),
  plain('zeros', Buffer.alloc(4_096)),
  plain('a megabyte of noise', Buffer.alloc(1_000_000, 0xa5)),
  plain('a TLS record longer than any', Buffer.from('160301ffff', 'hex')),
  plain('a TLS alert', Buffer.from('15030300020228', 'hex')),
  plain('data before a handshake', Buffer.from('1703030010000102030405060708090a0b0c0d0e0f', 'hex')),
  plain(
    'an SSL 2 hello',
    Buffer.from('802e0100020015000000100100800200800300800400800500800600400700c0', 'hex'),
  ),
  plain('a heartbeat request', Buffer.from('1803030003014000', 'hex')),
  plain('half a hello, then idle', hello),
  plain('one byte, then idle', Buffer.from([0x16])),
  { input: 'nothing at all', expected: 'closed', ask: (door) => overTcp(door, () => undefined) },
  {
    input: 'a hello, 1 byte/s',
    expected: 'closed',
    ask: (door) => overTcp(door, slowly(1_000, '\u0016', '\u0003')),
  },
];
