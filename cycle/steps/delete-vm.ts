/** DeleteVm: the VM of the node that has left is off and set aside; the cycle's facts are cleared. */
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import { upstreamServers } from '../edge/nginx/upstreams.ts';
import type { Config } from '../config/schema.ts';
import { finished, NO_FACTS, type Facts } from '../facts.ts';
import { addressOf, kubeNode, vmOf, withNode, type Slice } from '../observed.ts';
import { membersOn, type Swap } from '../edge/dns/zone.ts';
import { claimOf } from '../plan/claims.ts';
import { forgetAddress } from '../plan/known-hosts.ts';
import { whyNodeStays } from '../plan/leaving.ts';
import { aliasSet, fullName, nodeRecord } from '../plan/dns-records.ts';
import { macToKeep, releases, withReservation } from '../plan/reservations.ts';
import { isRefusal, refuse, type Action, type Plan } from '../step.ts';
import { REPLACES_LABEL } from './rke-add-node.ts';

export type DeleteVmWorld = Slice<
  | 'nowMs'
  | 'facts'
  | 'lock'
  | 'vms'
  | 'jobs'
  | 'intent'
  | 'knownHosts'
  | 'state'
  | 'kube'
  | 'etcd'
  | 'proxies'
  | 'ingress'
  | 'dns'
  | 'reservations'
>;

export interface DeleteVmInput {
  leaving: string;
  staying: string;
  mode: 'delete' | 'stop';
}

/** A VM and the host that it is on. */
export type VmPlace = Pick<VmView, 'id' | 'host'>;

export interface DeleteVmActs {
  stopVm(vm: VmPlace, signal: AbortSignal): Promise<void>;
  /** Sets the VM aside. */
  deleteVm(vm: VmPlace, signal: AbortSignal): Promise<void>;
  /** Commits known_hosts without the keys of the address. */
  forgetHostKeys(node: string, address: string, signal: AbortSignal): Promise<void>;
  changeDns(change: Swap, signal: AbortSignal): Promise<void>;
  label(node: string, labels: Record<string, string | null>, signal: AbortSignal): Promise<void>;
  writeFacts(change: Partial<Facts> | 'clear', signal: AbortSignal): Promise<void>;
  releaseAddress(name: string, mac: string | undefined, signal: AbortSignal): Promise<void>;
}

export function planDeleteVm<W extends DeleteVmWorld>(
  config: Config,
  input: DeleteVmInput,
  acts: DeleteVmActs,
  world: W,
): Plan<W> {
  const { leaving, staying } = input;
  const settleMs = config.pace.settleSeconds * 1000;
  const vm = claimOf(config, world, leaving);
  if (isRefusal(vm)) return vm;
  if (input.mode === 'stop') {
    if (vm === undefined)
      return refuse(
        'NC1217',
        `No VM of this cluster says that it is ${leaving}.`,
        world.vms.map((v) => `${v.name}: ${v.marker?.node ?? 'no marker'}`),
      );
    if (vm.state === 'off') return [];
    const stop: Action<W> = {
      id: `vm.stop ${leaving}`,
      reason: `${leaving} is dead to the cluster, but its VM on ${vm.host} is ${vm.state}: it must not come back while it is replaced`,
      irreversible: true,
      apply: (signal) => acts.stopVm(vm, signal),
      done: (o) => vmOf(o, config.cluster, leaving)?.state === 'off',
      settleMs,
      predict: (o) => ({
        ...o,
        vms: o.vms.map((v) => (v.id === vm.id ? { ...v, state: 'off' as const } : v)),
      }),
    };
    return [stop];
  }

  const address = addressOf(world, config.cluster, leaving);
  const reference = whatRefersTo(config, world, leaving, address);
  if (reference !== undefined)
    return refuse('NC1222', `The VM of ${leaving} stays: ${reference}.`, [`address ${address ?? 'unknown'}`]);

  const actions: Action<W>[] = [];
  const record = nodeRecord(config, world.dns, leaving);
  if (record !== undefined) {
    const { data, ttl, ...set } = record;
    actions.push({
      id: `dns.forget ${leaving}`,
      reason: `${record.name} names a node that is gone`,
      apply: (signal) => acts.changeDns({ ...set, expect: data, add: [], remove: data, ttl }, signal),
      done: (o) => nodeRecord(config, o.dns, leaving) === undefined,
      settleMs,
      predict: (o) => ({
        ...o,
        dns: o.dns.map((server) => ({
          ...server,
          records: server.records.filter((r) => r.name.toLowerCase() !== set.name),
        })),
      }),
    });
  }
  const keep = macToKeep(config, world, leaving);
  if (keep !== undefined) {
    actions.push({
      id: `address.keep ${leaving}`,
      reason: `the MAC ${keep.mac} is written down, so that its address can be given back when the VM is purged`,
      apply: (signal) => acts.writeFacts({ reservations: { [leaving]: keep } }, signal),
      done: (o) => macToKeep(config, o, leaving) === undefined,
      settleMs,
      predict: (o) => ({ ...o, facts: withReservation(o.facts, leaving, keep) }),
    });
  }
  if (vm !== undefined) {
    actions.push({
      id: `vm.delete ${leaving}`,
      reason: `nothing refers to ${leaving} any more; its VM ${vm.id} on ${vm.host} is set aside and purged later`,
      irreversible: true,
      apply: (signal) => acts.deleteVm(vm, signal),
      done: (o) => vmOf(o, config.cluster, leaving) === undefined,
      settleMs,
      predict: (o) => ({
        ...o,
        vms: o.vms.map((v) => (v.id === vm.id ? { ...v, setAside: true, state: 'off' as const } : v)),
      }),
    });
  }
  actions.push(...releases(config, world, acts, [staying]));
  if (address !== undefined && forgetAddress(world.knownHosts, address) !== world.knownHosts) {
    actions.push({
      id: `hostkey.forget ${leaving}`,
      reason: `known_hosts still has the host key of ${address}, where another machine may be one day`,
      apply: (signal) => acts.forgetHostKeys(leaving, address, signal),
      done: (o) => forgetAddress(o.knownHosts, address) === o.knownHosts,
      settleMs,
      predict: (o) => ({ ...o, knownHosts: forgetAddress(o.knownHosts, address) }),
    });
  }
  if (kubeNode(world, staying)?.labels[REPLACES_LABEL] !== undefined) {
    actions.push({
      id: `label.clear ${staying}`,
      reason: 'the replacement is complete',
      apply: (signal) => acts.label(staying, { [REPLACES_LABEL]: null }, signal),
      done: (o) => kubeNode(o, staying)?.labels[REPLACES_LABEL] === undefined,
      settleMs,
      predict: (o) =>
        withNode(o, staying, (node) => {
          const labels = { ...node.labels };
          delete labels[REPLACES_LABEL];
          return { ...node, labels };
        }),
    });
  }
  if (world.facts.old !== undefined) {
    actions.push({
      id: 'facts.clear',
      reason: `the cycle of ${world.facts.old.name} is finished`,
      apply: (signal) => acts.writeFacts('clear', signal),
      done: (o) => o.facts.old === undefined,
      settleMs,
      predict: (o) => ({ ...o, facts: { ...NO_FACTS, ...finished(o.facts) } }),
    });
  }
  return actions;
}

/** The first thing that still refers to a node, in words. */
export function whatRefersTo(
  config: Config,
  world: Slice<'intent' | 'state' | 'kube' | 'etcd' | 'proxies' | 'ingress' | 'dns'>,
  name: string,
  address: string | undefined,
): string | undefined {
  const inCluster = whyNodeStays(world, name, address);
  if (inCluster !== undefined) return inCluster;
  if (address !== undefined) {
    for (const proxy of world.proxies) {
      const server = upstreamServers(proxy.files).find((candidate) => candidate.address === address);
      if (server !== undefined)
        return `the upstream ${server.upstream} of ${proxy.name} names it (${server.file}:${server.line})`;
    }
    if (world.ingress?.addresses.includes(address) === true) return `the ingress values name ${address}`;
  }
  const silent = world.dns.find((server) => server.serial === undefined);
  if (silent !== undefined)
    return `${silent.server} does not say what the aliases hold (${silent.failure ?? 'no answer'})`;
  for (const alias of config.dns?.aliases ?? []) {
    for (const server of world.dns) {
      const members = membersOn(server, aliasSet(config, alias));
      const named = members.find(
        (data) => data === address || data === fullName(name, config.dns?.zone ?? ''),
      );
      if (named !== undefined) return `the alias ${alias.name} on ${server.server} has ${named}`;
    }
  }
  return undefined;
}
