/** Files of cluster.yml as people write them: every layout that YAML allows and somebody has used. Seeded. */

export type Random = (below: number) => number;

/** mulberry32: small, and the same seed gives the same files twice. */
export function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % Math.max(1, below);
  };
}

export interface GeneratedNode {
  address: string;
  name: string;
  roles: string[];
  /** Lines of the entry, counted from 0, the end excluded. */
  from: number;
  to: number;
  /** Lines that hold its list of roles. */
  roleFrom: number;
  roleTo: number;
  /** It defines an anchor that another entry uses, or its roles are another's: the edit may refuse, with a reason. */
  shared: boolean;
}

export interface GeneratedYml {
  text: string;
  /** All entries are in one `[…]`. */
  flow: boolean;
  nodes: GeneratedNode[];
}

const SETS = [
  ['controlplane', 'etcd', 'worker'],
  ['controlplane', 'etcd'],
  ['etcd', 'worker'],
  ['worker'],
  ['etcd', 'controlplane', 'worker'],
];

const COMMENTS = [
  'in the attic',
  'two\ttabs\there',
  'was: {address: 10.9.9.9, role: [etcd]}',
  'don\'t [touch] "this"',
  '- not an entry',
  'ümlaut — ok',
  'role: [worker]',
];

const SECTIONS = [
  ['network:', '    plugin: canal   # as it came', '    options: {canal_iface: "eth0"}'],
  ['services:', '  etcd:', '    snapshot: true', '  kubelet:', '    extra_args:', '      max-pods: 200'],
  ['authentication:', '  sans:', '  - cp.home', "  - 'cp2.home'"],
  ['addons: |-', '  # no comment, but text', '  - address: 10.0.0.10', '  role: [etcd]'],
];

export function generateYml(seed: number): GeneratedYml {
  const random = seeded(seed);
  const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T;
  const chance = (percent: number) => random(100) < percent;
  const comment = (percent: number) =>
    chance(percent) ? `${pick(['  ', ' \t', ' '])}# ${pick(COMMENTS)}` : '';
  const eol = chance(30) ? '\r\n' : '\n';
  const lines: string[] = [];
  if (chance(20)) lines.push('---');
  if (chance(40)) lines.push(`# ${pick(COMMENTS)}`);
  const anchors = chance(35);
  if (anchors) {
    lines.push(`x-defaults: &defaults${comment(30)}`, '    user: rke', `    port: "22"${comment(30)}`);
    if (chance(50)) lines.push('    labels: {zone: attic}');
  }
  const sections = SECTIONS.filter(() => chance(40));
  const before = random(sections.length + 1);
  lines.push(...sections.slice(0, before).flat());
  lines.push(`nodes:${comment(30)}`);
  const count = 3 + random(3);
  const flow = chance(8);
  if (!flow && chance(20)) lines.push('');
  const quote = (text: string) => pick([text, `"${text}"`, `'${text}'`]);
  const nodes: GeneratedNode[] = [];
  const indent = flow ? '  ' : pick(['', '  ', '    ', ' ']);
  const gap = pick([' ', ' ', '   ']);
  const column = `${indent} ${gap}`;
  /** The first entry names its roles, and others use them. */
  const shareRoles = !flow && anchors && chance(40);
  if (flow) lines[lines.length - 1] = 'nodes: [';
  for (let n = 0; n < count; n += 1) {
    const address = `10.0.${random(3)}.${10 + n}`;
    const name = `home-n${n + 1}`;
    const roles = n === 0 ? (SETS[0] as string[]) : pick(SETS);
    const user: string[][] = anchors && chance(60) ? [['<<', '*defaults']] : [['user', quote('rke')]];
    const rest = [
      ...(chance(30) ? [['internal_address', `172.16.0.${10 + n}`]] : []),
      ...user,
      ...(chance(20) ? [['docker_socket', '/var/run/docker.sock']] : []),
    ];
    const above = !flow && chance(25) ? [`${indent}# ${n} ${pick(COMMENTS)}`] : [];
    if (!flow && n > 0 && chance(25)) lines.push(pick(['', '  ']));
    lines.push(...above);
    const from = lines.length;
    const node = { address, name, roles: [...roles], from, to: 0, roleFrom: 0, roleTo: 0, shared: false };
    const list = `[${pick(['', ' '])}${roles.join(pick([', ', ',', ' , ']))}${pick(['', ' '])}]`;
    if (flow || (chance(20) && !(shareRoles && n === 0))) {
      const pairs = [['address', quote(address)], ['hostname_override', name], ...rest, ['role', list]];
      const written = pairs.map(([key, value]) => `${key ?? ''}: ${value ?? ''}`).join(pick([', ', ',  ']));
      const last = flow && n === count - 1;
      lines.push(
        flow
          ? `  {${written}}${last ? '' : ','}`
          : `${indent}-${gap}{${pick(['', ' '])}${written}}${comment(20)}`,
      );
      Object.assign(node, { roleFrom: from, roleTo: lines.length });
    } else {
      const useShared = shareRoles && n > 0 && roles.join() === nodes[0]?.roles.join() && chance(70);
      const anchor = shareRoles && n === 0 ? '&servers ' : '';
      node.shared = useShared || anchor !== '';
      const written: string[][] = [];
      const roleAt = 1 + random(rest.length + 2);
      const pairs: (string[] | 'role')[] = [
        ['address', quote(address)],
        ['hostname_override', name],
        ...rest,
      ];
      pairs.splice(roleAt, 0, 'role');
      let roleLines: [number, number] = [0, 0];
      for (const pair of pairs) {
        const start = written.length;
        if (pair !== 'role') written.push([`${pair[0] ?? ''}: ${pair[1] ?? ''}${comment(20)}`]);
        else if (useShared) written.push(['role: *servers']);
        else if (anchor !== '' || chance(60)) written.push([`role: ${anchor}${list}${comment(30)}`]);
        else {
          const inner = pick(['', '  ', '   ']);
          written.push([`role:${comment(30)}`]);
          for (const role of roles)
            written.push([`${inner}-${pick([' ', '  '])}${quote(role)}${comment(25)}`]);
        }
        if (pair === 'role') roleLines = [start, written.length];
        if (chance(6)) written.push([`  # ${pick(COMMENTS)}`]);
      }
      lines.push(
        ...written.map(([line], i) => (i === 0 ? `${indent}-${gap}${line ?? ''}` : `${column}${line ?? ''}`)),
      );
      Object.assign(node, { roleFrom: from + roleLines[0], roleTo: from + roleLines[1] });
    }
    node.to = lines.length;
    nodes.push(node);
  }
  if (flow) lines.push(`]${comment(30)}`);
  if (chance(40)) lines.push('');
  if (chance(30)) lines.push(`# ${pick(COMMENTS)}`);
  lines.push(...sections.slice(before).flat(), 'kubernetes_version: v1.20.15-rancher2-1');
  if (chance(30)) lines.push('\t# a tab before a comment, and the end'.trimStart());
  return { text: lines.join(eol) + (chance(80) ? eol : ''), flow, nodes };
}
