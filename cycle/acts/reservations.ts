/** Addresses reserved and given back. Every MAC is on the Lease before it is used, and until it is given back. */
import { CodedError } from '../../ports/errors.ts';
import { waitMs, type Context } from '../context.ts';
import type { Reservation, ReservationService } from '../edge/reservation/service.ts';
import { readAllVms } from '../hosts.ts';
import { vmOf } from '../observed.ts';
import { inRanges } from '../plan/addresses.ts';
import { Refused, refuse } from '../step.ts';
import { requireLock, writeFacts } from './facts.ts';
import { createVm } from './host.ts';

const READ_MS = 20_000;

/** Throws Refused NC1218 when the service gave what may not be used; it has been given back by then. */
export async function reserveAddress(ctx: Context, name: string, signal: AbortSignal): Promise<void> {
  const service = serviceOf(ctx);
  // That it was asked for is written first: when this run dies before the answer, the next one asks again by the name.
  await writeFacts(ctx, { reservations: { [name]: {} } }, signal);
  const reserved = await service.reserve(name, signal);
  await keepReservation(ctx, name, reserved, signal);
  const { ranges } = ctx.config.addresses;
  if (!inRanges(reserved.address, ranges)) {
    await releaseAddress(ctx, name, reserved.mac, signal);
    throw new Refused(
      refuse(
        'NC1218',
        `The address ${reserved.address}, reserved for ${name}, is outside ${ranges.join(', ')}.`,
        [`MAC ${reserved.mac}; it was given back`],
      ),
    );
  }
  ctx.record({
    kind: 'evidence',
    subject: name,
    facts: { 'reserved address': reserved.address, 'reserved MAC': reserved.mac },
  });
}

export async function keepReservation(
  ctx: Context,
  name: string,
  reserved: Partial<Reservation>,
  signal: AbortSignal,
): Promise<void> {
  await writeFacts(ctx, { reservations: { [name]: reserved } }, signal);
}

export async function releaseAddress(
  ctx: Context,
  name: string,
  mac: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  await requireLock(ctx, signal);
  const service = serviceOf(ctx);
  const found = await service.find?.(name, signal);
  // Asked for, and the answer was lost: the same name gives the same MAC again.
  const lost =
    mac === undefined && service.find === undefined ? await service.reserve(name, signal) : undefined;
  const macs = [...new Set([mac, found?.mac, lost?.mac].filter((each) => each !== undefined))];
  const answers: string[] = [];
  for (const each of macs) answers.push(`${each} ${await service.release(each, signal)}`);
  await writeFacts(ctx, { reservations: { [name]: undefined } }, signal);
  ctx.record({
    kind: 'evidence',
    subject: name,
    facts: { 'address given back': answers.join(', ') || 'nothing was reserved' },
  });
}

/**
 * Makes the VM. When the host says that it failed and no VM is there, its reserved address is given back at once: the
 * next attempt reserves again. Without an answer of the host nothing is known, and the address is kept.
 */
export async function createVmOrGiveBack(
  ctx: Context,
  host: string,
  order: Parameters<typeof createVm>[2],
  signal: AbortSignal,
): Promise<void> {
  try {
    await createVm(ctx, host, order, signal);
  } catch (error) {
    const failed = error instanceof CodedError && error.code === 'NC1253';
    if (failed && order.mac !== undefined && !signal.aborted)
      await giveBackIfGone(ctx, order.node, order.mac, signal);
    throw error;
  }
}

async function giveBackIfGone(ctx: Context, node: string, mac: string, signal: AbortSignal): Promise<void> {
  try {
    const { cluster } = ctx.config;
    const vms = await readAllVms(ctx.bridges, cluster, waitMs(READ_MS, signal));
    const there = vms.some((vm) => vm.mac === mac || vm.name === node);
    if (there || vmOf({ vms }, cluster, node, { setAside: true }) !== undefined) return;
    await releaseAddress(ctx, node, mac, signal);
  } catch (error) {
    // It stays on the Lease and is given back by a later run; what failed first is the one to be told.
    ctx.say(`The address of ${node} was not given back yet: ${String(error)}`);
  }
}

/** @throws CodedError NC4081 when the task was given no service. */
function serviceOf(ctx: Context): ReservationService {
  if (ctx.reservations === undefined)
    throw new CodedError('NC4081', 'addresses.source is not "reservation", so there is no service to ask.');
  return ctx.reservations;
}
