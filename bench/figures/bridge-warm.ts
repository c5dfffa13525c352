/** One `host.read` over an open connection: mutual TLS, policy, and the answer. */
import { withBridge } from '../bridge.ts';
import type { Figure } from '../figure.ts';

/** Round trips a round; the round's value is their mean. */
const READS = 20;

export const figure: Figure = {
  ...{ name: 'bridge.warm', unit: 'ms', peerName: undefined, goal: 2, goalOn: 'ours', rounds: 15 },
  measure: (rounds) =>
    withBridge(async ({ read }) => {
      const ours: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const startedAt = performance.now();
        for (let count = 0; count < READS; count += 1) await read();
        ours.push((performance.now() - startedAt) / READS);
      }
      return { ours, peer: [] };
    }),
};
