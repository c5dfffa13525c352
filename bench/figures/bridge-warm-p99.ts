/** The slowest of a hundred: `host.read` over an open connection. */
import { withBridge } from '../bridge.ts';
import type { Figure } from '../figure.ts';

const READS = 300;

export const figure: Figure = {
  ...{ name: 'bridge.warmP99', unit: 'ms', peerName: undefined, goal: 10, goalOn: 'ours', rounds: 5 },
  measure: (rounds) =>
    withBridge(async ({ read }) => {
      const ours: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const times: number[] = [];
        for (let count = 0; count < READS; count += 1) {
          const startedAt = performance.now();
          await read();
          times.push(performance.now() - startedAt);
        }
        times.sort((a, b) => a - b);
        ours.push(times[Math.floor(READS * 0.99)] ?? 0);
      }
      return { ours, peer: [] };
    }),
};
