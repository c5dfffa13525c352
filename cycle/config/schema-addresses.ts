/** The group `addresses` of node-cycle.yml: where a successor's address comes from. */
import * as z from 'zod/mini';
import { doc, seconds, text } from './parts.ts';

const addressRange = () =>
  z.string().check(z.regex(/^[0-9.]+-[0-9.]+$/, 'a range of IPv4 addresses such as 10.0.0.60-10.0.0.79'));
const ranges = (description: string) => doc(z.array(addressRange()).check(z.minLength(1)), description);
const requestPath = (example: string) =>
  z.string().check(z.regex(/^\/[^\s#]*$/, `a path that begins with /, such as ${example}`));
const field = (fallback: string) =>
  z._default(
    z
      .string()
      .check(z.regex(/^[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*$/, 'a JSON field such as mac or lease.mac')),
    fallback,
  );
const deadline = () => doc(seconds(30), 'Longest time of one call of the service, in seconds.');

const webhook = z.strictObject({
  kind: z.literal('webhook'),
  url: doc(
    text(),
    'URL that the paths are joined to: https, or http on the loopback of the agent. The token is the service connection `reservation`.',
  ),
  certificate: doc(
    z.optional(z.string().check(z.regex(/^[0-9a-fA-F]{64}$/, 'a SHA-256 of 64 hexadecimal digits'))),
    "SHA-256 of the service's certificate, for one that no authority signed.",
  ),
  reserve: z._default(
    z.strictObject({
      method: doc(z._default(z.enum(['POST', 'PUT']), 'POST'), 'Reserves; its body is the name as JSON.'),
      path: doc(z._default(requestPath('/reservations'), '/reservations'), 'May hold {name}.'),
    }),
    { method: 'POST', path: '/reservations' },
  ),
  release: z._default(
    z.strictObject({
      method: doc(
        z._default(z.enum(['DELETE', 'POST']), 'DELETE'),
        'Releases; the body of a POST is the MAC as JSON.',
      ),
      path: doc(
        z._default(requestPath('/reservations/{mac}'), '/reservations/{mac}'),
        'Holds {mac}, unless the method is POST.',
      ),
    }),
    { method: 'DELETE', path: '/reservations/{mac}' },
  ),
  find: doc(
    z.optional(
      z.strictObject({
        path: doc(requestPath('/reservations?name={name}'), 'Holds {name}; asked with GET.'),
      }),
    ),
    'How a reservation is looked up by name. Without it, a second reservation of a name must give the first one again.',
  ),
  fields: z._default(
    z.strictObject({
      name: doc(field('name'), 'Field of the name in the body.'),
      mac: doc(field('mac'), 'Field of the MAC, in answers and in the body of a release.'),
      address: doc(field('address'), 'Field of the IPv4 address in answers.'),
    }),
    { name: 'name', mac: 'mac', address: 'address' },
  ),
  macForm: doc(
    z._default(z.enum(['colons', 'dashes', 'plain']), 'colons'),
    'How the service wants a MAC: 00:15:5d:01:02:03, 00-15-5D-01-02-03 or 00155D010203. It may answer with any of them.',
  ),
  deadlineSeconds: deadline(),
});
export type WebhookConfig = z.infer<typeof webhook>;

const command = z.strictObject({
  kind: z.literal('command'),
  run: doc(
    z.array(text()).check(z.minLength(1)),
    'Program on the agent and its arguments, run without a shell. It reads one JSON object and prints one.',
  ),
  find: doc(
    z._default(z.boolean(), false),
    'The program also knows the action find. Without it, a second reservation of a name must give the first one again.',
  ),
  deadlineSeconds: deadline(),
});
export type CommandConfig = z.infer<typeof command>;

export const addresses = z.discriminatedUnion('source', [
  z.strictObject({
    source: z.literal('static'),
    ranges: ranges('Ranges from which a successor takes its address.'),
  }),
  z.strictObject({
    source: z.literal('dhcp'),
    ranges: ranges('Ranges in which an observed address is believed.'),
  }),
  z.strictObject({
    source: z.literal('reservation'),
    ranges: ranges('Ranges in which a reserved address is believed.'),
    service: doc(
      z.discriminatedUnion('kind', [webhook, command]),
      'Who reserves a MAC and an address by name, and releases them by MAC.',
    ),
  }),
]);
