/** `bridge audit verify` over a log of 100,000 entries, its start included. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GENESIS, seal } from '../../agent-bridge/log/chain.ts';
import { BRIDGE, DEADLINE_MS, withBridge } from '../bridge.ts';
import type { Figure } from '../figure.ts';
import { untilEnd } from '../process.ts';

const ENTRIES = 100_000;
const WHOLE = new RegExp(`^${ENTRIES} entries in 1 file.* are whole`, 'm');

export const figure: Figure = {
  ...{ name: 'bridge.auditVerify100k', unit: 's', peerName: undefined, goal: 2, goalOn: 'ours', rounds: 3 },
  measure: (rounds) =>
    withBridge(async ({ dir, config }) => {
      writeFileSync(join(dir, 'data', 'audit.log'), entries());
      const ours: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const args = [BRIDGE, 'audit', 'verify', '--config', config];
        const { ms, output } = await untilEnd({ args, deadlineMs: DEADLINE_MS * 6 });
        if (!WHOLE.test(output)) throw new Error(`it said: ${output}`);
        ours.push(ms / 1000);
      }
      return { ours, peer: [] };
    }),
};

/** As a year of refusals and starts would leave it. */
function entries(): string {
  let head = { seq: 0, hash: GENESIS };
  const lines: string[] = [];
  for (let index = 0; index < ENTRIES; index += 1) {
    const ts = new Date(Date.UTC(2026, 0, 1) + index * 1_000).toISOString();
    const sealed = seal(
      { event: 'refused', client: 'bench', op: 'vm.create', code: 'notGranted', field: 'node', count: 1 },
      head,
      ts,
      '00000000-0000-4000-8000-000000000000',
    );
    head = sealed.head;
    lines.push(sealed.line);
  }
  return lines.join('');
}
