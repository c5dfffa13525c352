/** 10,000 malformed requests of a client that is let in: each is refused, none makes a job. */
import { readFileSync, readdirSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { withBridge } from '../bridge.ts';
import type { BenchBridge } from '../bridge.ts';
import type { Figure } from '../figure.ts';

const REQUESTS = 10_000;
const AT_ONCE = 16;
const BODIES = [
  '',
  '{',
  '[]',
  'null',
  '{"op":"vm.create"}',
  '{"op":"vm.create","params":{}}',
  '{"op":"vm.create","params":{"cluster":"x; reboot"}}',
  '{ "op":"vm.delete","params":{}}',
  '{"params":{},"op":"vm.delete"}',
  '{"op":"../../etc","params":{}}',
  `{"op":"${'x'.repeat(2_000)}","params":{}}`,
  '\u0000\u0001\u0002',
];

export const figure: Figure = {
  ...{ name: 'bridge.malformed10k', unit: 's', peerName: undefined, goal: 5, goalOn: 'ours', rounds: 3 },
  async measure(rounds) {
    const ours: number[] = [];
    for (let round = 0; round < rounds; round += 1)
      ours.push(
        await withBridge(async (bridge) => {
          const startedAt = performance.now();
          await flood(bridge);
          const seconds = (performance.now() - startedAt) / 1000;
          if (readdirSync(join(bridge.dir, 'data', 'jobs')).length > 0) throw new Error('a job was made');
          if (/"event":"accepted"/.test(readFileSync(join(bridge.dir, 'data', 'audit.log'), 'utf8')))
            throw new Error('a request was accepted');
          return seconds;
        }),
      );
    return { ours, peer: [] };
  },
};

async function flood({ material }: BenchBridge): Promise<void> {
  const { cert, key, url } = material;
  // The pin is the client's business; this one only throws things.
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE, cert, key, rejectUnauthorized: false });
  let next = 0;
  const one = (body: string) =>
    new Promise<number>((resolve, reject) => {
      const sent = request(`${url}/v1/jobs`, { agent, method: 'POST' }, (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode ?? 0));
      });
      sent.once('error', reject);
      sent.end(body);
    });
  const worker = async () => {
    while (next < REQUESTS) {
      next += 1;
      const status = await one(BODIES[next % BODIES.length] ?? '');
      if (status < 400 || status > 499) throw new Error(`a malformed request got ${String(status)}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } finally {
    agent.destroy();
  }
}
