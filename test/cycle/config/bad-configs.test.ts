/** Bad configurations: each has its own clear message at the right place. */
import assert from 'node:assert/strict';
import { loadConfig, renderErrors } from '../../../cycle/config.ts';
import { ERRORS } from '../../../ports/errors.ts';
import type { ErrorCode } from '../../../ports/errors.ts';
import { edited, GOOD } from './example.ts';

/** What is wrong, the file, and for each error: `line:column code path` and the words that follow its title. */
type BadConfig = [title: string, text: string, errors: [place: string, words: string][]];

const BAD: BadConfig[] = [
  [
    'an empty file',
    '',
    [
      [
        '1:1 NC1101',
        'Expected the settings of a cluster, at least cluster, rke, addresses and vm; found an empty file.',
      ],
    ],
  ],
  [
    'a list instead of groups',
    '- cluster: demo\n',
    [['1:1 NC1105', 'Expected a group of settings; found a list of 1 entry.']],
  ],
  ['a plain text', 'cluster\n', [['1:1 NC1105', 'Expected a group of settings; found "cluster".']]],
  [
    'two documents',
    `${GOOD}---\ncluster: other\n`,
    [['75:1 NC1101', 'Expected one document in the file; found 2 documents, separated by ---.']],
  ],
  [
    'a tab as indentation',
    edited('  branch: main\n  stateDir', '	branch: main\n  stateDir'),
    [['4:1 NC1101', 'Expected spaces as indentation; found a tab.']],
  ],
  [
    'a quote that is never closed',
    edited('from: "22:00"', 'from: "22:00'),
    [
      [
        '11:15 NC1101',
        'Expected the quote, bracket or separator that is still open; found Missing closing "quote.',
      ],
    ],
  ],
  [
    'a bracket that is never closed',
    edited('days: [mon, tue, wed, thu]', 'days: [mon, tue'),
    [
      [
        '11:3 NC1101',
        'Expected the keys of a group at one indentation; found Flow sequence in block collection must be sufficiently indented and end with a ].',
      ],
    ],
  ],
  [
    'a key that stands twice',
    edited('  limitDays: 60', '  limitDays: 60\n  limitDays: 30'),
    [['8:3 NC1102', 'Expected each key once in its group; found "limitDays" a second time.']],
  ],
  [
    'an alias without an anchor',
    edited('limitDays: 60', 'limitDays: *days'),
    [['7:14 NC1101', 'Expected an alias to an anchor above it; found *days, which no anchor defines.']],
  ],
  [
    "a tag of somebody's own",
    edited('limitDays: 60', 'limitDays: !days 60'),
    [['7:14 NC1101', 'Expected plain values without a tag; found Unresolved tag: !days.']],
  ],
  [
    'an unknown key at the top',
    edited('proxies:', 'proxys:'),
    [
      [
        '31:1 NC1103 proxys',
        'Expected one of cluster, rke, age, window, names, addresses, vm, ssh, kubernetes, proxies, ingress, dns, allow, lock, pace; found the unknown key "proxys". Did you mean proxies?',
      ],
    ],
  ],
  [
    'a misspelt key in a group',
    edited('  bootMinutes: 15', '  bootMinuts: 15'),
    [
      [
        '25:3 NC1103 vm.bootMinuts',
        'Expected one of image, sizes, placement, bootMinutes, buildMinutes, requireNewer; found the unknown key "bootMinuts". Did you mean bootMinutes?',
      ],
    ],
  ],
  [
    'a key in the wrong group',
    edited('  limitDays: 60', '  limitDays: 60\n  stateDir: /srv/state'),
    [
      [
        '8:3 NC1103 age.stateDir',
        'Expected one of limitDays; found the unknown key "stateDir". Did you mean rke.stateDir?',
      ],
    ],
  ],
  [
    'a key that nothing resembles',
    edited('age:\n  limitDays', 'colour: blue\nage:\n  limitDays'),
    [
      [
        '6:1 NC1103 colour',
        'Expected one of cluster, rke, age, window, names, addresses, vm, ssh, kubernetes, proxies, ingress, dns, allow, lock, pace; found the unknown key "colour".',
      ],
    ],
  ],
  [
    'a key of another alternative',
    edited(
      '    tool: argocd\n    application: ingress-nginx',
      '    tool: none\n    application: ingress-nginx',
    ),
    [['52:5 NC1103 ingress.sync.application', 'Expected one of tool; found the unknown key "application".']],
  ],
  [
    'a misspelt key in a list entry',
    edited('      role: worker', '      rolle: worker'),
    [
      ['67:7 NC1104 dns.aliases[1].role', 'Expected controlplane, etcd or worker; found no key "role".'],
      [
        '69:7 NC1103 dns.aliases[1].rolle',
        'Expected one of name, type, role, probe; found the unknown key "rolle". Did you mean role?',
      ],
    ],
  ],
  [
    'a missing key',
    edited('cluster: demo\n', ''),
    [['1:1 NC1104 cluster', 'Expected a text; found no key "cluster".']],
  ],
  [
    'a missing group',
    edited(
      'vm:\n  image: ubuntu-22\n  sizes:\n    controlplane: medium\n    worker: small\n  bootMinutes: 15\n',
      '',
    ),
    [['1:1 NC1104 vm', 'Expected a group of settings; found no key "vm".']],
  ],
  [
    'a missing key in a list entry',
    edited(
      '    user: node-cycle\n    hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N\n    drain',
      '    hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N\n    drain',
    ),
    [['32:5 NC1104 proxies[0].user', 'Expected a text; found no key "user".']],
  ],
  [
    'a text instead of a number',
    edited('limitDays: 60', 'limitDays: sixty'),
    [['7:14 NC1105 age.limitDays', 'Expected a number; found "sixty".']],
  ],
  [
    'a number in quotes',
    edited('readyInARow: 3', 'readyInARow: "3"'),
    [['29:16 NC1105 kubernetes.readyInARow', 'Expected a number; found the text "3".']],
  ],
  [
    'a broken number',
    edited('readyInARow: 3', 'readyInARow: 2.5'),
    [['29:16 NC1105 kubernetes.readyInARow', 'Expected a whole number; found 2.5.']],
  ],
  [
    'yes instead of true',
    edited('singleMember: false', 'singleMember: yes'),
    [['71:17 NC1105 allow.singleMember', 'Expected true or false; found the text "yes".']],
  ],
  [
    'a number instead of a text',
    edited('image: ubuntu-22', 'image: 22'),
    [['21:10 NC1105 vm.image', 'Expected a text; found 22.']],
  ],
  [
    'a text instead of a list',
    edited('days: [mon, tue, wed, thu]', 'days: mon'),
    [['10:9 NC1105 window.days', 'Expected a list; found "mon".']],
  ],
  [
    'a list instead of a group',
    edited('  limitDays: 60', '  - 60'),
    [['7:3 NC1105 age', 'Expected a group of settings; found a list of 1 entry.']],
  ],
  [
    'a group without its settings',
    edited('age:\n  limitDays: 60', 'age:'),
    [['6:1 NC1105 age', 'Expected a group of settings; found nothing (an empty value).']],
  ],
  [
    'an age of zero days',
    edited('limitDays: 60', 'limitDays: 0'),
    [['7:14 NC1106 age.limitDays', 'Expected a number above 0; found 0.']],
  ],
  [
    'an infinite age',
    edited('limitDays: 60', 'limitDays: .inf'),
    [['7:14 NC1105 age.limitDays', 'Expected a number; found Infinity.']],
  ],
  [
    'a port that does not exist',
    edited('    port: 22\n', '    port: 70000\n'),
    [['34:11 NC1106 proxies[0].port', 'Expected 65535 or less; found 70000.']],
  ],
  [
    'a drain of more than a day',
    edited('drainSeconds: 900', 'drainSeconds: 90000'),
    [['30:17 NC1106 kubernetes.drainSeconds', 'Expected 86400 or less; found 90000.']],
  ],
  [
    'an unknown role',
    edited('roles: [worker]', 'roles: [workers]'),
    [
      [
        '45:11 NC1106 ingress.roles[0]',
        'Expected controlplane, etcd or worker; found "workers". Did you mean worker?',
      ],
    ],
  ],
  [
    'an unknown address source',
    edited('source: static', 'source: webhook'),
    [['16:11 NC1106 addresses.source', 'Expected static, dhcp or reservation; found "webhook".']],
  ],
  [
    'a cluster name with capitals',
    edited('cluster: demo', 'cluster: Demo_1'),
    [['1:10 NC1106 cluster', 'Expected a name of [a-z0-9-], at most 63 characters; found "Demo_1".']],
  ],
  [
    'a day in full',
    edited('days: [mon, tue, wed, thu]', 'days: [monday]'),
    [
      [
        '10:10 NC1106 window.days[0]',
        'Expected mon, tue, wed, thu, fri, sat or sun; found "monday". Did you mean mon?',
      ],
    ],
  ],
  [
    'a day twice',
    edited('days: [mon, tue, wed, thu]', 'days: [mon, tue, mon]'),
    [['10:20 NC1106 window.days[2]', 'Expected each entry once; found mon a second time.']],
  ],
  [
    'a window without days',
    edited('days: [mon, tue, wed, thu]', 'days: []'),
    [['10:9 NC1106 window.days', 'Expected at least 1 entry; found an empty list.']],
  ],
  [
    'a window that ends when it begins',
    edited('to: "04:00"', 'to: "22:00"'),
    [
      [
        '12:7 NC1113 window.to',
        'Expected an end that differs from the start (for always, leave the window out); found a window from 22:00 to 22:00, which never opens.',
      ],
    ],
  ],
  [
    'a time of day without its zero',
    edited('to: "04:00"', 'to: "4:00"'),
    [['12:7 NC1106 window.to', 'Expected a time of day such as 01:30; found "4:00".']],
  ],
  [
    'a time of day past midnight',
    edited('to: "04:00"', 'to: "24:00"'),
    [['12:7 NC1106 window.to', 'Expected a time of day such as 01:30; found "24:00".']],
  ],
  [
    'a time zone that does not exist',
    edited('Europe/Berlin', 'Europe/Berln'),
    [
      [
        '9:13 NC1112 window.timeZone',
        'Expected a time zone of the IANA database, such as Europe/Berlin; found "Europe/Berln". Did you mean Europe/Berlin?',
      ],
    ],
  ],
  [
    'an offset instead of a time zone',
    edited('timeZone: Europe/Berlin', 'timeZone: "+01:00"'),
    [
      [
        '9:13 NC1112 window.timeZone',
        'Expected a time zone of the IANA database, such as Europe/Berlin; found "+01:00".',
      ],
    ],
  ],
  [
    'a range that runs backwards',
    edited('10.0.1.10-10.0.1.19', '10.0.1.19-10.0.1.10'),
    [
      [
        '19:7 NC1110 addresses.ranges[1]',
        'Expected the lower address first; found 10.0.1.19-10.0.1.10, which runs backwards.',
      ],
    ],
  ],
  [
    'ranges that overlap',
    edited('10.0.1.10-10.0.1.19', '10.0.0.70-10.0.0.90'),
    [
      [
        '19:7 NC1110 addresses.ranges[1]',
        'Expected ranges that do not overlap; found 10.0.0.70-10.0.0.90, which shares 10.0.0.70 with 10.0.0.60-10.0.0.79.',
      ],
    ],
  ],
  [
    'a range with a number above 255',
    edited('10.0.1.10-10.0.1.19', '10.0.1.10-10.0.1.300'),
    [
      [
        '19:7 NC1110 addresses.ranges[1]',
        'Expected two IPv4 addresses, each of four numbers from 0 to 255, joined by -; found "10.0.1.10-10.0.1.300".',
      ],
    ],
  ],
  [
    'a range as a CIDR',
    edited('10.0.1.10-10.0.1.19', '10.0.1.0/24'),
    [
      [
        '19:7 NC1106 addresses.ranges[1]',
        'Expected a range of IPv4 addresses such as 10.0.0.60-10.0.0.79; found "10.0.1.0/24".',
      ],
    ],
  ],
  [
    'a range of a whole network',
    edited('10.0.1.10-10.0.1.19', '11.0.0.0-11.255.255.255'),
    [
      [
        '19:7 NC1110 addresses.ranges[1]',
        'Expected at most 65536 addresses in a range; found 16777216 in 11.0.0.0-11.255.255.255.',
      ],
    ],
  ],
  [
    'a range that no host can use',
    edited('10.0.1.10-10.0.1.19', '224.0.0.1-224.0.0.9'),
    [
      [
        '19:7 NC1110 addresses.ranges[1]',
        'Expected addresses that a host can have (1.0.0.0 to 223.255.255.255); found 224.0.0.1-224.0.0.9.',
      ],
    ],
  ],
  [
    'one address for all successors',
    edited('    - 10.0.0.60-10.0.0.79\n    - 10.0.1.10-10.0.1.19', '    - 10.0.0.60-10.0.0.60'),
    [
      [
        '18:7 NC1110 addresses.ranges[0]',
        'Expected at least two addresses: the next successor comes before the last address is free again; found the single address 10.0.0.60.',
      ],
    ],
  ],
  [
    'a proxy inside a range',
    edited('host: 10.0.0.5', 'host: 10.0.0.65'),
    [
      [
        '33:11 NC1111 proxies[0].host',
        'Expected an address outside the range 10.0.0.60-10.0.0.79 from which successors take theirs; found 10.0.0.65, the proxy pi.',
      ],
    ],
  ],
  [
    'a DNS server inside a range',
    edited('10.0.0.3:53', '10.0.1.12:53'),
    [
      [
        '61:7 NC1111 dns.servers[1]',
        'Expected an address outside the range 10.0.1.10-10.0.1.19 from which successors take theirs; found 10.0.1.12, a DNS server.',
      ],
    ],
  ],
  [
    'the GitOps host inside a range',
    edited('git@git.example/gitops', 'git@10.0.0.61/gitops'),
    [
      [
        '46:15 NC1111 ingress.repository',
        'Expected an address outside the range 10.0.0.60-10.0.0.79 from which successors take theirs; found 10.0.0.61, the host of the GitOps repository.',
      ],
    ],
  ],
  [
    'a name pattern without a counter',
    edited('{cluster}-{role}-{n:x3}', '{cluster}-{role}'),
    [
      [
        '14:12 NC1114 names.pattern',
        'Expected one counter {n}, {n:3} or {n:x3}, so that each successor has a new name; found "{cluster}-{role}", with none.',
      ],
    ],
  ],
  [
    'a name pattern with two counters',
    edited('{cluster}-{role}-{n:x3}', '{cluster}-{n}-{n:3}'),
    [
      [
        '14:12 NC1114 names.pattern',
        'Expected one counter {n}, {n:3} or {n:x3}, so that each successor has a new name; found "{cluster}-{n}-{n:3}", with 2.',
      ],
    ],
  ],
  [
    'a name pattern with an unknown placeholder',
    edited('{cluster}-{role}-{n:x3}', '{cluster}-{date}-{n}'),
    [
      [
        '14:12 NC1114 names.pattern',
        'Expected the placeholders {cluster}, {role}, {n}, {n:3} or {n:x3}; found "{date}".',
      ],
    ],
  ],
  [
    'a name pattern with an open brace',
    edited('{cluster}-{role}-{n:x3}', '{cluster-{n}'),
    [
      [
        '14:12 NC1114 names.pattern',
        'Expected the placeholders {cluster}, {role}, {n}, {n:3} or {n:x3}; found "{cluster-".',
      ],
    ],
  ],
  [
    'a name pattern that gives invalid names',
    edited('{cluster}-{role}-{n:x3}', '{cluster}_{n}'),
    [
      [
        '14:12 NC1114 names.pattern',
        'Expected names of [a-z0-9-] that start and end with a letter or digit; found "demo_9999".',
      ],
    ],
  ],
  [
    'a name pattern that gives long names',
    edited(
      '{cluster}-{role}-{n:x3}',
      '{cluster}-a-name-that-goes-on-and-on-and-never-seems-to-come-to-an-end-{n}',
    ),
    [
      [
        '14:12 NC1114 names.pattern',
        'Expected names of at most 63 characters; found 70, as in "demo-a-name-that-goes-on-and-on-and-never-seems…".',
      ],
    ],
  ],
  [
    'no size for any role',
    edited('    controlplane: medium\n    worker: small\n', '    {}\n'),
    [
      [
        '22:3 NC1115 vm.sizes',
        'Expected a size for at least one of controlplane, etcd and worker; found no size, so no VM could be made.',
      ],
    ],
  ],
  [
    'a state folder that is not absolute',
    edited('stateDir: /var/lib/node-cycle/demo', 'stateDir: state'),
    [
      [
        '5:13 NC1116 rke.stateDir',
        'Expected an absolute path on the agent, such as /var/lib/node-cycle/demo; found "state".',
      ],
    ],
  ],
  [
    'a state folder that climbs',
    edited('stateDir: /var/lib/node-cycle/demo', 'stateDir: /var/lib/../../etc'),
    [['5:13 NC1116 rke.stateDir', 'Expected an absolute path without ..; found "/var/lib/../../etc".']],
  ],
  [
    'a cluster.yml outside the repository',
    edited('config: cluster.yml', 'config: ../cluster.yml'),
    [
      [
        '3:11 NC1116 rke.config',
        'Expected a path inside the repository, without ..; found "../cluster.yml".',
      ],
    ],
  ],
  [
    'an absolute known_hosts',
    edited('knownHosts: known_hosts', 'knownHosts: /etc/ssh/known_hosts'),
    [
      [
        '27:15 NC1116 ssh.knownHosts',
        'Expected a path inside the repository, relative to its root, with / between folders; found "/etc/ssh/known_hosts".',
      ],
    ],
  ],
  [
    'a known_hosts that is cluster.yml',
    edited('knownHosts: known_hosts', 'knownHosts: cluster.yml'),
    [
      [
        '27:15 NC1116 ssh.knownHosts',
        'Expected a file of its own; found "cluster.yml, which is rke.config".',
      ],
    ],
  ],
  [
    'a values file inside .git',
    edited('file: ingress/values.yaml', 'file: .git/config'),
    [
      [
        '48:9 NC1116 ingress.file',
        'Expected a file that git keeps, not one of git itself; found ".git/config".',
      ],
    ],
  ],
  [
    'a values file with backslashes',
    edited('file: ingress/values.yaml', 'file: ingress\\values.yaml'),
    [
      [
        '48:9 NC1116 ingress.file',
        'Expected a path inside the repository, relative to its root, with / between folders; found "ingress\\values.yaml".',
      ],
    ],
  ],
  [
    'a branch that looks like an option',
    edited('  branch: main\n  stateDir', '  branch: --upload-pack=sh\n  stateDir'),
    [
      [
        '4:11 NC1117 rke.branch',
        'Expected a branch that git cannot take for an option (no - first); found "--upload-pack=sh".',
      ],
    ],
  ],
  [
    'a branch as a full reference',
    edited('  branch: main\n  stateDir', '  branch: refs/heads/main\n  stateDir'),
    [
      [
        '4:11 NC1117 rke.branch',
        'Expected the short name of a branch, such as main; found "refs/heads/main".',
      ],
    ],
  ],
  [
    'a branch with a space',
    edited('  branch: main\n  file', '  branch: my branch\n  file'),
    [['47:11 NC1117 ingress.branch', 'Expected a name that git accepts for a branch; found "my branch".']],
  ],
  [
    'a repository that looks like an option',
    edited('ssh://git@git.example/gitops.git', '--upload-pack=sh'),
    [
      [
        '46:15 NC1118 ingress.repository',
        'Expected a repository that git cannot take for an option (no - first); found "--upload-pack=sh".',
      ],
    ],
  ],
  [
    'a repository that starts a program',
    edited('ssh://git@git.example/gitops.git', 'ext::sh'),
    [
      [
        '46:15 NC1118 ingress.repository',
        'Expected a URL, not a remote helper, which would start a program; found "ext::sh".',
      ],
    ],
  ],
  [
    'a repository with a password',
    edited('ssh://git@git.example/gitops.git', 'https://me:secret@git.example/gitops.git'),
    [
      [
        '46:15 NC1118 ingress.repository',
        'Expected a URL without a password: the credential comes from the service connection; found "https://me:***@git.example/gitops.git".',
      ],
    ],
  ],
  [
    'a probe without scheme',
    edited('url: http://shop.example/healthz', 'url: shop.example/healthz'),
    [
      [
        '39:12 NC1118 proxies[0].probe.url',
        'Expected a URL with http://, https://, tcp:// or tls:// and a host; found "shop.example/healthz".',
      ],
    ],
  ],
  [
    'a probe with a password',
    edited('url: http://shop.example/healthz', 'url: http://me:secret@shop.example/healthz'),
    [
      [
        '39:12 NC1118 proxies[0].probe.url',
        'Expected a URL without a user name or password; found "http://me:***@shop.example/healthz".',
      ],
    ],
  ],
  [
    'a probe path that is no path',
    edited('    path: /healthz', '    path: healthz'),
    [
      [
        '55:11 NC1118 ingress.probe.path',
        'Expected the path of a URL: a / first, no spaces, no #; found "healthz".',
      ],
    ],
  ],
  [
    'a status that does not exist',
    edited('    path: /healthz', '    path: /healthz\n    status: ok'),
    [['56:13 NC1105 ingress.probe.status', 'Expected a number; found "ok".']],
  ],
  [
    'a proxy given as a URL',
    edited('host: 10.0.0.5', 'host: http://10.0.0.5'),
    [
      [
        '33:11 NC1118 proxies[0].host',
        'Expected the address or the name of a host, without scheme, port or path; found "http://10.0.0.5".',
      ],
    ],
  ],
  [
    'a proxy host that is an option',
    edited('host: 10.0.0.5', 'host: -oProxyCommand=sh'),
    [
      [
        '33:11 NC1118 proxies[0].host',
        'Expected the address or the name of a host, without scheme, port or path; found "-oProxyCommand=sh".',
      ],
    ],
  ],
  [
    'a proxy twice by name',
    edited('name: pi2', 'name: pi'),
    [
      [
        '40:11 NC1121 proxies[1].name',
        'Expected each proxy under a name of its own; found "pi" a second time.',
      ],
    ],
  ],
  [
    'a proxy twice by address',
    edited('host: 10.0.0.6', 'host: 10.0.0.5'),
    [['41:11 NC1121 proxies[1].host', 'Expected each proxy once; found 10.0.0.5:22 a second time.']],
  ],
  [
    'a host key of the wrong type',
    edited(
      'hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N\n    drain',
      'hostKey: ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N\n    drain',
    ),
    [
      [
        '36:14 NC1118 proxies[0].hostKey',
        'Expected a whole key of the type ssh-rsa, as ssh-keyscan prints it without the host; found "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0…".',
      ],
    ],
  ],
  [
    'a host key without its type',
    edited(
      'hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N\n    drain',
      'hostKey: AAAAC3NzaC1lZDI1NTE5\n    drain',
    ),
    [
      [
        '36:14 NC1106 proxies[0].hostKey',
        'Expected type and key as in known_hosts; found "AAAAC3NzaC1lZDI1NTE5".',
      ],
    ],
  ],
  [
    'rfc2136 without a key',
    edited('  keyName: node-cycle\n', ''),
    [
      [
        '57:12 NC1120 dns.adapter',
        'Expected dns.keyName beside rfc2136: updates are signed with that TSIG key; found no key name.',
      ],
    ],
  ],
  [
    'a kubeconfig for Argo CD that lies in the repository',
    edited('    application: ingress-nginx\n', '    application: ingress-nginx\n    kubeconfig: argo.yaml\n'),
    [
      [
        '53:17 NC1116 ingress.sync.kubeconfig',
        'Expected an absolute path on the agent, such as /var/lib/node-cycle/argocd.kubeconfig; found "argo.yaml".',
      ],
    ],
  ],
  [
    'a lowered TTL where the bridge changes the records',
    edited('  keyName: node-cycle\n', '  lowerTtlSeconds: 30\n').replace(
      'adapter: rfc2136',
      'adapter: windows',
    ),
    [
      [
        '62:20 NC1120 dns.lowerTtlSeconds',
        'Expected no lowered TTL with the adapter windows, where a record cannot be given another TTL alone; found 30 s.',
      ],
    ],
  ],
  [
    'a probe of a kind that there is not',
    edited('url: http://shop.example/healthz', 'url: udp://shop.example:53'),
    [
      [
        '39:12 NC1118 proxies[0].probe.url',
        'Expected a URL with http://, https://, tcp:// or tls:// and a host; found "udp://shop.example:53".',
      ],
    ],
  ],
  [
    'a TCP probe without a port, and one with a path',
    edited('url: http://shop.example/healthz', 'url: tcp://shop.example').replace(
      '      role: worker\n',
      '      role: worker\n      probe: { url: "tls://shop.example/x" }\n',
    ),
    [
      [
        '39:12 NC1118 proxies[0].probe.url',
        'Expected a port, which tcp:// has none of its own; found "tcp://shop.example".',
      ],
      [
        '70:21 NC1118 dns.aliases[1].probe.url',
        'Expected a host and nothing behind it, such as tls://shop.example:9000; found "tls://shop.example/x".',
      ],
    ],
  ],
  [
    'an HTTPS probe of a node without the name in its certificate',
    edited('    port: 80\n    path: /healthz\n', '    kind: https\n    port: 443\n'),
    [
      [
        '53:3 NC1104 ingress.probe',
        'Expected host beside kind: https: the name in the certificate; found none.',
      ],
    ],
  ],
  [
    'a key beside the Windows adapter',
    edited('adapter: rfc2136', 'adapter: windows'),
    [
      [
        '62:12 NC1120 dns.keyName',
        'Expected no key with the adapter windows, where the bridge changes the records; found "node-cycle".',
      ],
    ],
  ],
  [
    'a DNS server without a port',
    edited('10.0.0.3:53', '10.0.0.3'),
    [['61:7 NC1118 dns.servers[1]', 'Expected address:port, such as 10.0.0.2:53; found "10.0.0.3".']],
  ],
  [
    'a DNS server twice',
    edited('10.0.0.3:53', '10.0.0.2:53'),
    [['61:7 NC1121 dns.servers[1]', 'Expected each server once; found 10.0.0.2:53 a second time.']],
  ],
  [
    'an alias outside the zone',
    edited('name: apps.k8s.example', 'name: apps.k8s.exmple'),
    [
      [
        '67:13 NC1119 dns.aliases[1].name',
        'Expected a name in the zone k8s.example: one label, or the whole name; found "apps.k8s.exmple". Did you mean apps.k8s.example?',
      ],
    ],
  ],
  [
    'an alias twice',
    edited(
      '    - name: apps.k8s.example\n      type: CNAME',
      '    - name: CP-demo.k8s.example\n      type: A',
    ),
    [
      [
        '67:13 NC1119 dns.aliases[1].name',
        'Expected each alias once per type; found CP-demo.k8s.example A a second time.',
      ],
    ],
  ],
  [
    'a CNAME beside an address',
    edited('name: apps.k8s.example', 'name: cp-demo'),
    [
      [
        '67:13 NC1119 dns.aliases[1].name',
        'Expected a CNAME alone at its name; found cp-demo as A and as CNAME.',
      ],
    ],
  ],
  [
    'a CNAME at the zone itself',
    edited('name: apps.k8s.example', 'name: k8s.example'),
    [
      [
        '67:13 NC1119 dns.aliases[1].name',
        'Expected a name below the zone: its own name holds SOA and NS, so it cannot be a CNAME; found "k8s.example".',
      ],
    ],
  ],
  [
    'an alias that is the name of a node',
    edited('name: apps.k8s.example', 'name: demo-agt-0a1'),
    [
      [
        '67:13 NC1119 dns.aliases[1].name',
        'Expected a name that no successor can get by names.pattern; found "demo-agt-0a1".',
      ],
    ],
  ],
  [
    'a zone with a final dot',
    edited('zone: k8s.example', 'zone: k8s.example.'),
    [['58:9 NC1106 dns.zone', 'Expected a DNS name without a final dot; found "k8s.example.".']],
  ],
  [
    'a label of 64 characters',
    edited('name: cp-demo', 'name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'),
    [
      [
        '64:13 NC1119 dns.aliases[0].name',
        'Expected labels of at most 63 characters in a name of at most 253; found "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…".',
      ],
    ],
  ],
  [
    'a poll that is longer than the time to settle',
    edited('pollMs: 2000', 'pollMs: 60000'),
    [
      [
        '73:11 NC1122 pace.pollMs',
        'Expected less than pace.settleSeconds (60 s), so that a change is looked for at least once; found 60000 ms.',
      ],
    ],
  ],
  [
    'more observations than fit into the wait',
    edited('readyInARow: 3', 'readyInARow: 400'),
    [
      [
        '29:16 NC1122 kubernetes.readyInARow',
        'Expected no more observations than fit into kubernetes.readySeconds (600 s) at one each 2000 ms; found 400.',
      ],
    ],
  ],
  [
    'a path with an empty part',
    edited('path: controller.service.externalIPs', 'path: controller..externalIPs'),
    [
      [
        '49:9 NC1118 ingress.path',
        'Expected keys separated by single dots, such as controller.service.externalIPs; found "controller..externalIPs".',
      ],
    ],
  ],
];

describe('a bad node-cycle.yml', () => {
  for (const [title, text, expected] of BAD)
    it(`with ${title} is told where and why`, () => {
      const result = loadConfig(text, 'node-cycle.yml');
      assert.ok('errors' in result, 'it was accepted');
      const lines = expected.map(([place, words]) => {
        const [at = '', code = '', path] = place.split(' ');
        const { title: sentence } = ERRORS[code as ErrorCode];
        return `node-cycle.yml:${at} ${code}${path === undefined ? '' : ` ${path}:`} ${sentence} ${words}`;
      });
      assert.deepEqual(renderErrors(result.errors).split('\n'), lines);
    });

  it('is one of at least 50 that differ in their message', () => {
    const messages = BAD.map(([, text]) => {
      const result = loadConfig(text, 'f');
      return 'errors' in result
        ? result.errors.map(({ code, path, expected, found }) => ({ code, path, expected, found }))
        : [];
    });
    assert.ok(BAD.length >= 50);
    assert.equal(new Set(messages.map((each) => JSON.stringify(each))).size, BAD.length);
  });

  it('never shows a password that somebody wrote into a URL', () => {
    const result = loadConfig(edited('http://shop.example/', 'http://me:hunter2@shop.example/'), 'f');
    assert.ok('errors' in result);
    assert.doesNotMatch(JSON.stringify(result), /hunter2/);
  });
});
