/** ProvisionNode: the VM of the node that stays, from image to a proven SSH login. */
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import { isoTime } from '../time.ts';
import { inRanges } from '../plan/addresses.ts';
import type { Config, Role } from '../config/schema.ts';
import { addressOf, cycleRoles, vmAddress, vmOf, type Slice } from '../observed.ts';
import { refuse, type Action, type Plan } from '../step.ts';
import { pinnedKeys, pinHost } from '../plan/known-hosts.ts';

export type ProvisionWorld = Slice<
  'nowMs' | 'facts' | 'lock' | 'host' | 'vms' | 'jobs' | 'intent' | 'knownHosts' | 'ssh'
>;

export interface ProvisionInput {
  leaving: string;
  staying: string;
}

/** What the step may do to the world. */
export interface ProvisionActs {
  buildImage(image: string, signal: AbortSignal): Promise<void>;
  createVm(
    order: {
      node: string;
      role: string;
      size: string;
      image: string;
      address?: string;
      inheritFrom?: string;
      replaces: string;
    },
    signal: AbortSignal,
  ): Promise<void>;
  /** Commits known_hosts with the keys that the bridge gives for the node. */
  pinHostKeys(node: string, address: string, port: number, signal: AbortSignal): Promise<void>;
}

export function planProvision<W extends ProvisionWorld>(
  config: Config,
  input: ProvisionInput,
  acts: ProvisionActs,
  world: W,
): Plan<W> {
  const { leaving, staying } = input;
  const settleMs = config.pace.settleSeconds * 1000;
  const bootMs = config.vm.bootMinutes * 60_000;
  const twice = world.vms.filter(
    (vm) => vm.marker?.cluster === config.cluster && vm.marker.node === staying && !vm.setAside,
  );
  if (twice.length > 1) {
    return refuse(
      'NC1219',
      `${twice.length} VMs say that they are ${staying}.`,
      twice.map((vm) => `${vm.name} (${vm.id}) on ${vm.host}`),
    );
  }
  const vm = twice[0];
  const roles = cycleRoles(world, leaving);
  const port = Number(entryPort(world, leaving));
  const actions: Action<W>[] = [];

  if (vm === undefined) {
    const aside = vmOf(world, config.cluster, staying, { setAside: true });
    if (aside !== undefined) {
      return refuse(
        'NC1217',
        `The VM of ${staying} was set aside; it comes back by a person's \`undelete ${aside.id}\` on the host.`,
        [
          `${aside.name} (${aside.id}) on ${aside.host}, to be purged at ${aside.purgeAt ?? 'an unknown time'}`,
        ],
      );
    }
    const image = world.host.images.find((candidate) => candidate.id === config.vm.image);
    if (image === undefined)
      return refuse(
        'NC1223',
        `The host has no image "${config.vm.image}".`,
        world.host.images.map((i) => i.id),
      );
    if (image.stale) {
      actions.push({
        id: `image.build ${image.id}`,
        reason: `the image of ${image.builtAt} was made from older sources than today's`,
        apply: (signal) => acts.buildImage(image.id, signal),
        done: (o) => o.host.images.some((i) => i.id === image.id && !i.stale),
        settleMs,
        predict: (o) => ({
          ...o,
          host: {
            ...o.host,
            images: o.host.images.map((i) =>
              i.id === image.id ? { ...i, stale: false, builtAt: isoTime(o.nowMs) } : i,
            ),
          },
        }),
      });
    }
    const old = vmOf(world, config.cluster, leaving);
    const newer =
      old?.imageBuiltAt === undefined ||
      image.stale ||
      Date.parse(image.builtAt) > Date.parse(old.imageBuiltAt);
    if (config.vm.requireNewer && !newer) {
      return refuse('NC1223', `The image ${image.id} is not newer than the one of ${leaving}.`, [
        `image: ${image.builtAt}`,
        `${leaving}: ${old.imageBuiltAt}`,
      ]);
    }
    const size = sizeFor(config, roles);
    if (size === undefined)
      return refuse('NC1215', `vm.sizes has no size for the roles ${roles.join(', ')} of ${leaving}.`);
    const address = world.facts.successor?.address;
    actions.push({
      id: `vm.create ${staying}`,
      reason: `no VM of this cluster is ${staying}, which replaces ${leaving}`,
      apply: (signal) =>
        acts.createVm(
          {
            node: staying,
            role: roles[0] ?? 'worker',
            size,
            image: image.id,
            ...(address === undefined ? {} : { address }),
            ...(old === undefined ? {} : { inheritFrom: old.id }),
            replaces: leaving,
          },
          signal,
        ),
      done: (o) => vmOf(o, config.cluster, staying) !== undefined,
      settleMs,
      predict: (o) => ({ ...o, vms: [...o.vms, predictedVm(o, config, staying, leaving, address)] }),
    });
  }

  const observedAddress = vmAddress(vm);
  if (vm === undefined || vm.state !== 'running' || observedAddress === undefined) {
    actions.push({
      id: `vm.address ${staying}`,
      reason:
        vm === undefined
          ? 'the new VM must boot and show its address'
          : `the VM is ${vm.state} and shows ${observedAddress ?? 'no address'}`,
      done: (o) => {
        const seen = vmOf(o, config.cluster, staying);
        return seen?.state === 'running' && vmAddress(seen) !== undefined;
      },
      settleMs: bootMs,
      predict: (o) => ({
        ...o,
        vms: o.vms.map((v) =>
          v.marker?.node === staying && !v.setAside
            ? {
                ...v,
                state: 'running',
                addresses: v.addresses.length > 0 ? v.addresses : [placeholder(config)],
              }
            : v,
        ),
      }),
    });
  } else if (vm.marker?.replaces !== undefined && !inRanges(observedAddress, config.addresses.ranges)) {
    return refuse(
      'NC1218',
      `${staying} has the address ${observedAddress}, outside ${config.addresses.ranges.join(', ')}.`,
      [`VM ${vm.id} on ${vm.host}`],
    );
  }

  const address = observedAddress ?? addressOf(world, config.cluster, staying) ?? placeholder(config);
  const keys = vm?.sshHostKeys ?? [];
  const pinned = pinnedKeys(world.knownHosts, address, port);
  if (vm === undefined || (keys.length > 0 && !keys.every((key) => pinned.includes(key)))) {
    actions.push({
      id: `hostkey.pin ${staying}`,
      reason: `known_hosts does not have the host key that the bridge gave ${staying} at ${address}`,
      apply: (signal) => acts.pinHostKeys(staying, address, port, signal),
      done: (o) => {
        const seen = vmOf(o, config.cluster, staying);
        const have = pinnedKeys(o.knownHosts, address, port);
        return (
          (seen?.sshHostKeys ?? []).length > 0 && (seen?.sshHostKeys ?? []).every((key) => have.includes(key))
        );
      },
      settleMs,
      predict: (o) => ({
        ...o,
        knownHosts: pinHost(o.knownHosts, address, port, vmOf(o, config.cluster, staying)?.sshHostKeys ?? []),
      }),
    });
  }

  if (world.ssh[address] !== 'ok' || actions.length > 0) {
    actions.push({
      id: `ssh.login ${staying}`,
      reason: `a login at ${address} with the pinned host key must succeed (${world.ssh[address] ?? 'not tried yet'})`,
      done: (o) => o.ssh[addressOf(o, config.cluster, staying) ?? ''] === 'ok',
      settleMs: bootMs,
      predict: (o) => ({ ...o, ssh: { ...o.ssh, [addressOf(o, config.cluster, staying) ?? address]: 'ok' } }),
    });
  }
  return actions;
}

/** Size of the first role that has one, in the order of weight. */
export function sizeFor(config: Config, roles: readonly Role[]): string | undefined {
  for (const role of ['controlplane', 'etcd', 'worker'] as const) {
    const size = config.vm.sizes[role];
    if (roles.includes(role) && size !== undefined) return size;
  }
  return undefined;
}

function entryPort(world: ProvisionWorld, node: string): string {
  const entry = world.intent.yml.nodes.find((n) => n.hostnameOverride === node || n.address === node);
  return entry?.port ?? world.intent.yml.nodes[0]?.port ?? '22';
}

/** Stands for the address that DHCP will give, in a dry run. */
function placeholder(config: Config): string {
  return config.addresses.ranges[0]?.split('-')[0] ?? '0.0.0.0';
}

function predictedVm(
  world: ProvisionWorld,
  config: Config,
  staying: string,
  leaving: string,
  address: string | undefined,
): VmView {
  const createdAt = isoTime(world.nowMs);
  return {
    id: '00000000-0000-0000-0000-000000000000',
    host: world.host.hosts[0]?.host ?? '',
    name: staying,
    state: 'starting',
    setAside: false,
    adopted: true,
    marker: {
      cluster: config.cluster,
      node: staying,
      replaces: leaving,
      createdAt,
      ...(address === undefined ? {} : { address }),
    },
    createdAt,
    image: config.vm.image,
    imageBuiltAt: createdAt,
    addresses: address === undefined ? [] : [address],
    mac: '',
    cpuCount: 0,
    memoryMb: 0,
    startAction: 'nothing',
    startDelaySeconds: 0,
    notesOwner: 'none',
    sshHostKeys: ['ssh-ed25519 predicted'],
  };
}
