/** The places of a pair in one proxy: what brings the node that stays in, and what the Lease keeps of the other's. Pure. */
import {
  addBeside,
  markUp,
  placesOf,
  removeAddress,
  restore,
  type RemovedLine,
} from '../edge/nginx/upstreams.ts';
import type { Facts } from '../facts.ts';
import type { ProxySeen, Slice } from '../observed.ts';
import { refuse, type Refusal } from '../step.ts';

export type NginxEdit = (files: Readonly<Record<string, string>>) => Record<string, string>;

/** Addresses. */
export interface PlacePair {
  leaving: string;
  staying: string;
}

/** The successor takes the places that the leaving address holds, or held as the Lease says. */
export function bringIn(facts: Facts, proxy: string, { leaving, staying }: PlacePair): NginxEdit {
  return (files) => {
    let now = { ...files };
    const merge = (changed: Record<string, string>) => (now = { ...now, ...changed });
    for (const line of linesOf(facts, proxy, staying)) merge(restore(now, line));
    for (const line of linesOf(facts, proxy, leaving)) {
      if (placesOf(now, leaving).length > 0) break;
      merge(restore(now, renamed(line, leaving, staying)));
    }
    merge(addBeside(now, leaving, staying));
    merge(markUp(now, staying));
    return Object.fromEntries(Object.entries(now).filter(([path, text]) => files[path] !== text));
  };
}

/**
 * The files hold what the pair needs, and nobody knows whether the workers have read them: a run was killed between
 * `put` and `reload`. A proxy that has nothing to do with the pair is left alone.
 */
export function mustReload(facts: Facts, proxy: ProxySeen, pair: PlacePair): boolean {
  return (
    proxy.loaded !== 'yes' &&
    [pair.leaving, pair.staying].some(
      (address) =>
        placesOf(proxy.files, address).length > 0 || linesOf(facts, proxy.name, address).length > 0,
    )
  );
}

/** As they were before the cycle: `down` was ours. */
export function removedLines(proxy: ProxySeen, address: string): readonly RemovedLine[] {
  return removeAddress({ ...proxy.files, ...markUp(proxy.files, address) }, address).removed;
}

/** Where those lines stand among the facts. */
export function factKey(proxy: string, address: string): string {
  return `${proxy} ${address}`;
}

export function alone(proxy: ProxySeen, address: string): Refusal | undefined {
  try {
    removeAddress(proxy.files, address);
    return undefined;
  } catch (error) {
    return refuse('NC1212', `An upstream of ${proxy.name} would have no server left without ${address}.`, [
      error instanceof Error ? error.message : String(error),
    ]);
  }
}

export function isChange(changed: Record<string, string>): boolean {
  return Object.keys(changed).length > 0;
}

/** The world in which a proxy has taken an edit: loaded, and on new workers. */
export function withProxy<W extends Slice<'proxies'>>(world: W, name: string, edit: NginxEdit): W {
  return {
    ...world,
    proxies: world.proxies.map((proxy) =>
      proxy.name === name
        ? { ...proxy, files: { ...proxy.files, ...edit(proxy.files) }, loaded: 'yes', connections: {} }
        : proxy,
    ),
  };
}

/** A line of a dead node, for its successor: the same statement with the other address, and never `down`. */
function renamed(line: RemovedLine, from: string, to: string): RemovedLine {
  const swap = (text: string) => text.replace(from, to).replace(/ down(?=[ ;])/, '');
  return {
    ...line,
    address: to,
    statement: swap(line.statement),
    ...(line.wholeLine === undefined ? {} : { wholeLine: swap(line.wholeLine) }),
  };
}

function linesOf(facts: Facts, proxy: string, address: string): readonly RemovedLine[] {
  return facts.upstreams[factKey(proxy, address)] ?? [];
}
