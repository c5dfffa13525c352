/** Resident memory of a bridge that has answered once and waits. */
import { readFileSync } from 'node:fs';
import { withBridge } from '../bridge.ts';
import type { Figure } from '../figure.ts';
import { untilEnd } from '../process.ts';

const SETTLE_MS = 1_000;
const KILOBYTES = 1024;

export const figure: Figure = {
  ...{ name: 'bridge.restMemory', unit: 'MB', peerName: 'node -e 0', goal: 2, goalOn: 'ratio', rounds: 3 },
  async measure(rounds) {
    const ours: number[] = [];
    const peer: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      ours.push(
        await withBridge(async ({ pid }) => {
          await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
          return residentMegabytes(readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
        }),
      );
      const code = "console.log(require('node:fs').readFileSync('/proc/self/status','utf8'))";
      peer.push(residentMegabytes((await untilEnd({ args: ['-e', code], deadlineMs: 10_000 })).output));
    }
    return { ours, peer };
  },
};

function residentMegabytes(status: string): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (found === undefined) throw new Error('this system tells no resident memory in /proc');
  return Number(found) / KILOBYTES;
}
