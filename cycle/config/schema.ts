/**
 * The shape of node-cycle.yml: the one place that says which keys there are, what they mean and what they
 * default to. Types, defaults and the JSON Schema for editors all come from it. Nothing secret is in here:
 * secrets come from service connections.
 */
import * as z from 'zod/mini';
import { doc, seconds, text } from './parts.ts';
import { addresses } from './schema-addresses.ts';

const name = () =>
  z
    .string()
    .check(z.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'a name of [a-z0-9-], at most 63 characters'));
const dnsName = () =>
  z
    .string()
    .check(
      z.regex(
        /^[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)*$/i,
        'a DNS name without a final dot',
      ),
    );
const hostKey = () =>
  z.string().check(z.regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$/, 'type and key as in known_hosts'));
const clockTime = () =>
  z.string().check(z.regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'a time of day such as 01:30'));
const port = (fallback: number) => z._default(z.int().check(z.minimum(1), z.maximum(65_535)), fallback);

export const ROLES = ['controlplane', 'etcd', 'worker'] as const;
export type Role = (typeof ROLES)[number];
const role = () => z.enum(ROLES);
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

const syncKubeconfig = () =>
  doc(
    z.optional(text()),
    'Kubeconfig on the agent, where that tool runs in another cluster: its absolute path. Absent: this cluster.',
  );

const probe = z.strictObject({
  url: doc(
    text(),
    'What a user would open, for example http://shop.example/healthz, sent through the path under test. tcp://shop.example:9000 only connects, tls://shop.example:443 wants a certificate for that name too.',
  ),
  status: doc(
    z._default(z.int().check(z.minimum(100), z.maximum(599)), 200),
    'The status that means served.',
  ),
  contains: doc(z.optional(text()), 'Text that the body must contain; with tcp and tls the first line.'),
});

export const configSchema = z.strictObject({
  cluster: doc(name(), 'Name of the cluster: in the marker of its VMs, in its lock and in every record.'),
  rke: z.strictObject({
    config: doc(z._default(text(), 'cluster.yml'), 'Path of cluster.yml in this repository.'),
    branch: doc(
      z._default(text(), 'main'),
      'Branch that holds cluster.yml; its tip is read before every observation.',
    ),
    binary: doc(z._default(text(), 'rke'), 'The rke program on the agent.'),
    hostKey: doc(
      z.optional(hostKey()),
      'Pinned host key of the server of this repository, when git reaches it over SSH (input gitKey).',
    ),
    stateDir: doc(
      z.optional(text()),
      'Folder on the agent for rke state, backups and snapshots. Default /var/lib/node-cycle/<cluster>.',
    ),
    allowUnknownVersion: doc(
      z._default(z.boolean(), false),
      'Accept an rke version that Node Cycle was not checked against.',
    ),
    keepBackups: doc(z._default(z.int().check(z.minimum(1)), 20), 'Backups of the rke state that are kept.'),
    keepBackupDays: doc(
      z._default(z.int().check(z.minimum(1)), 90),
      'Older backups go too, but the newest: they hold private keys.',
    ),
    upMinutes: doc(
      z._default(z.number().check(z.positive(), z.maximum(600)), 45),
      'Longest time of one rke up.',
    ),
  }),
  age: z._default(
    z.strictObject({
      limitDays: doc(z._default(z.number().check(z.positive()), 60), 'A node older than this is replaced.'),
    }),
    { limitDays: 60 },
  ),
  window: doc(
    z.optional(
      z.strictObject({
        timeZone: doc(text(), 'IANA time zone, for example Europe/Berlin.'),
        days: doc(
          z._default(z.array(z.enum(DAYS)).check(z.minLength(1)), [...DAYS]),
          'Days on which a cycle may start.',
        ),
        from: doc(clockTime(), 'Start of the window, local time.'),
        to: doc(clockTime(), 'End of the window, local time; may lie after midnight.'),
        atGates: doc(
          z._default(z.enum(['approval', 'strict']), 'approval'),
          'After a gate: is the approval the window, or must the window be open again?',
        ),
      }),
    ),
    'When a cycle may start. Always, when absent.',
  ),
  names: z._default(
    z.strictObject({
      pattern: doc(
        z._default(text(), '{cluster}-n{n}'),
        'Name of a successor: {cluster}, {role} (srv or agt) and a counter {n}, {n:3} or {n:x3}.',
      ),
    }),
    { pattern: '{cluster}-n{n}' },
  ),
  addresses,
  vm: z.strictObject({
    image: doc(name(), 'Id of the image in bridge.yaml.'),
    sizes: doc(
      z.strictObject({
        controlplane: doc(z.optional(name()), 'Size of a node with the control plane.'),
        etcd: doc(z.optional(name()), 'Size of a node with etcd and no control plane.'),
        worker: doc(z.optional(name()), 'Size of a node that is only a worker.'),
      }),
      'Size (an id in bridge.yaml) for each role; a node with several roles takes the first of controlplane, etcd, worker.',
    ),
    placement: doc(
      z._default(z.enum(['sameHost', 'spread']), 'sameHost'),
      'Which Hyper-V host a successor is made on: the one of the node that it replaces, or with spread one without another etcd member (as long as there is one), with most free memory. On another host it inherits nothing of the old VM.',
    ),
    bootMinutes: doc(z._default(z.number().check(z.positive()), 15), 'Longest time from creation to SSH.'),
    buildMinutes: doc(z._default(z.number().check(z.positive()), 90), 'Longest time of an image build.'),
    requireNewer: doc(
      z._default(z.boolean(), true),
      'The image must be newer than the one of the node that is replaced, or the new node must have no security update pending.',
    ),
  }),
  ssh: z._default(
    z.strictObject({
      knownHosts: doc(z._default(text(), 'known_hosts'), 'Path of the pinned host keys in this repository.'),
    }),
    { knownHosts: 'known_hosts' },
  ),
  kubernetes: z._default(
    z.strictObject({
      readyInARow: doc(
        z._default(z.int().check(z.minimum(1)), 3),
        'Observations in a row that must find a new node Ready.',
      ),
      readySeconds: doc(seconds(600), 'Longest time until a new node is Ready that often.'),
      drainSeconds: doc(
        seconds(900),
        'Longest time of a drain. More than the grace period of the slowest pod.',
      ),
      allowUnmanagedPods: doc(z._default(z.boolean(), false), 'Evict pods that nothing will start again.'),
    }),
    { readyInARow: 3, readySeconds: 600, drainSeconds: 900, allowUnmanagedPods: false },
  ),
  proxies: doc(
    z._default(
      z.array(
        z.strictObject({
          name: doc(name(), 'Name of the proxy in logs and messages.'),
          host: doc(text(), 'Address of the proxy as the agent reaches it.'),
          port: doc(port(22), 'SSH port of the proxy.'),
          user: doc(text(), 'Account whose only command is the fixed script.'),
          hostKey: doc(hostKey(), 'Pinned host key of the proxy.'),
          drainSeconds: doc(seconds(300), 'How long open connections to the old node may go on.'),
          roles: doc(
            z._default(z.array(role()).check(z.minLength(1)), ['worker']),
            'Nodes with one of these roles have places in this proxy.',
          ),
          probe: doc(z.optional(probe), 'Sent through the proxy after each change.'),
          probes: doc(
            z._default(z.array(probe), []),
            'More of the same, where one proxy serves several things: a site and a stream, for example.',
          ),
        }),
      ),
      [],
    ),
    'External nginx load balancers; a keepalived pair is two entries.',
  ),
  ingress: doc(
    z.optional(
      z.strictObject({
        roles: doc(
          z._default(z.array(role()).check(z.minLength(1)), ['worker']),
          'Nodes with one of these roles are ingress addresses.',
        ),
        repository: doc(text(), 'URL or path of the GitOps repository.'),
        branch: doc(z._default(text(), 'main'), 'Branch that holds the file.'),
        hostKey: doc(
          z.optional(hostKey()),
          'Pinned host key of its server, when git reaches it over SSH (input gitopsKey).',
        ),
        file: doc(text(), 'Path of the values file in that repository.'),
        path: doc(
          text(),
          'YAML path of the addresses, for example controller.service.externalIPs. A part that ends in | is a string of YAML.',
        ),
        sync: z._default(
          z.discriminatedUnion('tool', [
            z.strictObject({ tool: z.literal('none') }),
            z.strictObject({
              tool: z.literal('argocd'),
              application: doc(name(), 'Application that must be Synced and Healthy.'),
              namespace: doc(z._default(name(), 'argocd'), 'Its namespace.'),
              kubeconfig: syncKubeconfig(),
            }),
            z.strictObject({
              tool: z.literal('flux'),
              kustomization: doc(name(), 'Kustomization that must be Ready at the commit.'),
              namespace: doc(z._default(name(), 'flux-system'), 'Its namespace.'),
              kubeconfig: syncKubeconfig(),
            }),
          ]),
          { tool: 'none' },
        ),
        syncSeconds: doc(seconds(600), 'Longest time from a push until it is applied.'),
        probe: doc(
          z.optional(
            z.strictObject({
              kind: doc(
                z._default(z.enum(['http', 'https', 'tcp', 'tls']), 'http'),
                'A request, or only a connection (tcp), or a handshake (tls). https and tls need host.',
              ),
              port: doc(port(80), 'Port of the ingress on the node.'),
              path: doc(z._default(text(), '/healthz'), 'Path that is asked for.'),
              host: doc(
                z.optional(text()),
                'Host header, and the name in the certificate; the address itself when absent.',
              ),
              status: doc(
                z._default(z.int().check(z.minimum(100), z.maximum(599)), 200),
                'The status that means served.',
              ),
              contains: doc(z.optional(text()), 'Text that the body must contain.'),
            }),
          ),
          'What the ingress on a node answers when it serves; sent to each new address itself.',
        ),
      }),
    ),
    "The cluster's ingress addresses, kept in a GitOps repository.",
  ),
  dns: doc(
    z.optional(
      z.strictObject({
        adapter: doc(
          z.enum(['rfc2136', 'windows']),
          'rfc2136: nsupdate with TSIG. windows: through the bridge.',
        ),
        zone: doc(dnsName(), 'The zone that holds the names, without its final dot.'),
        servers: doc(
          z.array(text()).check(z.minLength(1)),
          'address:port of every server of the zone; the first takes updates.',
        ),
        keyName: doc(z.optional(text()), 'TSIG key name (rfc2136).'),
        keyAlgorithm: doc(
          z._default(z.enum(['hmac-sha256', 'hmac-sha512']), 'hmac-sha256'),
          'Algorithm of that key.',
        ),
        aliases: doc(
          z._default(
            z.array(
              z.strictObject({
                name: doc(dnsName(), 'One label below the zone, or the whole name.'),
                type: doc(z.enum(['A', 'AAAA', 'CNAME']), 'A set of addresses, or one CNAME.'),
                role: doc(role(), 'Nodes with this role are members.'),
                probe: doc(
                  z.optional(probe),
                  'What users open by this alias: asked at the new member before it comes in, and once more when the swap is done.',
                ),
              }),
            ),
            [],
          ),
          'Aliases that name nodes: a set of addresses, or one CNAME.',
        ),
        nodeRecords: doc(
          z._default(z.boolean(), true),
          'Keep an address record for each node (<node>.<zone>).',
        ),
        ttlSeconds: doc(
          z._default(z.int().check(z.minimum(1), z.maximum(86_400)), 300),
          'TTL of records that Node Cycle makes.',
        ),
        lowerTtlSeconds: doc(
          z.optional(z.int().check(z.minimum(1), z.maximum(86_400))),
          'An alias with a longer TTL gets this one before its old member goes, and its own back afterwards (rfc2136). Absent: TTLs are left alone, and the old one is waited out after the swap.',
        ),
      }),
    ),
    'DNS names of nodes. Absent: no DNS.',
  ),
  allow: z._default(
    z.strictObject({
      singleMember: doc(
        z._default(z.boolean(), false),
        'Cycle the only etcd member (1, 2, 1), with a checked snapshot first.',
      ),
      interruption: doc(
        z._default(z.array(text()), []),
        'What may be interrupted although it cannot be served without a gap, as PlanCycle names it.',
      ),
    }),
    { singleMember: false, interruption: [] },
  ),
  lock: z._default(
    z.strictObject({
      limitDays: doc(z._default(z.number().check(z.positive()), 7), 'A lock older than this is taken over.'),
    }),
    { limitDays: 7 },
  ),
  pace: doc(
    z._default(
      z.strictObject({
        pollMs: doc(
          z._default(z.int().check(z.minimum(10)), 2_000),
          'Between two observations while something is awaited.',
        ),
        settleSeconds: doc(seconds(60), 'How long an applied change may take until it is seen.'),
        deadAfterSeconds: doc(seconds(300), 'A node that is NotReady and unreachable for longer is dead.'),
        reviewMinutes: doc(
          z._default(z.number().check(z.positive(), z.maximum(2_880)), 60),
          'How long a task waits for a pull request, where a branch is protected. Less than the time limit of its job.',
        ),
      }),
      { pollMs: 2_000, settleSeconds: 60, deadAfterSeconds: 300, reviewMinutes: 60 },
    ),
    'How patient the waits are.',
  ),
});

export type Config = z.infer<typeof configSchema>;
