/**
 * Reserved addresses: which one a node has, and which are due to be given back. What was reserved stands on the Lease
 * from before the service is asked until the address is given back, so that neither a killed run nor the day between
 * set-aside and purge loses one.
 */
import type { Config } from '../config/schema.ts';
import type { Reservation } from '../edge/reservation/service.ts';
import type { Facts } from '../facts.ts';
import { reservedAddress, vmOf, type Slice } from '../observed.ts';
import type { Action } from '../step.ts';

export type ReservationWorld = Slice<'facts' | 'vms' | 'jobs' | 'reservations'>;

export interface ReleaseActs {
  /** Gives the address back and forgets it on the Lease; `mac` is undefined when nobody wrote it down. */
  releaseAddress(name: string, mac: string | undefined, signal: AbortSignal): Promise<void>;
}

/** What a node has, as the Lease says; undefined also when the service says something else. */
export function reservationOf(world: Slice<'facts' | 'reservations'>, name: string): Reservation | undefined {
  const { mac, address } = world.facts.reservations?.[name] ?? {};
  if (mac === undefined || address === undefined) return undefined;
  const held = world.reservations[name];
  const same = held === undefined || (held !== 'none' && held.mac === mac && held.address === address);
  return same ? { mac, address } : undefined;
}

/** The MAC of a VM that is about to be set aside, when the Lease does not have it. */
export function macToKeep(
  config: Config,
  world: ReservationWorld,
  name: string,
): { mac: string } | undefined {
  if (config.addresses.source !== 'reservation') return undefined;
  const mac = vmOf(world, config.cluster, name)?.mac ?? '';
  return mac === '' || mac === world.facts.reservations?.[name]?.mac ? undefined : { mac };
}

/**
 * One release for each reservation whose VM is not there any more. A VM that is set aside is still there: it may come
 * back by `undelete`, with its address.
 *
 * @param spare Nodes whose VM is still to be made.
 */
export function releases<W extends ReservationWorld>(
  config: Config,
  world: W,
  acts: ReleaseActs,
  spare: readonly string[],
): Action<W>[] {
  if (config.addresses.source !== 'reservation') return [];
  const found = Object.entries(world.reservations).flatMap(([name, held]) => (held === 'none' ? [] : [name]));
  const names = new Set([...Object.keys(world.facts.reservations ?? {}), ...found]);
  return [...names]
    .filter((name) => !spare.includes(name) && !holds(config, world, name))
    .map((name): Action<W> => {
      const mac = macsOf(world, name)[0];
      const address = reservedAddress(world, name);
      return {
        id: `address.release ${name}`,
        reason: `no VM is ${name} any more, and ${address ?? 'an address'} is reserved for it (${mac ?? 'MAC not written down'})`,
        // Once it is given back it may be somebody else's: looked at afresh right before.
        irreversible: true,
        apply: (signal) => acts.releaseAddress(name, mac, signal),
        done: (o) =>
          o.facts.reservations?.[name] === undefined && (o.reservations[name] ?? 'none') === 'none',
        settleMs: config.pace.settleSeconds * 1000,
        predict: (o) => ({
          ...o,
          facts: withoutReservation(o.facts, name),
          reservations: { ...o.reservations, [name]: 'none' },
        }),
      };
    });
}

/** Also a VM under another name: the address goes with the adapter. And one that is just being made. */
function holds(config: Config, world: ReservationWorld, name: string): boolean {
  const macs = macsOf(world, name);
  return (
    world.vms.some(
      (vm) =>
        vm.name === name ||
        (vm.marker?.cluster === config.cluster && vm.marker.node === name) ||
        macs.includes(vm.mac),
    ) ||
    world.jobs.some(
      (job) =>
        job.op === 'vm.create' && job.target === `vm:${config.cluster}/${name}` && job.endedAt === undefined,
    )
  );
}

function macsOf(world: Slice<'facts' | 'reservations'>, name: string): string[] {
  const held = world.reservations[name];
  return [world.facts.reservations?.[name]?.mac, held === 'none' ? undefined : held?.mac].filter(
    (mac) => mac !== undefined,
  );
}

function withoutReservation(facts: Facts, name: string): Facts {
  const { [name]: _gone, ...reservations } = facts.reservations ?? {};
  return { ...facts, reservations };
}

/** The facts with what is known of one reservation. */
export function withReservation(facts: Facts, name: string, reserved: Partial<Reservation>): Facts {
  const before = facts.reservations?.[name];
  return { ...facts, reservations: { ...facts.reservations, [name]: { ...before, ...reserved } } };
}
