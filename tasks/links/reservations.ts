/** Who reserves addresses: the operator's service over HTTP, or his program. Neither, with another source of addresses. */
import { commandReservations } from '../../cycle/edge/reservation/command.ts';
import { webhookReservations } from '../../cycle/edge/reservation/webhook.ts';
import { secretPart } from '../connections.ts';
import type { Link } from './link.ts';

export const reservations: Link = {
  ports: {},
  open(agent, ctx) {
    const { addresses } = ctx.config;
    if (addresses.source !== 'reservation') return Promise.resolve(undefined);
    const connection = agent.connection('reservation');
    // A service on the agent itself may ask for none.
    const token = connection === undefined ? undefined : secretPart(agent, connection, 'password');
    const { service } = addresses;
    const { http, run } = ctx.ports;
    ctx.reservations =
      service.kind === 'webhook'
        ? webhookReservations({ http, service, token })
        : commandReservations({ run, service, env: ctx.env, token });
    return Promise.resolve(undefined);
  },
};
