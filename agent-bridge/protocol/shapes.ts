/**
 * The narrow types that every parameter and result is made of. What does not fit one of these reaches no script:
 * each is an allow-list of characters, never a list of what is forbidden.
 */
import * as z from 'zod/mini';

const pattern = (regex: RegExp) => z.string().check(z.regex(regex));
const count = (maximum: number) => z.int().check(z.minimum(0), z.maximum(maximum));

/** Cluster, node, role, size, image, switch, alias: lower-case letters, digits and hyphens. */
export const Name = pattern(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);

/** A VM's or a job's id, lower case. Hyper-V prints GUIDs in both cases; the bridge lowers them. */
export const Guid = pattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);

/** `00:15:5d:01:02:03`. */
export const Mac = pattern(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);

const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
/** Dotted quad without leading zeros: `010.0.0.1` is octal to some readers. */
export const Ipv4 = pattern(new RegExp(`^${OCTET}(\\.${OCTET}){3}$`));

/**
 * A DNS zone or host name, lower case, without its final dot, at least two labels. One that ends in a number is an
 * address to some readers (`8.8.8.8`, `10.0x1`), and no top-level domain is a number.
 */
export const DomainName = z
  .string()
  .check(
    z.maxLength(253),
    z.regex(
      /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+(?!([0-9]+|0x[0-9a-f]*)$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    ),
  );

/** In the one spelling of RFC 5952; no IPv4 address in its clothes, which would pass by the IPv4 ranges. */
export const Ipv6 = z.string().check(z.maxLength(39), z.refine(isCanonicalIpv6));

function isCanonicalIpv6(text: string): boolean {
  if (!/^[0-9a-f:]+$/.test(text) || text.startsWith('::ffff:')) return false;
  return URL.canParse(`http://[${text}]`) && new URL(`http://[${text}]`).hostname === `[${text}]`;
}

export const RecordType = z.enum(['A', 'AAAA', 'CNAME']);
/** An address for A and AAAA, a host name for CNAME. */
export const RecordData = z.union([Ipv4, Ipv6, DomainName]);
/** 1 second to 1 day: 0 makes caches ask for each request. */
export const TtlSeconds = z.int().check(z.minimum(1), z.maximum(86_400));

/** Rises with each take-over of the cluster's lock. */
export const Fence = count(Number.MAX_SAFE_INTEGER);

/** UTC, as `Date.toISOString` prints it. */
export const Instant = pattern(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,7})?Z$/);

export const Sha256 = pattern(/^[0-9a-f]{64}$/);
export const Megabytes = count(1_073_741_824);
export const Bytes = count(Number.MAX_SAFE_INTEGER);
export const Seconds = count(86_400);
export const Count = count(1_000_000);
export const Vlan = z.int().check(z.minimum(1), z.maximum(4094));

/** `type base64`, as the first two fields of a `known_hosts` entry after its host. */
export const SshPublicKey = pattern(/^ssh-ed25519 [A-Za-z0-9+/]{68}={0,2}$/);

/** Text that the host gave (a VM's name, a switch's): shown and compared, never sent back into a script. */
export const HostText = z.string().check(z.maxLength(256));

export const VmState = z.enum(['running', 'off', 'starting', 'saved', 'other']);
export const StartAction = z.enum(['nothing', 'startIfRunning', 'start']);

/** What the bridge writes into a VM's notes under the key `nodeCycle`. */
export const Marker = z.object({
  cluster: Name,
  node: Name,
  role: z.exactOptional(Name),
  replaces: z.exactOptional(Name),
  image: z.exactOptional(Name),
  imageBuiltAt: z.exactOptional(Instant),
  address: z.exactOptional(Ipv4),
  mac: z.exactOptional(Mac),
  createdAt: Instant,
  run: z.exactOptional(HostText),
});
export type Marker = z.infer<typeof Marker>;

export const DnsRecordShape = z.strictObject({
  name: Name,
  type: HostText,
  ttl: z.int().check(z.minimum(0), z.maximum(2_147_483_647)),
  data: HostText,
});
