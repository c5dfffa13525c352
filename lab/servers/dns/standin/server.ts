/**
 * The stand-in DNS servers: a primary that answers from its records and takes updates, and a secondary that
 * has the primary's zone a moment later. Queries are real DNS over UDP and TCP.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { decode, encode, streamEncode } from 'dns-packet';
import type { Answer, Packet } from 'dns-packet';
import { applyUpdate, macOf } from './update.ts';
import type { StandInRecord, UpdateBody, UpdateMessage } from './update.ts';

export interface StandInOptions {
  zone: string;
  records: StandInRecord[];
  at: { address: string; port: number }[];
  key: { name: string; algorithm: string; secret: string };
}

/** A secondary is told at once and still has the old zone for a while, as with NOTIFY and a transfer. */
const TRANSFER_MS = 60;
const AUTHORITATIVE = 1 << 10;
const RCODES: Record<string, number> = { NOERROR: 0, NXDOMAIN: 3, REFUSED: 5 };

interface Zone {
  serial: number;
  records: StandInRecord[];
}

export async function startStandIn(
  options: StandInOptions,
): Promise<{ calls(): number; stop(): Promise<void> }> {
  const zoneName = options.zone.toLowerCase();
  const first: Zone = {
    serial: 1,
    records: options.records.map((r) => ({
      ...r,
      name: r.name === '@' ? zoneName : `${r.name}.${zoneName}`,
    })),
  };
  const zones = options.at.map(() => structuredClone(first));
  const closers: (() => Promise<void>)[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let calls = 0;

  const update = (message: UpdateMessage): string => {
    if (message.keyName === undefined) return 'REFUSED';
    if (message.keyName !== options.key.name) return 'NOTAUTH(BADKEY)';
    if (message.mac !== macOf(message.body, options.key.secret, options.key.algorithm))
      return 'NOTAUTH(BADSIG)';
    const body = JSON.parse(message.body) as UpdateBody;
    if (body.zone.toLowerCase().replace(/\.$/, '') !== zoneName) return 'NOTAUTH';
    const primary = zones[0] as Zone;
    const next = applyUpdate(primary.records, body);
    if (typeof next === 'string') return next;
    if (JSON.stringify(next) !== JSON.stringify(primary.records)) {
      zones[0] = { serial: primary.serial + 1, records: next };
      const timer = setTimeout(() => {
        timers.delete(timer);
        for (let i = 1; i < zones.length; i++) zones[i] = structuredClone(zones[0] as Zone);
      }, TRANSFER_MS);
      timers.add(timer);
    }
    return 'NOERROR';
  };

  for (const [index, here] of options.at.entries()) {
    const reply = (bytes: Buffer): Packet | undefined => {
      calls++;
      try {
        return answer(decode(bytes), zones[index] as Zone, zoneName);
      } catch {
        return undefined;
      }
    };
    const udp = createSocket('udp4');
    udp.on('message', (bytes, from) => {
      const packet = reply(bytes);
      if (packet) udp.send(encode(packet), from.port, from.address);
    });
    await new Promise<void>((done, fail) => {
      udp.once('error', fail);
      udp.bind(here.port, here.address, done);
    });
    const open = new Set<Socket>();
    const tcp = createServer((socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      socket.on('error', () => socket.destroy());
      let got = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        got = Buffer.concat([got, chunk]);
        if (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) return;
        const message = got.subarray(2, 2 + got.readUInt16BE(0));
        got = Buffer.alloc(0);
        if (message[0] === 0x7b) {
          calls++;
          socket.end(index === 0 ? update(JSON.parse(message.toString('utf8')) as UpdateMessage) : 'REFUSED');
          return;
        }
        const packet = reply(message);
        if (packet) socket.write(streamEncode(packet));
      });
    });
    await new Promise<void>((done, fail) => {
      tcp.once('error', fail);
      tcp.listen(here.port, here.address, done);
    });
    closers.push(
      () =>
        new Promise((done) => {
          udp.close();
          for (const socket of open) socket.destroy();
          tcp.close(() => done());
        }),
    );
  }
  return {
    calls: () => calls,
    async stop() {
      for (const timer of timers) clearTimeout(timer);
      await Promise.all(closers.map((close) => close()));
    },
  };
}

function answer(query: Packet, zone: Zone, zoneName: string): Packet {
  const asked = query.questions?.[0];
  const name = asked?.name.toLowerCase() ?? '';
  const inZone = name === zoneName || name.endsWith(`.${zoneName}`);
  const records = zone.records.filter((r) => r.name.toLowerCase() === name);
  const answers: Answer[] = [];
  if (inZone && name === zoneName && asked?.type === 'SOA') {
    const data = {
      mname: `ns.${zoneName}`,
      rname: `hostmaster.${zoneName}`,
      serial: zone.serial,
      refresh: 60,
      retry: 30,
      expire: 3600,
      minimum: 30,
    };
    answers.push({ type: 'SOA', name, ttl: 30, data });
  }
  for (const r of records) {
    if (r.type === asked?.type || r.type === 'CNAME')
      answers.push({ type: r.type, name: r.name, ttl: r.ttl, data: r.data } as Answer);
  }
  const rcode = !inZone ? 'REFUSED' : records.length === 0 && name !== zoneName ? 'NXDOMAIN' : 'NOERROR';
  return {
    type: 'response',
    ...(query.id === undefined ? {} : { id: query.id }),
    flags: (inZone ? AUTHORITATIVE : 0) | (RCODES[rcode] ?? 0),
    questions: query.questions ?? [],
    answers,
  };
}
