/** What the invariants look at: the world as plain data, taken from the models and never from the product. */
import { parse } from 'yaml';
import type { Setting } from '../outside/setting.ts';
import { addressesIn, remembered } from '../outside/setting.ts';
import { upstreamsOf } from '../outside/proxy.ts';

export interface Seen {
  nowMs: number;
  members: readonly { name: string; address: string; running: boolean }[];
  quorum: boolean;
  /** Addresses of the machines whose apiserver answers. */
  apiservers: readonly string[];
  nodes: readonly { name: string; address: string; ready: boolean; cordoned: boolean; worker: boolean }[];
  vms: readonly {
    id: string;
    name: string;
    state: string;
    address: string;
    mac: string;
    setAside: boolean;
  }[];
  steadyVms: number;
  steadyWorkers: number;
  /** Every place that sends traffic to an address. */
  backends: readonly { place: string; address: string }[];
  aliases: readonly { name: string; server: string; members: readonly string[] }[];
  /** Addresses and names in cluster.yml at its tip. */
  intent: readonly { address: string; name: string }[];
  /** `organisation/project/pipeline/run`, or empty. */
  holder: string;
  /** Address → when the trouble with that machine began, or how it ended lately: not the product's doing. */
  excused: ReadonlyMap<string, number>;
}

const ALIASES = ['cp', 'tfx', 'dash'] as const;

export function seenOf(setting: Setting, excused: ReadonlyMap<string, number>): Seen {
  const { world, etcd, proxy, zone, repo, gitops, input } = setting;
  const { store } = world.kube;
  const { cluster } = input.example;
  const addressOf = (name: string) =>
    [...world.machines.values()].find((machine) => machine.name === name)?.address ?? '';
  const nodes = store.list('nodes').map(({ metadata, spec, status }) => ({
    name: metadata.name,
    address: addressOf(metadata.name),
    ready: status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true,
    cordoned: spec.unschedulable === true,
    worker: metadata.labels?.['node-role.kubernetes.io/worker'] === 'true',
  }));
  const aliases = zone.servers.flatMap((server) =>
    ALIASES.map((alias) => {
      const name = alias === 'dash' ? alias : `${alias}-${cluster}`;
      const members = zone
        .records(server)
        .filter((record) => record.name === `${name}.${zone.name}`)
        .map(({ type, data }) => (type === 'CNAME' ? addressOf(data.split('.')[0] ?? '') : data));
      return { name, server, members };
    }),
  );
  return {
    nowMs: world.clock.nowMs(),
    members: etcd.members().map(({ name, address, running }) => ({ name, address, running })),
    quorum: etcd.hasQuorum(),
    apiservers: world.kube.serving().map(({ address }) => address),
    nodes,
    vms: world.hosts.vms().map((vm) => ({
      id: vm.id,
      name: vm.name,
      state: vm.state,
      address: world.machines.get(vm.id)?.address ?? '',
      mac: vm.mac,
      setAside: vm.name.includes('-set-aside-'),
    })),
    steadyVms: setting.vmSteady,
    steadyWorkers: input.example.nodes.filter(({ roles }) => roles.includes('worker')).length,
    backends: [
      ...[...upstreamsOf(proxy.loaded())].flatMap(([name, servers]) =>
        servers
          .filter(({ down, host }) => !down && host !== '127.0.0.1')
          .map(({ host }) => ({ place: `proxy ${name}`, address: host })),
      ),
      ...addressesIn(gitops.tip().files).map((address) => ({ place: 'ingress', address })),
      ...aliases.flatMap(({ name, server, members }) =>
        members.map((address) => ({ place: `dns ${name} at ${server}`, address })),
      ),
    ],
    aliases,
    intent: entriesIn(repo.tip().files.get('cluster.yml') ?? ''),
    holder: holderOf(setting),
    excused,
  };
}

export function holderOf(setting: Setting): string {
  const lease = setting.world.kube.store
    .list('leases')
    .find(({ metadata }) => metadata.name === `node-cycle-${setting.input.example.cluster}`);
  return (lease?.spec as { holderIdentity?: string } | undefined)?.holderIdentity ?? '';
}

const entriesIn = remembered((text: string): { address: string; name: string }[] => {
  const found = parse(text) as { nodes?: { address?: string; hostname_override?: string }[] } | null;
  return (found?.nodes ?? []).map(({ address = '', hostname_override: name = '' }) => ({ address, name }));
});
