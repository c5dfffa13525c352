/**
 * The real adapter of `DnsAsk`: one question to one named server over UDP, and over TCP when the answer was
 * cut. Recursion is never asked for: the answer is what that server itself holds.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { decode, encode, streamEncode } from 'dns-packet';
import type { Answer, DecodedPacket } from 'dns-packet';
import { PortError } from './ports.ts';
import type { DnsAnswer, DnsAsk, DnsQuery, DnsRecord, PortFailure } from './ports.ts';

/** A lost datagram is sent again after this, within the same deadline: UDP itself promises nothing. */
const RESEND_MS = 1_000;

export const dns: DnsAsk = async (query) => {
  const started = performance.now();
  const id = randomInt(0, 65_536);
  const overUdp = await exchangeUdp(query, id);
  if (!overUdp.flag_tc) return answerOf(overUdp);
  const left = query.deadlineMs - (performance.now() - started);
  return answerOf(await exchangeTcp({ ...query, deadlineMs: Math.max(1, left) }, id));
};

function question(query: DnsQuery, id: number) {
  return { type: 'query' as const, id, flags: 0, questions: [{ type: query.type, name: query.name }] };
}

function exchangeUdp(query: DnsQuery, id: number): Promise<DecodedPacket> {
  const { host, port } = hostPort(query.server);
  return settled(query, (resolve, fail) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const message = encode(question(query, id));
    const send = () => socket.send(message, (error) => error && fail('unreachable', error.message));
    const again = setInterval(send, RESEND_MS);
    socket.on('error', (error: NodeJS.ErrnoException) =>
      fail(error.code === 'ECONNREFUSED' ? 'refused' : 'unreachable', error.message),
    );
    socket.on('message', (bytes) => {
      const packet = decoded(bytes);
      if (packet && isReply(packet, query, id)) resolve(packet);
    });
    // A connected socket takes datagrams from this server only, and learns of a closed port.
    socket.connect(port, host, () => send());
    return () => {
      clearInterval(again);
      socket.close();
    };
  });
}

function exchangeTcp(query: DnsQuery, id: number): Promise<DecodedPacket> {
  const { host, port } = hostPort(query.server);
  return settled(query, (resolve, fail) => {
    const socket = connect({ host, port, noDelay: true }, () =>
      socket.write(streamEncode(question(query, id))),
    );
    let got = Buffer.alloc(0);
    socket.on('error', (error: NodeJS.ErrnoException) =>
      fail(error.code === 'ECONNREFUSED' ? 'refused' : 'unreachable', error.message),
    );
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) return;
      const packet = decoded(got.subarray(2, 2 + got.readUInt16BE(0)));
      if (packet && isReply(packet, query, id)) resolve(packet);
      else fail('protocol', 'the answer is not one to this question');
    });
    socket.on('close', () => fail('closed', 'the server closed the connection before its answer'));
    return () => socket.destroy();
  });
}

/** One promise with the query's deadline and signal; `begin` gives back how to let go of its socket. */
function settled(
  query: DnsQuery,
  begin: (
    resolve: (packet: DecodedPacket) => void,
    fail: (kind: PortFailure, message: string) => void,
  ) => () => void,
): Promise<DecodedPacket> {
  return new Promise((resolve, reject) => {
    if (query.signal?.aborted) {
      reject(new PortError('aborted', 'dns', `${query.server}: aborted before its start`));
      return;
    }
    let over = false;
    const finish = (settle: () => void) => {
      if (over) return;
      over = true;
      clearTimeout(deadline);
      query.signal?.removeEventListener('abort', onAbort);
      release();
      settle();
    };
    const fail = (kind: PortFailure, message: string) =>
      finish(() =>
        reject(new PortError(kind, 'dns', `${query.server}, ${query.name} ${query.type}: ${message}`)),
      );
    const onAbort = () => fail('aborted', 'aborted');
    const deadline = setTimeout(
      () => fail('timeout', `no answer within ${Math.round(query.deadlineMs)} ms`),
      Math.min(query.deadlineMs, 2_147_483_647),
    );
    query.signal?.addEventListener('abort', onAbort, { once: true });
    const release = begin((packet) => finish(() => resolve(packet)), fail);
  });
}

function decoded(bytes: Buffer): DecodedPacket | undefined {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

function isReply(packet: DecodedPacket, query: DnsQuery, id: number): boolean {
  const asked = packet.questions?.[0];
  return (
    packet.type === 'response' &&
    packet.id === id &&
    (asked === undefined || asked.name.toLowerCase() === query.name.toLowerCase())
  );
}

function answerOf(packet: DecodedPacket): DnsAnswer {
  // dns-packet gives the response code in a field that its types leave out.
  const rcode = (packet as DecodedPacket & { rcode?: string }).rcode ?? 'NOERROR';
  return {
    rcode,
    authoritative: packet.flag_aa,
    answers: (packet.answers ?? []).flatMap((answer) => recordOf(answer) ?? []),
  };
}

function recordOf(answer: Answer): DnsRecord | undefined {
  if (answer.type === 'OPT') return undefined;
  const ttl = 'ttl' in answer ? (answer.ttl ?? 0) : 0;
  const record = (data: string): DnsRecord => ({ name: answer.name, type: answer.type, ttl, data });
  switch (answer.type) {
    case 'A':
    case 'AAAA':
    case 'CNAME':
    case 'NS':
      return record(answer.data.replace(/\.$/, ''));
    case 'SOA':
      return record(String(answer.data.serial ?? ''));
    default:
      return undefined;
  }
}

function hostPort(server: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(server);
  if (!match)
    throw new PortError(
      'protocol',
      'dns',
      `Expected a server as address:port, found ${JSON.stringify(server)}`,
    );
  return { host: match[1] ?? match[2] ?? '', port: Number(match[3]) };
}
