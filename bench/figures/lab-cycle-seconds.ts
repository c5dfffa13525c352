/** A whole run of the lab, as a stranger without PowerShell starts it, installs not counted. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Figure } from '../figure.ts';
import { untilEnd } from '../process.ts';

const DEADLINE_MS = 300_000;

export const figure: Figure = {
  ...{ name: 'lab.cycleSeconds', unit: 's', peerName: undefined, goal: 60, goalOn: 'ours', rounds: 1 },
  async measure(rounds) {
    if (!existsSync(join('lab', 'main.ts'))) throw new Error('there is no lab/main.ts');
    const ours: number[] = [];
    for (let round = 0; round < rounds; round += 1) ours.push(await oneCycle());
    return { ours, peer: [] };
  },
};

/** Only a cycle that succeeded without a failed request has a time worth telling. */
async function oneCycle(): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-lab-'));
  const json = join(dir, 'out.json');
  try {
    // The same on every machine, whether PowerShell is there or not.
    const options = ['--approve', 'auto', '--engine', 'model', '--json', json];
    const args = ['--import', 'tsx', join('lab', 'main.ts'), ...options];
    const { ms, exitCode, output } = await untilEnd({ args, deadlineMs: DEADLINE_MS });
    const last = output.trim().split('\n').slice(-3).join(' | ');
    if (exitCode !== 0) throw new Error(`the lab ended with exit code ${exitCode}: ${last}`);
    const result = JSON.parse(readFileSync(json, 'utf8')) as {
      outcome: string;
      requests: { failed: number };
    };
    if (result.outcome !== 'succeeded' || result.requests.failed > 0) {
      throw new Error(`the cycle ${result.outcome} with ${result.requests.failed} failed requests`);
    }
    return ms / 1_000;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
