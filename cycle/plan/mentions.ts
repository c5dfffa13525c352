/** Where a proxy names a node that leaves in a place which no edit of ours moves: a refusal when requests go there, else a note. */
import type { Config } from '../config/schema.ts';
import { mentionsOf } from '../edge/nginx/upstreams.ts';
import type { Slice } from '../observed.ts';
import { refuse, type Refusal } from '../step.ts';
import { fullName } from './dns-records.ts';

interface Mentioned {
  proxy: string;
  file: string;
  line: number;
  directive: string;
}

/** Directives that send nobody anywhere; in a `map` or `geo` the address as the key is one that asks. */
const ONLY_NAMES =
  /^(allow|deny|set_real_ip_from|listen|resolver|server_name|add_header|access_log|error_log|proxy_bind|[0-9].*|.*:.*)$/;

/** Allowed by `proxy:file`, as the message names it. */
export function strandedPlaces(
  config: Config,
  world: Slice<'proxies'>,
  node: { name: string; address: string },
): Refusal | undefined {
  const allowed = new Set(config.allow.interruption);
  const found = mentions(config, world, node).filter(
    ({ proxy, file, directive }) => !ONLY_NAMES.test(directive) && !allowed.has(`${proxy}:${file}`),
  );
  if (found.length === 0) return undefined;
  const files = [...new Set(found.map(({ proxy, file }) => `${proxy}:${file}`))];
  return refuse(
    'NC1212',
    `${files.join(', ')} sends requests to ${node.name} in a place that is not moved, since it is no server of an upstream by its address.`,
    [...found.map(shown), `Use an upstream there, or list ${files.join(', ')} in allow.interruption.`],
  );
}

/** Places that serve nobody and will name an address that somebody else may get one day. */
export function mentionNotes(
  config: Config,
  world: Slice<'proxies'>,
  node: { name: string; address: string },
): string[] {
  return mentions(config, world, node)
    .filter(({ directive }) => ONLY_NAMES.test(directive))
    .map((mention) => `${shown(mention)} names ${node.name}, and nothing here changes that.`);
}

function mentions(
  { dns }: Config,
  world: Slice<'proxies'>,
  node: { name: string; address: string },
): Mentioned[] {
  const names = [node.address, ...(dns?.nodeRecords === true ? [fullName(node.name, dns.zone)] : [])];
  return world.proxies.flatMap(({ name: proxy, files }) =>
    names.flatMap((what) => mentionsOf(files, what).map((mention) => ({ proxy, ...mention }))),
  );
}

function shown({ proxy, file, line, directive }: Mentioned): string {
  return `${proxy}: ${file}:${line} ${directive}`;
}
