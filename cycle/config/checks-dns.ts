/** Checks of the DNS section: servers, key, and aliases that contradict each other or lie outside the zone. */
import type { Sections } from './checks.ts';
import type { Finding } from './issues.ts';
import { hostFault, probeFault } from './forms.ts';
import { near, shown } from './words.ts';

export function dnsChecks({ dns, names, cluster }: Sections): Finding[] {
  if (dns === undefined) return [];
  const out: Finding[] = [];
  const add = (path: (string | number)[], code: Finding['code'], expected: string, found: string) =>
    out.push({ code, path: ['dns', ...path], expected, found });

  dns.servers.forEach((server, at) => {
    const [, host = '', port = ''] = /^(.*):([0-9]{1,5})$/.exec(server) ?? [];
    if (hostFault(host) !== undefined || Number(port) < 1 || Number(port) > 65_535)
      add(['servers', at], 'NC1118', 'address:port, such as 10.0.0.2:53', shown(server));
    else if (dns.servers.indexOf(server) < at)
      add(['servers', at], 'NC1121', 'each server once', `${server} a second time`);
  });
  if (dns.adapter === 'rfc2136' && dns.keyName === undefined)
    add(
      ['adapter'],
      'NC1120',
      'dns.keyName beside rfc2136: updates are signed with that TSIG key',
      'no key name',
    );
  if (dns.adapter === 'windows' && dns.keyName !== undefined)
    add(
      ['keyName'],
      'NC1120',
      'no key with the adapter windows, where the bridge changes the records',
      shown(dns.keyName),
    );
  if (dns.adapter === 'windows' && dns.lowerTtlSeconds !== undefined)
    add(
      ['lowerTtlSeconds'],
      'NC1120',
      'no lowered TTL with the adapter windows, where a record cannot be given another TTL alone',
      `${dns.lowerTtlSeconds} s`,
    );
  if (tooLong(dns.zone)) add(['zone'], 'NC1119', LENGTHS, shown(dns.zone));

  const nodeName = names === undefined ? undefined : namesOfNodes(names.pattern, cluster);
  const seen = new Map<string, string>();
  dns.aliases.forEach((alias, at) => {
    const path = ['aliases', at, 'name'];
    const fault = alias.probe && probeFault(alias.probe.url);
    if (alias.probe !== undefined && fault !== undefined)
      add(['aliases', at, 'probe', 'url'], 'NC1118', fault, shown(alias.probe.url));
    const full = fullName(alias.name, dns.zone);
    if (full === undefined) {
      const meant = near(alias.name.split('.').slice(1).join('.'), [dns.zone]);
      out.push({
        code: 'NC1119',
        path: ['dns', ...path],
        expected: `a name in the zone ${dns.zone}: one label, or the whole name`,
        found: shown(alias.name),
        ...(meant === undefined ? {} : { suggestion: `${alias.name.split('.')[0]}.${dns.zone}` }),
      });
      return;
    }
    if (tooLong(full)) return void add(path, 'NC1119', LENGTHS, shown(full));
    if (alias.type === 'CNAME' && full === dns.zone.toLowerCase())
      add(
        path,
        'NC1119',
        'a name below the zone: its own name holds SOA and NS, so it cannot be a CNAME',
        shown(alias.name),
      );
    if (dns.nodeRecords && nodeName?.test(full.slice(0, -dns.zone.length - 1)) === true)
      add(path, 'NC1119', 'a name that no successor can get by names.pattern', shown(alias.name));
    const types = seen.get(full) ?? '';
    if (types.split(' ').includes(alias.type))
      add(path, 'NC1119', 'each alias once per type', `${alias.name} ${alias.type} a second time`);
    else if (types !== '' && `${types} ${alias.type}`.includes('CNAME'))
      add(
        path,
        'NC1119',
        'a CNAME alone at its name',
        `${alias.name} as ${types.trim()} and as ${alias.type}`,
      );
    seen.set(full, `${types} ${alias.type}`.trim());
  });
  return out;
}

const LENGTHS = 'labels of at most 63 characters in a name of at most 253';

/** A name without a dot is relative to the zone; undefined when it lies outside. */
function fullName(name: string, zone: string): string | undefined {
  const lower = name.toLowerCase();
  const end = zone.toLowerCase();
  if (lower === end || lower.endsWith(`.${end}`)) return lower;
  return lower.includes('.') ? undefined : `${lower}.${end}`;
}

function tooLong(name: string): boolean {
  return name.length > 253 || name.split('.').some((label) => label.length > 63);
}

/** The names that the pattern gives, as an expression. */
function namesOfNodes(pattern: string, cluster = ''): RegExp {
  const parts = pattern.split(/(\{[^}]*\})/).map((part) => {
    if (part === '{cluster}') return cluster;
    if (part === '{role}') return '(srv|agt)';
    if (part.startsWith('{n:x')) return '[0-9a-f]+';
    if (part.startsWith('{n')) return '[0-9]+';
    return part.replace(/[^a-z0-9-]/gi, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`);
}
