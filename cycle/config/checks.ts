/**
 * What the schema cannot see: values that are well formed one by one and wrong together. Each check is given
 * the sections that are well formed and yields what is wrong in them; a section with faults of its own is
 * undefined, so that one mistake does not hide the others.
 */
import type { Config } from './schema.ts';
import type { Finding } from './issues.ts';
import { addressChecks } from './checks-addresses.ts';
import { dnsChecks } from './checks-dns.ts';
import { reservationChecks } from './checks-reservation.ts';
import { branchFault, hostFault, pathFault, repositoryFault, userFault, probeFault } from './forms.ts';
import { knownTimeZone } from './window.ts';
import { near, shown } from './words.ts';

/** The sections that are valid by themselves; a section is never half valid. */
export type Sections = { [Section in keyof Config]?: Config[Section] | undefined };

export function crossChecks(config: Sections): Finding[] {
  return [
    ...pathChecks(config),
    ...nameChecks(config),
    ...windowChecks(config),
    ...addressChecks(config),
    ...(config.addresses === undefined ? [] : reservationChecks(config.addresses)),
    ...sizeChecks(config),
    ...proxyChecks(config),
    ...ingressChecks(config),
    ...dnsChecks(config),
    ...paceChecks(config),
  ];
}

function pathChecks({ rke, ssh }: Sections): Finding[] {
  const out: Finding[] = [];
  const add = (path: Finding['path'], fault: string | undefined, value: string) => {
    if (fault !== undefined) out.push({ code: 'NC1116', path, expected: fault, found: shown(value) });
  };
  if (rke !== undefined) {
    add(['rke', 'config'], pathFault(rke.config), rke.config);
    if (rke.hostKey !== undefined && hostKeyFault(rke.hostKey) !== undefined)
      out.push({
        code: 'NC1118',
        path: ['rke', 'hostKey'],
        expected: hostKeyFault(rke.hostKey) ?? '',
        found: shown(rke.hostKey),
      });
    if (branchFault(rke.branch) !== undefined)
      out.push({
        code: 'NC1117',
        path: ['rke', 'branch'],
        expected: branchFault(rke.branch) ?? '',
        found: shown(rke.branch),
      });
    if (rke.binary.startsWith('-') || /\s/.test(rke.binary))
      add(['rke', 'binary'], 'the name or the absolute path of a program, without arguments', rke.binary);
    const { stateDir } = rke;
    if (stateDir !== undefined && (!stateDir.startsWith('/') || /^\/+$/.test(stateDir)))
      add(['rke', 'stateDir'], 'an absolute path on the agent, such as /var/lib/node-cycle/demo', stateDir);
    else if (stateDir?.split('/').includes('..') === true)
      add(['rke', 'stateDir'], 'an absolute path without ..', stateDir);
  }
  if (ssh !== undefined) {
    add(['ssh', 'knownHosts'], pathFault(ssh.knownHosts), ssh.knownHosts);
    if (rke !== undefined && rke.config === ssh.knownHosts)
      add(['ssh', 'knownHosts'], 'a file of its own', `${ssh.knownHosts}, which is rke.config`);
  }
  return out;
}

const COUNTER = /\{n(?::x?[1-9])?\}/g;
const PLACEHOLDER = /\{[^{}]*\}?|\}/g;

function nameChecks({ names, cluster }: Sections): Finding[] {
  if (names === undefined) return [];
  const { pattern } = names;
  const fault = (expected: string, found: string): Finding[] => [
    { code: 'NC1114', path: ['names', 'pattern'], expected, found },
  ];
  const unknown = (pattern.match(PLACEHOLDER) ?? []).find(
    (token) => token !== '{cluster}' && token !== '{role}' && !/^\{n(:x?[1-9])?\}$/.test(token),
  );
  if (unknown !== undefined)
    return fault('the placeholders {cluster}, {role}, {n}, {n:3} or {n:x3}', shown(unknown));
  const counters = pattern.match(COUNTER) ?? [];
  if (counters.length !== 1)
    return fault(
      'one counter {n}, {n:3} or {n:x3}, so that each successor has a new name',
      `${shown(pattern)}, with ${counters.length === 0 ? 'none' : counters.length}`,
    );
  const name = pattern
    .replaceAll('{cluster}', cluster ?? 'c')
    .replaceAll('{role}', 'agt')
    .replace(COUNTER, (token) => '9'.repeat(Math.max(4, Number(/[1-9]/.exec(token)?.[0] ?? 0))));
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name))
    return fault('names of [a-z0-9-] that start and end with a letter or digit', shown(name));
  if (name.length > 63)
    return fault('names of at most 63 characters', `${name.length}, as in ${shown(name)}`);
  return [];
}

function windowChecks({ window }: Sections): Finding[] {
  if (window === undefined) return [];
  const out: Finding[] = [];
  if (!knownTimeZone(window.timeZone)) {
    const meant = near(window.timeZone, Intl.supportedValuesOf('timeZone'));
    out.push({
      code: 'NC1112',
      path: ['window', 'timeZone'],
      expected: 'a time zone of the IANA database, such as Europe/Berlin',
      found: shown(window.timeZone),
      ...(meant === undefined ? {} : { suggestion: meant }),
    });
  }
  if (window.from === window.to)
    out.push({
      code: 'NC1113',
      path: ['window', 'to'],
      expected: 'an end that differs from the start (for always, leave the window out)',
      found: `a window from ${window.from} to ${window.to}, which never opens`,
    });
  return [...out, ...repeated(['window', 'days'], window.days)];
}

function sizeChecks({ vm }: Sections): Finding[] {
  if (vm === undefined || Object.values(vm.sizes).some((size) => size !== undefined)) return [];
  return [
    {
      code: 'NC1115',
      path: ['vm', 'sizes'],
      expected: 'a size for at least one of controlplane, etcd and worker',
      found: 'no size, so no VM could be made',
    },
  ];
}

function proxyChecks({ proxies }: Sections): Finding[] {
  return (proxies ?? []).flatMap((proxy, at) => {
    const out: Finding[] = [...repeated(['proxies', at, 'roles'], proxy.roles)];
    const earlier = (proxies ?? []).slice(0, at);
    const add = (key: string, code: Finding['code'], fault: string | undefined, found: string) => {
      if (fault !== undefined)
        out.push({ code, path: ['proxies', at, ...key.split('.')], expected: fault, found });
    };
    if (earlier.some((other) => other.name === proxy.name))
      add('name', 'NC1121', 'each proxy under a name of its own', `"${proxy.name}" a second time`);
    if (earlier.some((other) => other.host === proxy.host && other.port === proxy.port))
      add('host', 'NC1121', 'each proxy once', `${proxy.host}:${proxy.port} a second time`);
    add('host', 'NC1118', hostFault(proxy.host), shown(proxy.host));
    add('user', 'NC1118', userFault(proxy.user), shown(proxy.user));
    add('hostKey', 'NC1118', hostKeyFault(proxy.hostKey), shown(proxy.hostKey));
    if (proxy.probe !== undefined)
      add('probe.url', 'NC1118', probeFault(proxy.probe.url), shown(proxy.probe.url));
    proxy.probes.forEach(({ url }, nth) => {
      const fault = probeFault(url);
      if (fault !== undefined)
        out.push({
          code: 'NC1118',
          path: ['proxies', at, 'probes', nth, 'url'],
          expected: fault,
          found: shown(url),
        });
    });
    return out;
  });
}

/** A key in known_hosts form repeats its type inside: another one means that two lines were mixed up. */
function hostKeyFault(hostKey: string): string | undefined {
  const [type = '', blob = ''] = hostKey.split(' ');
  const bytes = Buffer.from(blob, 'base64');
  const length = bytes.length >= 4 ? bytes.readUInt32BE(0) : 0;
  return length > 0 && bytes.length > 4 + length && bytes.toString('latin1', 4, 4 + length) === type
    ? undefined
    : `a whole key of the type ${type}, as ssh-keyscan prints it without the host`;
}

function ingressChecks({ ingress }: Sections): Finding[] {
  if (ingress === undefined) return [];
  const out: Finding[] = [...repeated(['ingress', 'roles'], ingress.roles)];
  const add = (path: string[], code: Finding['code'], fault: string | undefined, value: string) => {
    if (fault !== undefined)
      out.push({ code, path: ['ingress', ...path], expected: fault, found: shown(value) });
  };
  add(['repository'], 'NC1118', repositoryFault(ingress.repository), ingress.repository);
  add(['branch'], 'NC1117', branchFault(ingress.branch), ingress.branch);
  add(['file'], 'NC1116', pathFault(ingress.file), ingress.file);
  if (ingress.hostKey !== undefined)
    add(['hostKey'], 'NC1118', hostKeyFault(ingress.hostKey), ingress.hostKey);
  if (ingress.path.split('.').some((part) => part === '' || part === '|'))
    add(
      ['path'],
      'NC1118',
      'keys separated by single dots, such as controller.service.externalIPs',
      ingress.path,
    );
  const kubeconfig = ingress.sync.tool === 'none' ? undefined : ingress.sync.kubeconfig;
  if (kubeconfig !== undefined && !/^\/[^/]/.test(kubeconfig))
    add(
      ['sync', 'kubeconfig'],
      'NC1116',
      'an absolute path on the agent, such as /var/lib/node-cycle/argocd.kubeconfig',
      kubeconfig,
    );
  const { probe } = ingress;
  if (probe !== undefined) {
    if (!/^\/[^\s#]*$/.test(probe.path))
      add(['probe', 'path'], 'NC1118', 'the path of a URL: a / first, no spaces, no #', probe.path);
    if ((probe.kind === 'https' || probe.kind === 'tls') && probe.host === undefined)
      out.push({
        code: 'NC1104',
        path: ['ingress', 'probe'],
        expected: `host beside kind: ${probe.kind}: the name in the certificate`,
        found: 'none',
      });
    if (probe.host !== undefined) add(['probe', 'host'], 'NC1118', hostFault(probe.host), probe.host);
  }
  return out;
}

/** Waits that could never succeed, because the time allowed is shorter than what they need to see. */
function paceChecks({ pace, kubernetes }: Sections): Finding[] {
  if (pace === undefined) return [];
  const out: Finding[] = [];
  if (pace.pollMs >= pace.settleSeconds * 1000)
    out.push({
      code: 'NC1122',
      path: ['pace', 'pollMs'],
      expected: `less than pace.settleSeconds (${pace.settleSeconds} s), so that a change is looked for at least once`,
      found: `${pace.pollMs} ms`,
    });
  if (kubernetes !== undefined && kubernetes.readyInARow * pace.pollMs > kubernetes.readySeconds * 1000)
    out.push({
      code: 'NC1122',
      path: ['kubernetes', 'readyInARow'],
      expected: `no more observations than fit into kubernetes.readySeconds (${kubernetes.readySeconds} s) at one each ${pace.pollMs} ms`,
      found: String(kubernetes.readyInARow),
    });
  return out;
}

function repeated(path: Finding['path'], list: readonly string[]): Finding[] {
  return list.flatMap((value, at) =>
    list.indexOf(value) === at
      ? []
      : [
          {
            code: 'NC1106' as const,
            path: [...path, at],
            expected: 'each entry once',
            found: `${value} a second time`,
          },
        ],
  );
}
