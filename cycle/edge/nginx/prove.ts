/**
 * The proof that a new server of an upstream serves: what users would open answers through the proxy, often enough
 * that the new server had its turn, and nginx logged no failure of it. Without the log a broken server stays hidden,
 * because nginx goes on to the next one (`proxy_next_upstream`).
 */
import { canonicalAddress } from '../address.ts';
import type { Prove, Proxy, ProxyObservation } from './proxy.ts';
import { sameUpstream } from './places.ts';
import { placesOf, upstreamServers } from './upstreams.ts';

/** Each worker goes round by itself, and nobody chooses which worker takes a connection. */
const ROUNDS = 2;
/** An upstream of fifty servers is not asked a thousand times. */
const MOST_ASKS = 64;

export interface ServesOptions {
  proxy: Proxy;
  /** The new server's address. */
  address: string;
  /** One request for what users would open, through this proxy, on a connection of its own. */
  ask: () => Promise<'ok' | (string & {})>;
}

/** Give it to `Proxy.apply`: it is asked after the reload, and when it does not say ok the old files come back. */
export function newServerServes({ proxy, address, ask }: ServesOptions): Prove {
  return async (wait) => {
    const before = await proxy.observe(wait);
    for (let left = turns(before, address); left > 0; left -= 1) {
      const said = await ask();
      if (said !== 'ok') return said;
    }
    const known = new Set(before.errorLogTail);
    const after = await proxy.observe(wait);
    return upstreamErrors(after, address).find((line) => !known.has(line)) ?? 'ok';
  };
}

/** Requests until each server of the largest upstream with that address had its turn in every worker. */
function turns(seen: ProxyObservation, address: string): number {
  const servers = upstreamServers(seen.files);
  const sizes = placesOf(seen.files, address).map(
    (place) => servers.filter((other) => sameUpstream(other, place)).length,
  );
  return Math.min(MOST_ASKS, Math.max(1, ...sizes) * Math.max(1, seen.workers.length) * ROUNDS);
}

/** Lines of the error log in which that address failed as an upstream. */
export function upstreamErrors(
  { errorLogTail }: Pick<ProxyObservation, 'errorLogTail'>,
  address: string,
): string[] {
  const wanted = canonicalAddress(address);
  return errorLogTail.filter((line) => {
    const [, host] = /upstream: "(?:[a-z]+:\/\/)?(\[[0-9a-fA-F:.]+\]|[^:/"]+)[:/"]/.exec(line) ?? [];
    return host !== undefined && canonicalAddress(host) === wanted;
  });
}
