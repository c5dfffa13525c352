/** What the bridge gives `vm-create` and `vm-import`, for a host on disk. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ScriptInput, VmSettings } from '../../agent-bridge/host/scripts.ts';
import { adapter } from './host.ts';
import type { HostOnDisk } from './host.ts';

export const ID = '11111111-2222-4333-8444-555555555555';
export const EXPORTED = '0badcafe-2222-4333-8444-555555555555';
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
    ...settings(folder),
    imageDisk,
    differencing: false,
    disk: join(folder, 'system.vhdx'),
    ...more,
  };
}

/** As Packer exports it: two folders, the configuration named by the id, the VM by the build. */
export function exportVm(folder: string, more: object = {}, id = EXPORTED): void {
  const vm = {
    ...{ name: 'build-ubuntu-0', generation: 2, notes: '', disks: ['Virtual Hard Disks/build.vhdx'] },
    ...{
      dvds: ['/isos/installer.iso'],
      adapters: [adapter({ switch: 'Build', vlanMode: 'Access', vlan: 99 })],
    },
    snapshots: [],
    ...more,
  };
  mkdirSync(join(folder, 'Virtual Hard Disks'), { recursive: true });
  mkdirSync(join(folder, 'Virtual Machines'), { recursive: true });
  writeFileSync(join(folder, 'Virtual Hard Disks', 'build.vhdx'), 'disk');
  writeFileSync(join(folder, 'Virtual Machines', `${id.toUpperCase()}.vmcx`), JSON.stringify(vm));
}

/** Of a VM that is exported already, to the folder that the input names. */
export function importing(
  host: HostOnDisk,
  more: Partial<ScriptInput<'vm-import'>> = {},
): ScriptInput<'vm-import'> {
  const folder = join(host.vmRoot, 'prod-n1');
  const exported = join(folder, 'vm');
  exportVm(exported);
  return { ...settings(folder), exported, ...more };
}

const settings = (folder: string): VmSettings => ({
  name: 'prod-n1',
  folder,
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
});
