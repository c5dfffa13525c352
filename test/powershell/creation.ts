/** What the bridge gives `vm-create`, for a host on disk. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ScriptInput } from '../../agent-bridge/host/scripts.ts';
import type { HostOnDisk } from './host.ts';

export const ID = '11111111-2222-4333-8444-555555555555';
const SEED = Buffer.from('the seed').toString('base64');

export function creation(
  host: HostOnDisk,
  more: Partial<ScriptInput<'vm-create'>> = {},
): ScriptInput<'vm-create'> {
  const folder = join(host.vmRoot, 'prod-n1');
  const imageDisk = join(host.imageRoot, 'ubuntu', '1.vhdx');
  mkdirSync(dirname(imageDisk), { recursive: true });
  if (!existsSync(imageDisk)) {
    writeFileSync(imageDisk, 'golden');
    chmodSync(imageDisk, 0o444);
  }
  return {
    name: 'prod-n1',
    folder,
    imageDisk,
    differencing: false,
    disk: join(folder, 'system.vhdx'),
    memoryMb: 2048,
    dynamicMemory: null,
    cpuCount: 4,
    switchName: 'External',
    vlan: 20,
    mac: '00155D0A0B0C',
    macSpoofing: true,
    secureBoot: null,
    notes: '{"startGroup":2,"nodeCycle":{"node":"prod-n1"}}',
    startAction: 'start',
    startDelaySeconds: 30,
    address: '10.0.20.101',
    seed: { path: join(folder, 'seed.iso'), base64: SEED },
    ...more,
  };
}
