/** ProvisionNode: the VM of the node that stays, from image to a proven SSH login. */
import type { VmView } from '../../agent-bridge/protocol/operations.ts';
import { isoTime } from '../time.ts';
import { firstFree, inRanges } from '../plan/addresses.ts';
import type { Config, Role } from '../config/schema.ts';
import { UNKNOWN, type NodeEvidence } from '../evidence/read.ts';
import type { HostSeen } from '../hosts.ts';
import {
  addressOf,
  cycleRoles,
  entryOf,
  reservedAddress,
  shownAddress,
  vmOf,
  type Slice,
} from '../observed.ts';
import { isRefusal, refuse, type Action, type Plan, type Refusal } from '../step.ts';
import { claimOf } from '../plan/claims.ts';
import { pinnedKeys, pinHost } from '../plan/known-hosts.ts';
import { imageIsNewer, whyNotNewer } from '../plan/newer.ts';
import { placeSuccessor } from '../plan/placement.ts';
import { reservationOf, withReservation } from '../plan/reservations.ts';
import { sizeFor } from '../plan/size.ts';

export type ProvisionWorld = Slice<
  | 'nowMs'
  | 'facts'
  | 'lock'
  | 'hosts'
  | 'vms'
  | 'jobs'
  | 'intent'
  | 'knownHosts'
  | 'ssh'
  | 'reservations'
  | 'evidence'
>;

export interface ProvisionInput {
  leaving: string;
  staying: string;
}

/** What the step may do to the world. */
export interface ProvisionActs {
  buildImage(host: string, image: string, signal: AbortSignal): Promise<void>;
  /** Reserves MAC and address under the node's name, and writes them on the Lease. */
  reserveAddress(name: string, signal: AbortSignal): Promise<void>;
  createVm(
    host: string,
    order: {
      node: string;
      role: string;
      size: string;
      image: string;
      address?: string;
      mac?: string;
      inheritFrom?: string;
      replaces: string;
    },
    signal: AbortSignal,
  ): Promise<void>;
  /** Commits known_hosts with the keys that the bridge gives for the node. */
  pinHostKeys(node: string, address: string, port: number, signal: AbortSignal): Promise<void>;
  /** Asks the node what it runs, into the record; the login is that of the entry with the address `like`. */
  collectEvidence(
    node: string,
    address: string,
    like: string | undefined,
    signal: AbortSignal,
  ): Promise<void>;
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
  const vm = claimOf(config, world, staying);
  if (isRefusal(vm)) return vm;
  const roles = cycleRoles(world, leaving);
  const port = Number(entryPort(world, leaving));
  const actions: Action<W>[] = [];

  if (vm === undefined) {
    const aside = vmOf(world, config.cluster, staying, { setAside: true });
    if (aside !== undefined) {
      return refuse(
        'NC1217',
        `The VM of ${staying} was set aside; it comes back by a person's \`undelete ${aside.id}\` on ${aside.host}.`,
        [
          `${aside.name} (${aside.id}) on ${aside.host}, to be purged at ${aside.purgeAt ?? 'an unknown time'}`,
        ],
      );
    }
    const host = hostFor(config, world, input, roles);
    if (isRefusal(host)) return host;
    const images = imagesOn(world, host);
    const image = images.find(({ id }) => id === config.vm.image);
    if (image === undefined)
      return refuse(
        'NC1223',
        `${host} has no image "${config.vm.image}".`,
        images.map((i) => i.id),
      );
    if (image.stale) {
      actions.push({
        id: `image.build ${image.id}`,
        reason: `the image of ${image.builtAt} on ${host} was made from older sources than today's`,
        apply: (signal) => acts.buildImage(host, image.id, signal),
        done: (o) => imagesOn(o, host).some((i) => i.id === image.id && !i.stale),
        settleMs,
        predict: (o) => withBuiltImage(o, host, image.id),
      });
    }
    const old = vmOf(world, config.cluster, leaving);
    // What cannot be told now is told by the new node, before it joins.
    if (config.vm.requireNewer && !image.stale && imageIsNewer(image.builtAt, old) === false) {
      return refuse('NC1223', `The image ${image.id} is not newer than the one of ${leaving}.`, [
        `image: ${image.builtAt}`,
        `${leaving}: ${old?.imageBuiltAt ?? UNKNOWN}`,
      ]);
    }
    const size = sizeFor(config, roles);
    if (size === undefined)
      return refuse('NC1215', `vm.sizes has no size for the roles ${roles.join(', ')} of ${leaving}.`);
    const reserves = config.addresses.source === 'reservation';
    // With a reservation the guest asks DHCP, which knows the MAC; nothing writes the address into it.
    const address = reserves ? undefined : world.facts.successor?.address;
    const reserved = reserves ? reservationOf(world, staying) : undefined;
    if (reserves && reserved === undefined) {
      actions.push({
        id: `address.reserve ${staying}`,
        reason: `no address is reserved for ${staying}`,
        apply: (signal) => acts.reserveAddress(staying, signal),
        done: (o) => reservationOf(o, staying) !== undefined,
        settleMs,
        predict: (o) => ({
          ...o,
          facts: withReservation(o.facts, staying, { mac: NO_MAC, address: placeholder(config, o) }),
          reservations: {},
        }),
      });
    }
    // Notes, start order and VLAN are read on the host itself, so they do not go from one host to another.
    const heir = old?.host === host ? old : undefined;
    const inherits =
      old === undefined || heir !== undefined
        ? ''
        : `, without the notes, the start order and the VLAN that its predecessor has on ${old.host}`;
    actions.push({
      id: `vm.create ${staying}`,
      reason: `no VM of this cluster is ${staying}, which replaces ${leaving}; it is made on ${host}${inherits}`,
      apply: (signal) =>
        acts.createVm(
          host,
          {
            node: staying,
            role: roles[0] ?? 'worker',
            size,
            image: image.id,
            ...(address === undefined ? {} : { address }),
            ...(reserved === undefined ? {} : { mac: reserved.mac }),
            ...(heir === undefined ? {} : { inheritFrom: heir.id }),
            replaces: leaving,
          },
          signal,
        ),
      done: (o) => vmOf(o, config.cluster, staying) !== undefined,
      settleMs,
      predict: (o) => ({ ...o, vms: [...o.vms, predictedVm(o, config, input, host, address)] }),
    });
  }

  const observedAddress = shownAddress(world, staying, vm);
  if (vm === undefined || vm.state !== 'running' || observedAddress === undefined) {
    actions.push({
      id: `vm.address ${staying}`,
      reason:
        vm === undefined
          ? 'the new VM must boot and show its address'
          : `the VM is ${vm.state} and shows ${vm.addresses.join(', ') || 'no address'}${expects(world, staying)}`,
      done: (o) => {
        const seen = vmOf(o, config.cluster, staying);
        return seen?.state === 'running' && shownAddress(o, staying, seen) !== undefined;
      },
      settleMs: bootMs,
      predict: (o) => ({
        ...o,
        vms: o.vms.map((v) =>
          v.marker?.node === staying && !v.setAside
            ? {
                ...v,
                state: 'running',
                addresses: predictedAddresses(config, o, staying, v),
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

  const address = observedAddress ?? addressOf(world, config.cluster, staying) ?? placeholder(config, world);
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

  // Once the node has joined, it is too late for a word about its image.
  const made = vm === undefined || vm.marker?.replaces === leaving;
  if (!made || entryOf(world, staying, address) !== undefined) return actions;
  const evidence = world.evidence[address];
  if (evidence === undefined) {
    actions.push({
      id: `node.evidence ${staying}`,
      reason: `the record needs what ${staying} runs${config.vm.requireNewer ? ', and it joins only when it is newer' : ''}`,
      apply: (signal) =>
        acts.collectEvidence(staying, address, addressOf(world, config.cluster, leaving), signal),
      done: (o) => o.evidence[addressOf(o, config.cluster, staying) ?? address] !== undefined,
      settleMs,
      predict: (o) => ({
        ...o,
        evidence: { ...o.evidence, [addressOf(o, config.cluster, staying) ?? address]: PREDICTED },
      }),
    });
    return actions;
  }
  const whyNot =
    config.vm.requireNewer && vm !== undefined && actions.length === 0
      ? whyNotNewer(vm, vmOf(world, config.cluster, leaving), evidence)
      : undefined;
  if (whyNot !== undefined)
    return refuse('NC1227', `${staying} is not newer than ${leaving}, so it does not join.`, whyNot);
  return actions;
}

/** Where PlanCycle placed it; placed here when that is not known any more. */
function hostFor(
  config: Config,
  world: ProvisionWorld,
  { leaving, staying }: ProvisionInput,
  roles: readonly Role[],
): string | Refusal {
  const { successor } = world.facts;
  if (successor?.name !== staying || successor.host === undefined)
    return placeSuccessor(config, world, leaving, roles);
  const { host } = successor;
  if (world.hosts.some((seen) => seen.host === host)) return host;
  return refuse('NC1229', `${staying} is to be made on ${host}, and no bridge of this task is there.`, [
    `hosts: ${world.hosts.map((seen) => seen.host).join(', ')}`,
  ]);
}

function imagesOn(world: Slice<'hosts'>, host: string): HostSeen['images'] {
  return world.hosts.find((seen) => seen.host === host)?.images ?? [];
}

function withBuiltImage<W extends ProvisionWorld>(world: W, host: string, id: string): W {
  const built = { stale: false, builtAt: isoTime(world.nowMs) };
  const hosts = world.hosts.map((seen) =>
    seen.host === host
      ? { ...seen, images: seen.images.map((image) => (image.id === id ? { ...image, ...built } : image)) }
      : seen,
  );
  return { ...world, hosts };
}

function entryPort(world: ProvisionWorld, node: string): string {
  const entry = world.intent.yml.nodes.find((n) => n.hostnameOverride === node || n.address === node);
  return entry?.port ?? world.intent.yml.nodes[0]?.port ?? '22';
}

/** Stands for the address that DHCP or a reservation will give, in a dry run: one that nothing seems to hold. */
function placeholder(config: Config, world: ProvisionWorld): string {
  const held = new Set([
    ...world.vms.flatMap((vm) => [...vm.addresses, vm.marker?.address ?? '']),
    ...world.intent.yml.nodes.map((node) => node.address),
  ]);
  return firstFree(config.addresses.ranges, held) ?? '0.0.0.0';
}

/** Stand for what only the far side knows, in a dry run. */
const NO_MAC = '00:00:00:00:00:00';
const PREDICTED: NodeEvidence = {
  ...{
    os: UNKNOWN,
    osVersion: UNKNOWN,
    kernel: UNKNOWN,
    openssl: UNKNOWN,
    runtime: UNKNOWN,
    bootedAt: UNKNOWN,
  },
  ...{ securityUpdates: 0, securityUpdatesBy: 'predicted' },
};

function predictedAddresses(
  config: Config,
  world: ProvisionWorld,
  node: string,
  vm: VmView,
): readonly string[] {
  const reserved = reservedAddress(world, node);
  if (reserved !== undefined)
    return vm.addresses.includes(reserved) ? vm.addresses : [...vm.addresses, reserved];
  return vm.addresses.length > 0 ? vm.addresses : [placeholder(config, world)];
}

function expects(world: ProvisionWorld, node: string): string {
  const reserved = reservedAddress(world, node);
  return reserved === undefined ? '' : `; ${reserved} is reserved for its MAC`;
}

function predictedVm(
  world: ProvisionWorld,
  config: Config,
  { leaving, staying }: ProvisionInput,
  host: string,
  address: string | undefined,
): VmView {
  const createdAt = isoTime(world.nowMs);
  return {
    id: '00000000-0000-0000-0000-000000000000',
    host,
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
    imageBuiltAt: imagesOn(world, host).find(({ id }) => id === config.vm.image)?.builtAt ?? createdAt,
    addresses: address === undefined ? [] : [address],
    mac: reservationOf(world, staying)?.mac ?? '',
    cpuCount: 0,
    memoryMb: 0,
    startAction: 'nothing',
    startDelaySeconds: 0,
    notesOwner: 'none',
    sshHostKeys: ['ssh-ed25519 predicted'],
  };
}
