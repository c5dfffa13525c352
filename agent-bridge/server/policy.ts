/**
 * `bridge.yaml`: the allow-list and the host's own settings. What is not written here is not allowed.
 */
import { LineCounter, isMap, isNode, isPair, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
import * as z from 'zod/mini';
import { CodedError } from '../../ports/errors.ts';
import { OPERATIONS } from '../protocol/operations.ts';
import * as s from '../protocol/shapes.ts';
import { parseRange } from './ranges.ts';

/** 1024: more than a path has on any of the hosts; what is longer is a mistake in the file. */
const path = z.string().check(z.minLength(1), z.maxLength(1024), z.regex(/^[^\0\r\n]*$/));
/** A name in which `*` stands for any letters, digits and hyphens. */
const namePattern = z.string().check(z.regex(/^[a-z0-9*-]{1,63}$/));
const domainPattern = z.string().check(z.regex(/^[a-z0-9*.-]{1,253}$/));
const addressRange = z.string().check(z.refine((text) => parseRange(text) !== undefined));
const vmMemoryMb = z.int().check(z.minimum(128), z.maximum(4_194_304));
const fingerprint = z.string().check(z.regex(/^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/));
/** While a client changes from one certificate to the next both are good; more than two is nobody's rotation. */
export const FINGERPRINTS_LIMIT = 2;
const perDay = z._default(s.Count, 0);
/** 256: as long as any name that Hyper-V takes; no character that PowerShell or a line of a file would read. */
const text = z.string().check(z.minLength(1), z.maxLength(256), z.regex(/^[^\0\r\n`$"'{}]*$/));

const Client = z.strictObject({
  name: s.Name,
  /** SHA-256 of the client's certificate, as `enroll` writes it. Without it the client cannot connect. */
  fingerprint: z.exactOptional(
    z.union([fingerprint, z.array(fingerprint).check(z.minLength(1), z.maxLength(FINGERPRINTS_LIMIT))], {
      error: 'expected a SHA-256 fingerprint (64 hexadecimal digits), or a list of one or two.',
    }),
  ),
  clusters: z.array(s.Name),
  operations: z.array(z.string().check(z.refine((name) => OPERATIONS.has(name)))),
  names: z._default(z.array(namePattern), []),
  sizes: z._default(z.array(s.Name), []),
  images: z._default(z.array(s.Name), []),
  addressRanges: z._default(z.array(addressRange), []),
  macPrefixes: z._default(z.array(z.string().check(z.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){2,5}$/))), [
    '00:15:5d',
  ]),
  /** Names of `networks`; a VM without a static address goes to the first. */
  switches: z._default(z.array(s.Name), []),
  dns: z._default(
    z.array(
      z.strictObject({
        zone: s.DomainName,
        names: z.array(namePattern),
        types: z._default(z.array(s.RecordType), ['A']),
        /** Host names that a CNAME may point to; an A record must be inside `addressRanges`. */
        targets: z._default(z.array(domainPattern), []),
        maxTtlSeconds: z._default(s.TtlSeconds, 3600),
      }),
    ),
    [],
  ),
  budgets: z._default(
    z.strictObject({
      creations: perDay,
      deletions: perDay,
      imageBuilds: perDay,
      dnsSwaps: perDay,
      stops: perDay,
    }),
    { creations: 0, deletions: 0, imageBuilds: 0, dnsSwaps: 0, stops: 0 },
  ),
  /** Running VMs of this client's clusters, set-aside ones not counted. */
  maxRunningVms: z._default(s.Count, 0),
});
export type ClientPolicy = z.infer<typeof Client>;

/** Of a Packer template; those that the bridge sets itself cannot be given. */
export const OWN_VARIABLES = [
  ...['vm_name', 'output_directory', 'temp_directory', 'seed_path', 'build_key_path'],
  ...['base_path', 'base_checksum'],
];
const VariableName = z.string().check(
  z.regex(/^[a-z][a-z0-9_]{0,62}$/),
  z.refine((name) => !OWN_VARIABLES.includes(name)),
);

const Image = z.strictObject({
  /** Packer template and, below its folder, the files that it is made of: their hash decides whether the image is stale. */
  template: path,
  sources: z._default(z.array(path), []),
  /** Hash of template and sources, as `check` prints it. Without it, or when it is another, nothing is built. */
  pin: z.exactOptional(s.Sha256),
  /** What the image is built upon: an ISO, or a disk. Looked at before each build. */
  base: z.exactOptional(z.strictObject({ file: path, sha256: s.Sha256 })),
  variables: z._default(z.record(VariableName, text), {}),
  /** Variables whose values stand in files of their own; the log does not show them. */
  secrets: z._default(z.record(VariableName, path), {}),
  /** How many builds stay, the newest among them. A creation may still be copying the one before. */
  keep: z._default(z.int().check(z.minimum(2), z.maximum(100)), 2),
  maxAgeDays: z._default(z.int().check(z.minimum(1), z.maximum(3650)), 30),
  /** Guest login that gets `authorizedKeys`. */
  user: s.Name,
  authorizedKeys: z.array(
    z
      .string()
      .check(z.regex(/^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256) [A-Za-z0-9+/=]+( [A-Za-z0-9@._-]+)?$/)),
  ),
  secureBoot: z._default(z.boolean(), false),
  /** Whose signatures the firmware takes; Linux needs the second. */
  secureBootTemplate: z._default(
    z.enum(['MicrosoftWindows', 'MicrosoftUEFICertificateAuthority', 'OpenSourceShieldedVM']),
    'MicrosoftUEFICertificateAuthority',
  ),
  differencing: z._default(z.boolean(), false),
  /** Nothing is built ahead: Packer builds and exports a VM for each node, which is imported where it lies. */
  perNode: z._default(z.boolean(), false),
});
export type ImagePolicy = z.infer<typeof Image>;

const Network = z.strictObject({
  switch: text,
  vlan: z.exactOptional(s.Vlan),
  subnet: z.string().check(z.refine((cidr) => cidr.includes('/') && parseRange(cidr)?.bits === 32)),
  gateway: z.exactOptional(s.Ipv4),
  dns: z._default(z.array(s.Ipv4), []),
  macSpoofing: z._default(z.boolean(), true),
});
export type NetworkPolicy = z.infer<typeof Network>;

export const BridgeFile = z.strictObject({
  version: z.literal(1),
  listen: z.strictObject({
    host: z._default(z.string(), '0.0.0.0'),
    port: z.int().check(z.minimum(0), z.maximum(65535)),
  }),
  /** Entries of the audit log also go to the Windows Event Log. */
  eventLog: z._default(z.boolean(), false),
  /** An answer for a monitor on the host itself, at 127.0.0.1; off when absent. */
  health: z.exactOptional(
    z.strictObject({
      port: z.int().check(z.minimum(0), z.maximum(65535)),
      /** Also `/metrics`, for Prometheus. */
      metrics: z._default(z.boolean(), false),
    }),
  ),
  /** The URL that clients use, for `enroll` to print. */
  url: z.exactOptional(z.url()),
  engine: z.strictObject({
    file: path,
    args: z._default(z.array(z.string()), [
      '-NoLogo',
      '-NoProfile',
      '-NonInteractive',
      '-ExecutionPolicy',
      'Bypass',
      '-File',
    ]),
    /** Reads share one PowerShell that stays open; off for an engine that takes no commands on stdin. */
    warm: z._default(z.boolean(), true),
  }),
  scriptsDir: path,
  dataDir: path,
  vmRoot: path,
  /** Default: `set-aside` below vmRoot. */
  setAsideRoot: z.exactOptional(path),
  imageRoot: path,
  packer: z.exactOptional(path),
  keepStoppedHours: z._default(z.number().check(z.minimum(0), z.maximum(8760)), 24),
  /** Logs of finished jobs: kept for so long, and in all no more than so much. */
  keepJobsDays: z._default(z.int().check(z.minimum(1), z.maximum(3650)), 90),
  keepJobsMb: z._default(s.Megabytes, 1024),
  /** Memory that must stay free on the host after a creation. */
  reserveMemoryMb: z._default(s.Megabytes, 1024),
  reserveDiskBytes: z._default(s.Bytes, 10 * 1024 ** 3),
  gracefulStopSeconds: z._default(s.Seconds, 60),
  networks: z.record(s.Name, Network),
  sizes: z.record(
    s.Name,
    z.strictObject({
      cpuCount: z.int().check(z.minimum(1), z.maximum(256)),
      /** Fixed, or with `dynamicMemory` what the VM starts with. */
      memoryMb: vmMemoryMb,
      dynamicMemory: z.exactOptional(z.strictObject({ minimumMb: vmMemoryMb, maximumMb: vmMemoryMb })),
    }),
  ),
  images: z.record(s.Name, Image),
  zones: z._default(
    z.record(
      s.DomainName,
      z.strictObject({
        servers: z.array(text).check(z.minLength(1)),
        ttlSeconds: z._default(s.TtlSeconds, 300),
      }),
    ),
    {},
  ),
  clients: z._default(z.array(Client), []),
});
export type BridgePolicy = z.infer<typeof BridgeFile> & {
  /** Line of `bridge.yaml` for a path such as `clients.0.names`; of its nearest parent when it is not written. */
  lineOf(path: readonly PropertyKey[]): number;
};

/** Reads the file's text. Throws `NC2001` with every fault and its line. */
export function parsePolicy(source: string, file: string): BridgePolicy {
  const lines = new LineCounter();
  const document = parseDocument(source, {
    lineCounter: lines,
    strict: true,
    uniqueKeys: true,
    version: '1.2',
  });
  const faults = document.errors.map(
    (error) => `${file}:${lines.linePos(error.pos[0]).line}: ${error.message.split('\n')[0] ?? ''}`,
  );
  if (faults.length > 0) throw new CodedError('NC2001', `${faults.length} fault(s).`, faults);

  const lineOf = (where: readonly PropertyKey[]): number => {
    for (let depth = where.length; depth > 0; depth -= 1) {
      const parent = document.getIn(where.slice(0, depth - 1), true);
      const key = where[depth - 1];
      if (isMap(parent)) {
        const pair = parent.items.find((item) => isPair(item) && String(item.key) === String(key));
        const node = pair?.key;
        if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
      }
      const node = document.getIn(where.slice(0, depth), true);
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };
  const alias = firstAlias(document);
  if (alias !== undefined)
    throw new CodedError('NC2001', '1 fault(s).', [
      `${file}:${lines.linePos(alias).line}: an alias (*name) is not taken here: write what it stands for.`,
    ]);
  const parsed = BridgeFile.safeParse(document.toJS({ maxAliasCount: 0 }));
  if (!parsed.success)
    throw new CodedError(
      'NC2001',
      `${parsed.error.issues.length} fault(s).`,
      parsed.error.issues.map((issue) => `${file}:${lineOf(issuePath(issue))}: ${describe(issue)}`),
    );
  const policy = { ...parsed.data, lineOf };
  const dangling = references(policy).map(({ where, message }) => `${file}:${lineOf(where)}: ${message}`);
  if (dangling.length > 0) throw new CodedError('NC2001', `${dangling.length} fault(s).`, dangling);
  return policy;
}

/** Where it is: what is granted must be readable where it is granted. */
function firstAlias(document: Document): number | undefined {
  let at: number | undefined;
  visit(document, {
    Alias(_key, alias) {
      at = alias.range?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return at;
}

type Issue = z.core.$ZodIssue;

function issuePath(issue: Issue): PropertyKey[] {
  return issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path;
}

function describe(issue: Issue): string {
  const where = issue.path.join('.') || 'the file';
  if (issue.code === 'unrecognized_keys')
    return `${where}: unknown key ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}.`;
  if (issue.code === 'invalid_type')
    return `${where}: expected ${issue.expected}, found ${issue.input === undefined ? 'nothing or another type' : typeof issue.input}.`;
  if (issue.code === 'invalid_format')
    return `${where}: does not have the form ${issue.pattern ?? issue.format}.`;
  if (issue.code === 'invalid_value') return `${where}: expected ${issue.values.map(String).join(' or ')}.`;
  if (issue.code === 'too_big') return `${where}: at most ${issue.maximum}.`;
  if (issue.code === 'too_small') return `${where}: at least ${issue.minimum}.`;
  if (issue.code === 'invalid_union') return `${where}: ${issue.message}`;
  return `${where}: is not valid here.`;
}

/** Names that point to something that is not there, and two clients that could not be told apart. */
function references(policy: z.infer<typeof BridgeFile>): { where: PropertyKey[]; message: string }[] {
  const faults: { where: PropertyKey[]; message: string }[] = [];
  const known = (where: PropertyKey[], names: readonly string[], among: object, what: string) => {
    for (const [index, name] of names.entries()) {
      if (!Object.hasOwn(among, name))
        faults.push({
          where: [...where, index],
          message: `${where.join('.')}: there is no ${what} ${JSON.stringify(name)}.`,
        });
    }
  };
  for (const [name, { memoryMb, dynamicMemory }] of Object.entries(policy.sizes)) {
    if (dynamicMemory && (dynamicMemory.minimumMb > memoryMb || memoryMb > dynamicMemory.maximumMb))
      faults.push({
        where: ['sizes', name, 'dynamicMemory'],
        message: `sizes.${name}.dynamicMemory: memoryMb must lie between minimumMb and maximumMb.`,
      });
  }
  for (const [name, image] of Object.entries(policy.images)) {
    const { template, sources, variables, secrets } = image;
    if (image.perNode && image.differencing)
      faults.push({
        where: ['images', name, 'differencing'],
        message: `images.${name}.differencing: what is built for each node has no parent.`,
      });
    const folder = folderOf(template);
    for (const [index, source] of sources.entries()) {
      if (!isInside(source, folder))
        faults.push({
          where: ['images', name, 'sources', index],
          message: `images.${name}.sources.${index}: must lie below the template\u2019s folder, ${folder}.`,
        });
    }
    for (const twice of Object.keys(secrets).filter((key) => Object.hasOwn(variables, key)))
      faults.push({
        where: ['images', name, 'secrets', twice],
        message: `images.${name}.secrets.${twice}: is a variable too.`,
      });
  }
  const names = new Set<string>();
  const prints = new Set<string>();
  for (const [index, client] of policy.clients.entries()) {
    known(['clients', index, 'sizes'], client.sizes, policy.sizes, 'size');
    known(['clients', index, 'images'], client.images, policy.images, 'image');
    known(['clients', index, 'switches'], client.switches, policy.networks, 'network');
    for (const [at, { zone }] of client.dns.entries()) {
      known(['clients', index, 'dns', at, 'zone'], [zone], policy.zones, 'zone');
      // Only the first would count, while a reader adds them up.
      if (client.dns.findIndex((one) => one.zone === zone) !== at)
        faults.push({
          where: ['clients', index, 'dns', at],
          message: `clients.${index}.dns.${at}: the zone ${zone} is there twice; its grants belong into one entry.`,
        });
    }
    if (names.has(client.name))
      faults.push({
        where: ['clients', index, 'name'],
        message: `clients.${index}.name: ${client.name} is there twice.`,
      });
    names.add(client.name);
    for (const print of fingerprintsOf(client)) {
      if (prints.has(print))
        faults.push({
          where: ['clients', index, 'fingerprint'],
          message: `clients.${index}.fingerprint: is there twice.`,
        });
      prints.add(print);
    }
  }
  return faults;
}

/** Both slashes: the file may be checked elsewhere than on the host. */
const folderOf = (file: string): string => file.replace(/[\\/][^\\/]*$/, '');
function isInside(file: string, folder: string): boolean {
  const parts = file.slice(folder.length).split(/[\\/]/);
  return file.startsWith(folder) && parts[0] === '' && parts.length > 1 && !parts.includes('..');
}

/** Those whose certificates open the door, the newest last; none when the client is not enrolled. */
export function fingerprintsOf({ fingerprint: listed }: Pick<ClientPolicy, 'fingerprint'>): string[] {
  const printed = listed === undefined ? [] : typeof listed === 'string' ? [listed] : listed;
  return printed.map(plainFingerprint);
}

/** Lower-case hex without colons. */
export const plainFingerprint = (printed: string): string => printed.replaceAll(':', '').toLowerCase();
