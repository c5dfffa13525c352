/**
 * A caching resolver as a client's machine has one: asks the zone's servers over UDP, keeps each record set for
 * its TTL and no longer, follows a CNAME. So a client goes on using an old address for as long as it may.
 */
import { createSocket } from 'node:dgram';
import { decode, encode } from 'dns-packet';
import type { Answer, DecodedPacket } from 'dns-packet';
import { parseEndpoint } from './config.ts';

const QUERY_WITHIN_MS = 1_000;
const TRIES = 2;
const LONGEST_CHAIN = 8;

export interface Resolver {
  /** Every address of the name, at least one. Rejects when there is none, or no server answers. */
  addresses(name: string): Promise<string[]>;
}

interface Kept {
  untilMs: number;
  target?: string;
  addresses?: string[];
}

export function cachingResolver(servers: readonly string[], nowMs: () => number): Resolver {
  const kept = new Map<string, Kept>();
  const fresh = (name: string): Kept | undefined => {
    const entry = kept.get(name);
    return entry !== undefined && entry.untilMs > nowMs() ? entry : undefined;
  };
  return {
    async addresses(asked) {
      let name = lower(asked);
      for (let hop = 0; hop < LONGEST_CHAIN; hop += 1) {
        let entry = fresh(name);
        if (entry === undefined) {
          const sets = recordSets(await askServers(servers, name), nowMs());
          for (const [owner, set] of sets) kept.set(owner, set);
          // A TTL of 0 is used once and not kept.
          entry = sets.get(name);
        }
        if (entry?.addresses !== undefined) return entry.addresses;
        if (entry?.target === undefined) throw new Error(`${name} has no address`);
        name = entry.target;
      }
      throw new Error(`${asked} is a chain of more than ${LONGEST_CHAIN} names`);
    },
  };
}

function recordSets(answers: readonly Answer[], nowMs: number): Map<string, Kept> {
  const sets = new Map<string, Kept>();
  for (const answer of answers) {
    if (answer.type !== 'A' && answer.type !== 'CNAME') continue;
    const untilMs = nowMs + (answer.ttl ?? 0) * 1_000;
    const owner = lower(answer.name);
    if (answer.type === 'CNAME') sets.set(owner, { untilMs, target: lower(answer.data) });
    else sets.set(owner, { untilMs, addresses: [...(sets.get(owner)?.addresses ?? []), answer.data] });
  }
  return sets;
}

async function askServers(servers: readonly string[], name: string): Promise<Answer[]> {
  let problem = 'no DNS server is given';
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    for (const server of servers) {
      try {
        const answer = await ask(server, name);
        const rcode = (answer as { rcode?: string }).rcode;
        if (rcode === 'NOERROR') return answer.answers ?? [];
        problem = `${server} says ${rcode} for ${name}`;
        if (rcode === 'NXDOMAIN') throw new Error(problem);
      } catch (error) {
        problem = (error as Error).message;
        if (problem.includes('NXDOMAIN')) throw error;
      }
    }
  }
  throw new Error(problem);
}

function ask(server: string, name: string): Promise<DecodedPacket> {
  const { host, port } = parseEndpoint(server);
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    const id = Math.floor(Math.random() * 65_536);
    const finish = (end: () => void): void => {
      clearTimeout(timer);
      socket.close();
      end();
    };
    const timer = setTimeout(
      () => finish(() => reject(new Error(`${server} did not answer within ${QUERY_WITHIN_MS} ms`))),
      QUERY_WITHIN_MS,
    );
    socket.on('error', (error) => finish(() => reject(error)));
    socket.on('message', (bytes) => {
      let packet: DecodedPacket;
      try {
        packet = decode(bytes);
      } catch {
        return;
      }
      // Not ours: a late answer to an earlier question.
      if (packet.id !== id || lower(packet.questions?.[0]?.name ?? '') !== name) return;
      finish(() => resolve(packet));
    });
    socket.send(
      encode({ type: 'query', id, flags: 0, questions: [{ type: 'A', name }] }),
      port,
      host,
      (error) => {
        if (error !== null) finish(() => reject(error));
      },
    );
  });
}

function lower(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
