/**
 * `vm.create`: everything is looked at again when the job leaves the queue, and everything that reaches the script is
 * made here from narrow types.
 */
import { join } from 'node:path';
import type { HostOperation, Prepared } from '../../jobs/host-operation.ts';
import type { Random } from '../../../ports/ports.ts';
import { CHANGES, CREATE_LIMIT_MS } from '../../protocol/operations.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import type { Marker } from '../../protocol/shapes.ts';
import type { BridgePolicy, ClientPolicy, NetworkPolicy } from '../../server/policy.ts';
import { inRange } from '../../server/ranges.ts';
import { clientNamed, printedMac, rawMac } from '../host.ts';
import type { FoundVm, Host } from '../host.ts';
import { withMarker, withoutMarker } from '../notes.ts';
import type { ScriptResult, VmSettings } from '../scripts.ts';
import { seedImage, seedOf } from '../seed.ts';
import { removeFolder, removeLeftovers } from './leftovers.ts';
import { vmBuild } from './vm-build.ts';
import { makeSshHostKey } from '../ssh-host-key.ts';

interface Context {
  folder: string;
  host: string;
  marker: Marker;
  sshHostKey: string;
}

/** Hyper-V's own range. */
const MAC_PREFIX = '00:15:5d';

export function vmCreate(host: Host): HostOperation {
  return {
    deadlineMs: CHANGES['vm.create'].deadlineMs,
    async prepare({ jobId, client: clientName, params: given }): Promise<Prepared> {
      const params = given as Params<'vm.create'>;
      const policy = host.policy();
      const client = clientNamed(policy, clientName);
      const size = policy.sizes[params.size];
      const image = policy.images[params.image];
      if (!client || !size || !image) return { ok: false, error: 'denied' };
      const network = networkFor(policy, client, params.address);
      if (!network) return { ok: false, error: 'denied' };

      const found = await host.vms();
      const vms = (await removeLeftovers(host, jobId, found)) ? await host.vms() : found;
      if (vms.some((vm) => holdsName(vm, params))) return { ok: false, error: 'nameTaken' };
      if (vms.some((vm) => holdsAddress(vm, params))) return { ok: false, error: 'addressTaken' };
      const running = vms.filter((vm) => countsAsRunning(vm, client)).length;
      if (running >= client.maxRunningVms) return { ok: false, error: 'tooManyRunning' };
      const source = params.inheritFrom && vms.find((vm) => vm.id === params.inheritFrom);
      if (params.inheritFrom && !source) return { ok: false, error: 'notFound' };
      const info = await host.capacity();
      const memoryLeft = info.memoryFreeMb - size.memoryMb;
      if (memoryLeft < policy.reserveMemoryMb || info.diskFreeBytes < policy.reserveDiskBytes) {
        return { ok: false, error: 'noCapacity' };
      }
      const built = image.perNode ? undefined : (await host.images()).find(({ id }) => id === params.image);
      if (!built && !image.perNode) return { ok: false, error: 'imageMissing' };

      const mac = params.mac ?? freeMac(host.random, vms);
      const hostKey = makeSshHostKey(host.random);
      const nowMs = host.clock.now();
      const marker: Marker = {
        cluster: params.cluster,
        node: params.node,
        ...(params.role === undefined ? {} : { role: params.role }),
        ...(params.replaces === undefined ? {} : { replaces: params.replaces }),
        image: params.image,
        ...(built === undefined ? {} : { imageBuiltAt: built.builtAt }),
        ...(params.address === undefined ? {} : { address: params.address }),
        mac,
        createdAt: new Date(nowMs).toISOString(),
      };
      const seed = seedOf({
        jobId,
        node: params.node,
        mac,
        address: params.address,
        network,
        image,
        hostKey,
      });
      // The job's id is in the folder's name, so what an ended job left is found again.
      const folder = join(policy.vmRoot, `${params.cluster}-${params.node}-${jobId}`);
      const context: Context = { folder, host: info.host, marker, sshHostKey: hostKey.publicKey };
      const secrets = hostKey.privateKey.maskable().filter((line) => !line.startsWith('-----'));
      const settings: VmSettings = {
        name: params.node,
        folder,
        memoryMb: size.memoryMb,
        dynamicMemory: size.dynamicMemory ?? null,
        cpuCount: size.cpuCount,
        switchName: network.switch,
        vlan: (source ? source.vlan : undefined) ?? network.vlan ?? null,
        mac: rawMac(mac),
        macSpoofing: network.macSpoofing,
        secureBoot: image.secureBoot ? image.secureBootTemplate : null,
        notes: withMarker(source ? withoutMarker(source.notes) : '', marker),
        startAction: source ? source.startAction : 'startIfRunning',
        startDelaySeconds: source ? source.startDelaySeconds : 0,
        address: params.address ?? null,
        seed: { path: seedPath(folder), base64: Buffer.from(seedImage(seed, nowMs)).toString('base64') },
      };
      if (!built) return vmBuild(host, { jobId, image: params.image, settings, secrets, context });
      return {
        ok: true,
        script: 'vm-create',
        secrets,
        context,
        deadlineMs: CREATE_LIMIT_MS,
        input: {
          ...settings,
          imageDisk: built.disk,
          differencing: image.differencing,
          disk: join(folder, 'system.vhdx'),
        },
      };
    },
    async finish(_params, given, scriptResult) {
      const { folder, host: hostName, marker, sshHostKey } = given as Context;
      const { id: found, mac } = scriptResult as ScriptResult<'vm-create'>;
      const id = found.toLowerCase();
      host.records.put({
        v: 1,
        id,
        cluster: marker.cluster,
        node: marker.node,
        by: 'created',
        at: marker.createdAt,
        ...(marker.image === undefined ? {} : { image: marker.image }),
        ...(marker.imageBuiltAt === undefined ? {} : { imageBuiltAt: marker.imageBuiltAt }),
        sshHostKeys: [sshHostKey],
        seed: seedPath(folder),
      });
      const result: Result<'vm.create'> = {
        id,
        host: hostName,
        name: marker.node,
        mac: printedMac(mac) || (marker.mac ?? ''),
        ...(marker.address === undefined ? {} : { address: marker.address }),
        sshHostKeys: [sshHostKey],
      };
      return { ok: true, result };
    },
    async cleanUp(_params, given) {
      const { folder } = given as Context;
      return removeFolder(host, folder, await host.vms());
    },
  };
}

const seedPath = (folder: string): string => join(folder, 'seed.iso');

function networkFor(
  policy: BridgePolicy,
  client: ClientPolicy,
  address: string | undefined,
): NetworkPolicy | undefined {
  const networks = client.switches.flatMap((name) => policy.networks[name] ?? []);
  return address === undefined ? networks[0] : networks.find(({ subnet }) => inRange(address, subnet));
}

/** Also a set-aside VM holds its name: it may come back. */
function holdsName(vm: FoundVm, { cluster, node }: Params<'vm.create'>): boolean {
  if (vm.name.toLowerCase() === node) return true;
  const owner = vm.record ?? vm.read.marker;
  return owner?.cluster === cluster && owner.node === node;
}

function holdsAddress(vm: FoundVm, { address, mac }: Params<'vm.create'>): boolean {
  if (mac !== undefined && printedMac(vm.mac) === mac) return true;
  return address !== undefined && (vm.addresses.includes(address) || vm.read.marker?.address === address);
}

function countsAsRunning({ state, record }: FoundVm, { clusters }: ClientPolicy): boolean {
  return record !== undefined && !record.setAside && clusters.includes(record.cluster) && state !== 'off';
}

function freeMac(random: Random, vms: readonly FoundVm[]): string {
  const taken = new Set(vms.map(({ mac }) => printedMac(mac)));
  for (;;) {
    const mac = `${MAC_PREFIX}:${printedMac(Buffer.from(random.bytes(3)).toString('hex'))}`;
    if (!taken.has(mac)) return mac;
  }
}
