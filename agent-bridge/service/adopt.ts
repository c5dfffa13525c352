/**
 * `adopt` takes in VMs that the bridge did not make, `undelete` brings one back from the set-aside. Both are for a
 * person on the host; the running bridge, if there is one, puts what was done into its log.
 */
import { join } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import { isBelow } from '../host/operations/is-below.ts';
import { createHost, printedMac } from '../host/host.ts';
import type { FoundVm, Host } from '../host/host.ts';
import { withMarker } from '../host/notes.ts';
import { records } from '../host/records.ts';
import { scriptRunner } from '../host/run-script.ts';
import { Guid, Name } from '../protocol/shapes.ts';
import type { Marker } from '../protocol/shapes.ts';
import { matches } from '../server/decide.ts';
import { newId } from '../server/accept.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { usableAddress } from '../server/ranges.ts';
import { engineOf } from './bridge.ts';
import type { BridgePorts } from './bridge.ts';
import { placesIn } from './places.ts';

export interface AdminPorts extends BridgePorts {
  print(line: string): void;
  /** A person's yes. */
  confirm(question: string): Promise<boolean>;
}

export interface AdoptRequest {
  cluster: string;
  /** A VM's id; or all whose name matches the pattern. */
  id?: string | undefined;
  allMatching?: string | undefined;
  /** Name of the node; by default the VM's own. */
  node?: string | undefined;
}

export async function adopt(policy: BridgePolicy, request: AdoptRequest, ports: AdminPorts): Promise<number> {
  if (!Name.safeParse(request.cluster).success)
    throw refused(`--cluster ${request.cluster} is not a name ([a-z0-9-]).`);
  const host = hostOf(policy, ports);
  const vms = await host.vms();
  const chosen = vms.filter((vm) =>
    request.id === undefined
      ? matches(request.allMatching ?? '', vm.name.toLowerCase())
      : vm.id === request.id.toLowerCase(),
  );
  if (chosen.length === 0)
    throw refused(`No VM of the host matches ${request.id ?? request.allMatching ?? ''}.`);
  const plans = chosen.map((vm) => ({ vm, marker: markerFor(vm, request.cluster, request.node) }));
  for (const { vm, marker } of plans) {
    const other = vm.record ?? vm.read.marker;
    if (other && (other.cluster !== marker.cluster || other.node !== marker.node)) {
      throw refused(`${vm.name} (${vm.id}) already belongs to ${other.cluster} as ${other.node}.`);
    }
    const twin = vms.find(
      (one) => one.id !== vm.id && one.record?.cluster === marker.cluster && one.record.node === marker.node,
    );
    if (twin) throw refused(`${marker.node} of ${marker.cluster} is already ${twin.id}.`);
    show(vm, marker, ports);
  }
  if (!(await ports.confirm(`Take ${plans.length} VM(s) into ${request.cluster}?`))) {
    ports.print('Nothing was changed.');
    return 1;
  }
  for (const { vm, marker } of plans) {
    // The record first: a marker without one proves nothing, and running adopt again completes either.
    host.records.put({
      v: 1,
      id: vm.id,
      cluster: marker.cluster,
      node: marker.node,
      by: 'adopted',
      at: new Date(ports.clock.now()).toISOString(),
      sshHostKeys: vm.record?.sshHostKeys ?? [],
    });
    const notes = withMarker(vm.notes, marker);
    if (notes !== vm.notes) await host.run('vm-adopt', { id: vm.id, expectNotes: vm.notes, notes });
    noteForLog(policy, ports, 'adopted', vm.id, marker);
    ports.print(`Adopted ${vm.name} (${vm.id}) as ${marker.node} of ${marker.cluster}.`);
  }
  return 0;
}

export async function undelete(policy: BridgePolicy, id: string, ports: AdminPorts): Promise<number> {
  if (!Guid.safeParse(id).success) throw refused(`${id} is not a VM's id.`);
  const host = hostOf(policy, ports);
  const record = host.records.get(id);
  if (!record?.setAside) throw refused(`There is no set-aside VM ${id}.`);
  if (
    !(await ports.confirm(`Bring ${record.node} of ${record.cluster} back, with its network disconnected?`))
  )
    return 1;
  const { setAside, ...kept } = record;
  await host.run('vm-undelete', {
    id,
    name: record.node,
    folder: join(policy.vmRoot, `${record.cluster}-${record.node}-${id}`),
  });
  host.records.put(kept);
  noteForLog(policy, ports, 'undeleted', id, record);
  ports.print(`${record.node} is back from ${setAside.folder}; it is off and its network is disconnected.`);
  return 0;
}

function markerFor(vm: FoundVm, cluster: string, node = vm.name.toLowerCase()): Marker {
  if (!Name.safeParse(node).success)
    throw refused(`${node} is not a node's name ([a-z0-9-]): give one with --node.`);
  const address = vm.addresses.find(usableAddress);
  const known = vm.read.marker;
  return {
    cluster,
    node,
    ...(address === undefined ? {} : { address }),
    ...(vm.mac === '' ? {} : { mac: printedMac(vm.mac) }),
    createdAt: known?.createdAt ?? vm.createdAt,
  };
}

function show(vm: FoundVm, marker: Marker, { print }: AdminPorts): void {
  print(`${vm.name}  ${vm.id}  ${vm.state}  → ${marker.node} of ${marker.cluster}`);
  for (const disk of vm.disks)
    print(`  disk   ${disk}${isBelow(disk, vm.path) ? '' : '  (not in the VM’s folder)'}`);
  print(`  notes  ${vm.notes === '' ? '(none)' : JSON.stringify(vm.notes)}`);
}

function hostOf(policy: BridgePolicy, { disk, clock, random, processes }: AdminPorts): Host {
  return createHost({
    policy: () => policy,
    records: records(disk, placesIn(policy.dataDir).records),
    ...{ disk, clock, random },
    failedCreation: () => false,
    runScript: scriptRunner(engineOf(policy, disk), { processes, clock, random }),
  });
}

function noteForLog(
  policy: BridgePolicy,
  ports: AdminPorts,
  what: string,
  vmId: string,
  owner: { cluster: string; node: string },
): void {
  const dir = placesIn(policy.dataDir).admin;
  const at = new Date(ports.clock.now()).toISOString();
  ports.disk.makeDir(dir);
  ports.disk.write(
    join(dir, `${at.replaceAll(':', '')}-${newId(ports.random)}.json`),
    JSON.stringify({ what, vmId, cluster: owner.cluster, node: owner.node, at }),
  );
}

const refused = (detail: string): CodedError => new CodedError('NC2010', detail);
