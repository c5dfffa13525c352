/** Checks of the address ranges: their ends, their size, their overlap, and addresses that the file itself gives away. */
import type { Sections } from './checks.ts';
import type { Finding } from './issues.ts';
import { formatIpv4, inRange, parseIpv4, parseRange } from './ipv4.ts';
import type { AddressRange } from './ipv4.ts';
import { hostOf } from './forms.ts';
import { shown } from './words.ts';

/** A /16: more is a typing error, and every address of a range is a candidate that may have to be asked for. */
const LARGEST_RANGE = 65_536;

export function addressChecks(config: Sections): Finding[] {
  const { addresses } = config;
  if (addresses === undefined) return [];
  const out: Finding[] = [];
  const good: { range: AddressRange; text: string; at: number }[] = [];
  addresses.ranges.forEach((text, at) => {
    const path = ['addresses', 'ranges', at];
    const range = parseRange(text);
    const bad = range === undefined ? undefined : ends(range, text);
    if (range === undefined)
      out.push({
        code: 'NC1110',
        path,
        expected: 'two IPv4 addresses, each of four numbers from 0 to 255, joined by -',
        found: shown(text),
      });
    else if (bad !== undefined) out.push({ code: 'NC1110', path, ...bad });
    else {
      const other = good.find((each) => each.range.first <= range.last && range.first <= each.range.last);
      if (other !== undefined)
        out.push({
          code: 'NC1110',
          path,
          expected: 'ranges that do not overlap',
          found: `${text}, which shares ${formatIpv4(Math.max(range.first, other.range.first))} with ${other.text}`,
        });
      good.push({ range, text, at });
    }
  });
  // With DHCP somebody else gives the addresses out: a proxy may have its own from the same range.
  if (addresses.source !== 'static') return out;
  for (const { path, address, what } of addressesInUse(config)) {
    const value = parseIpv4(address);
    const taken = value === undefined ? undefined : good.find((each) => inRange(each.range, value));
    if (taken !== undefined)
      out.push({
        code: 'NC1111',
        path,
        expected: `an address outside the range ${taken.text} from which successors take theirs`,
        found: `${address}, ${what}`,
      });
  }
  const only = good.length === 1 && out.length === 0 ? good[0] : undefined;
  if (only !== undefined && only.range.first === only.range.last)
    out.push({
      code: 'NC1110',
      path: ['addresses', 'ranges', only.at],
      expected: 'at least two addresses: the next successor comes before the last address is free again',
      found: `the single address ${formatIpv4(only.range.first)}`,
    });
  return out;
}

function ends(range: AddressRange, text: string): { expected: string; found: string } | undefined {
  const count = range.last - range.first + 1;
  if (count < 1) return { expected: 'the lower address first', found: `${text}, which runs backwards` };
  if (count > LARGEST_RANGE)
    return { expected: `at most ${LARGEST_RANGE} addresses in a range`, found: `${count} in ${text}` };
  const first = Math.floor(range.first / 2 ** 24);
  const last = Math.floor(range.last / 2 ** 24);
  if (first === 0 || last >= 224)
    return { expected: 'addresses that a host can have (1.0.0.0 to 223.255.255.255)', found: text };
  return undefined;
}

/** Every address that the file gives to something that is not a successor. */
function addressesInUse({ proxies, dns, ingress }: Sections) {
  return [
    ...(proxies ?? []).map(({ host, name }, at) => ({
      path: ['proxies', at, 'host'],
      address: host,
      what: `the proxy ${name}`,
    })),
    ...(dns?.servers ?? []).map((server, at) => ({
      path: ['dns', 'servers', at],
      address: server.replace(/:\d+$/, ''),
      what: 'a DNS server',
    })),
    ...(ingress === undefined
      ? []
      : [
          {
            path: ['ingress', 'repository'],
            address: hostOf(ingress.repository) ?? '',
            what: 'the host of the GitOps repository',
          },
        ]),
  ];
}
