/** Name and address of a successor: neither is, or ever was, anybody else's. */
import type { Config, Role } from '../config/schema.ts';
import { upstreamServers } from '../edge/nginx/upstreams.ts';
import { refuse, type Refusal } from '../step.ts';
import type { PlanWorld } from '../steps/plan-cycle.ts';
import { firstFree } from './addresses.ts';
import { nextName } from './names.ts';

/** The address only from a static range; anybody else who gives addresses out does it later. */
export function nameSuccessor(
  config: Config,
  world: PlanWorld,
  roles: readonly Role[],
): Refusal | { name: string; address?: string } {
  const used = new Set<string>(world.history.names);
  const held = new Set<string>(world.history.addresses);
  for (const vm of world.vms) {
    used.add(vm.name);
    if (vm.marker !== undefined) used.add(vm.marker.node);
    for (const address of [...vm.addresses, vm.marker?.address]) if (address !== undefined) held.add(address);
  }
  for (const node of world.kube.nodes) {
    used.add(node.name);
    for (const { address } of node.addresses) held.add(address);
  }
  for (const entry of world.intent.yml.nodes) {
    used.add(entry.hostnameOverride ?? entry.address);
    for (const address of [entry.address, entry.internalAddress])
      if (address !== undefined) held.add(address);
  }
  for (const member of world.etcd.members) held.add(member.address);
  for (const server of world.dns)
    for (const record of server.records) {
      held.add(record.data);
      used.add(record.name.split('.')[0] ?? '');
    }
  for (const line of world.knownHosts.split('\n'))
    for (const [host] of (line.split(/\s/)[0] ?? '').matchAll(/[0-9]+(\.[0-9]+){3}/g)) held.add(host);
  for (const [reservedFor, reserved] of Object.entries(world.facts.reservations ?? {})) {
    used.add(reservedFor);
    if (reserved?.address !== undefined) held.add(reserved.address);
  }
  for (const proxy of config.proxies) held.add(proxy.host);
  // A line that was left behind would send traffic to a node that is only booting.
  for (const proxy of world.proxies)
    for (const { address } of upstreamServers(proxy.files)) held.add(address);
  for (const address of world.ingress?.addresses ?? []) held.add(address);

  const name = nextName(config.names.pattern, config.cluster, roles, used);
  if (name === undefined)
    return refuse('NC1215', `Every name of the pattern ${config.names.pattern} is or was in use.`);
  if (config.addresses.source !== 'static') return { name };
  const address = firstFree(config.addresses.ranges, held);
  if (address === undefined)
    return refuse('NC1215', `Every address of ${config.addresses.ranges.join(', ')} is or was in use.`);
  return { name, address };
}
