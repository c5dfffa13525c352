/**
 * What a purge may take, on a host of 2,500 VMs with 10,000 disks: from the text of the host's list, through the check
 * of its shape, each VM's record on disk and its marker, to the disks that are given to the script.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHost } from '../../agent-bridge/host/host.ts';
import { withMarker } from '../../agent-bridge/host/notes.ts';
import { vmPurge } from '../../agent-bridge/host/operations/vm-delete.ts';
import { records } from '../../agent-bridge/host/records.ts';
import type { RunScript } from '../../agent-bridge/host/run-script.ts';
import { outcomeOf } from '../../agent-bridge/jobs/outcome.ts';
import type { BridgePolicy } from '../../agent-bridge/server/policy.ts';
import { realDisk } from '../../agent-bridge/service/disk-adapter.ts';
import { clock } from '../../ports/clock.ts';
import { random } from '../../ports/random.ts';
import type { Figure } from '../figure.ts';

const VMS = 2_500;
const DISKS_OF_A_VM = 4;
/** Above: a job waits for it, and the list itself takes a host seconds. */
const GOAL_MS = 500;

export const figure: Figure = {
  ...{ name: 'host.plan10kDisks', unit: 'ms', peerName: undefined, goal: GOAL_MS, goalOn: 'ours', rounds: 9 },
  async measure(rounds) {
    const dir = mkdtempSync(join(tmpdir(), 'bench-records-'));
    try {
      const purge = vmPurge(hostOf(dir));
      const id = idOf(VMS / 2);
      const ours: number[] = [];
      // The first round is not counted: the code is compiled in it.
      for (let round = 0; round <= rounds; round += 1) {
        const startedAt = performance.now();
        const plan = await purge.prepare({ params: { id }, jobId: id, client: 'bench' });
        const ms = performance.now() - startedAt;
        const disks = plan.ok === true && 'disks' in plan.input ? plan.input.disks : [];
        if (disks.length !== DISKS_OF_A_VM) throw new Error(`planned ${JSON.stringify(plan).slice(0, 200)}`);
        if (round > 0) ours.push(ms);
      }
      return { ours, peer: [] };
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
};

const idOf = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

function hostOf(dir: string) {
  const known = records(realDisk, dir);
  const at = '2026-01-01T00:00:00.000Z';
  const vms = Array.from({ length: VMS }, (_, number) => {
    const [id, node] = [idOf(number), `prod-n${number}`];
    const folder = `/srv/vms/set-aside/${id}`;
    const disks = Array.from(
      { length: DISKS_OF_A_VM },
      (__, disk) => `${folder}/Virtual Hard Disks/${disk}.vhdx`,
    );
    const owner = { cluster: 'prod', node };
    known.put({
      ...{ v: 1, id, ...owner, by: 'created', at, sshHostKeys: [] },
      setAside: { at, purgeAt: at, name: `${node}-set-aside`, disks, folder },
    });
    return {
      ...{ id, name: `${node}-set-aside`, state: 'off', createdAt: at, addresses: [], mac: '00155D010203' },
      ...{ notes: withMarker('', { ...owner, createdAt: at }), cpuCount: 2, memoryMb: 2_048 },
      ...{ startAction: 'nothing', startDelaySeconds: 0, vlan: null, path: folder, disks },
    };
  });
  const frame = JSON.stringify({ host: 'bench', vms });
  const runScript = (async (script: 'vm-list') =>
    outcomeOf(script, { exitCode: 0, frame })) as unknown as RunScript;
  const policy = { vmRoot: '/srv/vms' } as BridgePolicy;
  return createHost({
    ...{ policy: () => policy, records: known, disk: realDisk, clock, random, runScript },
    failedCreation: () => false,
  });
}
